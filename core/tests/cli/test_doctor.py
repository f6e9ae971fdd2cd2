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
