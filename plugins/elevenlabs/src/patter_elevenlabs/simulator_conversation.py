"""One conversation of the simulated vendor."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine
from typing import Any, Final

from aiohttp import WSMsgType, web

from patter_elevenlabs.convai_messages import format_of
from patter_elevenlabs.simulator_checks import Refused, caller_audio, overrides, read_message
from patter_elevenlabs.simulator_connection import SimulatedConnection
from patter_elevenlabs.simulator_terms import Faults, SimulatedAgent, SimulatedTurn
from patter_elevenlabs.simulator_voice import SPEECH_MS, Ear, utterance

#: silence that ends the caller's turn, in s
TURN_END_S: Final = 0.4
#: audio of one message, in ms, and the time between two of them: faster than it plays
CHUNK_MS: Final = 200
_CHUNK_S: Final = 0.02


class SimulatedConversation(SimulatedConnection):
    """What one client sent and was sent.

    Attributes:
        voice: gives each text the number of the pitch that it is spoken at.
        headers: of the upgrade request.
        initiation: the first message, {} before it or without one.
        changed: what it changed of the agent, by path.
        received: the client's messages, audio aside, in order.
        audio: the caller's audio.
        early_audio: how many chunks of it came before the metadata was sent.
        spoken: the texts that were begun to be spoken.
        results: of client tools: the result, or None after the time-out.
    """

    def __init__(
        self,
        agent: SimulatedAgent,
        faults: Faults,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        conversation_id: str,
    ) -> None:
        super().__init__(agent.client_events, faults, socket, transport)
        self.voice: Callable[[str], int] | None = None
        self.headers: dict[str, str] = {}
        self.initiation: dict[str, Any] = {}
        self.changed: dict[str, Any] = {}
        self.received: list[dict[str, Any]] = []
        self.audio = bytearray()
        self.early_audio = 0
        self.spoken: list[str] = []
        self.results: list[str | None] = []
        self.id = conversation_id
        self._agent = agent
        gives, takes = (format_of({"": name}, "") for name in (agent.output_format, agent.input_format))
        assert gives is not None
        assert takes is not None
        self._gives = gives
        self._ear = Ear(takes)
        self._begun = False
        self._ready = False
        self._turn = 0
        self._playing_until = 0.0
        self._active_at = 0.0
        self._interruptible = True
        self._speech: asyncio.Task[None] | None = None
        self._turn_end: asyncio.TimerHandle | None = None
        self._waiting: dict[str, asyncio.Future[str]] = {}
        self._unanswered: dict[int, float] = {}

    async def run(self) -> None:
        """Until either end closes it."""
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    await self._read(message.data)
                if self.close_code is not None:
                    break
        except Refused as refused:
            await self._refuse(refused)
        finally:
            self._stop()
            if self.close_code is None:
                self.close_code = self._socket.close_code or 1006

    # -- from the client

    async def _read(self, raw: str) -> None:
        message = read_message(raw)
        if not self._begun:
            self._begun = True
            await self._begin(message)
        if "user_audio_chunk" in message:
            self.early_audio += not self._ready
            self._hear(caller_audio(message))
            return
        self.received.append(message)
        kind = message["type"]
        if kind == "pong":
            self._unanswered.pop(message["event_id"], None)
        elif kind == "client_tool_result":
            waiting = self._waiting.pop(message["tool_call_id"], None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message["result"])
        elif kind == "user_message":
            self._interrupt()
            self._speaking(self._reply(self._next_turn(), str(message.get("text", ""))))

    async def _begin(self, first: dict[str, Any]) -> None:
        faults = self._faults
        if first.get("type") == "conversation_initiation_client_data":
            self.initiation = first
            self.changed = overrides(first, self._agent, faults)
        if faults.drop == "metadata":
            await self._drop()
            return
        if faults.no_metadata:
            return
        self._task(self._open())

    async def _open(self) -> None:
        faults = self._faults
        await asyncio.sleep(faults.metadata_s)
        if faults.events_before_metadata:
            await self._ping()
            await self._event("user_transcript", "user_transcription_event", user_transcript="Early.")
        await self._send(
            {
                "type": "conversation_initiation_metadata",
                "conversation_initiation_metadata_event": {
                    "conversation_id": self.id,
                    "agent_output_audio_format": self._agent.output_format,
                    "user_input_audio_format": self._agent.input_format,
                },
            }
        )
        self._ready = True
        self._active_at = self._now()
        self._task(self._pings())
        self._task(self._limits())
        asked = str(self.changed.get("agent.first_message", self._agent.first_message))
        if asked and not (faults.ignore_first_message and "agent.first_message" in self.changed):
            self._speaking(self._greet(asked))

    # -- the caller

    def _hear(self, chunk: bytes) -> None:
        self.audio += chunk
        if not self._ear.hear(chunk):
            return
        self._active_at = self._now()
        if self._ear.loud_ms >= SPEECH_MS:
            if self._now() < self._playing_until and self._interruptible:
                self._interrupt()
            self._await_turn_end()

    def _await_turn_end(self) -> None:
        if self._turn_end is not None:
            self._turn_end.cancel()
        self._turn_end = asyncio.get_running_loop().call_later(TURN_END_S, self._turn_ended)

    def _turn_ended(self) -> None:
        self._turn_end = None
        if not self._ready:
            self._await_turn_end()
            return
        if self._now() < self._playing_until:  # spoken over what may not be interrupted
            return
        turn = self._next_turn()
        self._speaking(self._reply(turn, turn.heard, aloud=True))

    def _next_turn(self) -> SimulatedTurn:
        turns = self._agent.turns
        turn = turns[min(self._turn, len(turns) - 1)]
        self._turn += 1
        return turn

    def _interrupt(self) -> None:
        if self._speech is None or self._now() >= self._playing_until:
            return
        self._speech.cancel()
        self._playing_until = self._now()
        last = self._event_id
        self._task(self._interruption(last))

    async def _interruption(self, last: int) -> None:
        await self._event("interruption", "interruption_event", event_id=last)
        text = self.spoken[-1]
        await self._event(
            "agent_response_correction",
            "agent_response_correction_event",
            original_agent_response=text,
            corrected_agent_response=text[: len(text) // 2],
            event_id=last,
        )
        for _ in range(self._faults.late_chunks):
            late = utterance(len(self.spoken), "late", self._gives)
            await self._audio(late, last)

    # -- the agent

    async def _greet(self, text: str) -> None:
        faults = self._faults
        if faults.cancel_greeting_s is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(faults.cancel_greeting_s, self._interrupt)
        await self._say(text, drop=faults.drop == "greeting")
        if faults.drop == "after_greeting":
            self._task(self._drop_later())

    async def _drop_later(self) -> None:
        """Whatever is said meanwhile."""
        await asyncio.sleep(self._faults.drop_after_s)
        await self._drop()

    async def _reply(self, turn: SimulatedTurn, heard: str, *, aloud: bool = False) -> None:
        faults = self._faults
        if aloud and not faults.late_transcript:
            await self._transcript(heard)
        if turn.tool is not None:
            await self._call_tool(turn)
        if aloud and faults.late_transcript:
            self._task(self._late_transcript(heard))
        await self._say(turn.reply, drop=faults.drop == "reply")
        if turn.ends_call:
            await self._event(
                "agent_tool_response",
                tool_name="end_call",
                tool_call_id=f"system_{self._event_id}",
                tool_type="system",
                is_error=False,
                is_called=True,
            )
            await self._close(1000)

    async def _transcript(self, heard: str) -> None:
        await self._event("user_transcript", "user_transcription_event", user_transcript=heard)

    async def _late_transcript(self, heard: str) -> None:
        await asyncio.sleep(_CHUNK_S * 1.5)
        await self._transcript(heard)

    async def _call_tool(self, turn: SimulatedTurn) -> None:
        tool = turn.tool
        assert tool is not None
        call_id = f"call_{len(self.results) + len(self._waiting) + 1}"
        waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[call_id] = waiting
        await self._event(
            "client_tool_call",
            tool_name=tool.name,
            tool_call_id=call_id,
            parameters=dict(tool.parameters),
        )
        try:
            async with asyncio.timeout(tool.timeout_s):
                self.results.append(await waiting)
        except TimeoutError:
            self._waiting.pop(call_id, None)
            self.results.append(None)

    async def _say(self, text: str, *, drop: bool = False) -> None:
        """The text and its audio, faster than it plays."""
        faults, gives = self._faults, self._gives
        self.spoken.append(text)
        self._event_id += 1
        said = self._event_id
        await self._event(
            "agent_chat_response_part", "text_response_part", text=text, type="start", event_id=said
        )
        await self._event("agent_response", "agent_response_event", agent_response=text, event_id=said)
        if faults.silent:
            return
        number = self.voice(text) if self.voice is not None else len(self.spoken) - 1
        audio = utterance(number, text, gives)
        step = gives.bytes_for_ms(CHUNK_MS)
        self._playing_until = self._now()
        for start in range(0, len(audio), step):
            if start and start >= len(audio) // 2 > start - step:
                if drop:
                    await self._drop()
                    return
                await asyncio.sleep(faults.stall_s)
            piece = audio[start : start + step]
            self._event_id += 1
            self._playing_until = max(self._playing_until, self._now()) + gives.duration_ms(len(piece)) / 1000
            await self._audio(piece, self._event_id)
            await asyncio.sleep(_CHUNK_S)
        await self._event("agent_response_complete", "agent_response_complete_event", event_id=self._event_id)
        await asyncio.sleep(max(0.0, self._playing_until - self._now()))

    async def _audio(self, piece: bytes, event_id: int) -> None:
        encoded = base64.b64encode(piece).decode("ascii")
        await self._event("audio", "audio_event", audio_base_64=encoded, event_id=event_id)

    # -- the life of the conversation

    async def _pings(self) -> None:
        while True:
            await asyncio.sleep(self._agent.ping_s)
            overdue = self._now() - self._agent.pong_s
            if any(sent < overdue for sent in self._unanswered.values()):
                await self._close(1011)
                return
            await self._ping()

    async def _ping(self) -> None:
        self._event_id += 1
        if "ping" in self._agent.client_events:
            self._unanswered[self._event_id] = self._now()
        await self._event("ping", "ping_event", event_id=self._event_id, ping_ms=None)

    async def _limits(self) -> None:
        ends = self._now() + self._agent.max_duration_s
        silence = self._agent.silence_end_call_s
        while True:
            quiet = (
                max(self._active_at, self._playing_until) + silence if silence is not None else float("inf")
            )
            if self._now() >= min(ends, quiet):
                break
            await asyncio.sleep(min(ends, quiet) - self._now())
        if self._now() >= ends:
            await self._refuse(Refused("max_duration_exceeded", "the longest conversation is over", 1000))
        else:
            await self._close(1000)

    def _speaking(self, speech: Coroutine[Any, Any, None]) -> None:
        if self._speech is not None:
            self._speech.cancel()
        self._speech = self._task(speech)

    def _stop(self) -> None:
        if self._turn_end is not None:
            self._turn_end.cancel()
        super()._stop()
