"""Speech to speech over the Realtime API (GA)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from patter.audio.formats import MULAW_8K, AudioFormat
from patter.providers.llm import Message
from patter.providers.parkable_engine import ParkableEngine
from patter.providers.realtime import RealtimeEvent, RealtimeSession
from patter_openai import realtime_messages as messages
from patter_openai.realtime_errors import PROVIDER
from patter_openai.realtime_formats import chosen_format
from patter_openai.realtime_link import RealtimeLink

if TYPE_CHECKING:
    from patter.providers.context import ProviderContext
    from patter_openai.realtime_config import OpenAIRealtimeConfig


class OpenAIRealtime(ParkableEngine[RealtimeLink]):
    """One call's engine."""

    def __init__(self, config: OpenAIRealtimeConfig, context: ProviderContext) -> None:
        super().__init__(PROVIDER)
        self._config = config
        self._format = chosen_format(config.audio_format, context.carrier_format or MULAW_8K)

    def __repr__(self) -> str:
        return f"<OpenAIRealtime {self._config.model}>"

    def audio_formats(self) -> tuple[AudioFormat, AudioFormat]:
        """What was asked for; once the server has said what it uses, that (RT-19)."""
        return (self._format, self._format) if self._link is None else self._link.reader.formats

    # -- the session

    async def _open(self, session: RealtimeSession) -> RealtimeLink:
        audio_format = chosen_format(self._config.audio_format, session.carrier_format)
        return await RealtimeLink.open(self._config, session, audio_format)

    # -- audio and events

    async def send_audio(self, chunk: bytes) -> None:
        """Append audio. Raises `ProviderDisconnected` before `connect()`; does nothing once the session is lost."""
        if chunk and not self._closed:
            await self._current().write(messages.appended(chunk))

    async def receive(self) -> AsyncIterator[RealtimeEvent]:
        """The events of the present session; ends with `closed`, or quietly by `close()`."""
        if self._closed:
            return
        async for event in self._current().receive():
            yield event

    # -- turns and responses

    async def guard(self) -> Mapping[str, Any]:
        """Take its powers to answer and to stop from it; all else of its turn detection stays (RT-02)."""
        return await self._detect("guard", guarded=True)

    async def restore(self) -> Mapping[str, Any]:
        """Give it the turn detection of the settings; its powers only where Patter leaves them to it (RT-12, RT-24)."""
        return await self._detect("restore", guarded=False)

    async def _detect(self, request: str, *, guarded: bool) -> Mapping[str, Any]:
        link = self._current()
        detection = messages.turn_detection(self._config, link.session, guarded=guarded)
        await link.send(request, messages.turn_detection_update(detection))
        return detection

    async def request_response(self, exact_text: str = "") -> None:
        """Ask for a response; with `exact_text`, for that text, without a tool."""
        await self._current().send("response", messages.response_create(exact_text))

    async def cancel_response(self, response_id: str) -> None:
        """Stop a response. Its audio that comes later is dropped here; its `response_done` still comes."""
        link = self._current()
        link.reader.silence(response_id)
        await link.send("cancel", messages.response_cancel(response_id))

    # -- the conversation

    async def truncate(self, item_id: str, heard_ms: int) -> None:
        """Cut an item to what was heard; never beyond what came in, which the server would refuse."""
        link = self._current()
        received_ms = link.reader.received_ms(item_id)
        end_ms = heard_ms if received_ms is None else min(heard_ms, received_ms)
        await link.send("truncate", messages.truncate(item_id, end_ms))

    async def add_message(self, message: Message) -> None:
        """Append what was said without the engine; asks for no response."""
        for item in messages.conversation_items(message):
            await self._current().send("message", item)

    async def send_tool_result(self, call_id: str, output: str) -> None:
        """Append the result of a function call; asks for no response (RT-20)."""
        await self._current().send("tool", messages.function_output(call_id, output))
