"""A simulated call: what Twilio does with it, from the first webhook to the last status callback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import aiohttp

from patter_twilio.simulated_dial import SPEECH_S_PER_CHARACTER, SimulatedDial
from patter_twilio.simulated_playback import Played
from patter_twilio.simulated_stream import SimulatedStream, StreamFaults, StreamIds
from patter_twilio.simulated_terms import (
    CallbackFaults,
    CallDetails,
    Callee,
    CallPlan,
    Form,
    Line,
    SimulatedPrices,
    SimulatedRecording,
)

#: How long Twilio waits for the answer to a webhook, in seconds.
WEBHOOK_TIMEOUT_S = 15.0
TERMINAL = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})


class SimulatedCall:
    """One call. Times are those of the running loop; audio is headerless µ-law at 8 kHz."""

    def __init__(
        self,
        details: CallDetails,
        plan: CallPlan,
        line: Line,
        *,
        stream_faults: StreamFaults,
        callback_faults: CallbackFaults,
    ) -> None:
        self.details = details
        self.plan = plan
        self.status = "queued" if details.direction == "outbound-api" else "ringing"
        self.events: list[tuple[float, str]] = []
        self.errors: list[int] = []
        self.spoken: list[str] = []
        self.dials: list[SimulatedDial] = []
        self.recordings: list[SimulatedRecording] = []
        self.streams: list[SimulatedStream] = []
        self.answered_by: str | None = None
        self.answered_t: float | None = None
        self.ended_t: float | None = None
        self.prices = SimulatedPrices()
        self._line = line
        self._stream_faults = stream_faults
        self._callback_faults = callback_faults
        self._loop = asyncio.get_running_loop()
        self._redirected: asyncio.Future[str | None] = self._loop.create_future()
        self._started = asyncio.Event()
        self._ended = asyncio.Event()
        self._sequence = 0
        self._held: list[list[tuple[str, str]]] = []
        self._life: asyncio.Task[None] | None = None

    # -- for its user

    @property
    def sid(self) -> str:
        """Twilio's id of the call."""
        return self.details.sid

    @property
    def stream(self) -> SimulatedStream | None:
        """The latest media stream."""
        return self.streams[-1] if self.streams else None

    @property
    def dialled(self) -> list[str]:
        """The numbers that the caller was to be connected to."""
        return [number for dial in self.dials for number in dial.numbers]

    @property
    def heard(self) -> list[tuple[float, bytes]]:
        """What the caller heard until now: audio and the loop time at which it began to sound."""
        now = self._loop.time()
        return [(part.t, part.audio) for stream in self.streams for part in stream.playback.heard(now)]

    @property
    def said(self) -> list[tuple[float, bytes]]:
        """What the caller said, in the same form."""
        parts: list[Played] = [part for stream in self.streams for part in stream.said]
        return [(part.t, part.audio) for part in parts]

    @property
    def clears(self) -> list[float]:
        """When the server cleared the playout buffer."""
        return [t for stream in self.streams for t in stream.clears]

    @property
    def marks(self) -> list[tuple[float, str]]:
        """The marks the server set."""
        return [mark for stream in self.streams for mark in stream.marks]

    @property
    def warnings(self) -> list[int]:
        """Twilio's warnings about messages of the server: 31950, 31951."""
        return [code for stream in self.streams for code in stream.warnings]

    async def say(self, audio: bytes) -> None:
        """Speak on the current stream; returns when the last byte was sent, in real time."""
        if self.stream is not None:
            await self.stream.say(audio)

    def dtmf(self, digit: str) -> None:
        """Press a key."""
        if self.stream is not None and self.status == "in-progress":
            self.stream.dtmf(digit)

    def hangup(self) -> None:
        """The caller hangs up; harmless when the call is over."""
        self.redirect(None)

    async def drop_media(self) -> None:
        """Break the media connection off without `stop` or close."""
        if self.stream is not None:
            await self.stream.drop()

    async def wait_started(self) -> None:
        """Wait for the first media stream, or for the end of a call that has none."""
        await self._started.wait()

    async def wait_closed(self) -> None:
        """Wait for the end of the call and of its callbacks."""
        await self._ended.wait()
        if self._life is not None:
            await asyncio.wait({self._life})

    # -- for the simulator and its parts

    @property
    def transferee(self) -> Callee:
        """What happens at the other end of a transfer."""
        return self._line.transferee

    def new_sid(self, prefix: str) -> str:
        """A fresh SID."""
        return self._line.new_sid(prefix)

    def begin(self, life: Callable[[SimulatedCall], Awaitable[None]]) -> None:
        """Start the call's life in a task of its own."""

        async def live() -> None:
            try:
                await life(self)
            finally:
                self._ended.set()
                self._started.set()

        self._life = asyncio.create_task(live())

    async def abandon(self) -> None:
        """Stop simulating the call, whatever state it is in."""
        if self._life is not None:
            self._life.cancel()
            await asyncio.gather(self._life, return_exceptions=True)

    def record(self, channels: str, track: str) -> SimulatedRecording:
        """Record from now on."""
        recording = SimulatedRecording(self._line.new_sid("RE"), self._loop.time(), channels, track)
        self.recordings.append(recording)
        self.note("recording")
        return recording

    def redirect(self, document: str | None) -> None:
        """Give up the running document for another one, or (None) for the end."""
        if not self._redirected.done():
            self._redirected.set_result(document)

    async def ring(self, seconds: float) -> bool:
        """Let it ring; False if the call was ended meanwhile."""
        await self.report("ringing")
        await asyncio.wait({self._redirected}, timeout=seconds)
        return not self._redirected.done()

    async def answer(self) -> None:
        """Fetch the document and carry it out until the call is over."""
        outbound = self.details.direction == "outbound-api"
        if outbound:
            self._pick_up()
            await self.report("in-progress")
        document: str | None = self.plan.document or await self._fetch()
        found = document is not None
        while document is not None:
            document = await self._until_redirected(document)
        if self.status in TERMINAL:
            return
        if self.answered_t is not None:
            await self.end("completed")
        elif found:
            await self.end("canceled" if outbound else "no-answer")
        else:
            await self.end("failed")

    async def _until_redirected(self, document: str) -> str | None:
        """Carry a document out; the one that took its place meanwhile, or None at the end."""
        running = asyncio.create_task(self._carry_out(document))
        try:
            either: set[asyncio.Future[Any]] = {running, self._redirected}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not self._redirected.done():
                return await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        following = self._redirected.result()
        self._redirected = self._loop.create_future()
        return following

    async def end(self, status: str) -> None:
        """Take a final status and report it."""
        self.ended_t = self._loop.time()
        self.note(f"ended {status}")
        await self.report(status)
        await self._flush()

    async def report(self, status: str) -> None:
        """Take a status, and post it where the plan asks for that."""
        self.status = status
        event = {"in-progress": "answered"}.get(status, "completed" if status in TERMINAL else status)
        if not self.plan.status_callback or event not in self.plan.events | {"completed"}:
            return
        form = [
            *self.form(),
            ("CallbackSource", "call-progress-events"),
            ("SequenceNumber", str(self._sequence)),
            ("Timestamp", formatdate(self._line.wall(), usegmt=True)),
        ]
        if status in TERMINAL:
            form += [("CallDuration", str(self.duration_s)), ("Duration", str(-(-self.duration_s // 60)))]
            form += [
                ("SipResponseCode", {"busy": "486", "no-answer": "487", "failed": "404"}.get(status, "200"))
            ]
        self._sequence += 1
        self._held.append(form)
        if not self._callback_faults.reorder or len(self._held) == 2:
            await self._flush()

    @property
    def duration_s(self) -> int:
        """Seconds from answer to end, as Twilio counts them."""
        if self.answered_t is None:
            return 0
        return round((self._loop.time() if self.ended_t is None else self.ended_t) - self.answered_t)

    @property
    def price(self) -> str | None:
        """What the call costs, as Twilio writes it: negative, and None until some time after the end."""
        now = self._loop.time()
        if self.ended_t is None or now < self.ended_t + self.prices.known_after_s:
            return None
        rate = self.prices.outbound if self.details.direction == "outbound-api" else self.prices.inbound
        return f"-{-(-self.duration_s // 60) * rate:.5f}"

    def form(self) -> list[tuple[str, str]]:
        """The fields that every webhook of a call has."""
        return [
            ("CallSid", self.sid),
            ("AccountSid", self.details.account_sid),
            ("From", self.details.caller),
            ("To", self.details.callee),
            ("Caller", self.details.caller),
            ("Called", self.details.callee),
            ("CallStatus", self.status),
            ("Direction", self.details.direction),
            ("ApiVersion", "2010-04-01"),
            *self.details.fields.items(),
        ]

    async def detect_machine(self, answered_by: str, delay_s: float) -> None:
        """Post the result of machine detection, perhaps after the call is over."""
        await asyncio.sleep(delay_s)
        self.answered_by = answered_by
        form = [
            ("CallSid", self.sid),
            ("AccountSid", self.details.account_sid),
            ("AnsweredBy", answered_by),
            ("MachineDetectionDuration", str(round(delay_s * 1000))),
        ]
        await self.post(self.plan.amd_callback, form)

    # -- inside

    def note(self, event: str) -> None:
        """Keep that something happened."""
        self.events.append((self._loop.time(), event))

    def _pick_up(self) -> None:
        if self.answered_t is None:
            self.answered_t = self._loop.time()
            self.status = "in-progress"
            self.note("answered")

    async def _flush(self) -> None:
        held, self._held = self._held[::-1], []
        for form in held:
            for _ in range(2 if self._callback_faults.duplicate else 1):
                await self.post(self.plan.status_callback, form)

    async def post(self, url: str, form: Form) -> str | None:
        """Post to a webhook; None, and an error noted, unless it answers with 2xx in time."""
        try:
            async with asyncio.timeout(WEBHOOK_TIMEOUT_S):
                status, body = await self._line.post(url, form)
        except (TimeoutError, aiohttp.ClientError):
            status, body = 0, ""
        self.note(f"posted {urlsplit(url).path} {status}")
        if 200 <= status < 300:
            return body
        self.errors.append(11200)
        return None

    async def _fetch(self) -> str | None:
        for url in (self.plan.url, self.plan.fallback_url):
            if url:
                document = await self.post(url, self.form())
                if document is not None:
                    return document
        return None

    async def _carry_out(self, document: str) -> str | None:
        """Carry out a document; the one that it says to go on with, or None."""
        try:
            verbs = list(ElementTree.fromstring(document))
        except ElementTree.ParseError:
            self.errors.append(12100)
            return None
        for verb in verbs:
            if verb.tag == "Reject" and self.answered_t is None:
                await self.end("busy" if verb.get("reason") == "busy" else "no-answer")
                return None
            self._pick_up()
            if verb.tag == "Hangup":
                return None
            if verb.tag == "Say":
                self.spoken.append(verb.text or "")
                await asyncio.sleep(len(verb.text or "") * SPEECH_S_PER_CHARACTER)
            elif verb.tag == "Pause":
                await asyncio.sleep(float(verb.get("length", "1")))
            elif verb.tag == "Dial":
                dial = SimulatedDial(self, verb)
                self.dials.append(dial)
                self.note("transferred")
                following = await dial.run()
                if following is not None:
                    return following
            elif verb.tag == "Connect" and len(verb) == 1 and verb[0].tag == "Stream":
                await self._connect(verb[0])
            else:
                self.errors.append(12200)
        return None

    async def _connect(self, element: ElementTree.Element) -> None:
        url = element.get("url", "")
        parts = urlsplit(url)
        if parts.query or parts.scheme not in ("wss", "ws"):
            self.errors.append(31920 if parts.query else 31923)
            return
        parameters = {
            parameter.get("name", ""): parameter.get("value", "") for parameter in element.iter("Parameter")
        }
        try:
            socket = await self._line.connect(url)
        except aiohttp.WSServerHandshakeError:
            self.errors.append(31920)
            return
        except (aiohttp.ClientError, OSError, TimeoutError):
            self.errors.append(31901)
            return
        ids = StreamIds(self.details.account_sid, self.sid, self._line.new_sid("MZ"), parameters)
        stream = SimulatedStream(socket, ids, self._stream_faults)
        self.streams.append(stream)
        self.note("stream started")
        self._started.set()
        try:
            await stream.run()
        finally:
            self.note("stream ended")
        if stream.closed_by_server:
            self.errors.append(31921)
