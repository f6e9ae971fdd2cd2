"""What a simulated connection sends: the model's turns, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final

from aiohttp import web

from patter.simulators.connection import SimulatedConnection
from patter.simulators.tones import speech_ms
from patter_google.simulator.model import SimulatedModel
from patter_google.simulator.terms import Faults, SimulatedTool, SimulatedTurn
from patter_google.simulator.voice import GIVES

#: audio is sent in parts of so many bytes, in turn; some cut a sample in half
_PART_BYTES: Final = (4_801, 2_400, 9_599, 4_800)
#: and faster than it plays: a part takes so long, in s
_PART_S: Final = 0.01
_BROKEN: Final = (
    b"{",
    b"[]",
    b"\xff\xfe",
    b'{"serverContent": 7}',
    b'{"serverContent": {"modelTurn": {"parts": [null, {"inlineData": {"mimeType": 3, "data": []}}]}}}',
    b'{"toolCall": {"functionCalls": [{"id": 5}, {"name": null}]}, "goAway": []}',
    b'{"usageMetadata": {"promptTokenCount": "many", "responseTokensDetails": {}}}',
    b'{"sessionResumptionUpdate": {"newHandle": 1, "resumable": true}, "toolCallCancellation": {"ids": 1}}',
    b"[" * 5000,
)


class SimulatedSpeech(SimulatedConnection):
    """The sending side of one connection; see `patter.simulators.connection.SimulatedConnection`.

    Attributes:
        acknowledged: whether the settings were.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        faults: Faults,
        model: SimulatedModel,
    ) -> None:
        super().__init__(socket, transport)
        self.acknowledged = False
        self.model = model
        self._faults = faults
        self._gives_handles = False
        self._late_playback = True
        self._runs = False
        self._calls: set[str] = set()
        self._all_results = asyncio.Event()

    @property
    def is_speaking(self) -> bool:
        """Whether a turn of the model is under way, or is being played."""
        return self._runs

    async def _new_handle(self) -> None:
        raise NotImplementedError

    # -- the socket

    async def close(self, code: int, reason: str = "") -> None:
        """The session is free for another connection."""
        self.model.connection = None
        await super().close(code, reason)

    async def tell(self, message: dict[str, Any]) -> None:
        """A message: JSON in a binary frame."""
        self.sent.append(message)
        with suppress(ConnectionError):
            if self._faults.malformed:
                for broken in _BROKEN:
                    await self.socket.send_bytes(broken)
            await self.socket.send_bytes(json.dumps(message).encode())

    async def _content(self, **fields: Any) -> None:
        await self.tell({"serverContent": fields})

    # -- the model

    def _speaking(self, speech: Coroutine[Any, Any, None]) -> None:
        self._runs = True
        self._all_results.clear()
        super()._speaking(speech)

    def _interrupt(self) -> None:
        if self._speech is None or not self._runs:
            return
        self._speech.cancel()
        self._runs = False
        cancelled, self._calls = sorted(self._calls), set()
        self._task(self._interrupted(cancelled))

    async def _interrupted(self, cancelled: list[str]) -> None:
        if cancelled:
            self.model.cancelled += cancelled
            await self.tell({"toolCallCancellation": {"ids": cancelled}})
        await self._content(interrupted=True)
        await self._content(turnComplete=True)

    async def _reply(self, turn: SimulatedTurn, *, told: bool) -> None:
        """Answer the caller; `told` says that their words were transcribed already."""
        late = self._faults.late_transcript
        if not told and not late:
            await self._heard_words(turn.heard)
        self.model.history.append(("user", turn.heard))
        if late and not told:
            self._task(self._late_words(turn.heard))
        if turn.tool is not None:
            await self._call(turn.tool)
        await self._say_turn(turn.reply)

    async def _late_words(self, words: str) -> None:
        await asyncio.sleep(_PART_S * 3.5)
        await self._heard_words(words)

    async def _heard_words(self, words: str) -> None:
        for number, word in enumerate(words.split(" ")):
            await self._content(inputTranscription={"text": word if number == 0 else f" {word}"})
        if self._faults.finishes:
            await self._content(inputTranscription={"finished": True})

    async def _call(self, tool: SimulatedTool) -> None:
        """Call a function, and wait for its results."""
        if tool.says:
            await self._say(tool.says)
        calls = []
        for _ in range(tool.count):
            self.model.calls += 1
            call_id = f"call-{self.model.calls}"
            self._calls.add(call_id)
            calls.append({"id": call_id, "name": tool.name, "args": dict(tool.arguments)})
        self._all_results.clear()
        await self.tell({"toolCall": {"functionCalls": calls}})
        await self._all_results.wait()

    async def _say_turn(self, text: str) -> None:
        """A whole turn: its audio, the end of the generation, and the end of the turn when it would have been played."""
        if len(self.model.spoken) < self._faults.mute:
            self.model.spoken.append("")
            self._runs = False
            return
        begun = self._now()
        await self._say(text)
        self.model.history.append(("model", text))
        if not self._faults.no_generation_complete:
            await self._content(generationComplete=True)
        plays_s = speech_ms(text) / 1000 if self._late_playback else 0.0
        await asyncio.sleep(max(0.0, begun + plays_s - self._now()))
        await self.tell({"serverContent": {"turnComplete": True}, "usageMetadata": self._usage(text)})
        self._runs = False
        if self._faults.last_transcript:
            await self._content(outputTranscription={"text": text})
        await self._new_handle()

    async def _say(self, text: str) -> None:
        faults, number = self._faults, len(self.model.spoken)
        audio = self.model.begin(text)
        if number < faults.cancels:
            asyncio.get_running_loop().call_later(faults.cancel_s, self._interrupt)
        if faults.silent:
            return
        thought = {"text": "The caller wants something.", "thought": True}
        await self._content(modelTurn={"role": "model", "parts": [thought]})
        parts = _cut(audio)
        words = [] if faults.last_transcript else text.split(" ")
        for count, part in enumerate(parts):
            if count == (len(parts) + 1) // 2:
                if faults.drop == number:
                    await self._drop()
                    return
                await asyncio.sleep(faults.stall_s)
            await self._part(part, repeated=count % 3 == 2)
            if words:
                word = words.pop(0)
                await self._content(outputTranscription={"text": word if count == 0 else f" {word}"})
            await asyncio.sleep(_PART_S)
        if words:
            await self._content(outputTranscription={"text": " " + " ".join(words)})
        if faults.finishes:
            await self._content(outputTranscription={"finished": True})

    async def _part(self, audio: bytes, *, repeated: bool) -> None:
        """A part of the audio; now and then in two parts of one message."""
        middle = len(audio) // 2 if repeated else len(audio)
        parts = [_inline(audio[:middle])]
        if repeated:
            parts.append(_inline(audio[middle:]))
        await self._content(modelTurn={"role": "model", "parts": parts})

    async def _drop(self) -> None:
        self.model.connection = None
        await self.drop(self._faults.drop_code, "Internal error encountered.")

    def _usage(self, text: str) -> Mapping[str, Any]:
        """The context is counted again in each turn."""
        heard, said = len(self.model.audio) * 32 // 32_000, len(text) * 60 * 25 // 1000
        known = sum(len(one) // 4 for _, one in self.model.history)
        return {
            "promptTokenCount": heard + known,
            "responseTokenCount": said,
            "totalTokenCount": heard + known + said,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": known},
                {"modality": "AUDIO", "tokenCount": heard},
            ],
            "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": said}],
        }


def _inline(audio: bytes) -> dict[str, Any]:
    data = base64.b64encode(audio).decode()
    return {"inlineData": {"mimeType": f"audio/pcm;rate={GIVES.rate}", "data": data}}


def _cut(audio: bytes) -> list[bytes]:
    parts: list[bytes] = []
    start = 0
    while start < len(audio):
        size = _PART_BYTES[len(parts) % len(_PART_BYTES)]
        parts.append(audio[start : start + size])
        start += size
    return parts
