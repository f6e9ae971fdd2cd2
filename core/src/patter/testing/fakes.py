"""The fakes in one place: real implementations of the provider interfaces that a test can script."""

from __future__ import annotations

from patter.testing.fake_carrier import FakeCarrier, FakeMediaProtocol
from patter.testing.fake_engine import FakeEngine
from patter.testing.fake_llm import FakeLLM
from patter.testing.fake_stt import FakeSTT
from patter.testing.fake_tts import FakeTTS
from patter.testing.fake_vad import FakeVAD, FakeVADConfig

__all__ = [
    "FakeCarrier",
    "FakeEngine",
    "FakeLLM",
    "FakeMediaProtocol",
    "FakeSTT",
    "FakeTTS",
    "FakeVAD",
    "FakeVADConfig",
]
