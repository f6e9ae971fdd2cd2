"""The "language model" behind ``scripted``: a dialogue that streams its reply word by word."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from patter.providers.llm import LLM, Done, LLMChunk, Message, Text, ToolCallDelta, ToolSpec, Usage
from patter_scripted.dialogue import Answer, Dialogue
from patter_scripted.loading import booking, load

if TYPE_CHECKING:
    from patter.providers.context import ProviderContext
    from patter_scripted.config import ScriptedConfig

_WORD = re.compile(r"\S+\s*")


class ScriptedLLM(LLM):
    """Answers by the rules of a script. It understands what its patterns describe, and nothing else.

    Raises `ConfigError` for a dialogue file that cannot be read.
    """

    def __init__(self, config: ScriptedConfig, context: ProviderContext | None = None) -> None:
        self._dialogue = Dialogue(load(Path(config.path)) if config.path is not None else booking())
        self._delay_s = config.token_delay_ms / 1000

    async def stream(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        cancel_event: asyncio.Event,
        call_id: str,
    ) -> AsyncIterator[LLMChunk]:
        """The reply to the last message, one word a chunk, then a tool call where the script wants one."""
        answer = self._dialogue.answer(messages, frozenset(tool.name for tool in tools))
        for chunk in _chunks(answer, len(messages)):
            await self._pause(cancel_event)
            if cancel_event.is_set():
                return
            yield chunk
        # No tokens were bought; without this figure they would be estimated and billed (CO-07).
        yield Usage(input_tokens=0, output_tokens=0)
        yield Done()

    async def close(self) -> None:
        """Nothing to release."""

    async def _pause(self, cancel_event: asyncio.Event) -> None:
        """The pause before a word, cut short by a cancellation; at least one turn of the loop."""
        if not self._delay_s:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(self._delay_s):
                await cancel_event.wait()
        except TimeoutError:
            pass


def _chunks(answer: Answer, turn: int) -> list[LLMChunk]:
    chunks: list[LLMChunk] = [Text(word) for word in _WORD.findall(answer.text)]
    if answer.call is not None:
        arguments = json.dumps(answer.call.arguments)
        # The id must differ from those of earlier calls, which are in the messages.
        chunks.append(ToolCallDelta(0, id=f"scripted_{turn}", name=answer.call.name, arguments=arguments))
    return chunks
