"""How an agent talks: as a pipeline, or through one engine; and what the engine's own settings say about the agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from patter.agent import PROVIDER_OPTIONS
from patter.errors import ConfigError
from patter.records import ProviderKind, RealtimeRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

    from patter.agent import Agent
    from patter.plugins import PluginManager

_PARTS: Final[tuple[ProviderKind, ...]] = ("stt", "llm", "tts")


@dataclass(frozen=True, slots=True)
class Selection:
    """The agent as it will talk. `engine` is what to resolve the engine from, None for a pipeline."""

    agent: Agent
    engine: Any = None


def select(
    manager: PluginManager, agent: Agent, engine_config: Callable[[Any], BaseModel | None]
) -> Selection:
    """Choose how an agent talks (CF-02): its engine, else its pipeline, else the one default engine installed.

    `engine_config` makes the configuration of an engine; what it sets beside the engine's own matters under the name
    of an option of `Agent` fills that option where nobody else set it (CF-03). Raises `ConfigError`.
    """
    if agent.mode == "pipeline":
        if agent.stt is None:
            raise ConfigError(
                "the agent is a pipeline and needs an STT: set stt, for example Agent(stt='deepgram/nova-3'), "
                "PATTER_STT, or stt in patter.toml"
            )
        return Selection(agent)
    engine = agent.engine if agent.engine is not None else _default_engine(manager)
    config = engine_config(engine)
    given: dict[str, Any] = {"engine": engine} if agent.engine is None else {}
    if config is not None:
        own = type(agent).model_fields.keys() - PROVIDER_OPTIONS - agent.model_fields_set
        given |= {name: getattr(config, name) for name in config.model_fields_set if name in own}
    return Selection(agent.changed(**given) if given else agent, engine)


def _default_engine(manager: PluginManager) -> str:
    """The one installed engine that says it is the default."""
    engines = manager.records_of(RealtimeRecord)
    chosen = sorted(name for name, record in engines.items() if record.default)
    if len(chosen) == 1:
        return chosen[0]
    installed: dict[str, list[str]] = {kind: sorted(manager.records(kind)) for kind in _PARTS}
    listed = "; ".join(f"{kind}: {', '.join(names) or 'none'}" for kind, names in installed.items())
    if chosen:
        raise ConfigError(
            f"the agent names no providers, and several engines are the default: {', '.join(chosen)}. "
            f"Choose one, for example Agent(engine={chosen[0]!r}), or set stt, llm and tts ({listed})"
        )
    raise ConfigError(
        "the agent names no providers, and no default engine is installed: set engine "
        f"(installed: {', '.join(sorted(engines)) or 'none'}), or stt, llm and tts (installed: {listed}). To install "
        "some: pip install patter-deepgram patter-openai patter-elevenlabs"
    )
