from __future__ import annotations

import asyncio
import sys

import demo_engine
import pytest

import patter_twilio
from patter import Agent, Patter
from patter.errors import ConfigError
from patter.plugins import PluginManager
from patter_demo.agents import GREETING, agent_for
from patter_demo.engines import check_engine, simulated_engine


def phone(**environ: str) -> Patter:
    manager = PluginManager((patter_twilio, demo_engine), autoload=False, environ=environ)
    return Patter(manager=manager)


async def configured(patter: Patter, agent: Agent) -> object:
    """The engine that the agent has while its simulator runs."""
    async with simulated_engine(patter, agent) as simulated:
        assert demo_engine.running == [True]
        patter.planner.plan_once(simulated)
        return simulated.engine


@pytest.mark.parametrize("environ", [{}, {"ACME_API_KEY": "real"}])
def test_an_engine_is_led_to_its_simulator_and_keeps_its_other_settings(environ: dict[str, str]) -> None:
    found = asyncio.run(configured(phone(**environ), agent_for(None, {}, "acme?voice=high")))

    assert isinstance(found, demo_engine.Settings)
    assert (found.base_url, found.voice) == (demo_engine.ADDRESS, "high")
    assert found.api_key.get_secret_value() == "key of the simulator"
    assert demo_engine.running == []


def test_the_engine_of_an_own_agent_is_simulated_too() -> None:
    agent = Agent(engine=demo_engine.Settings(api_key="real", voice="high"))
    found = asyncio.run(configured(phone(), agent))

    assert isinstance(found, demo_engine.Settings)
    assert (found.base_url, found.voice) == (demo_engine.ADDRESS, "high")


@pytest.mark.parametrize(
    ("agent", "complaint"),
    [
        (Agent(engine="bare"), "the engine bare brings no simulator; leave --simulate out"),
        (Agent(stt="acme"), "has no engine that could be simulated; name one: --engine REF"),
        (Agent(engine="acme?pitch=1"), "no setting 'pitch'"),
        (Agent(engine="nowhere"), 'no engine "nowhere"'),
    ],
)
def test_what_cannot_be_simulated_is_named(agent: Agent, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        asyncio.run(configured(phone(), agent))
    assert demo_engine.running == []


def test_a_missing_key_names_engine_setting_variable_and_the_way_without() -> None:
    with pytest.raises(ConfigError) as raised:
        check_engine(phone(), Agent(engine="acme"))
    assert str(raised.value) == (
        "engine acme: api_key is missing: set ACME_API_KEY, or give it in the configuration; or try it against its "
        "simulator, without a key: --simulate"
    )
    with pytest.raises(ConfigError) as raised:
        check_engine(phone(), Agent(engine="vendor-only"))
    assert "--simulate" not in str(raised.value)
    check_engine(phone(ACME_API_KEY="real"), Agent(engine="acme"))
    check_engine(phone(), Agent(stt="acme"))


def test_an_engine_takes_the_place_of_recogniser_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    own = agent_for(None, {"tts": "acme"}, "acme/large")
    assert (own.engine, own.first_message, own.stt, own.llm, own.tts) == (
        "acme/large",
        GREETING,
        None,
        None,
        "acme",
    )
    monkeypatch.setattr(sys.modules["demo_engine"], "agent", Agent(stt="a", llm="b", tts="c"), raising=False)
    theirs = agent_for("demo_engine:agent", {}, "acme")
    assert (theirs.engine, theirs.stt, theirs.llm, theirs.tts) == ("acme", None, None, "c")


@pytest.mark.parametrize("kind", ["stt", "llm"])
def test_an_engine_beside_what_it_replaces_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"--engine and --{kind}"):
        agent_for(None, {kind: "acme"}, "acme")
