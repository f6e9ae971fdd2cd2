"""How an agent talks: which engine or pipeline it gets, whose values win, and that it does not change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

import pytest

from patter import Agent, ConfigError, Patter, RealtimeRecord, hookimpl
from patter.call.plan import Planner
from patter.errors import ProviderNotFoundError
from patter.options import rows
from patter.phone_settings import SettingsFile, effective_agent
from patter.plugins import PluginManager
from patter.plugins.configuration import ProviderConfig
from patter.testing import fake_plugin


class EngineConfig(ProviderConfig):
    """An engine whose settings speak of the agent too."""

    voice: str = "ash"
    language: str = "de"
    first_message: str = "I am the engine."
    barge_in_confirm_ms: int = 900


class OtherConfig(EngineConfig):
    """Another engine's."""


class Engine:
    """Never made: realtime calls are not carried yet."""


class Engines:
    """A plugin with engines, each with whether it is the default."""

    def __init__(self, **defaults: bool) -> None:
        self.defaults = defaults

    @hookimpl
    def patter_register_realtime(self) -> Iterable[RealtimeRecord]:
        configs = (EngineConfig, OtherConfig)
        return [
            RealtimeRecord(name, Engine, config=config, default=default)
            for (name, default), config in zip(self.defaults.items(), configs, strict=False)
        ]


def planner(*plugins: object) -> Planner:
    manager = PluginManager(plugins, autoload=False, environ={})
    return Planner(manager, SettingsFile(), {})


def refused(plans: Planner, agent: Agent) -> str:
    with pytest.raises(ConfigError) as caught:
        plans.plan(agent)
    return str(caught.value)


@pytest.mark.behaviour("CF-02")
def test_an_engine_decides_and_else_any_part_of_a_pipeline() -> None:
    plans = planner(fake_plugin, Engines(first=True))
    assert plans.select(Agent(engine="first")).engine == "first"
    assert plans.select(Agent(stt="fake")).engine is None
    assert plans.select(Agent(stt="fake", tts="fake")).engine is None
    # any part of a pipeline makes one, which then needs an STT, also where a default engine is installed
    for part in ("tts", "llm"):
        assert "needs an STT" in refused(plans, Agent(**{part: "fake"}))
    assert set(plans.plan(Agent(stt="fake", llm="fake", tts="fake", vad=False, turn_end="manual")).parts) == {
        "stt",
        "llm",
        "tts",
    }
    assert {kind: part.reference for kind, part in plans.plan(Agent()).parts.items()} == {"realtime": "first"}
    with pytest.raises(ProviderNotFoundError, match="did you mean first"):
        plans.plan(Agent(engine="frist"))


@pytest.mark.behaviour("CF-02")
def test_without_any_the_one_default_engine_is_chosen_and_else_what_there_is_is_listed() -> None:
    chosen = planner(fake_plugin, Engines(first=False, second=True)).select(Agent(language="it"))
    assert (chosen.engine, chosen.agent.engine, chosen.agent.mode) == ("second", "second", "realtime")

    none = refused(planner(fake_plugin, Engines(first=False)), Agent())
    assert "no default engine is installed" in none
    assert "installed: fake, fake-greeter, first" in none
    assert "stt: fake, fake-endpointing; llm: fake; tts: fake" in none
    assert "pip install patter-" in none

    bare = refused(planner(), Agent())
    assert "set engine (installed: none)" in bare
    assert "stt: none; llm: none; tts: none" in bare

    several = refused(planner(fake_plugin, Engines(first=True, second=True)), Agent())
    assert "several engines are the default: first, second" in several
    assert "Agent(engine='first')" in several


@pytest.mark.behaviour("CF-02")
def test_a_pipeline_beside_an_engine_is_ignored_aloud(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="patter"):
        agent = Agent(engine="first", llm="fake")
    assert [record.getMessage() for record in caplog.records] == [
        "Agent: llm= is ignored, because engine is set"
    ]
    assert agent.llm is None
    assert planner(fake_plugin, Engines(first=False)).select(agent).engine == "first"
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="patter"):
        Agent(engine="first")
        effective_agent(agent, SettingsFile(), {"PATTER_LANGUAGE": "it"})
    assert not caplog.records


@pytest.mark.behaviour("CF-02")
def test_what_code_says_is_not_turned_round_by_file_or_environment(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"PATTER_ENGINE": "first", "PATTER_LLM": "fake"}
    file = SettingsFile(agent={"stt": "fake"})
    with caplog.at_level(logging.WARNING, logger="patter"):
        pipeline = effective_agent(Agent(llm="mine"), SettingsFile(), {"PATTER_ENGINE": "first"})
        engine = effective_agent(Agent(engine="mine"), file, environ)
        filed = effective_agent(Agent(), file, {"PATTER_ENGINE": "first"})
    assert (pipeline.mode, pipeline.llm) == ("pipeline", "mine")
    assert (engine.mode, engine.engine) == ("realtime", "mine")
    assert (filed.mode, filed.stt) == ("pipeline", "fake")
    assert not caplog.records


@pytest.mark.behaviour("CF-02")
def test_a_phone_does_not_serve_an_agent_that_cannot_talk() -> None:
    async def serve() -> None:
        phone = Patter(manager=PluginManager(autoload=False, environ={}))
        try:
            await phone.start(Agent(), port=0)
        finally:
            await phone.disconnect()

    with pytest.raises(ConfigError, match="names no providers"):
        asyncio.run(serve())


# -- CF-03

#: other values of options than their defaults; the options that are not here are given their default
OTHER_VALUES: dict[str, Any] = {
    "stt": "fake",
    "engine": "first",
    "prewarm": False,
    "prewarm_first_message": True,
    "turn_end": "manual",
    "barge_in_strategies": ("min-words",),
    "barge_in_mode": "pause",
    "barge_in_confirm_ms": 700,
    "idle_hangup_s": 20.0,
    "variables": {"name": "Ann"},
}


@pytest.mark.behaviour("CF-03")
def test_every_option_is_a_keyword_and_cannot_be_changed_afterwards() -> None:
    for name, default in ((row.name, row.default) for row in rows(Agent, "agent")):
        value = OTHER_VALUES.get(name, default)
        agent = Agent(**{name: value})
        assert getattr(agent, name) == value
        assert agent.model_fields_set == {name}
        with pytest.raises(ConfigError, match=f"{name} is frozen"):
            setattr(agent, name, value)
        with pytest.raises(Exception, match="frozen"):
            delattr(agent, name)
    with pytest.raises(TypeError):
        Agent(variables={"name": "Ann"}).variables["name"] = "Bob"  # type: ignore[index]
    with pytest.raises(TypeError):
        Agent().variables["name"] = "Bob"  # type: ignore[index]
    given = {"name": "Ann"}
    agent = Agent(variables=given, barge_in_strategies=["min-words"])
    given["name"] = "Bob"
    assert agent.variables == {"name": "Ann"}
    assert isinstance(agent.barge_in_strategies, tuple)


@pytest.mark.behaviour("CF-03")
def test_an_agent_is_made_by_its_constructor_alone() -> None:
    import patter

    makers = [
        name
        for name in dir(patter)
        if "agent" in name.lower() and getattr(patter, name) is not Agent and callable(getattr(patter, name))
    ]
    assert makers == []
    assert [name for name in dir(Patter) if name.startswith(("agent_", "make_agent", "create_agent"))] == []


@pytest.mark.behaviour("CF-03")
def test_an_explicit_argument_wins_over_an_engines_value_also_when_it_is_the_default() -> None:
    plans = planner(Engines(first=True))
    default_language = Agent().language
    config = EngineConfig(language="fr", first_message="Bonjour.", barge_in_confirm_ms=800)
    for engine in (config, "first?language=fr&first_message=Bonjour.&barge_in_confirm_ms=800"):
        left_open = plans.select(Agent(engine=engine)).agent
        assert (left_open.language, left_open.first_message) == ("fr", "Bonjour.")
        assert left_open.barge_in_confirm_ms == 800
        explicit = plans.select(Agent(engine=engine, language=default_language, first_message="")).agent
        assert (explicit.language, explicit.first_message) == (default_language, "")
        assert explicit.barge_in_confirm_ms == 800
    # a default of the engine's own is no value that somebody set
    assert plans.select(Agent(engine="first")).agent.language == default_language


@pytest.mark.behaviour("CF-03")
def test_an_explicit_default_wins_over_file_and_environment() -> None:
    default = Agent()
    file = SettingsFile(agent={"min_silence_ms": 900, "barge_in_mode": "pause"})
    agent = effective_agent(
        Agent(stt="x", language=default.language, min_silence_ms=default.min_silence_ms, barge_in_mode=None),
        file,
        {"PATTER_LANGUAGE": "it"},
    )
    assert (agent.language, agent.min_silence_ms, agent.barge_in_mode) == ("en", 400, None)


@pytest.mark.behaviour("CF-03")
def test_a_wrong_value_of_an_engine_is_refused_in_our_own_words() -> None:
    with pytest.raises(ConfigError, match="barge_in_confirm_ms"):
        planner(Engines(first=True)).select(Agent(engine=EngineConfig(barge_in_confirm_ms=1)))
