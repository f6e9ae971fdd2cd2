"""The providers of one call: built from its plan, healed while it lasts, closed with it. Nothing here is shared."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from patter.call.adoption import Adoption
from patter.call.closing import close_provider
from patter.call.fallback_llm import FallbackLLM
from patter.call.guarded_strategy import GuardedStrategy
from patter.call.input_stages import make_stages
from patter.call.listening import detector_format
from patter.call.message_llm import MessageLLM
from patter.call.pipeline import pipeline_of
from patter.call.provider_making import ProviderMaker
from patter.call.realtime_session import session_of
from patter.call.reply_parts import Voice
from patter.call.types import CallFailure
from patter.decisions import Hangup, Retry, Switch
from patter.errors import ConfigError, PatterError, ProviderAuthError
from patter.prewarm.warming import Warmable, Warming
from patter.providers.carrier import CallStatus
from patter.records import RealtimeRecord

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.call.call import Call
    from patter.call.input_stages import InputChainParts
    from patter.call.ledger import Ledger
    from patter.call.listening import SpeechDetector
    from patter.call.plan import CallPlan, Planner
    from patter.call.vad_sources import VADSources
    from patter.environment import Clock
    from patter.plugins import HookDispatcher, PluginManager
    from patter.providers.barge_in import BargeInStrategy
    from patter.providers.context import ProviderContext
    from patter.providers.llm import LLM, Message
    from patter.providers.noise_filter import NoiseFilter
    from patter.providers.realtime import RealtimeEngine, RealtimeSession
    from patter.providers.stt import STT
    from patter.providers.tts import TTS, WordTime
    from patter.providers.vad import VADEvent
    from patter.records import ProviderKind

logger = logging.getLogger(__name__)

#: what a reply is made with
Spoken = Literal["tts", "llm"]

#: a provider that fails is made anew this often before the call gives it up; see `Lineup.recovered`
REPAIRS = 2
#: a language model, in one turn (LM-03)
LLM_REPAIRS = 1
#: an engine, whose call has nobody else to talk
ENGINE_REPAIRS = 5


@dataclass(frozen=True, slots=True)
class LineupServices:
    """What building providers needs of the phone."""

    manager: PluginManager
    planner: Planner
    vads: VADSources
    clock: Clock
    warming: Warming | None = None
    can_transfer: bool = False


class Lineup:
    """The providers of one call; `parts` are those at work now."""

    def __init__(
        self,
        call: Call,
        plan: CallPlan,
        context: ProviderContext,
        services: LineupServices,
        hooks: HookDispatcher,
    ) -> None:
        self._call = call
        self._plan = plan
        self.parts = dict(plan.parts)
        self._services = services
        self._hooks = hooks
        self.clock = services.clock
        self._repairs: dict[str, int] = {}
        #: how many failures of providers there were
        self.failures = 0
        self._end: Callable[[CallStatus, str], None] | None = None
        self.reconnecting = False
        self._interims_wanted = False
        self._adoption = Adoption(call, services.clock, services.warming)
        assert context.carrier_format is not None
        #: format of the call's audio
        self.carrier_format: AudioFormat = context.carrier_format
        self.agent = agent = plan.agent
        self.call_id = call.id
        self._maker = maker = ProviderMaker(call, plan, self.parts, context, services.manager, self._report)
        self._stt = cast("STT | None", maker.first("stt"))
        self._engine = cast("RealtimeEngine | None", maker.first("realtime"))
        self.noise_filter = cast("NoiseFilter | None", maker.first("noise_filter"))
        self.voice = Voice(
            llm=cast("LLM | None", maker.first("llm")),
            tts=cast("TTS | None", maker.first("tts")),
            tools=None,
            pipeline=pipeline_of(
                call, agent, lambda: self.stt_format if self._stt else None, self.carrier_format
            ),
            guardrails=agent.guardrails,
            text_transforms=agent.text_transforms,
            language=agent.language,
            aggressive_first_flush=agent.aggressive_first_flush,
            llm_error_message=agent.llm_error_message,
            long_turn_message=agent.long_turn_message,
            long_turn_message_after_s=agent.long_turn_message_after_s,
            meter=call.meter,
        )
        self.strategies: list[BargeInStrategy] = [
            GuardedStrategy(cast("BargeInStrategy", strategy), part.reference, self.clock)
            for part in plan.strategies
            if (strategy := maker.attempt(part)) is not None
        ]

    def check(self) -> None:
        """Raise what kept a provider from being made; `close()` releases those that were."""
        if self._maker.failure is not None:
            raise self._maker.failure

    def suits(self, plan: CallPlan, stream: AudioFormat) -> bool:
        """Whether this is a whole line-up of a call with that plan and audio."""
        return self._maker.failure is None and self._plan is plan and self.carrier_format == stream

    # -- while the phone rings, and when its call begins

    def warmables(self, *, renders: bool) -> list[Warmable]:
        """What can be opened or warmed beforehand; not the voice when it makes the greeting, which warms it as well."""
        if self._engine is not None:  # a voice beside it is for the case that it does not greet
            engine = Warmable.of(self._engine_slot, self._engine, self._engine_session())
            return [] if engine is None else [engine]
        stt = None if self._stt is None else Warmable.of("stt", self._stt, self.stt_format)
        kinds: tuple[Spoken, ...] = ("llm",) if renders else ("tts", "llm")
        found = (stt, *(Warmable.of(kind, self._with_connection(kind)) for kind in kinds))
        return [warmable for warmable in found if warmable is not None]

    def _with_connection(self, kind: Spoken) -> object:
        """The provider whose connection can be parked: of models that stand in for each other, the first."""
        llm = self.voice.llm
        return self.voice.tts if kind == "tts" else llm.first if isinstance(llm, FallbackLLM) else llm

    def begin(self) -> tuple[Spoken, ...]:
        """The call begins; which of voice and model have something to take over (`adopt`) before they are used."""
        kinds: tuple[Spoken, ...] = ("tts", "llm")
        found = tuple(kind for kind in kinds if self._adoption.has(kind))
        self.voice.adopting.update((kind, asyncio.Event()) for kind in found)
        return found

    async def adopt(self, kind: Spoken) -> None:
        """Voice or model takes over its parked connection; then it may be used, whatever has come of it."""
        try:
            if await self._adoption.adopt(kind, lambda: self._with_connection(kind)) is False:
                await self.rebuild(kind)
        finally:
            self.voice.adopting.pop(kind).set()

    def on_hopeless(self, end: Callable[[CallStatus, str], None]) -> None:
        """How to end the call when a provider cannot be healed."""
        self._end = end

    # -- listening

    @property
    def has_stt(self) -> bool:
        """Whether somebody writes down what the caller says."""
        return self._stt is not None

    @property
    def has_detector(self) -> bool:
        """Whether a VAD finds the caller's speech."""
        return "vad" in self.parts

    @property
    def stt_format(self) -> AudioFormat:
        """What the STT is fed: the carrier's own format if it takes that, else the best it takes."""
        assert self._stt is not None
        formats = self._stt.input_formats()
        return self.carrier_format if self.carrier_format in formats else formats[0]

    def input_chain(self, now: Callable[[], float], lag_ms: Callable[[], float]) -> InputChainParts:
        """The stages that are on for this call; see `EchoReference` for the arguments."""
        stt_format = self.stt_format if self._stt is not None else None
        chain = self.agent, self.carrier_format, stt_format, self.noise_filter
        return make_stages(*chain, (now, lag_ms))

    def open_detector(
        self, on_event: Callable[[VADEvent], None], ledger: Ledger, heard: AudioFormat
    ) -> SpeechDetector | None:
        """A VAD slot for this call, for audio that comes as `heard`; None without a VAD."""
        part = self.parts.get("vad")
        if part is None:
            return None
        source = self._services.vads.source(part, heard.rate)
        slot_format = detector_format(heard, (source.rate,))
        slot = source.open(slot_format.encoding, on_event, self._detector_failed)
        ledger.enter("vad slot", slot.close)
        return slot

    def _detector_failed(self, error: Exception) -> None:
        self._call.events.emit("failed", CallFailure("vad", self.parts["vad"].reference, error))
        if self._end is not None:
            self._end(CallStatus.FAILED, "voice activity detection failed")

    async def connect_stt(self) -> STT:
        """Connect the call's STT; it learns what was said to one before it. Raises `ProviderError`."""
        self.reconnecting = False
        assert self._stt is not None
        adopted = await self._adoption.adopt("stt", lambda: self._stt)
        if adopted is False:
            await self.rebuild("stt")
        stt = self._stt
        if not adopted:
            await self._adoption.connect("stt", stt.connect(self.stt_format))
        if self._interims_wanted:
            stt.interims_wanted(True)
        return stt

    async def close_stt(self) -> None:
        """Close the STT, which makes the receiver connect anew."""
        if self._stt is not None:
            self.reconnecting = True
            await self._stt.close()

    def speech_started(self) -> None:
        """The VAD heard speech begin."""
        if self._stt is not None:
            self._stt.speech_started()

    def interims_wanted(self, wanted: bool) -> None:
        """Whether partial transcripts are of use; also to an STT that takes this one's place."""
        self._interims_wanted = wanted
        if self._stt is not None:
            self._stt.interims_wanted(wanted)

    def word_times(self) -> tuple[WordTime, ...]:
        """Word times of the synthesis in progress."""
        return self.voice.tts.word_times() if self.voice.tts is not None else ()

    # -- healing

    async def heal(self, kind: ProviderKind, error: Exception, *, spoken: bool) -> bool:
        """Decide about a failed provider; True when it may be tried again.

        `patter_call_error` decides first; without an answer an STT or TTS is made anew twice (`recovered`), then it ends
        the call. An LLM is made anew once in a turn, then that is left to `llm_error_message`; one with fallbacks has
        done all that itself. After a part of a reply was spoken nothing is tried again.
        """
        part = self.parts[kind]
        failure = self._report(kind, part.reference, error)
        decision = None
        if self._hooks.has("patter_call_error"):
            decision = await self._hooks.first("patter_call_error", call=self._call, error=failure)
        if isinstance(decision, Hangup):
            self._hopeless(decision.reason or f"{kind} failed")
            return False
        if isinstance(decision, Switch) and await self._switch(decision) and decision.kind == kind:
            return not spoken
        if not isinstance(decision, Retry) and self._given_up(kind, error):
            if kind == "llm" or self._engine is not None:
                self.recovered(kind)  # it is asked again in the next turn, as often as in this one
            else:
                self._hopeless(f"{kind} {part.reference} failed")
            return False
        self._repairs[kind] = self._repairs.get(kind, 0) + 1
        if kind in ("llm", "tts"):
            await self.rebuild(kind)
        return not spoken

    def recovered(self, kind: ProviderKind) -> None:
        """A provider has done its work since it was made anew: its failures so far do not count any more."""
        self._repairs.pop(kind, None)

    def _given_up(self, kind: str, error: Exception) -> bool:
        if kind == "llm" and isinstance(self.voice.llm, FallbackLLM | MessageLLM):
            return True  # it has tried what there is, or must not be asked twice
        limit = {"llm": LLM_REPAIRS, "realtime": ENGINE_REPAIRS}.get(kind, REPAIRS)
        return isinstance(error, ProviderAuthError) or self._repairs.get(kind, 0) >= limit

    def _report(self, kind: ProviderKind, reference: str, error: Exception) -> CallFailure:
        self.failures += 1
        failure = CallFailure(kind, reference, error)
        said = self._adoption.said_of(error)
        logger.warning("call %s: %s %s failed: %s", self._call.id, kind, reference, said)
        self._call.events.emit("failed", failure)
        return failure

    async def _switch(self, decision: Switch) -> bool:
        before = self.parts.get(decision.kind)
        try:
            self.parts[decision.kind] = self._services.planner.part(decision.kind, decision.reference)
            old = self._replace(decision.kind)
        except PatterError as error:
            logger.error("call %s: cannot switch %s: %s", self._call.id, decision.kind, error)
            if before is not None:
                self.parts[decision.kind] = before
            return False
        await close_provider(decision.kind, old)
        return True

    def _replace(self, kind: ProviderKind) -> object:
        """Put a fresh provider in place; returns the old one."""
        fresh = self._maker.make(kind)
        old: object
        if kind == "stt":
            old, self._stt = self._stt, cast("STT", fresh)
        elif kind == "llm":
            old, self.voice.llm = self.voice.llm, cast("LLM", fresh)
        elif kind == "tts":
            old, self.voice.tts = self.voice.tts, cast("TTS", fresh)
        elif kind == "realtime":
            old, self._engine = self._engine, cast("RealtimeEngine", fresh)
        else:
            raise ConfigError(f"a {kind} cannot be replaced in mid-call")
        return old

    async def rebuild(self, kind: ProviderKind) -> None:
        """Make a provider anew and close the old one. Ends the call and raises `PatterError` when none can be made."""
        try:
            old = self._replace(kind)
        except PatterError as error:
            self._hopeless(f"{kind} {self.parts[kind].reference} cannot be made anew: {error}")
            raise
        await close_provider(kind, old)

    # -- the engine of a realtime call

    @property
    def has_engine(self) -> bool:
        """Whether an engine talks in this call."""
        return self._engine is not None

    @property
    def engine_flags(self) -> RealtimeRecord:
        """What the engine can do."""
        record = self.parts["realtime"].resolved.record
        assert isinstance(record, RealtimeRecord)
        return record

    @property
    def _engine_slot(self) -> str:
        """Where its connection is parked (PW-05)."""
        return self.engine_flags.name.replace("-", "_")

    def _engine_session(self, history: Sequence[Message] = ()) -> RealtimeSession:
        """What is asked of the engine; the same for its parked and its live connection (PW-10)."""
        return session_of(self._plan, self._call, self.carrier_format, self._services.can_transfer, history)

    async def connect_engine(self, history: Sequence[Message]) -> RealtimeEngine:
        """Take over the parked session, or open one that knows what was said. Raises `ProviderError`."""
        adopted = await self._adoption.adopt("realtime", lambda: self._engine, self._engine_slot)
        if adopted is False:
            await self.rebuild("realtime")
        engine = self._engine
        assert engine is not None
        if not adopted:
            await self._adoption.connect("realtime", engine.connect(self._engine_session(history)))
        return engine

    def engine_failed(self, error: Exception) -> None:
        """The engine did not do what it was asked to; its session goes on."""
        self._report("realtime", self.parts["realtime"].reference, error)

    def engine_is_lost(self) -> None:
        """Its session cannot be made anew: nobody talks to the caller any more."""
        self._hopeless(f"the engine {self.parts['realtime'].reference} failed")

    def _hopeless(self, reason: str) -> None:
        if self._end is not None:
            self._end(CallStatus.FAILED, reason)

    # -- the end

    async def close(self) -> None:
        """Close every provider of this call, side by side, each within 1 s."""
        providers: list[tuple[str, Any]] = [
            ("stt", self._stt),
            ("engine", self._engine),
            ("llm", self.voice.llm),
            ("tts", self.voice.tts),
            ("noise filter", self.noise_filter),
            ("tools", self.voice.tools),
        ]
        self.voice.prerendered.forget(self._call.id)
        await asyncio.gather(*(close_provider(kind, provider) for kind, provider in providers))
