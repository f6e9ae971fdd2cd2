"""The fakes as one plugin: ``phone.register(fake_plugin)``, then ``Agent(stt="fake", llm="fake", tts="fake", ...)``.

They have prices of their own, in `prices.json` beside this file, so that the cost of a simulated call can be checked.
"""

from __future__ import annotations

from collections.abc import Iterable

from patter.markers import hookimpl
from patter.records import CarrierRecord, LLMRecord, RealtimeRecord, STTRecord, TTSRecord, VADRecord

_PRICES = "patter.testing:prices.json"


def _endpointing_stt(context: object) -> object:
    from patter.providers.context import ProviderContext
    from patter.testing.fake_stt import FakeSTT

    assert isinstance(context, ProviderContext)
    return FakeSTT(context, endpoints=True)


def _greeting_engine(context: object) -> object:
    from patter.providers.context import ProviderContext
    from patter.testing.fake_engine import FakeEngine

    assert isinstance(context, ProviderContext)
    return FakeEngine(context, input_rate=16_000, output_rate=24_000, greets=True)


@hookimpl
def patter_register_carrier() -> Iterable[CarrierRecord]:
    """``fake``: a carrier in memory that can do everything."""
    return [
        CarrierRecord(
            "fake",
            "patter.testing.fake_carrier:FakeCarrier",
            marks=True,
            clear=True,
            dtmf_out=True,
            transfers=("cold", "warm"),
            recording=True,
            machine_detection=True,
            sip=True,
            speaks=True,
            stream=("mulaw", 8000),
            prices=_PRICES,
        )
    ]


@hookimpl
def patter_register_stt() -> Iterable[STTRecord]:
    """``fake``, which answers `finalize()`, and ``fake-endpointing``, which closes utterances by itself."""
    return [
        STTRecord("fake", "patter.testing.fake_stt:FakeSTT", interims=True, prices=_PRICES),
        STTRecord("fake-endpointing", _endpointing_stt, endpoints=True, interims=True, prices=_PRICES),
    ]


@hookimpl
def patter_register_llm() -> Iterable[LLMRecord]:
    """``fake``: the replies of a scene."""
    return [LLMRecord("fake", "patter.testing.fake_llm:FakeLLM", prices=_PRICES)]


@hookimpl
def patter_register_tts() -> Iterable[TTSRecord]:
    """``fake``: tones."""
    return [TTSRecord("fake", "patter.testing.fake_tts:FakeTTS", prices=_PRICES)]


@hookimpl
def patter_register_realtime() -> Iterable[RealtimeRecord]:
    """``fake``, which can do everything but greet by itself; ``fake-greeter``, which does, can be asked for nothing,
    takes PCM at 16 kHz and gives it at 24 kHz.
    """
    engine = "patter.testing.fake_engine:FakeEngine"
    return [
        RealtimeRecord(
            "fake",
            engine,
            turn_events=True,
            client_interrupt=True,
            truncate=True,
            reconnect=True,
            ack=True,
            prices=_PRICES,
        ),
        RealtimeRecord(
            "fake-greeter", _greeting_engine, turn_events=True, native_greeting=True, prices=_PRICES
        ),
    ]


@hookimpl
def patter_register_vad() -> Iterable[VADRecord]:
    """``fake``: whatever is not silent is speech."""
    return [
        VADRecord(
            "fake",
            "patter.testing.fake_vad:FakeVAD",
            config="patter.testing.fake_vad:FakeVADConfig",
            batch=False,
        )
    ]
