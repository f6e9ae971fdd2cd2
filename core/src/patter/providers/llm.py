"""Language models: messages and tools in, text and tool calls out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import asyncio


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A complete tool call of a model; `arguments` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of the conversation sent to a model.

    An assistant message may carry `tool_calls`; each of them is answered by a message of role "tool" with its
    `tool_call_id` before the next assistant message.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as shown to the model; `parameters` is a JSON schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the spoken reply."""

    content: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call; pieces of the same `index` belong together (LM-01)."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Billed tokens of one request; of several in one stream the last one counts.

    `input_tokens` are all of the input: what was read from a cache or written to it is among them, whatever the vendor
    does. A plugin whose vendor gives no figure sends none; core then tells its observers of one that is `estimated` as
    characters / 4 (CO-07).
    """

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """The reply is complete; the last chunk of a stream."""


LLMChunk = Text | ToolCallDelta | Usage | Done


class LLM(ABC):
    """One model connection for one call; pooled clients behind it may be shared."""

    @abstractmethod
    def stream(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        cancel_event: asyncio.Event,
        call_id: str,
    ) -> AsyncIterator[LLMChunk]:
        """Chunks of one reply, as an async generator.

        Setting `cancel_event`, or closing the generator, ends the stream and its HTTP connection within 100 ms; no
        chunk follows. Raises `ProviderAuthError`, `RateLimitedError`, `ProviderTimeout`, `ProviderError`.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release everything. Idempotent, allowed before the first stream, ends within 1 s."""

    async def warmup(self) -> None:  # noqa: B027 - optional
        """Do beforehand what makes the first token fast; free of model charges."""
