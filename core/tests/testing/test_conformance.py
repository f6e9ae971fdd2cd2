"""The conformance suites: the fakes pass them, and what is broken does not."""

from __future__ import annotations

import pytest

# pytester forgets what an inner session imported, and numpy cannot be imported twice
import patter.testing.pytest_phone  # noqa: F401
from patter.testing import fake_plugin
from patter.testing.conformance import (
    CarrierConformance,
    LLMConformance,
    RealtimeConformance,
    STTConformance,
    TTSConformance,
    VADConformance,
)
from patter.testing.scene import SHARED_KEY, Scenes
from patter.testing.tones import tone

pytest_plugins = ["pytester"]


class TestFakeTTS(TTSConformance):
    spec = "fake"
    plugins = (fake_plugin,)
    native_mulaw = True


class TestFakeTTSWithOddChunks(TTSConformance):
    spec = "fake?encoding=pcm16&rate=24000&chunk_bytes=3333"
    plugins = (fake_plugin,)


class TestFakeLLM(LLMConformance):
    spec = "fake"
    plugins = (fake_plugin,)


class TestFakeSTT(STTConformance):
    spec = "fake"
    plugins = (fake_plugin,)
    native_mulaw = True


class Toned:
    """What the fake engine hears must be a caller's tone, of whom its scene knows."""

    plugins = (fake_plugin,)

    def speech(self, audio_format):
        silence = audio_format.silence(audio_format.rate // 2)
        return tone(0, 400, audio_format) + silence

    def run(self, server, check):
        async def known(subject):
            for number in range(8):
                scenes = subject.shared.get(SHARED_KEY, Scenes)
                scenes.of(f"call_{number}").recogniser.add("Hello there.")
            await check(subject)

        super().run(server, known)


class TestFakeEngine(Toned, RealtimeConformance):
    spec = "fake"
    native_mulaw = True


class TestFakeGreeter(Toned, RealtimeConformance):
    spec = "fake-greeter"
    native_mulaw = False


class TestFakeVAD(VADConformance):
    spec = "fake"
    plugins = (fake_plugin,)


class TestFakeCarrier(CarrierConformance):
    spec = "fake"
    plugins = (fake_plugin,)
    start_messages = ('{"type": "start", "stream": "s", "call": "c", "encoding": "mulaw", "rate": 8000}',)


HEADER = """
import asyncio
import pytest
import patter
from patter.audio.formats import MULAW_8K
from patter.providers.barge_in import BargeInStrategy
from patter.providers.tts import TTS
from patter.testing.conformance import BargeInConformance, TTSConformance

LOUD = bytes([0x9f, 0x1f]) * 240  # 60 ms of µ-law

class Voice(TTS):
    def output_format(self):
        return MULAW_8K

    async def synthesize(self, text):
        if text.strip():
            for _ in range(len(text)):
                yield LOUD

    async def close(self): ...

def plugin(factory, kind="tts"):
    class Plugin:
        if kind == "tts":
            @patter.hookimpl
            def patter_register_tts(self):
                return [patter.TTSRecord("voice", factory)]
        else:
            @patter.hookimpl
            def patter_register_barge_in(self):
                return [patter.BargeInRecord("strategy", factory)]
    return Plugin()
"""

BROKEN = {
    "declares_pcm_and_speaks_mulaw": (
        """
class Broken(Voice):
    def output_format(self):
        from patter.audio.formats import PCM16_8K
        return PCM16_8K
""",
        "test_what_it_speaks_is_in_the_format_that_it_declares",
    ),
    "declares_mulaw_and_speaks_pcm": (
        """
import numpy as np
tone = (np.sin(np.arange(480) / 3) * 3000).astype("<i2").tobytes()

class Broken(Voice):
    async def synthesize(self, text):
        if text.strip():
            for _ in range(len(text)):
                yield tone
""",
        "test_what_it_speaks_is_in_the_format_that_it_declares",
    ),
    "declares_twice_the_rate": (
        """
from patter.audio.formats import AudioFormat
tone = bytes([0x9f, 0x1f]) * 240

class Broken(Voice):
    def output_format(self):
        return AudioFormat("mulaw", 16000)
""",
        "test_what_it_speaks_is_in_the_format_that_it_declares",
    ),
    "speaks_blank_text": (
        """
class Broken(Voice):
    async def synthesize(self, text):
        yield LOUD * max(4, len(text))
""",
        "test_blank_text_yields_nothing",
    ),
    "does_not_close": (
        """
class Broken(Voice):
    async def close(self):
        await asyncio.sleep(1.3)
""",
        "test_close_is_idempotent_quick_and_allowed_at_any_time",
    ),
    "leaves_a_task": (
        """
class Broken(Voice):
    async def synthesize(self, text):
        if text.strip():
            asyncio.ensure_future(asyncio.sleep(60))
            for _ in range(len(text)):
                yield LOUD
                await asyncio.sleep(0)
""",
        "test_cancelling_at_any_point_leaves_nothing",
    ),
    "shares_its_object": (
        """
one = Voice()
def Broken():
    return one
""",
        "test_two_of_them_share_no_state",
    ),
    "stops_late": (
        """
class Broken(Voice):
    async def synthesize(self, text):
        try:
            for _ in range(len(text) if text.strip() else 0):
                yield LOUD
        finally:
            await asyncio.sleep(0.3)
""",
        "test_closing_a_synthesis_stops_it_at_once_and_nothing_of_it_leaks",
    ),
    "claims_word_times": (
        """
class Broken(Voice):
    def word_times(self):
        from patter.providers.tts import WordTime
        return (WordTime("One", 0.0),)
""",
        "test_word_times_are_there_if_they_are_claimed",
    ),
}


def failed(pytester: pytest.Pytester, body: str, only: str = "test") -> set[str]:
    """The checks that failed, of those whose name has `only` in it."""
    pytester.makepyfile(HEADER + body)
    result = pytester.inline_run(
        "-p", "no:asyncio", "-p", "no:anyio", "-p", "no:cacheprovider", "-q", "-k", only
    )
    return {report.nodeid.rpartition("::")[2].partition("[")[0] for report in result.getfailures()}


@pytest.mark.parametrize(("claimed", "fails"), [("True", False), ("None", False), ("False", True)])
def test_a_voice_that_speaks_mulaw_is_held_to_what_is_claimed_of_it(
    pytester: pytest.Pytester, claimed: str, fails: bool
) -> None:
    check = "test_what_it_speaks_is_in_the_format_that_it_declares"
    names = failed(
        pytester,
        f"class TestIt(TTSConformance):\n    spec = 'voice'\n    plugins = (plugin(Voice),)\n    native_mulaw = {claimed}\n",
        only=check,
    )

    assert names == ({check} if fails else set())


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_voice_fails_the_check_of_its_fault(pytester: pytest.Pytester, name: str) -> None:
    body, check = BROKEN[name]

    names = failed(
        pytester,
        f"{body}\nclass TestIt(TTSConformance):\n    spec = 'voice'\n    plugins = (plugin(Broken),)\n",
        only=check,
    )

    assert check in names


def test_a_voice_without_fault_passes_all(pytester: pytest.Pytester) -> None:
    assert (
        failed(
            pytester,
            "class TestIt(TTSConformance):\n    spec = 'voice'\n    plugins = (plugin(Voice),)\n",
        )
        == set()
    )


def test_a_strategy_that_remembers_across_reset_or_answers_anything_fails(pytester: pytest.Pytester) -> None:
    names = failed(
        pytester,
        """
class Broken(BargeInStrategy):
    def __init__(self):
        self.count = 0

    def evaluate(self, event):
        self.count += 1
        return True if self.count > 20 else "maybe"

class TestIt(BargeInConformance):
    spec = 'strategy'
    plugins = (plugin(Broken, "barge_in"),)
""",
    )

    assert names == {
        "test_it_answers_every_kind_of_event_with_a_bool_or_a_verdict",
        "test_the_same_events_since_a_reset_give_the_same_answers",
    }


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ("def test_any_text_can_be_spoken(self): ...", True),
        ("test_any_text_can_be_spoken = None", True),
        ("@pytest.mark.xfail\n    def test_any_text_can_be_spoken(self): assert False", True),
        (
            "@pytest.mark.xfail(reason='ASCII alone')\n    def test_any_text_can_be_spoken(self): assert False",
            False,
        ),
    ],
)
def test_a_check_is_changed_with_a_written_reason_alone(
    pytester: pytest.Pytester, change: str, fails: bool
) -> None:
    names = failed(
        pytester,
        f"class TestIt(TTSConformance):\n    spec = 'voice'\n    plugins = (plugin(Voice),)\n    {change}\n",
        only="without_a_reason",
    )

    assert ("test_no_check_is_changed_without_a_reason" in names) is fails


SETTINGS = """
from typing import Literal
import pydantic
from patter.plugins.configuration import ProviderConfig

class Settings(pydantic.BaseModel):
    pitch: int = 1
    speed: int = 1
    model: Literal["only"] = "only"

    @pydantic.field_validator("speed")
    @classmethod
    def positive(cls, value):
        return value

    @pydantic.model_validator(mode="after")
    def consistent(self):
        assert self.speed >= 0
        return self

class Configured(Voice):
    def __init__(self, config, context):
        self.config = config

class Plugin:
    def __init__(self, factory):
        self.factory = factory

    @patter.hookimpl
    def patter_register_tts(self):
        return [patter.TTSRecord("voice", self.factory, config=Settings)]
"""

#: how a voice takes its settings -> whether the check lets it pass
TAKES = {
    "both_when_made": (
        "def output_format(self): self.config.pitch, self.config.speed; return MULAW_8K",
        True,
    ),
    "one_alone": ("def output_format(self): self.config.pitch; return MULAW_8K", False),
    "all_at_once": ("def __init__(self, config, context): self.config = config.model_dump()", True),
    "none": ("pass", False),
    "by_name": ("def output_format(self): getattr(self.config, 'pitch'); return MULAW_8K", False),
    "on_a_rare_path": (
        """def output_format(self): self.config.pitch; return MULAW_8K
    def lost(self, other): return other.config.speed""",
        True,
    ),
}


@pytest.mark.behaviour("CF-04")
@pytest.mark.parametrize("way", TAKES)
def test_a_setting_that_a_provider_accepts_and_never_reads_fails(pytester: pytest.Pytester, way: str) -> None:
    body, passes = TAKES[way]
    source = f"{SETTINGS}\nclass Mine(Configured):\n    {body}\n"
    suite = "class TestIt(TTSConformance):\n    spec = 'voice'\n    plugins = (Plugin(Mine),)\n"
    names = failed(pytester, source + suite, only="setting_that_it_accepts")

    assert names == (set() if passes else {"test_every_setting_that_it_accepts_is_read"})


@pytest.mark.behaviour("CF-04")
@pytest.mark.parametrize(("used", "passes"), [("self.pitch = pitch", True), ("pass", False)])
def test_a_parameter_that_a_factory_accepts_and_never_reads_fails(
    pytester: pytest.Pytester, used: str, passes: bool
) -> None:
    source = f"class Mine(Voice):\n    def __init__(self, pitch: int = 1):\n        {used}\n"
    suite = "class TestIt(TTSConformance):\n    spec = 'voice'\n    plugins = (plugin(Mine),)\n"
    names = failed(pytester, source + suite, only="setting_that_it_accepts")

    assert names == (set() if passes else {"test_every_setting_that_it_accepts_is_read"})
