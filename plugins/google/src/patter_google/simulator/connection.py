"""One connection of the simulated vendor: what comes in, and what it is worth."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aiohttp import WSMsgType, web

from patter.audio.formats import AudioFormat
from patter.simulators.hosted import TURN_END_S
from patter.simulators.tones import SPEECH_MS, Ear
from patter_google.simulator.checks import BadMessage, camel_case, member_of
from patter_google.simulator.model import SimulatedModel
from patter_google.simulator.speech import SimulatedSpeech
from patter_google.simulator.terms import Faults
from patter_google.simulator.voice import BadAudio, samples_of

if TYPE_CHECKING:
    from patter_google.simulator.server import Simulator

_QUOTES: Final = '"'


class SimulatedConnection(SimulatedSpeech):
    """What a client asked for and sent, and what it was sent.

    Attributes:
        headers: of the upgrade.
        query: of its address.
        setup: the settings; None until they came.
        received: the client's messages but for audio, in order, with their fields as on the wire.
        raw_setup: the text of the settings.
        model: the session.
        close_code: how it ended; None while it runs, 1006 without a close.
    """

    def __init__(
        self,
        simulator: Simulator,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        faults: Faults,
    ) -> None:
        now = asyncio.get_running_loop().time()
        super().__init__(socket, transport, faults, SimulatedModel(simulator.turns, now, simulator.voice))
        self.headers: Mapping[str, str] = {}
        self.query: Mapping[str, str] = {}
        self.setup: dict[str, Any] | None = None
        self.raw_setup = ""
        self.received: list[dict[str, Any]] = []
        self._simulator = simulator
        self._terms = simulator.terms
        self._late_playback = simulator.terms.late_playback
        self._ear = Ear()
        self._talked = False
        self._activity = False
        self._heard_any = False

    async def run(self) -> None:
        """Until either end closes it."""
        try:
            async for message in self.socket:
                if message.type is WSMsgType.PING:
                    self._task(self._pong(message.data))
                elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    await self._read(message.data)
                if self.close_code is not None:
                    break
        finally:
            self._ended()
            if self.model.connection is self:
                self.model.connection = None

    async def _pong(self, data: bytes) -> None:
        await asyncio.sleep(self._faults.pong_s)
        await self.socket.pong(data)

    async def _read(self, raw: str | bytes) -> None:
        try:
            message = camel_case(json.loads(raw))
            member = member_of(message)
            if "audio" not in message[member]:
                self.received.append(message)
            if member == "setup":
                self.raw_setup = raw if isinstance(raw, str) else raw.decode()
            await self._take(member, message[member])
        except (BadMessage, BadAudio) as refused:
            await self.close(1007, str(refused))
        except ValueError:
            await self.close(1007, "Invalid JSON payload received.")

    async def _take(self, member: str, body: dict[str, Any]) -> None:
        if (self.setup is None) != (member == "setup"):
            raise BadMessage(
                "setup must be the first message" if self.setup is None else "setup was sent already"
            )
        if member == "setup":
            await self._set_up(body)
        elif not self.acknowledged:
            raise BadMessage("nothing may be sent before setupComplete")
        elif member == "clientContent":
            self._client_content(body)
        elif member == "realtimeInput":
            self._realtime_input(body)
        elif member == "toolResponse":
            await self._tool_response(body)

    # -- the session

    async def _set_up(self, setup: dict[str, Any]) -> None:
        self.setup = setup
        faults = self._faults
        if not setup.get("model", "").startswith("models/"):
            await self.close(1008, f"{setup.get('model')} is not found")
            return
        if faults.refusal is not None:
            await self.close(*faults.refusal)
            return
        resumption = setup.get("sessionResumption")
        if (
            resumption is not None
            and "handle" in resumption
            and not await self._resumed(resumption["handle"])
        ):
            return
        self.model.connection = self
        self._task(self._acknowledge(gives_handles=resumption is not None))

    async def _resumed(self, handle: Any) -> bool:
        model = self._simulator.handles.get(handle)
        if model is None:
            await self.close(1008, "Session not found")
            return False
        if model.connection is not None:
            await self.close(1011, "Internal error encountered: the session is in use")
            return False
        self.model = model
        self._talked = True
        return True

    async def _acknowledge(self, *, gives_handles: bool) -> None:
        await asyncio.sleep(self._faults.ack_s)
        if self._faults.no_ack:
            return
        self.acknowledged = True
        await self.tell({"setupComplete": {"sessionId": f"session-{id(self.model) % 1000}"}})
        self._gives_handles = gives_handles and not self._faults.not_resumable
        await self._new_handle()
        self._task(self._leave_in_time())
        if self._faults.drop_s is not None:
            self._task(self._lose(self._faults.drop_s))
        assert self.setup is not None
        if "contextWindowCompression" not in self.setup:
            self._task(self._limit())

    async def _new_handle(self) -> None:
        if not self._gives_handles:
            return
        model = self.model
        for handle in [one for one, known in self._simulator.handles.items() if known is model]:
            del self._simulator.handles[handle]
        model.handles += 1
        handle = f"handle-{len(self._simulator.connections)}-{model.handles}"
        self._simulator.handles[handle] = model
        await self.tell({"sessionResumptionUpdate": {"newHandle": handle, "resumable": True}})

    async def _leave_in_time(self) -> None:
        terms = self._terms
        await asyncio.sleep(terms.connection_s - terms.notice_s)
        await self.tell({"goAway": {"timeLeft": f"{terms.notice_s:g}s"}})
        await asyncio.sleep(terms.notice_s)
        await self.close(1008, "The operation was aborted.")

    async def _lose(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._drop()

    async def _limit(self) -> None:
        await asyncio.sleep(self.model.began + self._terms.session_s - self._now())
        await self.close(1008, "The session is too long.")

    @property
    def _detection(self) -> Mapping[str, Any]:
        assert self.setup is not None
        found: Mapping[str, Any] = self.setup.get("realtimeInputConfig", {}).get(
            "automaticActivityDetection", {}
        )
        return found

    @property
    def _interrupts(self) -> bool:
        assert self.setup is not None
        handling = self.setup.get("realtimeInputConfig", {}).get("activityHandling")
        return handling != "NO_INTERRUPTION" or self._faults.deaf_to_no_interruption

    # -- from the client

    def _client_content(self, body: dict[str, Any]) -> None:
        assert self.setup is not None
        seeds = self.setup.get("historyConfig", {}).get("initialHistoryInClientContent", False)
        if not self._terms.content_in_calls and (self._talked or not seeds):
            raise BadMessage("Request contains an invalid argument.")
        if self._terms.content_in_calls:
            self._interrupt()
        last = ""
        for turn in body.get("turns", []):
            last = "".join(part.get("text", "") for part in turn.get("parts", []))
            self.model.history.append((turn.get("role", "user"), last))
        if seeds and body.get("turnComplete"):
            self._talked = True
        elif body.get("turnComplete"):
            self._talked = True
            self._asked(last)

    def _realtime_input(self, body: dict[str, Any]) -> None:
        disabled = self._detection.get("disabled", False)
        if ("activityStart" in body or "activityEnd" in body) and not disabled:
            raise BadMessage(
                "Explicit activity control is not supported when automatic detection is enabled."
            )
        if "audioStreamEnd" in body and disabled:
            raise BadMessage("audioStreamEnd is not supported when automatic detection is disabled.")
        self._talked = True
        if "text" in body:
            self.model.history.append(("user", str(body["text"])))
            self._interrupt()
            self._asked(str(body["text"]))
        elif "activityStart" in body:
            self._activity, self._heard_any = True, False
            if self._interrupts:
                self._interrupt()
        elif "activityEnd" in body:
            self._activity = False
            self._speaking(self._reply(self.model.next_turn(), told=self._heard_any))
        elif "audio" in body:
            pcm, audio_format = samples_of(body["audio"])
            if self._activity or not disabled:
                self._hear(pcm, audio_format)

    def _asked(self, text: str) -> None:
        """A model that does as it is told: text in quotation marks is said as it stands."""
        _, found, rest = text.partition(_QUOTES)
        quoted = rest.rpartition(_QUOTES)[0]
        if found and quoted:
            self._speaking(self._say_turn(quoted))
        else:
            self._speaking(self._reply(self.model.next_turn(), told=False))

    def _hear(self, pcm: bytes, audio_format: AudioFormat) -> None:
        self.model.audio += pcm
        if not self._ear.hear(pcm, audio_format) or self._ear.loud_ms < SPEECH_MS:
            return
        if self._activity:
            if not self._heard_any:
                self._heard_any = True
                self._task(self._heard_words(self.model.next_words()))
            return
        if self.is_speaking:
            if not self._interrupts:
                return
            self._interrupt()
        self._turn_ends_in(self._detection.get("silenceDurationMs", TURN_END_S * 1000) / 1000)

    def _turn_ended(self) -> None:
        super()._turn_ended()
        if not self.is_speaking:
            self._speaking(self._reply(self.model.next_turn(), told=False))

    async def _tool_response(self, body: dict[str, Any]) -> None:
        for answer in body.get("functionResponses", []):
            call_id = answer.get("id")
            if call_id not in self._calls:
                await self.close(1008, f"No function call has the id {call_id}.")
                return
            self.model.results[call_id] = answer.get("response")
            self._calls.discard(call_id)
        if not self._calls:
            self._all_results.set()
