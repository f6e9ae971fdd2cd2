from __future__ import annotations

import json
import re
import sys

import pytest

VOICE = """
    from patter import TTSRecord, hookimpl

    @hookimpl
    def patter_register_tts():
        return [TTSRecord("steady", "patter_steady_voice:Steady", aliases=("calm",))]
"""
STEADY = """
from patter.audio.formats import PCM16_16K
from patter.providers.tts import TTS

class Steady(TTS):
    \"\"\"60 ms of a buzz for each character.\"\"\"

    def output_format(self):
        return PCM16_16K

    async def synthesize(self, text):
        for _ in text.strip():
            yield (b"\\x00\\x10" * 40 + b"\\x00\\xf0" * 40) * 12

    async def close(self):
        pass
"""
SPEAKS_BLANKS = STEADY.replace("text.strip()", "(text.strip() or 'blank')")
NEEDS_A_KEY = """
    from patter import LLMRecord, hookimpl
    from patter.plugins import ProviderConfig
    from pydantic import SecretStr

    class Config(ProviderConfig):
        api_key: SecretStr

    @hookimpl
    def patter_register_llm():
        return [LLMRecord("thinker", "nowhere:Thinker", config=Config, env={"api_key": "THINKER_KEY"})]
"""
SUITE = """
import pytest

from patter.testing.conformance import TTSConformance


class SteadySuite(TTSConformance):
    @pytest.mark.xfail(reason="one text is enough")
    def test_any_text_can_be_spoken(self):
        raise AssertionError
"""


@pytest.fixture
def steady(patter, tmp_path, monkeypatch):
    """The command line with a voice installed, and the folder that it runs in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    patter.install("patter-steady", VOICE)
    (tmp_path / "site-packages" / "patter_steady_voice.py").write_text(STEADY, encoding="utf-8")
    return patter


def test_a_voice_that_keeps_to_its_interface_passes(steady):
    found = steady("conformance", "calm", "--json")

    assert (found.code, found.err) == (0, "")
    told = json.loads(found.out)
    assert told["provider"] == "calm"
    assert told["failed"] == 0
    assert told["passed"] >= 15
    outcomes = {check["check"]: check["outcome"] for check in told["checks"]}
    assert len(told["checks"]) == told["passed"] + told["failed"] + told["skipped"]
    assert outcomes["longer_texts_last_longer"] == "passed"
    assert outcomes["registering_the_plugin_imports_no_library_and_opens_nothing"] == "passed"
    assert {check["kind"] for check in told["checks"]} == {"tts"}
    (skipped,) = (
        one
        for one in told["checks"]
        if one["check"] == "a_missing_setting_is_an_error_that_names_its_variable"
    )
    assert (skipped["outcome"], skipped["reason"]) == ("skipped", "reads no variables")


def test_a_voice_that_does_not_fails_with_the_check_and_the_place(steady, tmp_path):
    (tmp_path / "site-packages" / "patter_steady_voice.py").write_text(SPEAKS_BLANKS, encoding="utf-8")

    found = steady("conformance", "steady")

    assert found.code == 1
    assert re.search(r"^tts +blank text yields nothing\[ \] +failed +\w", found.out, re.MULTILINE)
    assert re.search(r"^tts +two voices speak at once +passed$", found.out, re.MULTILINE)
    assert "in test_blank_text_yields_nothing" in found.out
    failed = len(re.findall(r"^tts .*  failed  ", found.out, re.MULTILINE))
    assert failed >= 3
    skipped = len(re.findall(r"^tts .*  skipped  ", found.out, re.MULTILINE))
    assert skipped >= 2
    assert found.out.splitlines()[-1].endswith(f" passed, {failed} failed, {skipped} skipped")


def test_a_suite_of_ones_own_is_run_in_its_place_and_nothing_else_of_this_folder(steady, monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k nothing_of_that_name")
    with open("pytest.ini", "w", encoding="utf-8") as settings:
        settings.write("[pytest]\naddopts = --no-such-option\n")
    with open("conftest.py", "w", encoding="utf-8") as conftest:
        conftest.write("raise RuntimeError('not to be loaded')\n")
    with open("suites.py", "w", encoding="utf-8") as suites:
        suites.write(SUITE)

    found = steady("conformance", "steady", "--suite", "suites:SteadySuite", "--json")

    told = json.loads(found.out)
    (check,) = (one for one in told["checks"] if one["check"] == "any_text_can_be_spoken")
    assert (found.code, check["outcome"], check["reason"]) == (0, "skipped", "one text is enough")
    assert told["passed"] >= 15
    del sys.modules["suites"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nobody"], "no installed plugin provides 'nobody': `patter providers`"),
        (["nobody", "--kind", "stt"], 'there is no STT "nobody"'),
        (["steady", "--suite", "suites"], "'suites' names no suite"),
        (["steady", "--suite", "no_such_module_here:Suite"], "no module 'no_such_module_here'"),
        (["steady", "--suite", "json:JSONDecoder"], "json:JSONDecoder is no suite"),
        (["steady", "--suite", "patter.testing.conformance:Conformance"], "is no suite"),
        (["steady?speed=2"], "speed"),
        (["Steady!"], "is no provider reference"),
    ],
)
def test_what_cannot_be_checked_is_said_at_once(steady, words, said):
    found = steady("conformance", *words)

    assert (found.code, found.out) == (2, "")
    assert said in found.err


def test_a_claim_about_what_is_behind_a_voice_is_checked(steady):
    found = steady("conformance", "steady", "--native-mulaw", "--json")

    failed = {check["check"] for check in json.loads(found.out)["checks"] if check["outcome"] == "failed"}
    assert (found.code, failed) == (1, {"what_it_speaks_is_in_the_format_that_it_declares"})


def test_a_setting_that_is_missing_is_named_before_anything_runs(steady):
    steady.install("patter-thinker", NEEDS_A_KEY)

    found = steady("conformance", "thinker")

    assert found.code == 2
    assert "THINKER_KEY" in found.err


def test_without_pytest_it_says_what_to_install(steady, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytest", None)

    found = steady("conformance", "steady")

    assert (found.code, found.out) == (2, "")
    assert found.err.endswith("pip install pytest\n")


def test_a_suite_that_pytest_cannot_run_is_an_error_with_its_words(steady, monkeypatch):
    with open("suites.py", "w", encoding="utf-8") as suites:
        suites.write(SUITE + "\nimport sys\nif 'pytest' in sys.argv[0]: raise RuntimeError('not twice')\n")

    found = steady("conformance", "steady", "--suite", "suites:SteadySuite")
    sys.modules.pop("suites", None)

    assert found.code == 2
    assert "not twice" in found.err
