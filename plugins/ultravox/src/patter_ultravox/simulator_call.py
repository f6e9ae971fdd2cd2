"""One call of the simulated vendor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from aiohttp import WSMsgType, web

from patter.audio.formats import AudioFormat, Encoding
from patter.simulators.hosted import HostedConversation, SimulatedTool, SimulatedTurn
from patter_ultravox.simulator_terms import Faults

#: audio of one message, in ms
CHUNK_MS: Final = 100
_CHUNK_S: Final = 0.01
_DEFAULT_BUFFER_MS: Final = 60
_BROKEN: Final = (
    "{",
    "[]",
    '{"type": 5}',
    '{"type": "transcript", "role": "agent", "text": 7, "final": "yes", "ordinal": "one"}',
    '{"type": "client_tool_invocation", "toolName": null}',
    "[" * 5000,
)
#: the setting that turns a message on or off
_SETTINGS: Final = {
    "pong": "pong",
    "state": "state",
    "transcript": "transcript",
    "client_tool_invocation": "clientToolInvocation",
    "playback_clear_buffer": "playbackClearBuffer",
    "call_started": "callStarted",
    "debug": "debug",
}
_OFF_BY_DEFAULT: Final = frozenset({"debug"})


class SimulatedCall(HostedConversation[Faults]):
    """What a client asked for, sent and was sent; see `HostedConversation`.

    Attributes:
        faults: how the servers misbehave in it.
        request: the body of the request that made the call.
        end_reason: as the vendor words it; None while the call runs.
    """

    def __init__(
        self, call_id: str, request: Mapping[str, Any], turns: tuple[SimulatedTurn, ...], faults: Faults
    ) -> None:
        medium = request["medium"]["serverWebSocket"]
        takes = AudioFormat(Encoding.PCM16, medium["inputSampleRate"])
        gives = AudioFormat(Encoding.PCM16, medium.get("outputSampleRate", takes.rate))
        super().__init__(turns, faults, takes, gives)
        self.faults = faults
        self.id = call_id
        self.request = request
        self.end_reason: str | None = None
        self._wanted: Mapping[str, bool] = medium.get("dataMessages", {})
        self._buffer_s = medium.get("clientBufferSizeMs", _DEFAULT_BUFFER_MS) / 1000
        self._made_at = self._now()
        self._joined_at: float | None = None
        self._ended_at: float | None = None
        self._ordinal = -1
        self._said: tuple[int, str] = (-1, "")

    # -- its life

    def described(self) -> dict[str, Any]:
        """The call as the REST interface shows it."""
        if self._joined_at is None and self._now() - self._made_at > self._seconds("joinTimeout", 30.0):
            self.end_reason = "unjoined"
        billed = None
        if self._joined_at is not None and self._ended_at is not None:
            billed = f"{self._ended_at - self._joined_at:g}s"
        return {
            "callId": self.id,
            "created": f"{self._made_at:g}",
            "joined": None if self._joined_at is None else f"{self._joined_at:g}",
            "ended": None if self._ended_at is None else f"{self._ended_at:g}",
            "endReason": self.end_reason,
            "billedDuration": billed,
        }

    def may_be_joined(self) -> bool:
        """Once, and before it is too late."""
        return self.described()["endReason"] is None and self._joined_at is None

    def joined(self) -> None:
        """A client has come."""
        self._joined_at = self._now()

    async def run(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        """Until either end closes it."""
        self._socket, self._transport = socket, transport
        try:
            await self._tell("call_started", callId=self.id)
            self._task(self._limit())
            self._first_words()
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    if len(message.data) % 2:
                        await self.close(1007)
                    else:
                        self._hear(message.data)
                elif message.type is WSMsgType.TEXT:
                    await self._read(message.data)
                if self.close_code is not None:
                    break
        finally:
            self._ended()
            self.end_reason = self.end_reason or "hangup"
            self._ended_at = self._now()

    def _first_words(self) -> None:
        settings = self.request.get("firstSpeakerSettings", {"agent": {}})
        greeting = settings.get("agent")
        if greeting is None or self._faults.ignore_greeting:
            self._task(self._listen())
        else:
            self._speaking(self._first_message(greeting))

    async def _listen(self) -> None:
        await self._tell("state", state="listening")

    async def _limit(self) -> None:
        await asyncio.sleep(self._seconds("maxDuration", 3600.0))
        await self._end("timeout")

    def _seconds(self, name: str, default: float) -> float:
        return float(str(self.request.get(name, f"{default}s")).removesuffix("s"))

    async def _end(self, reason: str) -> None:
        self.end_reason = reason
        await self.close(1000)

    # -- from the client

    async def _read(self, raw: str) -> None:
        try:
            message = json.loads(raw)
            kind = message["type"]
        except (ValueError, TypeError, KeyError):
            await self._tell("debug", message="unreadable message")
            return
        self.received.append(message)
        if kind == "ping":
            await self._tell("pong", timestamp=message.get("timestamp"))
        elif kind == "client_tool_result":
            self._answered(message.get("invocationId"), message)
        elif kind in ("user_text_message", "input_text_message"):
            if message.get("urgency") != "later" and not message.get("deferResponse"):
                self._interrupt()
                self._speaking(self._reply(self._next_turn(), None))
        elif kind == "hang_up":
            self._speaking(self._hang_up(str(message.get("message") or "")))
        elif kind != "set_output_medium":
            await self._tell("debug", message=f"unknown type {kind!r}")

    def _interrupt(self) -> None:
        if self._faults.stray_clears and (self._speech is None or not self._is_playing):
            self._task(self._tell("playback_clear_buffer"))
        super()._interrupt()

    async def _interrupted(self) -> None:
        await self._tell("playback_clear_buffer")
        ordinal, text = self._said
        await self._transcript("agent", ordinal, text=text[: len(text) // 2], final=True)
        await self._tell("state", state="listening")

    # -- the agent

    async def _first_message(self, greeting: Mapping[str, Any]) -> None:
        await asyncio.sleep(float(str(greeting.get("delay", "0s")).removesuffix("s")))
        self._interruptible = not greeting.get("uninterruptible", False)
        await self._greet(str(greeting.get("text", "Hello.")))
        self._interruptible = True

    async def _reply(self, turn: SimulatedTurn, heard: str | None) -> None:
        faults = self._faults
        await self._tell("state", state="thinking")
        if heard is not None:
            self._ordinal += 1
            hearing = self._ordinal
            if faults.late_transcript:
                self._task(self._late_transcript(hearing, heard))
            else:
                await self._transcript("user", hearing, text=heard, final=True)
        if turn.tool is not None and await self._call_tool(turn.tool) == "hang-up":
            await self._end("agent_hangup")
            return
        await self._say(turn.reply, drop=faults.drop == "reply")
        if turn.ends_call:
            await self._end("agent_hangup")

    async def _late_transcript(self, ordinal: int, heard: str) -> None:
        await asyncio.sleep(_CHUNK_S * 3.5)
        await self._transcript("user", ordinal, text=heard, final=True)

    async def _hang_up(self, farewell: str) -> None:
        if farewell:
            await self._say(farewell)
        await self._end("hangup")

    async def _call_tool(self, tool: SimulatedTool) -> str:
        """How the result wants the call to go on."""
        invocation = self._new_call("invocation-")
        await self._tell(
            "client_tool_invocation",
            toolName=tool.name,
            invocationId=invocation,
            parameters=dict(tool.parameters),
        )
        result = await self._result(invocation, tool)
        return str(result.get("responseType", "tool-response"))

    async def _say(self, text: str, *, drop: bool = False) -> None:
        """The text and its audio, as far ahead of the listener as the client's buffer allows."""
        faults = self._faults
        audio = self._spoken_audio(text) if not faults.silent else b""
        self._ordinal += 1
        ordinal = self._ordinal
        self._said = (ordinal, text)
        await self._tell("state", state="speaking")
        words = text.split(" ")
        step = self._gives.bytes_for_ms(CHUNK_MS)
        self._playing_until = self._now()
        chunks = [audio[start : start + step] for start in range(0, len(audio), step)]
        for number, word in enumerate(words):
            await self._spoken_word(ordinal, words, number, word)
        for number, chunk in enumerate(chunks):
            if number and number == (len(chunks) + 1) // 2:
                if drop:
                    await self.drop(faults.drop_code)
                    return
                await asyncio.sleep(faults.stall_s)
            self._playing_until = (
                max(self._playing_until, self._now()) + self._gives.duration_ms(len(chunk)) / 1000
            )
            await self._play(chunk)
            await asyncio.sleep(max(_CHUNK_S, self._playing_until - self._now() - self._buffer_s))
        await self._transcript("agent", ordinal, text=text, final=True)
        await asyncio.sleep(max(0.0, self._playing_until - self._now()))
        await self._tell("state", state="listening")

    async def _spoken_word(self, ordinal: int, words: list[str], number: int, word: str) -> None:
        if self._faults.no_deltas:
            await self._transcript("agent", ordinal, text=" ".join(words[: number + 1]), final=False)
        else:
            delta = word if number == 0 else f" {word}"
            await self._transcript("agent", ordinal, delta=delta, final=False)

    async def _transcript(
        self, role: str, ordinal: int, *, text: str | None = None, delta: str | None = None, final: bool
    ) -> None:
        await self._tell(
            "transcript", role=role, medium="voice", text=text, delta=delta, final=final, ordinal=ordinal
        )

    async def _tell(self, kind: str, **fields: Any) -> None:
        """A data message, if the call asked for it."""
        if not self._wanted.get(_SETTINGS[kind], kind not in _OFF_BY_DEFAULT):
            return
        message = {"type": kind, **fields}
        self.sent.append(message)
        with suppress(ConnectionError):
            if self._faults.malformed:
                for broken in _BROKEN:
                    await self.socket.send_str(broken)
            await self.socket.send_str(json.dumps(message))

    async def _play(self, audio: bytes) -> None:
        with suppress(ConnectionError):
            if self._faults.split_audio:
                await self.socket.send_bytes(audio[:33])
                audio = audio[33:]
            await self.socket.send_bytes(audio)
