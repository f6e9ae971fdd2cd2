"""The plan of a call: which agent, which providers, which settings; made before dialling or answering.

Making a plan imports the provider classes and validates their configurations, so that nothing is imported or found
wrong between the media start and the first reply (PW-20).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from patter.call.input_stages import import_stages
from patter.call.message_llm import message_record
from patter.call.realtime_session import patter_decides
from patter.call.selection import Selection, select
from patter.errors import ConfigError
from patter.net import import_websockets
from patter.plugins import ConfigSources, ResolvedProvider, configure, import_attribute, resolve
from patter.plugins.configuration import config_class
from patter.plugins.resolving import is_config
from patter.records import RealtimeRecord, STTRecord, VADRecord

if TYPE_CHECKING:
    from pydantic import BaseModel

    from patter.agent import Agent
    from patter.phone_settings import SettingsFile
    from patter.plugins import PluginManager
    from patter.providers.context import ProviderContext
    from patter.records import ProviderKind

logger = logging.getLogger(__name__)

TurnEnd = Literal["stt", "vad", "manual"]
Settings = Mapping["ProviderKind", Mapping[str, Any]]

_PIPELINE: tuple[ProviderKind, ...] = ("stt", "llm", "tts", "noise_filter")
_BESIDE_ENGINE: tuple[ProviderKind, ...] = ("tts", "noise_filter")


@dataclass(frozen=True, slots=True)
class Part:
    """A provider of a plan, its configuration validated once. `key` is equal for equal configurations; no secret
    shows in it. `model` is the one that its configuration names; "" where it has none. `silence_ms` is how long a VAD
    hears silence before it reports the end of speech, where its configuration says so.
    """

    resolved: ResolvedProvider
    sources: ConfigSources
    key: str
    model: str = ""
    silence_ms: float = 0.0

    @property
    def reference(self) -> str:
        """How the provider is named in messages."""
        return self.resolved.origin


@dataclass(frozen=True, slots=True)
class CallPlan:
    """What a call will be made of. `patter_decides`: not the engine but Patter decides about replies (RT-24)."""

    agent: Agent
    parts: Mapping[ProviderKind, Part]
    strategies: tuple[Part, ...]
    turn_end: TurnEnd
    llm_fallbacks: tuple[Part, ...] = ()
    patter_decides: bool = False


class Planner:
    """Makes plans, and keeps those of agents it has seen."""

    def __init__(self, manager: PluginManager, file: SettingsFile, environ: Mapping[str, str]) -> None:
        self._manager = manager
        self._file = file
        self._environ = environ
        self._kept: tuple[Agent, CallPlan] | None = None
        self._no_vad_said = False

    def plan(self, agent: Agent) -> CallPlan:
        """The plan of a call with that agent, kept until another agent's is asked for. Raises `ConfigError`."""
        if self._kept is not None and self._kept[0] is agent:
            return self._kept[1]
        plan = self.plan_once(agent)
        self._kept = (agent, plan)
        return plan

    def plan_once(self, agent: Agent, settings: Settings | None = None) -> CallPlan:
        """The plan of one call, with settings of its providers that win over the agent's. Raises `ConfigError`."""
        selection = self.select(agent)
        if selection.engine is not None:
            return self._engine_plan(selection, settings or {})
        settings = settings or {}
        parts: dict[ProviderKind, Part] = {}
        for kind in _PIPELINE:
            reference = getattr(agent, kind)
            if kind == "llm" and agent.on_message is not None:
                reference = message_record(agent.on_message)
            if reference is not None:
                parts[kind] = self.part(kind, reference, explicit=settings.get(kind))
            elif kind in settings:
                raise ConfigError(f"the agent has no {kind} that {', '.join(settings[kind])} could be set of")
        vad = self._vad(agent)
        if vad is not None:
            parts["vad"] = vad
        if agent.llm is None and agent.llm_fallbacks:
            raise ConfigError("the agent has llm_fallbacks and no llm that they could stand in for: set llm")
        if agent.on_message is not None and agent.tools:
            logger.warning("this agent has tools and on_message: its tools are offered to nobody")
        if "llm" not in parts:
            logger.warning("this agent has neither llm nor on_message: no turn will be answered")
        import_stages(agent)
        strategies = tuple(self.part("barge_in", reference) for reference in agent.barge_in_strategies)
        fallbacks = tuple(self.part("llm", reference) for reference in agent.llm_fallbacks)
        return CallPlan(agent, parts, strategies, self._turn_end(agent, parts), fallbacks)

    def _engine_plan(self, selection: Selection, settings: Settings) -> CallPlan:
        """The plan of a call in which an engine hears and speaks; a voice beside it greets when the engine does not."""
        agent = selection.agent
        if agent.prewarm_first_message:
            logger.warning("prewarm_first_message does nothing with an engine: it speaks its greeting itself")
        if agent.mcp_servers:
            logger.warning(
                "mcp_servers have no effect with an engine: its tools are fixed when it is connected"
            )
        references: dict[ProviderKind, Any] = {"realtime": selection.engine}
        references |= {
            kind: getattr(agent, kind) for kind in _BESIDE_ENGINE if getattr(agent, kind) is not None
        }
        for kind in settings.keys() - references.keys():
            raise ConfigError(f"the agent has no {kind} that {', '.join(settings[kind])} could be set of")
        parts = {
            kind: self.part(kind, reference, explicit=settings.get(kind))
            for kind, reference in references.items()
        }
        import_websockets()  # by which engines are reached
        engine = parts["realtime"].resolved.record
        assert isinstance(engine, RealtimeRecord)
        vad = self._vad(agent) if engine.client_interrupt and not engine.turn_events else None
        decides = patter_decides(agent, engine, has_vad=vad is not None)
        if decides and vad is not None:
            parts["vad"] = vad
        import_stages(agent)
        strategies = tuple(self.part("barge_in", one) for one in agent.barge_in_strategies) if decides else ()
        turn_end: TurnEnd = "manual" if decides and agent.turn_end == "manual" else "stt"
        return CallPlan(agent, parts, strategies, turn_end, patter_decides=decides)

    def select(self, agent: Agent) -> Selection:
        """How that agent talks, and the agent with what its engine's settings say of it. Raises `ConfigError`."""
        return select(self._manager, agent, self._engine_config)

    def _engine_config(self, engine: Any) -> BaseModel | None:
        part = self.part("realtime", engine)
        config = configure(self._manager, part.resolved, part.sources)
        return config if is_config(config) else None

    def part(
        self,
        kind: ProviderKind,
        reference: Any,
        defaults: Mapping[str, Any] | None = None,
        *,
        explicit: Mapping[str, Any] | None = None,
    ) -> Part:
        """Resolve a reference and validate its configuration; imports the provider's class.

        `defaults` are weaker than any setting, `explicit` stronger than any. Raises `ConfigError`.
        """
        resolved = resolve(self._manager, kind, reference)
        if explicit and resolved.given is not None:
            resolved = replace(resolved, given=resolved.given.model_copy(update=explicit))
        record = resolved.record
        sources = ConfigSources(
            explicit=explicit or {},
            file=self._file.provider(kind, record.name),
            environ=self._environ,
            extra_defaults=defaults or {},
        )
        config = configure(self._manager, resolved, sources)
        if isinstance(record.factory, str):
            import_attribute(record.factory)
        named, silence = _setting(config, "model"), _setting(config, "min_silence_ms")
        model = named if isinstance(named, str) else ""
        silence_ms = float(silence) if isinstance(silence, int | float) else 0.0
        return Part(resolved, sources, f"{record.name} {config!r}", model, silence_ms)

    async def preload(self, part: Part, context: ProviderContext) -> None:
        """Load what a provider class shares between calls, where it has a `preload(config, context)`."""
        factory = part.resolved.record.factory
        provider = import_attribute(factory) if isinstance(factory, str) else factory
        preload = getattr(provider, "preload", None)
        if preload is not None:
            await preload(configure(self._manager, part.resolved, part.sources), context)

    def _vad(self, agent: Agent) -> Part | None:
        """The VAD asked for, else an installed one with its phone preset (SP-16)."""
        reference = agent.vad
        if reference is False:
            return None
        preset: Mapping[str, Any] = {}
        if reference is None:
            installed = self._manager.records_of(VADRecord)
            if not installed:
                if not self._no_vad_said:
                    self._no_vad_said = True
                    logger.warning(
                        "no VAD plugin is installed: speech starts come from the STT (patter-silero has one)"
                    )
                return None
            reference = sorted(installed)[0]
            preset = installed[reference].phone_preset
        record = resolve(self._manager, "vad", reference).record
        defaults = dict(preset)
        if record.config is not None and "min_silence_ms" in config_class(record).model_fields:
            defaults["min_silence_ms"] = agent.min_silence_ms
        assert isinstance(record, VADRecord)
        return self.part("vad", reference, defaults)

    def _turn_end(self, agent: Agent, parts: Mapping[ProviderKind, Part]) -> TurnEnd:
        """Who ends the caller's turn (TN-21)."""
        if agent.turn_end != "auto":
            chosen = agent.turn_end
        else:
            record = parts["stt"].resolved.record if "stt" in parts else None
            chosen = "stt" if isinstance(record, STTRecord) and record.endpoints else "vad"
        if chosen == "vad" and "vad" not in parts:
            raise ConfigError(
                "turn_end is vad, because the STT does not end utterances by itself, and no VAD is installed: "
                "pip install patter-silero"
            )
        return chosen


def _setting(config: object, name: str) -> object:
    """One setting of a configuration, be it an object or plain parameters."""
    return config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
