"""A language model that says what its scene wants, and streams like a real one."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence

from patter.providers.context import ProviderContext
from patter.providers.llm import LLM, Done, LLMChunk, Message, Text, ToolCallDelta, ToolSpec, Usage
from patter.testing.scene import CallTool, Reply, scene_of

_TOKEN = re.compile(r"\S+\s*|\s+")


class FakeLLM(LLM):
    """Streams the replies of the scene, token by token; with none left it says "You said: …"."""

    def __init__(self, context: ProviderContext) -> None:
        self._script = scene_of(context).model
        self._script.made += 1

    async def stream(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        cancel_event: asyncio.Event,
        call_id: str,
    ) -> AsyncIterator[LLMChunk]:
        """The next reply of the scene."""
        reply = self._script.next(messages, tools)
        self._script.open_streams += 1
        try:
            async for chunk in _chunks(reply):
                if cancel_event.is_set():
                    return
                yield chunk
        finally:
            self._script.open_streams -= 1

    async def close(self) -> None:
        """Nothing to release."""


async def _chunks(reply: Reply) -> AsyncIterator[LLMChunk]:
    if reply.delay_s:
        await asyncio.sleep(reply.delay_s)
    tokens = _TOKEN.findall(reply.text)
    for count, token in enumerate(tokens):
        if reply.error is not None and count == reply.tokens_before_error:
            raise reply.error
        if count and reply.token_delay_s:
            await asyncio.sleep(reply.token_delay_s)
        yield Text(token)
    if reply.error is not None:
        raise reply.error
    for index, call in enumerate(reply.tools):
        for delta in _deltas(index, call):
            yield delta
    if reply.hangs:
        await asyncio.get_running_loop().create_future()
    if reply.usage is not None:
        yield reply.usage
    elif reply.counted:
        yield Usage(input_tokens=1, output_tokens=len(tokens))
    yield Done()


def _deltas(index: int, call: CallTool) -> Iterator[ToolCallDelta]:
    """A tool call in two pieces, as vendors send it (LM-01)."""
    arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
    half = len(arguments) // 2
    yield ToolCallDelta(index, call.id or f"call_{index}", call.name, arguments[:half])
    yield ToolCallDelta(index, arguments=arguments[half:])
