"""A realtime engine that hears and speaks in tones: faithful unless its scene says otherwise.

It hears the caller's tones, tells when speech begins and ends, replies by itself where it may, and makes audio faster
than real time, as real engines do. What the caller hears is read from its tones like that of a fake voice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from patter.audio.formats import MULAW_8K, AudioFormat, Encoding
from patter.errors import ProviderDisconnected
from patter.providers.context import ProviderContext
from patter.providers.llm import Message, ToolCall
from patter.providers.realtime import (
    RealtimeEngine,
    RealtimeEvent,
    RealtimeSession,
    RealtimeUsage,
    ResponseStatus,
    SettingsEcho,
)
from patter.testing.engine_script import EngineScript, EngineTurn
from patter.testing.scene import scene_of
from patter.testing.tones import FRAME_MS, ToneReader, nearest_number, speech_ms, tone

#: silence after which the caller's speech is over, in ms
SILENCE_MS = 300
#: audio of one event, in ms
PIECE_MS = 100


class FakeEngine(RealtimeEngine):
    """Follows the `EngineScript` of its scene.

    Args:
        context: the surroundings of the call.
        input_rate: of the audio it takes, in Hz: µ-law at 8000, else PCM.
        output_rate: of the audio it gives, likewise.
        greets: whether it says the first message by itself.
        replies: whether it may reply to the caller by itself.
    """

    def __init__(
        self,
        context: ProviderContext,
        *,
        input_rate: int = 8000,
        output_rate: int = 8000,
        greets: bool = False,
        replies: bool = True,
    ) -> None:
        scene = scene_of(context)
        self._script: EngineScript = scene.engine
        self._voice = scene.voice
        self._utterances = scene.recogniser.utterances
        self._script.made += 1
        self._takes, self._gives = _format(input_rate), _format(output_rate)
        self._greets, self._replies = greets, replies
        self._events: asyncio.Queue[RealtimeEvent | None] = asyncio.Queue()
        self._timers: set[asyncio.TimerHandle] = set()
        self._reader = ToneReader(self._takes)
        self._decides = True
        self._open = self._closed = False
        self._heard: dict[int, int] = {}
        self._silence_ms = 0
        self._item = ""
        self._response: EngineTurn | None = None
        self._called: dict[str, EngineTurn] = {}

    def audio_formats(self) -> tuple[AudioFormat, AudioFormat]:
        """As it was asked for; µ-law at 8 kHz by default."""
        return self._takes, self._gives

    # -- the session

    async def connect(self, session: RealtimeSession) -> None:
        """Open, unless the script says that this connection fails."""
        self._script.connections += 1
        fault = self._script.connect_faults.popleft() if self._script.connect_faults else None
        await asyncio.sleep(self._script.connect_s)
        if fault is not None:
            raise fault
        self._begin(session)

    def _begin(self, session: RealtimeSession) -> None:
        self._script.sessions.append(session)
        self._script.engine = self
        self._decides = self._replies and not session.patter_decides
        self._open = True
        self._say(RealtimeEvent("session_ready", echo=self._echo()))
        if self._greets and session.first_message and not session.history:
            self._begin_turn(session.first_message, greeting=True)

    async def open_parked_connection(self, session: RealtimeSession) -> ParkedEngine:
        """Open a session without using it."""
        await asyncio.sleep(self._script.connect_s)
        self._script.connections += 1
        return ParkedEngine(session, self._script)

    async def adopt_websocket(self, handle: ParkedEngine) -> None:
        """Use a session that was parked. Raises `ProviderDisconnected` for one that is closed."""
        if not handle.is_open or self._script.adoption_fails:
            raise ProviderDisconnected("the parked session is closed")
        handle.adopted = True
        self._begin(handle.session)

    async def receive(self) -> AsyncIterator[RealtimeEvent]:
        """What happens, until `close()` or the script's drop."""
        while not self._closed and (event := await self._events.get()) is not None:
            yield event
            if event.kind == "closed":
                return

    async def close(self) -> None:
        """End `receive()`."""
        self._closed, self._open = True, False
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._events.put_nowait(None)

    def drop(self, reason: str = "the connection was lost") -> None:
        """Lose the connection now."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._open = False
        self._events.put_nowait(RealtimeEvent("closed", detail=reason))

    def report(self, event: RealtimeEvent) -> None:
        """Let it report an event now."""
        self._say(event)

    # -- the caller

    def send_audio(self, chunk: bytes) -> None:
        """Hear the caller; a plain function."""
        if not self._open:
            raise ProviderDisconnected("the fake engine is not connected")
        self._script.heard += chunk
        self._script.sent("audio")
        for pitch in self._reader.feed(chunk):
            self._hear(pitch)

    def _hear(self, pitch: int | None) -> None:
        if pitch is None:
            self._silence_ms += FRAME_MS
            if self._heard and self._silence_ms == SILENCE_MS:
                self._caller_stopped()
            return
        number = nearest_number(pitch, len(self._utterances) - 1)
        if number < 0:
            return
        self._silence_ms = 0
        if not self._heard:
            self._caller_began()
        self._heard[number] = self._heard.get(number, 0) + FRAME_MS

    def _caller_began(self) -> None:
        self._script.items += 1
        self._item = f"user_{self._script.items}"
        self._say(RealtimeEvent("speech_started", item_id=self._item))
        if self._decides and self._response is not None:
            self.cancel("turn_detected")

    def _caller_stopped(self) -> None:
        heard, item = dict(self._heard), self._item
        self._heard.clear()
        self._say(RealtimeEvent("speech_stopped", item_id=item))
        understood = " ".join(self._utterances[number].understood for number in heard).strip()
        text = RealtimeEvent("transcript_input", text=understood, item_id=item, final=True)
        if self._script.transcript_s is not None:
            self._later(self._script.transcript_delay(), text)
        self._script.understood.append(understood)
        if self._decides and understood:
            self._at(self._script.reply_s, lambda: self._begin_turn(""))

    # -- the agent

    def _begin_turn(self, exact_text: str, *, greeting: bool = False) -> None:
        """Begin a response: the exact text, or what the script says next."""
        if not self._open or self._response is not None:
            return
        spoken = self._script.next(exact_text, greeting=greeting or bool(exact_text))
        if spoken.never:
            return
        self._script.responses += 1
        turn = EngineTurn(f"resp_{self._script.responses}", f"item_{self._script.responses}", spoken)
        self._at(spoken.delay_s, lambda: self._make(turn))
        self._response = turn

    def _make(self, turn: EngineTurn) -> None:
        """Say all of a response, in pieces that follow each other faster than they sound."""
        spoken = turn.spoken
        self._say(RealtimeEvent("response_started", response_id=turn.response_id, item_id=turn.item_id))
        number, _ = self._voice.begin(spoken.text)
        audio = (
            b"" if spoken.silent else tone(number, int(speech_ms(spoken.text) * spoken.slowness), self._gives)
        )
        step = self._gives.bytes_for_ms(PIECE_MS)
        pieces = [audio[at : at + step] for at in range(0, len(audio), step)]
        if spoken.after_ms is not None:
            pieces = pieces[: spoken.after_ms // PIECE_MS]
        for place, piece in enumerate(pieces):
            turn.timers.append(self._at(place * spoken.piece_s, lambda piece=piece: self._piece(turn, piece)))
        end_s = len(pieces) * spoken.piece_s
        turn.timers.append(self._at(end_s, lambda: self._finish(turn)))

    def _piece(self, turn: EngineTurn, audio: bytes) -> None:
        words = turn.spoken.text
        if not turn.told:
            turn.told = True
            self._say(self._of(turn, "transcript_output", text=words, final=True))
        self._say(self._of(turn, "audio", audio=audio))

    def _finish(self, turn: EngineTurn) -> None:
        spoken = turn.spoken
        if spoken.drops:
            self.drop()
            return
        if spoken.hangs:
            return
        for place, call in enumerate(spoken.tools):
            call_id = call.id or f"call_{self._script.responses}_{place}"
            self._called[call_id] = turn
            self._say(
                self._of(turn, "function_call", call=ToolCall(call_id, call.name, _json(call.arguments)))
            )
        self._end(turn, spoken.status, spoken.detail)

    def _end(self, turn: EngineTurn, status: ResponseStatus, detail: str = "") -> None:
        for timer in turn.timers:
            timer.cancel()
        self._response = None
        usage = RealtimeUsage(input_audio=10, output_audio=20)
        self._say(RealtimeEvent("usage", response_id=turn.response_id, usage=usage))
        self._say(self._of(turn, "response_done", status=status, detail=detail))
        for _ in range(turn.spoken.repeated_ends):
            self._say(self._of(turn, "response_done", status=status, detail=detail))

    def cancel(self, by: str) -> None:
        """The engine cancels what it is saying by itself, and says so; a little audio comes late."""
        turn = self._response
        if turn is None:
            return
        for timer in turn.timers:
            timer.cancel()
        self._say(self._of(turn, "interrupted", detail=by))
        if turn.told:
            self._piece(turn, self._gives.silence(self._gives.rate // 50))
        self._end(turn, "cancelled", by)

    # -- orders

    async def guard(self) -> Mapping[str, Any]:
        """Both powers off, unless the script has other ideas."""
        self._script.sent("guard")
        values = {"create_response": False, "interrupt_response": False}
        if self._script.guard_error:
            refused = RealtimeEvent(
                "error", detail=self._script.guard_error, parameter="session.turn_detection", request="guard"
            )
            self._later(self._script.ack_s or 0.0, refused)
            return values
        if not self._script.ignores_guard:
            self._decides = False
        self._acknowledge()
        return values

    async def restore(self) -> Mapping[str, Any]:
        """The power to reply, where it had it."""
        self._script.sent("restore")
        decides = self._replies and not self._script.sessions[-1].patter_decides
        self._decides = decides
        self._acknowledge()
        return {"create_response": decides, "interrupt_response": decides}

    def _acknowledge(self) -> None:
        echo = self._echo()
        if self._script.ack_s is not None:
            self._later(self._script.ack_s, RealtimeEvent("session_ready", echo=echo))

    def _echo(self) -> SettingsEcho:
        powers = {"create_response": self._decides, "interrupt_response": self._decides}
        return SettingsEcho(guarded=not self._decides, values=powers)

    async def request_response(self, exact_text: str = "") -> None:
        """Speak; refused while a response is under way."""
        self._script.sent("response", exact_text)
        if self._response is not None:
            self._say(RealtimeEvent("error", detail="already_active", request="response"))
            return
        self._begin_turn(exact_text)

    async def cancel_response(self, response_id: str) -> None:
        """Stop."""
        self._script.sent("cancel", response_id)
        turn = self._response
        if turn is None or turn.response_id != response_id:
            self._say(RealtimeEvent("error", detail="not_active", request="cancel"))
        else:
            self._end(turn, "cancelled", "client_cancelled")

    async def truncate(self, item_id: str, heard_ms: int) -> None:
        """Note what was heard."""
        self._script.sent("truncate", (item_id, heard_ms))

    async def add_message(self, message: Message) -> None:
        """Note what was said without it."""
        self._script.sent("message", (message.role, message.content))

    async def send_tool_result(self, call_id: str, output: str) -> None:
        """Note a result."""
        self._script.sent("result", (call_id, output))
        called_in = self._called.pop(call_id, None)
        if called_in is not None and called_in is self._response:
            self._script.problems.append(f"the result of {call_id} came before the end of its response")
        if self._greets and called_in is not None and not self._called:
            self._at(
                self._script.reply_s, lambda: self._begin_turn("")
            )  # one that is asked for nothing goes on

    # -- saying

    def _of(self, turn: EngineTurn, kind: Any, **fields: Any) -> RealtimeEvent:
        return RealtimeEvent(kind, response_id=turn.response_id, item_id=turn.item_id, **fields)

    def _say(self, event: RealtimeEvent) -> None:
        if not self._closed:
            self._script.events.append(event)
            self._events.put_nowait(event)

    def _later(self, delay_s: float, event: RealtimeEvent) -> None:
        self._at(delay_s, lambda: self._say(event))

    def _at(self, delay_s: float, action: Any) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(delay_s, action) if delay_s > 0 else loop.call_soon(action)
        self._timers.add(timer)  # type: ignore[arg-type]
        return timer  # type: ignore[return-value]


class ParkedEngine:
    """A session of a fake engine that waits for its call."""

    def __init__(self, session: RealtimeSession, script: EngineScript) -> None:
        self.session = session
        self.is_open = True
        self.adopted = False
        self._script = script
        script.parked.append(session)

    async def close(self) -> None:
        """Close, unless it was adopted."""
        if self.is_open:
            self.is_open = False
            self._script.parked_closed += not self.adopted


def _format(rate: int) -> AudioFormat:
    return MULAW_8K if rate == 8000 else AudioFormat(Encoding.PCM16, rate)


def _json(arguments: Mapping[str, Any] | str) -> str:
    import json

    return arguments if isinstance(arguments, str) else json.dumps(arguments)
