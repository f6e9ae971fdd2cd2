"""Speech to speech over the Gemini Live API."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from patter.audio.formats import PCM16_16K, PCM16_24K, AudioFormat
from patter.providers.parkable_engine import ParkableEngine
from patter.providers.realtime import RealtimeEvent, RealtimeSession
from patter_google import live_messages as messages
from patter_google.live_errors import PROVIDER
from patter_google.live_link import LiveLink

if TYPE_CHECKING:
    from patter.providers.context import ProviderContext
    from patter_google.live_config import GeminiLiveConfig

logger = logging.getLogger(__name__)

#: the caller's audio that is kept while the model answers, where Patter decides; the oldest is dropped, in ms
HELD_MS: Final = 30_000


class GeminiLive(ParkableEngine[LiveLink]):
    """One call's engine.

    The model finds the caller's turns by itself. Where Patter decides (RT-24) it is told of them: what the caller says
    while the model answers is kept, because the beginning of a turn would stop the answer, and is sent when the answer is
    over or was given up.
    """

    def __init__(self, config: GeminiLiveConfig, context: ProviderContext) -> None:
        super().__init__(PROVIDER)
        self._config = config
        self._environment = context.environment
        self._answer_is_due = False
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._results: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<GeminiLive {self._config.model}>"

    def audio_formats(self) -> tuple[AudioFormat, AudioFormat]:
        """PCM at 16 kHz in and at 24 kHz out, which is all that the vendor speaks (RT-23)."""
        return PCM16_16K, PCM16_24K

    # -- the session

    async def _open(self, session: RealtimeSession) -> LiveLink:
        """It costs nothing until the model speaks."""
        return await LiveLink.open(self._config, session, self._environment.new_id("response"))

    async def _use(self, link: LiveLink) -> None:
        self._answer_is_due = False
        self._results.clear()
        await super()._use(link)

    # -- audio and events

    async def send_audio(self, chunk: bytes) -> None:
        """Append audio. Raises `ProviderDisconnected` before `connect()`; does nothing once the session is lost."""
        if not chunk or self._closed:
            return
        link = self._current()
        if not link.session.patter_decides:
            await link.write(messages.audio(chunk))
        elif self._answer_is_due or link.reader.turn_runs:
            self._hold(chunk)
        else:
            await self._open_turn(link)
            await link.write(messages.audio(chunk))

    def _hold(self, chunk: bytes) -> None:
        self._held.append(chunk)
        self._held_bytes += len(chunk)
        while self._held_bytes > PCM16_16K.bytes_for_ms(HELD_MS):
            self._held_bytes -= len(self._held.popleft())

    async def _open_turn(self, link: LiveLink) -> None:
        """Tell that the caller's turn begins, unless it has, and send what was kept for it."""
        if not link.turn_is_open:
            link.turn_is_open = True
            await link.send(messages.activity(begins=True))
        while self._held:
            chunk = self._held.popleft()
            self._held_bytes -= len(chunk)
            await link.write(messages.audio(chunk))

    async def receive(self) -> AsyncIterator[RealtimeEvent]:
        """The events of the present session; ends with `closed`, or quietly by `close()`."""
        if self._closed:
            return
        async for event in self._current().receive():
            if event.kind == "response_started":
                self._answer_is_due = False
            yield event

    # -- responses

    async def request_response(self, exact_text: str = "") -> None:
        """Ask for a response; with `exact_text`, for that text, though the vendor promises no exact words.

        While the model waits for the results of function calls it can say nothing else: then the response is an empty one.
        After the last result it goes on without being asked.
        """
        link = self._current()
        if link.reader.continues and not exact_text:
            return
        if link.reader.calls or (not exact_text and not link.session.patter_decides):
            logger.info("%s cannot be asked to speak now", PROVIDER)
            link.tell(link.reader.empty())
        elif exact_text:
            await link.send(messages.request(self._config, exact_text))
        else:
            await self._open_turn(link)
            link.turn_is_open, self._answer_is_due = False, True
            await link.send(messages.activity(begins=False))

    async def cancel_response(self, response_id: str) -> None:
        """Give a response up: nothing more of it is heard.

        Where Patter decides, the caller's turn begins, which stops the model. Else there is no message that would: the model
        stops when it hears the caller itself.
        """
        link = self._current()
        link.tell(link.reader.give_up(response_id, asyncio.get_running_loop().time()))
        if link.session.patter_decides:
            self._answer_is_due = False
            await self._open_turn(link)

    async def send_tool_result(self, call_id: str, output: str) -> None:
        """The result of a function call; sent when all calls have theirs, and not at all for one that was cancelled."""
        link = self._current()
        calls = link.reader.calls
        if call_id not in calls:
            return
        self._results[call_id] = output
        if any(one not in self._results for one in calls):
            return
        results = [(one, name, self._results[one]) for one, name in calls.items()]
        calls.clear()
        self._results.clear()
        link.reader.continues = True
        await link.send(messages.tool_response(results))
