"""One conversation of the simulated vendor."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import suppress
from typing import Any, Final

from aiohttp import WSMsgType, web

from patter.simulators.hosted import TURN_END_S, HostedConversation, SimulatedTool, SimulatedTurn
from patter.simulators.tones import utterance
from patter_elevenlabs.convai_messages import format_of
from patter_elevenlabs.simulator_checks import Refused, caller_audio, overrides, read_message
from patter_elevenlabs.simulator_terms import Faults, SimulatedAgent

#: audio of one message, in ms, and the time between two of them: faster than it plays
CHUNK_MS: Final = 200
_CHUNK_S: Final = 0.02
_BROKEN: Final = (
    "{",
    "[]",
    '{"type": 5}',
    '{"type": "audio", "audio_event": {"audio_base_64": "?"}}',
    '{"type": "agent_response", "agent_response_event": []}',
    "[" * 5000,
)


class SimulatedConversation(HostedConversation[Faults]):
    """What one client sent and was sent; see `HostedConversation`.

    Attributes:
        headers: of the upgrade request.
        initiation: the first message, {} before it or without one.
        changed: what it changed of the agent, by path.
        early_audio: how many chunks of it came before the metadata was sent.
    """

    def __init__(
        self,
        agent: SimulatedAgent,
        faults: Faults,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        conversation_id: str,
    ) -> None:
        gives, takes = (format_of({"": name}, "") for name in (agent.output_format, agent.input_format))
        assert gives is not None
        assert takes is not None
        super().__init__(agent.turns, faults, takes, gives)
        self._socket, self._transport = socket, transport
        self.headers: dict[str, str] = {}
        self.initiation: dict[str, Any] = {}
        self.changed: dict[str, Any] = {}
        self.early_audio = 0
        self.id = conversation_id
        self._agent = agent
        self._event_id = 0
        self._begun = False
        self._ready = False
        self._active_at = 0.0
        self._unanswered: dict[int, float] = {}

    async def run(self) -> None:
        """Until either end closes it."""
        try:
            async for message in self.socket:
                if message.type is WSMsgType.TEXT:
                    await self._read(message.data)
                if self.close_code is not None:
                    break
        except Refused as refused:
            await self._refuse(refused)
        finally:
            self._ended()

    # -- from the client

    async def _read(self, raw: str) -> None:
        message = read_message(raw)
        if not self._begun:
            self._begun = True
            await self._begin(message)
        if "user_audio_chunk" in message:
            self.early_audio += not self._ready
            if self._hear(caller_audio(message)):
                self._active_at = self._now()
            return
        self.received.append(message)
        kind = message["type"]
        if kind == "pong":
            self._unanswered.pop(message["event_id"], None)
        elif kind == "client_tool_result":
            self._answered(message["tool_call_id"], message)
        elif kind == "user_message":
            self._interrupt()
            self._speaking(self._reply(self._next_turn(), None))

    async def _begin(self, first: dict[str, Any]) -> None:
        faults = self._faults
        if first.get("type") == "conversation_initiation_client_data":
            self.initiation = first
            self.changed = overrides(first, self._agent, faults)
        if faults.drop == "metadata":
            await self.drop(faults.drop_code)
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

    def _turn_ended(self) -> None:
        if self._ready:
            super()._turn_ended()
        else:
            self._turn_ends_in(TURN_END_S)

    async def _interrupted(self) -> None:
        last = self._event_id
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

    async def _reply(self, turn: SimulatedTurn, heard: str | None) -> None:
        faults = self._faults
        if heard is not None and not faults.late_transcript:
            await self._transcript(heard)
        if turn.tool is not None:
            await self._call_tool(turn.tool)
        if heard is not None and faults.late_transcript:
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
            await self.close(1000)

    async def _transcript(self, heard: str) -> None:
        await self._event("user_transcript", "user_transcription_event", user_transcript=heard)

    async def _late_transcript(self, heard: str) -> None:
        await asyncio.sleep(_CHUNK_S * 1.5)
        await self._transcript(heard)

    async def _call_tool(self, tool: SimulatedTool) -> None:
        call_id = self._new_call("call_")
        await self._event(
            "client_tool_call", tool_name=tool.name, tool_call_id=call_id, parameters=dict(tool.parameters)
        )
        await self._result(call_id, tool)

    async def _say(self, text: str, *, drop: bool = False) -> None:
        """The text and its audio, faster than it plays."""
        faults, gives = self._faults, self._gives
        audio = self._spoken_audio(text)
        self._event_id += 1
        said = self._event_id
        await self._event(
            "agent_chat_response_part", "text_response_part", text=text, type="start", event_id=said
        )
        await self._event("agent_response", "agent_response_event", agent_response=text, event_id=said)
        if faults.silent:
            return
        step = gives.bytes_for_ms(CHUNK_MS)
        self._playing_until = self._now()
        for start in range(0, len(audio), step):
            if start and start >= len(audio) // 2 > start - step:
                if drop:
                    await self.drop(faults.drop_code)
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
                await self.close(1011)
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
            await self.close(1000)

    async def _refuse(self, refused: Refused) -> None:
        if refused.error_type:
            await self._send(
                {
                    "type": "error",
                    "error_event": {
                        "code": refused.code,
                        "error_type": refused.error_type,
                        "message": str(refused),
                        "reason": str(refused),
                    },
                }
            )
        await self.close(refused.code)

    # -- sending

    async def _event(self, kind: str, under: str = "", **fields: Any) -> None:
        """An event, if the agent is set up to tell it."""
        if kind not in self._agent.client_events:
            return
        if "event_id" not in fields:
            self._event_id += 1
            fields["event_id"] = self._event_id
        await self._send({"type": kind, under or kind: fields})

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        with suppress(ConnectionError):
            if self._faults.malformed:
                for broken in _BROKEN:
                    await self.socket.send_str(broken)
            await self.socket.send_str(json.dumps(message))
