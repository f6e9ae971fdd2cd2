"""What the caller says, on its way to the session machine: frames, the VAD's events, the STT's results.

An STT that fails is healed here: its receiver connects the next one, and the feed keeps the caller's audio meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from patter.call.listening import Listening
from patter.call.repeated_finals import RepeatedFinals
from patter.call.stt_feed import STTFeed
from patter.call.turns import merge
from patter.errors import ProviderDisconnected, ProviderTimeout
from patter.providers.stt import Final, Interim, SpeechStarted

if TYPE_CHECKING:
    from patter.call.actions import Action
    from patter.call.agent_speech import Chunk
    from patter.call.ledger import Ledger
    from patter.call.lineup import Lineup
    from patter.call.machine import SessionMachine
    from patter.call.mouth import SessionMouth
    from patter.call.realtime_seat import Seat
    from patter.call.tasks import CallTasks
    from patter.call.turn_meter import TurnMeter
    from patter.providers.stt import STTEvent
    from patter.providers.vad import VADEvent

    OnSent = Callable[[Chunk, float], None]


#: an STT is made anew so long after the first, second, ... failure without a final in between, in s
RENEW_AFTER_S = (0.0, 0.5, 1.0, 2.0)


class HearingSession(Protocol):
    """What the session gives to hearing."""

    @property
    def is_ending(self) -> bool:
        """Whether the call is over."""

    @property
    def turns(self) -> TurnMeter:
        """Measures the turns of the call."""

    def now(self) -> float:
        """The call's clock, in s."""

    def apply(self, actions: Iterable[Action]) -> None:
        """Carry out what the machine decided."""


class Hearing:
    """The caller's side of one call."""

    def __init__(
        self, session: HearingSession, machine: SessionMachine, lineup: Lineup, mouth: SessionMouth
    ) -> None:
        self._session = session
        self._machine = machine
        self._lineup = lineup
        self._mouth = mouth
        self.feed = STTFeed(lineup.stt_format) if lineup.has_stt else None
        self._repeated = RepeatedFinals()
        self._speaking = False
        self._failures = 0
        self._interim = ""
        self._lost = ""
        self._chain = lineup.input_chain(session.now, lambda: machine.playout.carrier_delay_ms)

    @property
    def lost_frames(self) -> int:
        """Frames that were dropped because the STT did not take them (LC-05)."""
        return self.feed.dropped_frames if self.feed else 0

    def start(self, tasks: CallTasks) -> None:
        """Begin to listen."""
        if self.feed is not None:
            tasks.start("stt", self.receive())
            tasks.start("stt sender", self.feed.run())

    def open(self, ledger: Ledger, seat: Seat) -> Listening:
        """The chain that takes the caller's frames, to an STT or to the engine."""
        carrier_format, stages = self._machine.playout.format, self._chain.stages
        heard = carrier_format if stages is None else stages.format
        detector = self._lineup.open_detector(self._vad_event, ledger, heard)
        taker = seat.open(heard)
        if self.feed is not None:
            taker = self._lineup.voice.pipeline.before_stt(self.feed)
        return Listening(carrier_format, taker, detector, stages)

    def tap(self, on_sent: OnSent) -> OnSent:
        """`on_sent`, which also tells an echo canceller what was sent; itself where there is none."""
        reference = self._chain.reference
        if reference is None:
            return on_sent
        sent = reference.sent

        def tapped(chunk: Chunk, t: float) -> None:
            sent(chunk.payload, t)
            on_sent(chunk, t)

        return tapped

    def agent_cut(self) -> None:
        """The carrier was told to play nothing more of what it has got."""
        if self._chain.reference is not None:
            self._chain.reference.cleared(self._session.now())

    def finalize(self) -> None:
        """Ask the STT to close the utterance, behind the audio so far."""
        if self.feed is not None:
            self.feed.finalize()

    def _vad_event(self, event: VADEvent) -> None:
        session = self._session
        if event.kind == "speech_start":
            self._speaking = True
            self._repeated.speech_started()
            if self.feed is not None and self.feed.is_attached:
                self._lineup.speech_started()
            t = session.now()
            session.turns.caller.speech_started(t)
            session.apply(self._machine.speech_started(t))
        elif event.kind == "speech_end":
            self._speaking = False
            self._repeated.speech_ended()
            t = session.now()
            session.turns.caller.speech_ended(t)
            session.apply(self._machine.speech_ended(t))

    async def receive(self) -> None:
        """Connect and read the STT; again after a reconnect, until healing gives up."""
        feed = self.feed
        assert feed is not None
        while True:
            error = await self._listen(feed)
            # One that was closed because it owed a final was asked enough (SP-23).
            feed.detach(ask_again=not self._lineup.reconnecting)
            self._lost, self._interim = merge(self._lost, self._interim), ""
            if self._session.is_ending:
                return
            if not self._lineup.reconnecting and not await self._mouth.failed("stt", error, spoken=False):
                return
            await asyncio.sleep(RENEW_AFTER_S[min(self._failures, len(RENEW_AFTER_S) - 1)])
            self._failures += 1
            await self._lineup.rebuild("stt")
            self._repeated.renewed()

    async def _listen(self, feed: STTFeed) -> Exception:
        """Connect the STT and read it until it ends; returns why it did."""
        try:
            stt = await self._lineup.connect_stt()
            if self._speaking or feed.owes_final:
                self._lineup.speech_started()  # of the words that wait for it
            audio_format = self._lineup.stt_format
            feed.attach(stt, audio_format, self._lineup.voice.meter.hears(stt, audio_format))
            async for event in stt.receive():
                self._stt_event(event)
        except Exception as failure:  # whatever a plugin raises is healed alike (LC-12)
            return failure
        return ProviderDisconnected("the STT ended its stream")

    async def silent(self) -> None:
        """The STT is connected and says nothing, whatever was tried (SP-23)."""
        error = ProviderTimeout("the STT is connected but silent")
        if await self._mouth.failed("stt", error, spoken=False):
            await self._lineup.close_stt()

    def _stt_event(self, event: STTEvent) -> None:
        session, t = self._session, self._session.now()
        if isinstance(event, Final):
            self._final(event, t)
        elif isinstance(event, Interim):
            self._sign_of_speech()
            self._interim = event.text
            session.turns.caller.speech_heard(t)
            session.apply(self._machine.interim(event.text, t))
        elif isinstance(event, SpeechStarted) and not self._lineup.has_detector:
            self._sign_of_speech()
            session.turns.caller.speech_started(t)
            session.apply(self._machine.speech_started(t))

    def _sign_of_speech(self) -> None:
        if not self._lineup.has_detector:
            self._repeated.sign_of_speech()

    def _final(self, final: Final, t: float) -> None:
        """A final, unless it was delivered before the connection was lost (SP-02).

        The audio of a lost STT is not heard again, so what it had understood of the open utterance goes before what
        the next one understands of the rest.
        """
        if self._repeated.is_repeated(final.text):
            if not final.from_finalize:
                return
            final = Final("", from_finalize=True)
        if self.feed is not None:
            self.feed.answered()
        if final.text.strip():
            self._failures = 0
            self._lineup.recovered("stt")
        if self._lost:
            final = replace(final, text=merge(self._lost, final.text))
        self._lost = self._interim = ""
        turns = self._session.turns
        counted = turns.finals
        self._session.apply(self._machine.final(final, t))
        if turns.finals == counted and final.text.strip():
            turns.caller.dropped(t)
