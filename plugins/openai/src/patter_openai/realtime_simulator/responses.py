"""How the simulated engine makes one response: its events, in the vendor's order and faster than they are heard."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any, Literal

from patter.simulators.tones import speech_ms, tone
from patter_openai.realtime_simulator.conversation import Item, Usage, spoken_usage
from patter_openai.realtime_simulator.model import FunctionCall, Spoken

if TYPE_CHECKING:
    from patter_openai.realtime_simulator.session import SimulatedSession

Status = Literal["completed", "cancelled", "failed", "incomplete"]
#: what may go wrong with one response
Fate = Literal["well", "cancelled", "silent", "failing", "incomplete"]


class SimulatedResponse:
    """One response. `created` is when `response.created` was sent; before that it cannot be cancelled."""

    def __init__(self, session: SimulatedSession, request: dict[str, Any], fate: Fate) -> None:
        self.id = session.new_id("resp")
        self.conversation: str = request.get("conversation") or "auto"
        self.created = False
        self.over = False
        self.audio_ms = 0.0
        self._session = session
        self._request = request
        self._fate = fate
        self._stop = asyncio.Event()
        self._reason = ""
        self._output: list[Item] = []

    def cancel(self, reason: str) -> None:
        """Stop making it."""
        self._reason = self._reason or reason
        self._stop.set()

    @property
    def is_default(self) -> bool:
        """Whether it writes to the conversation."""
        return self.conversation == "auto"

    # -- making it

    async def run(self) -> None:
        """Make it to its end, or until it is cancelled."""
        session = self._session
        await asyncio.sleep(session.response_delay_s)
        self.created = True
        session.emit("response.created", response=self._described("in_progress"))
        if self._fate == "failing":
            self._finish("failed")
            return
        spoken = Spoken() if self._fate == "silent" else session.reply(self._request)
        if spoken.text:
            await self._speak(spoken.text)
        status: Status = "cancelled" if self._stop.is_set() else "completed"
        if self._fate == "incomplete":
            status = "incomplete"
        elif status == "completed":
            for call in spoken.calls:
                self._call(call)
            await asyncio.sleep(spoken.lingers_s)
        self._finish(status)

    async def _speak(self, text: str) -> None:
        session = self._session
        item = Item(
            {
                "id": session.new_id("item"),
                "object": "realtime.item",
                "type": "message",
                "role": "assistant",
                "status": "in_progress",
                "content": [],
            }
        )
        self._begin(item)
        place = {"response_id": self.id, "item_id": item.id, "output_index": 0, "content_index": 0}
        session.emit("response.content_part.added", **place, part={"type": "audio", "transcript": ""})
        said = await self._deltas(item, place, text)
        session.emit("response.output_audio.done", **place)
        session.emit("response.output_audio_transcript.done", **place, transcript=said)
        session.emit("response.content_part.done", **place, part={"type": "audio", "transcript": said})
        item.data["content"] = [{"type": "output_audio", "transcript": said}]
        self._end(item, "completed" if said == text else "incomplete")

    async def _deltas(self, item: Item, place: dict[str, Any], text: str) -> str:
        """Audio and transcript in pieces; returns the words that were made."""
        session = self._session
        number, audio_format = session.voice(text), session.settings.spoken
        audio = tone(number, speech_ms(text), audio_format)
        size = audio_format.bytes_for_ms(session.delta_ms)
        written = 0
        late = session.faults.late_deltas
        for start in range(0, len(audio), size):
            if self._stop.is_set():
                if late <= 0:
                    return text[:written]
                late -= 1
            piece = audio[start : start + size]
            until = len(text) * min(start + size, len(audio)) // len(audio)
            if not self._stop.is_set():
                session.emit("response.output_audio_transcript.delta", **place, delta=text[written:until])
                written = until
                item.audio_ms += audio_format.duration_ms(len(piece))
                self.audio_ms = item.audio_ms
            session.emit("response.output_audio.delta", **place, delta=base64.b64encode(piece).decode())
            session.settings.voice_locked = True
            session.sounded(self)
            await self._pace(audio_format.duration_ms(len(piece)) / 1000)
            if self._cut_short(item):
                break
        return text[:written]

    async def _pace(self, duration_s: float) -> None:
        """Audio is made faster than it is heard."""
        if self._stop.is_set():
            return
        try:
            async with asyncio.timeout(duration_s / self._session.speed):
                await self._stop.wait()
        except TimeoutError:
            return

    def _cut_short(self, item: Item) -> bool:
        faults = self._session.faults
        if self._fate == "incomplete" and item.audio_ms >= faults.cancel_after_ms:
            return True
        if self._fate == "cancelled" and item.audio_ms >= faults.cancel_after_ms and not self._stop.is_set():
            self.cancel("turn_detected")
        return False

    def _call(self, call: FunctionCall) -> None:
        session = self._session
        data = {
            "id": session.new_id("item"),
            "object": "realtime.item",
            "type": "function_call",
            "status": "in_progress",
            "name": call.name,
            "call_id": session.new_id("call"),
            "arguments": "",
        }
        item = Item(data)
        self._begin(item)
        place = {
            "response_id": self.id,
            "item_id": item.id,
            "output_index": len(self._output) - 1,
            "call_id": data["call_id"],
        }
        middle = len(call.arguments) // 2
        for piece in (call.arguments[:middle], call.arguments[middle:]):
            session.emit("response.function_call_arguments.delta", **place, delta=piece)
        data["arguments"] = call.arguments
        session.emit(
            "response.function_call_arguments.done", **place, name=call.name, arguments=call.arguments
        )
        self._end(item, "completed")

    # -- its items and its end

    def _begin(self, item: Item) -> None:
        self._output.append(item)
        index = len(self._output) - 1
        self._session.emit(
            "response.output_item.added", response_id=self.id, output_index=index, item=item.data
        )
        if self.is_default:
            self._session.added(item)

    def _end(self, item: Item, status: str) -> None:
        item.data["status"] = status
        session = self._session
        if self.is_default:
            session.emit("conversation.item.done", item=item.data)
        index = self._output.index(item)
        session.emit("response.output_item.done", response_id=self.id, output_index=index, item=item.data)

    def _finish(self, status: Status) -> None:
        session = self._session
        self.over = True
        names = session.faults.cancel_events if status == "cancelled" else ("response.done",)
        for name in names:
            if name == "response.done":
                session.emit(name, response=self._described(status))
            else:
                session.emit(name, response_id=self.id)
        session.finished(self)

    def _described(self, status: str) -> dict[str, Any]:
        session = self._session
        details: dict[str, Any] | None = None
        if status == "cancelled":
            details = {"type": "cancelled", "reason": self._reason}
        elif status == "incomplete":
            details = {"type": "incomplete", "reason": "max_output_tokens"}
        elif status == "failed":
            code = session.faults.failure
            details = {"type": "failed", "error": {"type": "server_error", "code": code}}
        done = status != "in_progress"
        return {
            "id": self.id,
            "object": "realtime.response",
            "status": status,
            "status_details": details,
            "output": [item.data for item in self._output],
            "conversation_id": "conv_1" if self.is_default else None,
            "metadata": self._request.get("metadata"),
            "usage": session.bill(self._request, self._spoken(), self._output) if done else None,
        }

    def _spoken(self) -> Usage:
        text = " ".join(item.text for item in self._output)
        return spoken_usage(text, self.audio_ms)
