"""Making plans: which providers, which settings, who ends a turn, and what a plan refuses."""

from __future__ import annotations

import asyncio
import logging
from typing import ClassVar

import pytest
from pydantic import SecretStr

from patter import (
    Agent,
    BargeInRecord,
    BargeInStrategy,
    LLMRecord,
    NoiseFilterRecord,
    STTRecord,
    TTSRecord,
    VADRecord,
    hookimpl,
)
from patter.call.plan import Planner
from patter.environment import Environment
from patter.errors import ConfigError, ProviderNotFoundError
from patter.phone_settings import SettingsFile
from patter.plugins import PluginManager, SharedObjectPool, build
from patter.plugins.configuration import ProviderConfig
from patter.providers.context import ProviderContext


class EarsConfig(ProviderConfig):
    api_key: SecretStr
    region: str = "eu"


class Ears:
    preloaded: ClassVar[list[str]] = []

    def __init__(self, config, context):
        self.config = config

    @classmethod
    async def preload(cls, config, context):
        cls.preloaded.append(config.region)


class DetectorConfig(ProviderConfig):
    activation: float = 0.5
    deactivation: float = 0.35
    min_silence_ms: int = 100


class Detector:
    def __init__(self, config, context):
        self.config = config


class Plain:
    pass


class Agree(BargeInStrategy):
    def __init__(self, times: int = 1):
        self.times = times

    def evaluate(self, event):
        return True


class Providers:
    """What is installed."""

    def __init__(self, *, vads=()):
        self.vads = vads

    @hookimpl
    def patter_register_stt(self):
        return [
            STTRecord("ears", Ears, config=EarsConfig, env={"api_key": "EARS_API_KEY"}),
            STTRecord("closing-ears", Plain, endpoints=True),
        ]

    @hookimpl
    def patter_register_llm(self):
        return [LLMRecord("brain", Plain)]

    @hookimpl
    def patter_register_tts(self):
        return [TTSRecord("mouth", Plain)]

    @hookimpl
    def patter_register_noise_filter(self):
        return [NoiseFilterRecord("gate", Plain)]

    @hookimpl
    def patter_register_vad(self):
        return list(self.vads)

    @hookimpl
    def patter_register_barge_in(self):
        return [BargeInRecord("agree", Agree)]


DETECTOR = VADRecord(
    "detector", Detector, config=DetectorConfig, phone_preset={"activation": 0.8, "deactivation": 0.65}
)
ENVIRON = {"PATTER_DISABLE_PLUGIN_AUTOLOAD": "1", "EARS_API_KEY": "secret-of-the-environment"}


def planner(*, vads=(DETECTOR,), file=None, environ=ENVIRON):
    manager = PluginManager([Providers(vads=vads)], environ=environ)
    return Planner(manager, file or SettingsFile(), environ), manager


def agent(**options):
    return Agent(**{"stt": "closing-ears", "llm": "brain", "tts": "mouth", **options})


def config_of(manager, part):
    """The configuration with which a call would make that part."""
    context = ProviderContext(Environment(), SharedObjectPool())
    return build(manager, part.resolved, context, sources=part.sources).config


def test_a_plan_names_every_part_and_strategy():
    plans, _ = planner()
    plan = plans.plan(agent(noise_filter="gate", barge_in_strategies=["agree?times=2", Agree(3)]))
    assert {kind: part.reference for kind, part in plan.parts.items()} == {
        "stt": "closing-ears",
        "llm": "brain",
        "tts": "mouth",
        "noise_filter": "gate",
        "vad": "detector",
    }
    assert len(plan.strategies) == 2


def test_the_plan_of_an_agent_is_made_once_and_that_of_an_equal_one_anew():
    plans, _ = planner()
    one, other = agent(), agent()
    assert plans.plan(one) is plans.plan(one)
    assert plans.plan(other) is not plans.plan(one)


# -- the VAD that nobody chose


@pytest.mark.behaviour("SP-16")
def test_an_installed_vad_is_used_with_its_phone_preset_unless_one_is_configured():
    plans, manager = planner()
    config = config_of(manager, plans.plan(agent()).parts["vad"])
    assert (config.activation, config.deactivation) == (0.8, 0.65)
    chosen = config_of(manager, plans.plan(agent(vad="detector?deactivation=0.4")).parts["vad"])
    assert (chosen.activation, chosen.deactivation) == (0.5, 0.4)


def test_the_file_and_the_environment_are_stronger_than_the_preset():
    file = SettingsFile(providers={"vad": {"detector": {"activation": 0.6}}})
    plans, manager = planner(file=file)
    config = config_of(manager, plans.plan(agent()).parts["vad"])
    assert (config.activation, config.deactivation) == (0.6, 0.65)


def test_the_agents_silence_reaches_the_vad_and_a_reference_overrides_it():
    plans, manager = planner()
    for vad, silence in ((None, 650), ("detector", 650), ("detector?min_silence_ms=300", 300)):
        part = plans.plan(agent(vad=vad, min_silence_ms=650)).parts["vad"]
        assert config_of(manager, part).min_silence_ms == silence


def test_of_several_vads_the_choice_does_not_depend_on_the_order_of_installation():
    records = [VADRecord(name, Plain) for name in ("zeta", "alpha", "middle")]
    for order in (records, records[::-1]):
        plans, _ = planner(vads=order)
        assert plans.plan(agent()).parts["vad"].reference == "alpha"


@pytest.mark.behaviour("SP-16")
def test_without_a_vad_it_is_said_once_and_the_stt_is_asked(caplog):
    plans, _ = planner(vads=())
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert "vad" not in plans.plan(agent()).parts
    said = [record.getMessage() for record in caplog.records if "no VAD plugin" in record.getMessage()]
    assert len(said) == 1
    assert "speech starts come from the STT" in said[0]


# -- who ends the caller's turn


@pytest.mark.behaviour("TN-21")
@pytest.mark.parametrize(
    ("options", "turn_end"),
    [
        ({}, "stt"),
        ({"stt": "ears"}, "vad"),
        ({"turn_end": "vad"}, "vad"),
        ({"turn_end": "manual"}, "manual"),
        ({"stt": "ears", "turn_end": "stt"}, "stt"),
    ],
)
def test_the_turn_ends_by_the_stt_where_it_can_else_by_the_vad(options, turn_end):
    plans, _ = planner()
    assert plans.plan(agent(**options)).turn_end == turn_end


@pytest.mark.behaviour("TN-21")
@pytest.mark.parametrize("options", [{"stt": "ears"}, {"turn_end": "vad"}])
def test_without_a_vad_a_turn_cannot_end_by_it(options):
    plans, _ = planner(vads=())
    with pytest.raises(ConfigError, match="pip install patter-silero"):
        plans.plan(agent(**options))
    assert plans.plan(agent(turn_end="manual")).turn_end == "manual"


@pytest.mark.behaviour("TN-21")
def test_four_hundred_ms_of_silence_are_the_default():
    plans, manager = planner()
    assert config_of(manager, plans.plan(agent()).parts["vad"]).min_silence_ms == 400


# -- what cannot work


def test_an_agent_without_providers_is_told_what_is_installed_and_what_to_install():
    plans, _ = planner()
    with pytest.raises(ConfigError) as caught:
        plans.plan(Agent())
    for part in ("closing-ears, ears", "llm: brain", "tts: mouth", "pip install patter-"):
        assert part in str(caught.value)


def test_a_pipeline_without_an_stt_is_refused():
    plans, _ = planner()
    for part in ({"tts": "mouth"}, {"llm": "brain"}):
        with pytest.raises(ConfigError, match=r"needs an STT: .*PATTER_STT, or stt in patter\.toml"):
            plans.plan(Agent(**part))


def test_a_plan_of_one_call_may_have_other_settings_and_is_not_kept():
    plans, manager = planner()
    one = agent(stt="ears")
    kept = plans.plan(one)
    once = plans.plan_once(one, {"stt": {"region": "us"}})
    assert "region='us'" in once.parts["stt"].key
    assert plans.plan(one) is kept
    assert "region='eu'" in kept.parts["stt"].key

    given = agent(stt=EarsConfig(api_key="given"))
    changed = plans.plan_once(given, {"stt": {"region": "us"}}).parts["stt"]
    assert config_of(manager, changed).region == "us"
    assert config_of(manager, changed).api_key.get_secret_value() == "given"
    assert given.stt.region == "eu"

    with pytest.raises(ConfigError, match="regoin"):
        plans.plan_once(given, {"stt": {"regoin": "us"}})
    with pytest.raises(ConfigError, match="no tts that voice"):
        plans.plan_once(agent(tts=None), {"tts": {"voice": "ann"}})


def test_an_agent_without_a_model_is_warned_of(caplog):
    plans, _ = planner()
    with caplog.at_level(logging.WARNING):
        plans.plan(agent(llm=None))
    assert any("neither llm nor on_message" in record.getMessage() for record in caplog.records)


def test_fallbacks_are_part_of_a_plan_and_need_a_model_to_stand_in_for():
    plans, _ = planner()
    plan = plans.plan(agent(llm_fallbacks=["brain", LLMRecord("another", Plain)]))
    assert [part.resolved.record.name for part in plan.llm_fallbacks] == ["brain", "another"]
    assert plans.plan(agent(llm_fallbacks="brain")).llm_fallbacks[0].reference == "brain"
    assert plans.plan(agent()).llm_fallbacks == ()
    with pytest.raises(ProviderNotFoundError):
        plans.plan(agent(llm_fallbacks=["nosuch"]))
    with pytest.raises(ConfigError, match="llm_fallbacks and no llm"):
        plans.plan(agent(llm=None, llm_fallbacks=["brain"]))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"stt": "deepgram/nova-3"}, "pip install patter-deepgram"),
        ({"tts": "mout"}, "did you mean mouth"),
        ({"barge_in_strategies": "agree?time=3"}, "times"),
        ({"vad": "detector?activation=loud"}, "activation"),
        ({"llm": "ears"}, "STT"),
    ],
)
def test_what_is_wrong_is_found_when_the_plan_is_made(options, match):
    plans, _ = planner()
    with pytest.raises((ConfigError, ProviderNotFoundError), match=match):
        plans.plan(agent(**options))


def test_a_missing_key_is_an_error_that_names_its_variable_and_no_key_shows_in_a_plan():
    plans, manager = planner()
    plan = plans.plan(agent(stt="ears"))
    assert config_of(manager, plan.parts["stt"]).api_key.get_secret_value() == "secret-of-the-environment"
    assert (
        "secret-of-the-environment" not in f"{plan!r} {plan.parts['stt'].key} {plan.parts['stt'].sources!r}"
    )
    without, _ = planner(environ={"PATTER_DISABLE_PLUGIN_AUTOLOAD": "1"})
    with pytest.raises(ConfigError, match="EARS_API_KEY"):
        without.plan(agent(stt="ears"))
    with pytest.raises(ConfigError, match="secret") as caught:
        plans.plan(agent(stt="ears?api_key=hunter2"))
    assert "hunter2" not in str(caught.value)


def test_a_factory_that_cannot_be_imported_is_found_when_the_plan_is_made():
    plans, _ = planner(vads=[VADRecord("lost", "a_module_that_is_nowhere:VAD")])
    with pytest.raises(ConfigError, match="a_module_that_is_nowhere"):
        plans.plan(agent())


def test_what_calls_share_is_loaded_beforehand():
    plans, manager = planner()
    context = ProviderContext(Environment(), SharedObjectPool())
    Ears.preloaded.clear()
    plan = plans.plan(agent(stt="ears?region=us"))

    async def preload():
        for part in plan.parts.values():
            await plans.preload(part, context)

    asyncio.run(preload())
    assert Ears.preloaded == ["us"]
    assert config_of(manager, plan.parts["stt"]).region == "us"
