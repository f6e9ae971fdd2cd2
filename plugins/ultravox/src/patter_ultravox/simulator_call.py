"""One call of the simulated vendor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from aiohttp import WSMsgType, web

from patter_ultravox.simulator_line import SimulatedLine
from patter_ultravox.simulator_terms import Faults, SimulatedTurn
from patter_ultravox.simulator_voice import SPEECH_MS, Ear, utterance

#: silence that ends the caller's turn, in s
TURN_END_S: Final = 0.4
#: audio of one message, in ms
CHUNK_MS: Final = 100
_CHUNK_S: Final = 0.01
_DEFAULT_BUFFER_MS: Final = 60


class SimulatedCall(SimulatedLine):
    """What a client asked for, sent and was sent.

    Attributes:
        voice: gives each text the number of the pitch that it is spoken at.
        request: the body of the request that made the call.
        received: the client's data messages, in order.
        audio: the caller's audio.
        spoken: the texts that were begun to be spoken.
        results: of client tools: the result, or None after the time-out.
        end_reason: as the vendor words it; None while the call runs.
    """

    def __init__(
        self, call_id: str, request: Mapping[str, Any], turns: tuple[SimulatedTurn, ...], faults: Faults
    ) -> None:
        medium = request["medium"]["serverWebSocket"]
        super().__init__(medium.get("dataMessages", {}), faults)
        self.voice: Callable[[str], int] | None = None
        self.id = call_id
        self.request = request
        self.received: list[dict[str, Any]] = []
        self.audio = bytearray()
        self.spoken: list[str] = []
        self.results: list[str | None] = []
        self.end_reason: str | None = None
        self._turns = turns
        self._rate = int(medium.get("outputSampleRate", medium["inputSampleRate"]))
        self._buffer_s = medium.get("clientBufferSizeMs", _DEFAULT_BUFFER_MS) / 1000
        self._ear = Ear(medium["inputSampleRate"])
        self._made_at = self._now()
        self._joined_at: float | None = None
        self._ended_at: float | None = None
        self._ordinal = -1
        self._turn = 0
        self._playing_until = 0.0
        self._interruptible = True
        self._said: tuple[int, str] = (-1, "")
        self._speech: asyncio.Task[None] | None = None
        self._turn_end: asyncio.TimerHandle | None = None
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}

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
                        await self._close(1007)
                    else:
                        self._hear(message.data)
                elif message.type is WSMsgType.TEXT:
                    await self._read(message.data)
                if self.close_code is not None:
                    break
        finally:
            self._stop()
            if self.close_code is None:
                self.close_code = socket.close_code or 1006
            self.end_reason = self.end_reason or "hangup"
            self._ended_at = self._now()

    def _first_words(self) -> None:
        settings = self.request.get("firstSpeakerSettings", {"agent": {}})
        greeting = settings.get("agent")
        if greeting is None or self._faults.ignore_greeting:
            self._task(self._listen())
        else:
            self._speaking(self._greet(greeting))

    async def _listen(self) -> None:
        await self._tell("state", state="listening")

    async def _limit(self) -> None:
        await asyncio.sleep(self._seconds("maxDuration", 3600.0))
        await self._end("timeout")

    def _seconds(self, name: str, default: float) -> float:
        return float(str(self.request.get(name, f"{default}s")).removesuffix("s"))

    async def _end(self, reason: str) -> None:
        self.end_reason = reason
        await self._close(1000)

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
            waiting = self._waiting.pop(message.get("invocationId"), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
        elif kind in ("user_text_message", "input_text_message"):
            if message.get("urgency") != "later" and not message.get("deferResponse"):
                self._interrupt()
                self._speaking(self._reply(self._next_turn(), None))
        elif kind == "hang_up":
            self._speaking(self._hang_up(str(message.get("message") or "")))
        elif kind != "set_output_medium":
            await self._tell("debug", message=f"unknown type {kind!r}")

    def _hear(self, chunk: bytes) -> None:
        self.audio += chunk
        if not self._ear.hear(chunk) or self._ear.loud_ms < SPEECH_MS:
            return
        if self._now() < self._playing_until:
            if not self._interruptible:
                return
            self._interrupt()
        if self._turn_end is not None:
            self._turn_end.cancel()
        self._turn_end = asyncio.get_running_loop().call_later(TURN_END_S, self._turn_ended)

    def _turn_ended(self) -> None:
        self._turn_end = None
        if self._now() >= self._playing_until:
            turn = self._next_turn()
            self._speaking(self._reply(turn, turn.heard))

    def _next_turn(self) -> SimulatedTurn:
        turn = self._turns[min(self._turn, len(self._turns) - 1)]
        self._turn += 1
        return turn

    def _interrupt(self) -> None:
        if self._speech is None or self._now() >= self._playing_until:
            if self._faults.stray_clears:
                self._task(self._tell("playback_clear_buffer"))
            return
        self._speech.cancel()
        self._playing_until = self._now()
        self._interruptible = True
        self._task(self._interrupted())

    async def _interrupted(self) -> None:
        await self._tell("playback_clear_buffer")
        ordinal, text = self._said
        await self._transcript("agent", ordinal, text=text[: len(text) // 2], final=True)
        await self._tell("state", state="listening")

    # -- the agent

    async def _greet(self, greeting: Mapping[str, Any]) -> None:
        faults = self._faults
        await asyncio.sleep(float(str(greeting.get("delay", "0s")).removesuffix("s")))
        self._interruptible = not greeting.get("uninterruptible", False)
        if faults.cancel_greeting_s is not None:
            asyncio.get_running_loop().call_later(faults.cancel_greeting_s, self._interrupt)
        await self._say(str(greeting.get("text", "Hello.")), drop=faults.drop == "greeting")
        self._interruptible = True
        if faults.drop == "after_greeting":
            self._task(self._drop_later())

    async def _drop_later(self) -> None:
        """Whatever is said meanwhile."""
        await asyncio.sleep(self._faults.drop_after_s)
        await self._drop()

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
        if turn.tool is not None and await self._call_tool(turn) == "hang-up":
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

    async def _call_tool(self, turn: SimulatedTurn) -> str:
        """How the result wants the call to go on."""
        tool = turn.tool
        assert tool is not None
        invocation = f"invocation-{len(self.results) + len(self._waiting) + 1}"
        waiting: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[invocation] = waiting
        await self._tell(
            "client_tool_invocation",
            toolName=tool.name,
            invocationId=invocation,
            parameters=dict(tool.parameters),
        )
        try:
            async with asyncio.timeout(tool.timeout_s):
                result = await waiting
        except TimeoutError:
            self._waiting.pop(invocation, None)
            self.results.append(None)
            return "tool-response"
        self.results.append(str(result.get("result")))
        return str(result.get("responseType", "tool-response"))

    async def _say(self, text: str, *, drop: bool = False) -> None:
        """The text and its audio, as far ahead of the listener as the client's buffer allows."""
        faults = self._faults
        self.spoken.append(text)
        self._ordinal += 1
        ordinal = self._ordinal
        self._said = (ordinal, text)
        await self._tell("state", state="speaking")
        words = text.split(" ")
        number = self.voice(text) if self.voice is not None else len(self.spoken) - 1
        audio = utterance(number, text, self._rate) if not faults.silent else b""
        step = self._rate * CHUNK_MS // 1000 * 2
        self._playing_until = self._now()
        chunks = [audio[start : start + step] for start in range(0, len(audio), step)]
        for number, word in enumerate(words):
            await self._spoken_word(ordinal, words, number, word)
        for number, chunk in enumerate(chunks):
            if number and number == (len(chunks) + 1) // 2:
                if drop:
                    await self._drop()
                    return
                await asyncio.sleep(faults.stall_s)
            self._playing_until = max(self._playing_until, self._now()) + len(chunk) / 2 / self._rate
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

    def _speaking(self, speech: Coroutine[Any, Any, None]) -> None:
        if self._speech is not None:
            self._speech.cancel()
        self._speech = self._task(speech)

    def _stop(self) -> None:
        if self._turn_end is not None:
            self._turn_end.cancel()
        super()._stop()
