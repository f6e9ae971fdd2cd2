"""One connection to the simulated engine: it reads the client's messages and answers as the vendor does."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from patter_openai.realtime_simulator.conversation import Conversation, Item, Usage
from patter_openai.realtime_simulator.faults import RealtimeFaults
from patter_openai.realtime_simulator.hearing import Edge, InputBuffer
from patter_openai.realtime_simulator.model import Asked, Spoken, quoted
from patter_openai.realtime_simulator.responses import Fate, SimulatedResponse
from patter_openai.realtime_simulator.settings import (
    RESPONSE_KEYS,
    SESSION_KEYS,
    Refusal,
    SessionSettings,
    unknown_key,
)
from patter_openai.realtime_simulator.wire import Ending, SimulatedWire

if TYPE_CHECKING:
    from patter_openai.realtime_simulator.server import RealtimeSimulator

#: a session lasts an hour
LIFE_S: Final = 3600
#: one piece of appended audio, in bytes of base64
LONGEST_AUDIO: Final = 15 * 1024 * 1024
_KEYS: Final[dict[str, dict[str, Any]]] = {
    "session.update": {"session": SESSION_KEYS},
    "input_audio_buffer.append": {"audio": None},
    "input_audio_buffer.commit": {},
    "input_audio_buffer.clear": {},
    "conversation.item.create": {"item": None, "previous_item_id": None},
    "conversation.item.retrieve": {"item_id": None},
    "conversation.item.delete": {"item_id": None},
    "conversation.item.truncate": {"item_id": None, "content_index": None, "audio_end_ms": None},
    "response.create": {"response": RESPONSE_KEYS},
    "response.cancel": {"response_id": None},
}


class SimulatedSession(SimulatedWire):
    """One session.

    Attributes:
        headers: of the upgrade request.
        query: of its address.
        heard: the audio that was appended.
        appends: when each piece of it came.
        heard_before: for each message in `received`, how many bytes of audio had come before it.
    """

    def __init__(self, simulator: RealtimeSimulator, number: int, model: str) -> None:
        super().__init__(number)
        self.headers: dict[str, str] = {}
        self.query: dict[str, str] = {}
        self.heard = bytearray()
        self.appends: list[float] = []
        self.heard_before: list[int] = []
        self.faults: RealtimeFaults = simulator.faults
        self.settings = SessionSettings(model, self.faults.audio)
        self.conversation = Conversation()
        self.response_delay_s = simulator.response_delay_s
        self.delta_ms = simulator.delta_ms
        self.speed = simulator.speed
        self._simulator = simulator
        self._buffer = InputBuffer()
        self._speech_item = ""
        self._updates = 0
        self._held: list[Callable[[], None]] = []
        self._responses: list[SimulatedResponse] = []
        self._idle: asyncio.TimerHandle | None = None

    # -- its life

    def begin(self) -> None:
        """The session is there, and says so unasked."""
        if self.faults.stall == "opening":
            self._mute = True
        if self.faults.opening_error:
            self.error(self.faults.opening_error, "the session was refused")
            self.end(Ending(1008))
            return
        self.emit("session.created", session=self._described())
        if self.faults.expire_after_s is not None:
            self.later(self.faults.expire_after_s, self._expire)

    def _expire(self) -> None:
        self.error("session_expired", "Your session hit the maximum duration of 60 minutes.")
        self.end(Ending(1001, "maximum duration of 60 minutes"))

    def _described(self) -> dict[str, Any]:
        return {
            **self.settings.values,
            "id": f"sess_{self.number}",
            "object": "realtime.session",
            "expires_at": int(self._simulator.wall()) + LIFE_S,
        }

    # -- receiving

    def take(self, text: str) -> None:
        """Handle one message of the client."""
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            self.error("invalid_json", "the message is not JSON")
            return
        if not isinstance(message, dict):
            self.error("invalid_type", "the message is no object")
            return
        event_id = message.get("event_id")
        kind = str(message.get("type"))
        known = _KEYS.get(kind)
        if kind != "input_audio_buffer.append":
            self.received.append((self._loop.time(), message))
            self.heard_before.append(len(self.heard))
        try:
            if known is None:
                raise Refusal("invalid_value", f"no such event: {kind[:100]}", "type")
            self._check_keys(message, known)
            getattr(self, f"_take_{kind.replace('.', '_')}")(message)
        except Refusal as refusal:
            self.error(refusal.code, str(refusal), refusal.param, event_id)

    def _check_keys(self, message: dict[str, Any], known: dict[str, Any]) -> None:
        for key in message:
            if key not in known and key not in ("type", "event_id"):
                raise Refusal("unknown_parameter", f"Unknown parameter: '{key}'", key)

    def take_binary(self) -> None:
        """There are no binary messages."""
        self.error("invalid_type", "binary messages are not supported")

    # -- settings

    def _take_session_update(self, message: dict[str, Any]) -> None:
        self._updates += 1
        faulty = self._updates == self.faults.faulty_update
        if faulty and self.faults.update == "refused":
            raise Refusal("invalid_value", "the update is refused", "session.audio.input.turn_detection")
        if faulty and self.faults.acknowledgement == "reordered":
            self._held.append(lambda: self._update(message, faulty=True))
        else:
            self._update(message, faulty=faulty)

    def _update(self, message: dict[str, Any], *, faulty: bool) -> None:
        faults = self.faults
        if not (faulty and faults.update == "ignored"):
            self.settings.update(message.get("session"))
            if self.settings.detection is None:
                self._buffer.speaking = False
        if faulty and faults.acknowledgement == "never":
            return
        described = copy.deepcopy(self._described())
        if faulty and faults.acknowledgement == "late":
            delay_s = faults.acknowledgement_delay_s
            self.later(delay_s, lambda: self.emit("session.updated", session=described))
        else:
            self.emit("session.updated", session=described)

    # -- what the caller says

    def _take_input_audio_buffer_append(self, message: dict[str, Any]) -> None:
        encoded = message.get("audio")
        if not isinstance(encoded, str) or len(encoded) > LONGEST_AUDIO:
            raise Refusal("invalid_value", "the audio is no base64, or too long", "audio")
        try:
            audio = base64.b64decode(encoded, validate=True)
        except ValueError:
            raise Refusal("invalid_value", "the audio is no base64", "audio") from None
        self.heard += audio
        self.appends.append(self._loop.time())
        for edge in self._buffer.append(audio, self.settings.heard, self.settings.detection):
            self._edge(edge)

    def _edge(self, edge: Edge) -> None:
        if edge.kind == "started":
            self._stop_idling()
            self._speech_item = self.new_id("item")
            self.emit(
                "input_audio_buffer.speech_started", audio_start_ms=edge.at_ms, item_id=self._speech_item
            )
            if (self.settings.detection or {}).get("interrupt_response"):
                for response in self._active():
                    response.cancel("turn_detected")
            return
        self.emit("input_audio_buffer.speech_stopped", audio_end_ms=edge.at_ms, item_id=self._speech_item)
        self._commit(self._speech_item)
        if (self.settings.detection or {}).get("create_response") and not self._active():
            self._respond({})

    def _take_input_audio_buffer_commit(self, message: dict[str, Any]) -> None:
        if self._buffer.buffered_ms < 100:
            code = "input_audio_buffer_commit_empty"
            raise Refusal(code, f"the buffer holds {self._buffer.buffered_ms:.2f}ms of audio")
        self._commit(self.new_id("item"))

    def _take_input_audio_buffer_clear(self, message: dict[str, Any]) -> None:
        self._buffer.clear()
        self.emit("input_audio_buffer.cleared")

    def _commit(self, item_id: str) -> None:
        audio_ms = self._buffer.buffered_ms
        pitches = self._buffer.take()
        content = [{"type": "input_audio", "transcript": None}]
        data = {"id": item_id, "object": "realtime.item", "type": "message", "role": "user"}
        item = Item({**data, "status": "completed", "content": content}, audio_ms)
        before = self.conversation.items[-1].id if self.conversation.items else None
        self.emit("input_audio_buffer.committed", item_id=item_id, previous_item_id=before)
        self.added(item)
        self.emit("conversation.item.done", previous_item_id=before, item=item.data)
        words = self._simulator.understand(pitches)
        item.words = words  # the model hears; it needs no transcript
        if self.settings.transcribes:
            least, most = self.faults.transcription_delay_s
            delay_s = self._simulator.random.uniform(least, most)
            self.later(delay_s, lambda: self._transcribed(item_id, words, audio_ms))

    def _transcribed(self, item_id: str, words: str, audio_ms: float) -> None:
        kind = "conversation.item.input_audio_transcription"
        place = {"item_id": item_id, "content_index": 0}
        if self.faults.transcription_failed:
            error = {"type": "server_error", "code": "transcription_failed", "message": "", "param": None}
            self.emit(f"{kind}.failed", **place, error=error)
            return
        middle = len(words) // 2
        for piece in (words[:middle], words[middle:]):
            self.emit(f"{kind}.delta", **place, delta=piece)
        usage = {"type": "duration", "seconds": audio_ms / 1000}
        self.emit(f"{kind}.completed", **place, transcript=words, usage=usage)

    # -- the conversation

    def added(self, item: Item) -> None:
        """An item is in the conversation now."""
        before = self.conversation.add(item)
        self.emit("conversation.item.added", previous_item_id=before, item=item.data)

    def _take_conversation_item_create(self, message: dict[str, Any]) -> None:
        item = self.conversation.checked(message.get("item"), self.new_id("item"))
        before = self.conversation.add(item, message.get("previous_item_id"))
        for kind in ("added", "done"):
            self.emit(f"conversation.item.{kind}", previous_item_id=before, item=item.data)

    def _take_conversation_item_retrieve(self, message: dict[str, Any]) -> None:
        item = self.conversation.find(message.get("item_id"))
        self.emit("conversation.item.retrieved", item=item.data)

    def _take_conversation_item_delete(self, message: dict[str, Any]) -> None:
        self.conversation.delete(message.get("item_id"))
        self.emit("conversation.item.deleted", item_id=message["item_id"])

    def _take_conversation_item_truncate(self, message: dict[str, Any]) -> None:
        place = {key: message.get(key) for key in ("item_id", "content_index", "audio_end_ms")}
        self.conversation.truncate(*place.values())
        self.emit("conversation.item.truncated", **place)

    # -- responses

    def _active(self) -> list[SimulatedResponse]:
        """Those under way that write to the conversation."""
        return [one for one in self._responses if one.is_default and not one.over]

    def _take_response_create(self, message: dict[str, Any]) -> None:
        request = message.get("response") or {}
        unknown = unknown_key(request, RESPONSE_KEYS, "response")
        if unknown is not None:
            raise Refusal("unknown_parameter", f"Unknown parameter: '{unknown}'", unknown)
        if request.get("conversation", "auto") == "auto" and self._active():
            code = "conversation_already_has_active_response"
            raise Refusal(code, "Conversation already has an active response")
        if self._drops("before"):
            self._drop()
        else:
            self._respond(request)

    def _take_response_cancel(self, message: dict[str, Any]) -> None:
        asked = message.get("response_id")
        found = [one for one in self._responses if one.created and not one.over]
        found = [one for one in found if (one.id == asked if asked else one.is_default)]
        if not found:
            raise Refusal("response_cancel_not_active", "Cancellation failed: no active response found")
        for response in found:
            response.cancel("client_cancelled")

    def _respond(self, request: dict[str, Any]) -> None:
        self._stop_idling()
        fate: Fate = self._simulator.next_fate()
        response = SimulatedResponse(self, request, fate)
        self._responses.append(response)
        task = self._loop.create_task(response.run(), name=f"simulated {response.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def reply(self, request: dict[str, Any]) -> Spoken:
        """What the model says."""
        own = request.get("instructions")
        exact_text = quoted(own)
        values = self.settings.values
        heard = [
            (str(item.data.get("role") or item.data["type"]), item.text) for item in self.conversation.items
        ]
        tools = request.get("tools", values["tools"]) or []
        if request.get("tool_choice", values["tool_choice"]) == "none":
            tools = []
        asked = Asked(
            own or values["instructions"], exact_text, tuple(heard), tuple(one["name"] for one in tools)
        )
        reply = exact_text or self._simulator.model(asked)
        spoken = Spoken(reply) if isinstance(reply, str) else reply
        return spoken if asked.tools else Spoken(spoken.text)

    def voice(self, text: str) -> int:
        """The number whose pitch a text is spoken at."""
        return self._simulator.voice(text)

    def bill(self, request: dict[str, Any], spoken: Usage, own: Sequence[Item]) -> dict[str, Any]:
        """What a response costs; `own` are its own items, which come after what it was made from."""
        instructions = request.get("instructions") or self.settings.values["instructions"]
        return self.conversation.usage(instructions, spoken, own)

    def sounded(self, response: SimulatedResponse) -> None:
        """A piece of its audio was sent."""
        self._release_held()
        if response.audio_ms >= self.faults.drop_after_ms and self._drops("during"):
            self._drop()
        if self.faults.stall == "response":
            self._mute = True

    def finished(self, response: SimulatedResponse) -> None:
        """A response is over."""
        limits = [{"name": "requests", "limit": 5000, "remaining": 4999, "reset_seconds": 0.012}]
        self.emit("rate_limits.updated", rate_limits=limits)
        self._release_held()
        if self._drops("after"):
            self._drop()
        idle_ms = (self.settings.detection or {}).get("idle_timeout_ms")
        if idle_ms and response.is_default:
            self._idle = self.later((response.audio_ms + idle_ms) / 1000, self._timed_out)

    def _release_held(self) -> None:
        held, self._held = self._held, []
        for action in held:
            action()

    def _timed_out(self) -> None:
        item_id, end_ms = self.new_id("item"), int(self._buffer.total_ms)
        self.emit(
            "input_audio_buffer.timeout_triggered", audio_start_ms=0, audio_end_ms=end_ms, item_id=item_id
        )
        self._commit(item_id)
        self._respond({})

    def _stop_idling(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._timers.discard(self._idle)
            self._idle = None

    def _drops(self, where: str) -> bool:
        return self.faults.drop == where and self.number <= self.faults.drops and not self._mute

    def _drop(self) -> None:
        self.end(Ending(self.faults.close_code))
