"""One whole call in virtual time: a caller that hears and speaks, on a carrier in memory, with the real engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from patter.markers import hookimpl
from patter.providers.carrier import CallOffer, Connect, Refuse
from patter.testing.fake_carrier import Dialled, FakeCarrier
from patter.testing.leftovers import left_over
from patter.testing.scene import Scene, ScriptedReply
from patter.testing.simulated_caller import FRAME_S, Ear, Mouth, Spoken
from patter.testing.simulated_line import SimulatedLine

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.call.call import Call
    from patter.call.types import CallFailure, CallSummary, TranscriptEntry
    from patter.client import Patter

#: how long a step of a test waits for what it expects, in virtual s
LIMIT_S = 30.0
#: an ended call has let go of everything within this (LC-03), in s
TEARDOWN_S = 2.0
#: the carrier whose callers these are
CARRIER = "fake"


class SimulatedCall:
    """A call to (or from) a phone whose carrier is the fake one; an asynchronous context manager.

    Entering it rings and connects; leaving it hangs up if nobody has, waits for the end and checks that nothing is
    left over. What the caller hears is read from the audio that the engine sent, not from what the engine says about
    itself.

    Args:
        phone: a phone with ``carrier="fake"`` that is serving.
        agent: who answers; the phone's own decision when None.
        replies: what the fake model answers, in order; see `patter.testing.Reply`.
        caller: the caller's number.
        callee: the number that was called; the phone's own when None.
        parameters: what the carrier says about the call.
        dialled: the call that the phone placed and that is now answered, in place of an incoming one.
        limit_s: how long each step waits for what it expects, in s of the loop's clock.
        echo_s: how late the carrier echoes marks, in s.
        ring_s: how long it rings before the media is up, in s.

    Attributes:
        scene: what the fakes do in this call; prepare it before entering.
        call: the `patter.Call`; None before it rings.
        refusal: the carrier's orders when the call was refused, else None.
        line: the media connection; None before it is up.
        summary: what `patter_call_ended` got; None before the end.
        ends: how often `patter_call_ended` was called for this call.
        started_at: when it rang, in s of the loop's clock.
        failures: the parts that failed, as the call's `failed` event reported them.
    """

    def __init__(  # noqa: PLR0913 - each is one property of the call
        self,
        phone: Patter,
        agent: Agent | None = None,
        *,
        replies: Iterable[ScriptedReply] = (),
        caller: str = "+15550009876",
        callee: str | None = None,
        parameters: Mapping[str, str] | None = None,
        dialled: Dialled | None = None,
        limit_s: float = LIMIT_S,
        echo_s: float = 0.0,
        ring_s: float = 0.0,
    ) -> None:
        self.phone = phone
        self.agent = agent
        # the providers of a dialled call were made while it rang, in a scene of that call
        self.scene = Scene() if dialled is None else self.carrier.scenes.of(dialled.request.call_id)
        self.scene.model.replies.extend(replies)
        self.call: Call | None = None
        self.refusal: Refuse | None = None
        self.line: SimulatedLine | None = None
        self.summary: CallSummary | None = None
        self.ends = 0
        self.failures: list[CallFailure] = []
        self.carrier_call_id = "" if dialled is None else dialled.carrier_call_id
        self._caller = caller
        self._callee = callee or phone.settings.phone_number or "+15550001234"
        self._parameters = dict(parameters or {})
        self._dialled = dialled
        self._limit_s = limit_s
        self._echo_s = echo_s
        self._ring_s = ring_s
        self._ear: Ear | None = None
        self._mouth: Mouth | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._said: list[Spoken] = []
        self._consumed = 0
        self.started_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- life

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self._leave()
        finally:
            await self._abandon()

    @property
    def carrier(self) -> FakeCarrier:
        """The carrier. Raises `RuntimeError` when the phone is not serving with the fake one."""
        trunk = self.phone.switchboard.trunks.get(CARRIER)
        if trunk is None or not isinstance(trunk.carrier, FakeCarrier):
            raise RuntimeError("the phone is not serving with carrier='fake'; await phone.start(agent) first")
        return trunk.carrier

    async def connect(self) -> None:
        """Ring, and open the media stream unless the call is refused."""
        carrier = self.carrier
        assert carrier.host is not None
        self.carrier_call_id = self.carrier_call_id or carrier.next_call_id()
        self.phone.register(self, name=f"simulated call {self.carrier_call_id}")
        self._loop = asyncio.get_running_loop()
        self.started_at = self._loop.time()
        if self._dialled is not None:
            answer = await carrier.host.call_answered(self._dialled.request.call_id, self.carrier_call_id)
        else:
            offer = CallOffer(self.carrier_call_id, self._caller, self._callee, self._parameters)
            answer = await carrier.host.incoming_call(offer)
        if isinstance(answer, Refuse):
            self.refusal = answer
            return
        carrier.scenes.bind(answer.call_id, self.scene)
        if self._ring_s:
            await asyncio.sleep(self._ring_s)
        self._open(carrier, answer)

    def _open(self, carrier: FakeCarrier, answer: Connect) -> None:
        switchboard = self.phone.switchboard
        entry = switchboard.line(answer.call_id)
        claim = switchboard.claim(CARRIER, answer.stream_url.rpartition("/")[2])
        if entry is None or claim is None:
            raise AssertionError(
                f"the stream of call {answer.call_id} was announced, but its token does not hold"
            )
        self.call = entry.call
        self.call.on("failed", self.failures.append)
        carrier.connect_line(self.carrier_call_id, self._carrier_ends)
        self._ear = Ear(carrier.format, self.scene.voice)
        line = self.line = SimulatedLine(carrier.format, self._ear, echo_s=self._echo_s)
        self._mouth = Mouth(line)
        line.send(
            {
                "type": "start",
                "stream": f"stream-{self.carrier_call_id}",
                "call": self.carrier_call_id,
                "encoding": carrier.format.encoding.value,
                "rate": carrier.format.rate,
            }
        )

        async def serve() -> None:
            try:
                await switchboard.serve_media(claim, line)
            finally:
                await line.close()
                carrier.disconnect_line(self.carrier_call_id)
                carrier.scenes.drop(answer.call_id)

        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(serve(), name=f"carrier of {self.carrier_call_id}"),
            loop.create_task(self._mouth.run(), name=f"caller of {self.carrier_call_id}"),
        ]

    @hookimpl(trylast=True)
    def patter_incoming_call(self, call: Call) -> object:
        """Answer this call with its agent, unless a hook of the test decides otherwise."""
        from patter.decisions import Accept

        ours = call.carrier_call_id == self.carrier_call_id and self.agent is not None
        return Accept(self.agent) if ours else None

    @hookimpl
    def patter_call_ended(self, call: Call, summary: CallSummary) -> None:
        """Note the end of this call."""
        if call.carrier_call_id == self.carrier_call_id:
            self.call, self.summary = call, summary
            self.ends += 1

    def _carrier_ends(self, reason: str) -> None:
        """The carrier ends the stream because Patter asked it to."""
        if self.line is not None:
            self.line.send({"type": "stop", "reason": reason})
            self.line.drop()

    async def _leave(self) -> None:
        if self.line is not None:
            if self.line.is_open:
                await self.caller_hangs_up()
            await self.ended()
            await self._check_leaks()

    async def _abandon(self) -> None:
        if self.line is not None:
            self.line.drop()
            await asyncio.wait(self._tasks, timeout=TEARDOWN_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.phone.plugins.unregister(self)

    async def _check_leaks(self) -> None:
        """Raise `AssertionError` with the names of what the call left over."""
        deadline = self._now() + TEARDOWN_S
        while (left := left_over(self)) and self._now() < deadline:  # noqa: ASYNC110 - of foreign tasks
            await asyncio.sleep(0.1)
        unexpected = [f"{one.reference} failed: {one.error!r}" for one in self.failures if one.kind == "core"]
        if left or unexpected:
            raise AssertionError(
                self._with_timeline("the call left over: " + "; ".join([*left, *unexpected]))
            )

    # -- what the caller does

    async def caller_says(
        self, text: str, *, understood: str | None = None, duration_ms: int | None = None, wait: bool = True
    ) -> None:
        """Say something, 60 ms for each character; returns when the last of it was sent.

        Args:
            text: what is said.
            understood: what speech recognition makes of it, if that is something else; "" for a noise.
            duration_ms: how long it takes.
            wait: return at once if false, while the caller speaks.
        """
        self._require_media()
        assert self._mouth is not None
        number = self.scene.recogniser.add(text, understood, duration_ms)
        length_ms = self.scene.recogniser.utterances[number].duration_ms
        onset = self._now() + self._mouth.waiting_frames * FRAME_S
        self._said.append(Spoken("caller", text, onset, onset + length_ms / 1000))
        said = self._mouth.say(number, length_ms)
        if wait:
            await said
            await self._settle()

    async def dtmf(self, digits: str) -> None:
        """Press keys, 100 ms each."""
        line = self._require_media()
        for digit in digits:
            line.send({"type": "dtmf", "digit": digit})
            await asyncio.sleep(0.1)

    async def caller_hangs_up(self) -> CallSummary:
        """Hang up, and wait for the end of the call."""
        self._require_media().send({"type": "stop", "reason": "the caller hung up"})
        return await self.ended()

    async def drop_connection(self) -> CallSummary:
        """Lose the media connection without a word, and wait for the end of the call."""
        self._require_media().drop()
        return await self.ended()

    # -- what the caller hears

    async def agent_says(self, text: str, *, within_s: float | None = None) -> str:
        """Wait until the caller has heard agent speech that contains `text`, after what was waited for before.

        Returns all that was heard since then. Raises `AssertionError` with what was heard instead.
        """
        await self._until(
            lambda: text in self._heard_since(self._consumed), f"the agent says {text!r}", within_s
        )
        heard = self._heard_since(self._consumed)
        self._consumed += heard.index(text) + len(text)
        return heard

    async def quiet(self, ms: float, *, within_s: float | None = None) -> None:
        """Wait until the agent has been silent for that long, counted from now at the earliest."""
        since = self._now()

        def is_quiet() -> bool:
            assert self._ear is not None
            now = self._now()
            last = max(since, self._ear.last_sound(now))
            return not self._ear.sounding(now) and (now - last) * 1000 >= ms

        await self._until(is_quiet, f"the agent is silent for {ms:g} ms", within_s)

    async def ended(self, *, within_s: float | None = None) -> CallSummary:
        """Wait for the end of the call; returns its summary."""
        await self._until(lambda: self.summary is not None, "the call ends", within_s, even_if_over=True)
        assert self.summary is not None
        if self._tasks:
            await self._tasks[0]
        return self.summary

    @property
    def heard(self) -> str:
        """All that the caller has heard of the agent, in one text."""
        return self._heard_since(0)

    @property
    def timeline(self) -> tuple[Spoken, ...]:
        """What was said, by agent and caller, in the order in which it began."""
        if self._ear is not None:
            self._ear.listen(self._now())
        agent = self._ear.lines if self._ear is not None else []
        now = self._now()
        return tuple(
            sorted([*agent, *(one for one in self._said if one.start < now)], key=lambda one: one.start)
        )

    @property
    def silent_after_ms(self) -> float:
        """From the onset of the caller's last words to the end of the agent's audio; infinite while that sounds.

        0 when the agent was silent at the onset.
        """
        assert self._ear is not None
        if not self._said:
            raise AssertionError("silent_after_ms: the caller has said nothing yet")
        return self._ear.silent_after(self._said[-1].start, self._now()) * 1000

    @property
    def transcript(self) -> tuple[TranscriptEntry, ...]:
        """The engine's own transcript, so far or after the end."""
        if self.summary is not None:
            return self.summary.transcript
        return self.call.transcript if self.call is not None else ()

    # -- parts

    def _now(self) -> float:
        assert self._loop is not None, "the call was never connected"
        return self._loop.time()

    def _heard_since(self, position: int) -> str:
        assert self._ear is not None
        self._ear.listen(self._now())
        return " ".join(line.text for line in self._ear.lines if line.text)[position:]

    def _require_media(self) -> SimulatedLine:
        if self.line is None:
            reason = f"it was refused: {self.refusal.message}" if self.refusal else "it was never connected"
            raise AssertionError(f"the call has no media: {reason}")
        return self.line

    async def _settle(self) -> None:
        """Let everything happen that this instant has in store."""
        settle: Callable[[], Any] | None = getattr(self._loop, "settle", None)
        await (settle() if settle is not None else asyncio.sleep(0))

    async def _until(
        self, holds: Callable[[], bool], what: str, within_s: float | None, *, even_if_over: bool = False
    ) -> None:
        __tracebackhide__ = True
        if not even_if_over:
            self._require_media()
        limit_s = self._limit_s if within_s is None else within_s
        deadline = self._now() + limit_s
        while not holds():
            if self.summary is not None and not even_if_over:
                raise AssertionError(self._with_timeline(f"expected that {what}, but the call is over"))
            if self._now() >= deadline:
                raise AssertionError(self._with_timeline(f"expected that {what}, within {limit_s:g} s"))
            await asyncio.sleep(FRAME_S)

    def _with_timeline(self, message: str) -> str:
        lines = [message]
        if self.summary is not None:
            lines.append(f"the call ended as {self.summary.outcome.value}: {self.summary.reason}")
        lines += [f"{one.kind} {one.reference} failed: {one.error!r}" for one in self.failures]
        lines.append("what was said, in ms from the ringing:")
        for one in self.timeline:
            start, end = ((moment - self.started_at) * 1000 for moment in (one.start, one.end))
            lines.append(f"  {start:7.0f} to {end:7.0f}  {one.who:6}  {one.text}")
        return "\n".join(lines)
