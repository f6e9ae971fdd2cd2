"""Which plugin each part of a turn's time belongs to, and which setting makes it shorter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from patter.call.reply_meter import MeterSurroundings
from patter.call.turn_meter import TurnMeter
from patter.metrics import ProviderNames, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from patter.call.call import Call
    from patter.call.lineup import Lineup
    from patter.call.machine import SessionMachine
    from patter.call.plan import CallPlan, Part
    from patter.metrics.breakdown import PartName
    from patter.plugins import HookDispatcher
    from patter.records import ProviderKind

#: hooks that a reply waits for
WAITED_FOR: Final = ("patter_modify_user_turn", "patter_modify_request", "patter_modify_speech")
#: who is named where the agent's own pipeline hooks take the time
PIPELINE: Final = "pipeline"


class TurnSettings:
    """Of one call: its plan, the providers that are at work now, and the hooks."""

    def __init__(
        self, plan: CallPlan, parts: Mapping[ProviderKind, Part], hooks: HookDispatcher, carrier: str
    ) -> None:
        self._plan = plan
        self._parts = parts
        self._hooks = hooks
        self._carrier = carrier

    def reference(self, kind: ProviderKind) -> str:
        """How the provider of a kind is named that is at work now; "" for none."""
        part = self._parts.get(kind)
        return "" if part is None else part.reference

    def now(self) -> Settings:
        """What moves the parts of a turn that ends now."""
        vad = self.reference("vad")
        (stt, hears), (llm, thinks), (tts, speaks) = (self._maker(kind) for kind in ("stt", "llm", "tts"))
        silence_ms = self._parts["vad"].silence_ms if "vad" in self._parts else 0.0
        endpointing: dict[str, tuple[str, str]] = {
            "vad": (vad, "min_silence_ms"),
            "stt": (stt, "turn_end"),
            "manual": ("", "call.commit_turn()"),
        }
        parts: dict[PartName, tuple[str, str]] = {
            "endpointing": endpointing[self._plan.turn_end],
            "stt": (stt, hears),
            "hooks": (", ".join(self._hook_names()), "pipeline"),
            "tools": ("", "tools"),
            "llm_first_token": (llm, thinks),
            "first_sentence": (llm, "aggressive_first_flush"),
            "tts_first_byte": (tts, speaks),
            "conversion": (tts, speaks),
            "pacing": (self._carrier, "max_calls"),
        }
        return Settings(parts, silence_ms / 1000)

    def _maker(self, kind: ProviderKind) -> tuple[str, str]:
        """Who does the work of a kind, and under which option that stands: an engine hears, thinks and speaks."""
        if "realtime" in self._parts:
            return self.reference("realtime"), "engine"
        return self.reference(kind), kind

    def _hook_names(self) -> tuple[str, ...]:
        own = () if self._plan.agent.pipeline is None else (PIPELINE,)
        found = (name for hook in WAITED_FOR for name in self._hooks.names(hook))
        return tuple(dict.fromkeys((*own, *found)))

    def providers(self) -> ProviderNames:
        """Who takes part, by the names of the records."""
        names = {kind: part.resolved.record.name for kind, part in self._parts.items()}
        return ProviderNames(
            stt=names.get("stt", ""),
            tts=names.get("tts", ""),
            llm=names.get("llm", ""),
            realtime=names.get("realtime", ""),
            telephony=self._carrier,
        )


def measure_turns(
    call: Call, plan: CallPlan, lineup: Lineup, hooks: HookDispatcher, machine: SessionMachine
) -> TurnMeter:
    """The meter of a call's turns."""
    settings = TurnSettings(plan, lineup.parts, hooks, call.telephony_provider)
    around = MeterSurroundings(
        now=lineup.clock.monotonic,
        emit=call.events.emit,
        reference=settings.reference,
        settings=settings.now,
        providers=settings.providers,
        has_vad=lineup.has_detector or "realtime" in lineup.parts,
        has_stt=lineup.has_stt,
        only_initial_ttfb=plan.agent.report_only_initial_ttfb,
    )
    return TurnMeter(around, lambda: machine.backchannels)
