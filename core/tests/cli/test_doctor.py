from __future__ import annotations

import json

import pytest

from patter.cli.doctor import OPTIONS
from patter.records import PROVIDER_KINDS

EARS = """
    from patter import STTRecord, TTSRecord, hookimpl

    @hookimpl
    def patter_register_stt():
        return [STTRecord("ears", "patter_ears:Ears", config="patter_ears:Config", env={"api_key": "EARS_API_KEY"}),
                STTRecord("deaf", "a_module_that_is_nowhere:Deaf"),
                STTRecord("odd", "patter_ears:Ears", config="patter_ears:Odd")]

    class Ears:
        pass

    def __getattr__(name):
        from pydantic import SecretStr, model_validator
        from patter.plugins import ProviderConfig

        class Config(ProviderConfig):
            api_key: SecretStr
            rate: int = 8000

        class Odd(ProviderConfig):
            @model_validator(mode="after")
            def check(self):
                raise ZeroDivisionError("odd")

        if name in ("Config", "Odd"):
            return locals()[name]
        raise AttributeError(name)
"""


def report(patter, *words):
    return json.loads(patter("doctor", "--json", *words).out)


def test_every_kind_has_an_option():
    assert set(OPTIONS.values()) == set(PROVIDER_KINDS)


def test_a_healthy_installation_has_no_problems(patter, monkeypatch):
    patter.install("patter-ears", EARS)
    monkeypatch.setenv("EARS_API_KEY", "hunter2")
    found = report(patter, "--stt", "ears?rate=16000")
    assert patter.code == 0
    assert found["ok"] is True
    assert found["references"] == [
        {
            "option": "stt",
            "reference": "ears",
            "ok": True,
            "problem": None,
            "dist": "patter-ears 1.0",
            "environment": [{"name": "EARS_API_KEY", "set": True}],
        }
    ]
    text = patter("doctor", "--stt", "ears").out
    assert "stt ears: ok\n  provided by patter-ears 1.0\n  EARS_API_KEY: set\n" in text
    assert text.endswith("No problems found.\n")
    assert "hunter2" not in text + json.dumps(found)


PROBLEMS = {
    "ears": "set EARS_API_KEY",
    "ears?rate=x": "rate (in the reference)",
    "ears?raet=1": "did you mean rate",
    "ears?api_key=hunter2": "api_key is a secret",
    "deaf": "a_module_that_is_nowhere",
    "odd": "ZeroDivisionError: odd",
    "deepgram/nova-3": 'patter-deepgram provides the STT "deepgram": pip install patter-deepgram',
    "eers": "did you mean ears",
    "Ears?api_key=hunter2": "is no provider reference",
}


@pytest.mark.parametrize("reference", PROBLEMS)
def test_says_why_a_reference_does_not_work(patter, reference):
    patter.install("patter-ears", EARS)
    found = report(patter, "--stt", reference)
    assert patter.code == 1
    assert found["ok"] is False
    assert PROBLEMS[reference] in found["references"][0]["problem"]
    text = patter("doctor", "--stt", reference).out
    assert patter.code == 1
    assert PROBLEMS[reference] in text
    assert text.endswith("Problems were found.\n")
    assert "hunter2" not in text + json.dumps(found)


def test_checks_every_reference_it_is_given(patter):
    words = [word for option in OPTIONS for word in (f"--{option}", "nothing-like-it")]
    found = report(patter, *words, "--barge-in", "another")
    assert [one["option"] for one in found["references"]] == [*OPTIONS, "barge-in"]


def test_says_which_plugins_are_broken_or_in_conflict(patter):
    patter.install("patter-ears", EARS)
    patter.install("patter-more-ears", EARS)
    patter.install("patter-broken", "import a_module_that_is_nowhere")
    found = report(patter)
    assert patter.code == 1
    assert [(one["dist"], one["stage"]) for one in found["failures"]] == [("patter-broken", "import")]
    assert [one["name"] for one in found["conflicts"]] == ["deaf", "ears", "odd"]
    assert found["conflicts"][1]["dists"] == ["patter-ears", "patter-more-ears"]
    text = patter("doctor").out
    assert "plugin broken of patter-broken 1.0: disabled (import)" in text
    assert 'Patter(prefer={"stt:ears": "patter-ears"})' in text


# -- everything that a call with an agent needs

PARTS = """
    from patter import CarrierRecord, LLMRecord, RealtimeRecord, STTRecord, TTSRecord, hookimpl
    from patter.audio.formats import MULAW_8K, AudioFormat
    from patter.errors import ConfigError
    from patter.testing.fake_carrier import FakeCarrier

    class Ears:
        def __init__(self, config, context): ...
        def input_formats(self):
            return [MULAW_8K]

    class Voice:
        def __init__(self, rate: int = 24000):
            self.rate = rate
        def output_format(self):
            return AudioFormat("pcm16", self.rate)

    class Brain:
        pass

    class Engine:
        def __init__(self, rate: int = 8000):
            self.rate = rate
        def audio_formats(self):
            return MULAW_8K, AudioFormat("mulaw" if self.rate == 8000 else "pcm16", self.rate)

    class Line(FakeCarrier):
        def webhooks(self):
            return {"voice": None}
        def attach(self, host):
            import os
            if not os.environ.get("LINE_TOKEN"):
                raise ConfigError("line: signatures need a token: set LINE_TOKEN")

    @hookimpl
    def patter_register_stt():
        return [STTRecord("hear", Ears, config="patter_parts:Config", env={"api_key": "HEAR_KEY"}, endpoints=True)]

    @hookimpl
    def patter_register_tts():
        return [TTSRecord("speak", Voice)]

    @hookimpl
    def patter_register_llm():
        return [LLMRecord("think", Brain)]

    @hookimpl
    def patter_register_realtime():
        return [RealtimeRecord("talk", Engine, turn_events=True, reconnect=True)]

    @hookimpl
    def patter_register_carrier():
        return [CarrierRecord("line", Line)]

    def __getattr__(name):
        from pydantic import SecretStr
        from patter.plugins import ProviderConfig

        class Config(ProviderConfig):
            api_key: SecretStr

        if name == "Config":
            return Config
        raise AttributeError(name)
"""
APP = """
from patter import Agent

agent = Agent(stt="hear", llm="think", tts="speak")
odd = Agent(stt="hear", llm="think", tts="speak?rate=12345")
mute = Agent(llm="think")
talker = Agent(engine="talk")
hoarse = Agent(engine="talk?rate=24000")
broken = Agent(engine="talk?rate=12345")
"""
KEYS = {"HEAR_KEY": "hunter2-hunter2", "LINE_TOKEN": "hunter3-hunter3"}
PHONE = ("--carrier", "line", "--phone-number", "+15550001234", "--webhook-url", "https://voice.example.com")


@pytest.fixture
def app(patter, tmp_path, monkeypatch):
    patter.install("patter-parts", PARTS)
    (tmp_path / "doctors_app.py").write_text(APP, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def test_an_agent_on_a_phone_that_can_carry_calls_has_no_problem(patter, app):
    found = report(patter, "doctors_app:agent", *PHONE)
    assert patter.code == 0, found
    texts = [f"{one['area']}: {one['text']}" for one in found["setup"]]
    assert texts == [
        "settings: no settings file",
        "public address: carriers reach this phone at https://voice.example.com",
        "carrier: line for ***1234",
        "carrier: webhook voice: https://voice.example.com/webhooks/line/voice",
        "stt: hear (HEAR_KEY is set)",
        "llm: think",
        "tts: speak",
        "agent: a pipeline, whose turns are ended by: stt",
        "audio: stt hear: the line's mulaw at 8000 Hz, untouched",
        "audio: tts speak: the line's mulaw at 8000 Hz, converted, pcm16 at 24000 Hz",
    ]
    text = patter("doctor", "doctors_app:agent", *PHONE).out
    assert text.endswith("No problems found.\n")
    assert "hunter" not in text + json.dumps(found)


def test_of_an_engine_it_says_who_decides_what_it_can_do_and_how_its_audio_comes(patter, app):
    found = report(patter, "doctors_app:talker", *PHONE)
    assert patter.code == 0, found
    cannot = "be asked to answer and to stop, protect its first message by itself, forget what was not heard"
    assert [f"{one['area']}: {one['text']}" for one in found["setup"]][4:] == [
        "engine: talk",
        "agent: an engine: it answers and stops by itself",
        "engine: talk can tell when the caller speaks, go on after a lost connection",
        f"engine: talk cannot {cannot}",
        "audio: engine talk: the line's mulaw at 8000 Hz, untouched",
    ]
    hoarse = report(patter, "doctors_app:hoarse", *PHONE)["setup"][-1]["text"]
    assert hoarse == "engine talk: the line's mulaw at 8000 Hz, untouched and converted, pcm16 at 24000 Hz"
    broken = report(patter, "doctors_app:broken", *PHONE)["setup"][-1]["problem"]
    assert "choose other settings of engine, or another engine" in broken


#: what is wrong -> the area that says so, and the setting and next step in its words
WRONG = {
    "no address": ("public address", "set --webhook-url, PATTER_WEBHOOK_URL"),
    "plain http": ("settings", "webhook_url must be https"),
    "no carrier": ("carrier", "set --carrier, PATTER_CARRIER"),
    "no number": ("settings", "set phone_number"),
    "no token": ("carrier", "set LINE_TOKEN"),
    "no key": ("stt", "set HEAR_KEY"),
    "no stt": ("agent", "needs an STT: set stt"),
    "no agent": ("agent", "it has the agents agent, odd, mute, talker, hoarse, broken"),
    "odd rate": ("audio", "choose other settings of tts"),
    "unknown option": ("agent", "did you mean language"),
    "unknown table": ("settings", "no kind of provider has this name"),
    "table of nobody": ("settings", "install one, or take [stt.nobody] out"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_each_problem_is_named_with_its_setting_and_the_next_step(patter, app, monkeypatch, wrong):
    words, target = list(PHONE), "doctors_app:agent"
    files = {
        "unknown option": '[agent]\nlangage = "it"\n',
        "unknown table": "[ears.acme]\nx = 1\n",
        "table of nobody": "[stt.nobody]\nx = 1\n",
    }
    if wrong in files:
        (app / "patter.toml").write_text(files[wrong], encoding="utf-8")
    match wrong:
        case "no address":
            words = words[:4]
        case "plain http":
            words[5] = "http://voice.example.com"
        case "no carrier":
            words = words[2:]
        case "no number":
            words = [*words[:2], *words[4:]]
        case "no token":
            monkeypatch.delenv("LINE_TOKEN")
        case "no key":
            monkeypatch.delenv("HEAR_KEY")
        case "no stt":
            target = "doctors_app:mute"
        case "no agent":
            target = "doctors_app:agnt"
        case "odd rate":
            target = "doctors_app:odd"
    found = report(patter, target, *words)
    assert patter.code == 1
    problems = [one for one in found["setup"] if one["problem"]]
    area, said = WRONG[wrong]
    assert any(one["area"] == area and said in one["problem"] for one in problems), problems
    assert "hunter" not in json.dumps(found)
