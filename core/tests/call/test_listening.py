"""The inbound chain: what reaches the VAD and the STT, in which format and order."""

from __future__ import annotations

import logging
import tracemalloc

import numpy as np
import pytest

from patter.audio.formats import ALAW_8K, MULAW_8K, PCM16_8K, PCM16_16K, AudioFormat, Encoding
from patter.audio.g711 import mulaw_decode, mulaw_encode
from patter.call.input_chain import InputStages
from patter.call.listening import Listening, detector_format
from patter.providers.noise_filter import NoiseFilter


class Sink:
    """Takes audio as a detector does (`feed`) and as the STT's feed does (`send`)."""

    def __init__(self, audio_format, log=None, name=""):
        self.format = audio_format
        self.taken = []
        self._log = log if log is not None else []
        self._name = name

    def feed(self, payload):
        self.taken.append(payload)
        self._log.append(self._name)

    send = feed

    def close(self):
        pass


class Louder(NoiseFilter):
    """Doubles, so that its work shows."""

    def __init__(self, log=None, fail_at=None):
        self.calls = 0
        self._log = log if log is not None else []
        self._fail_at = fail_at

    def process(self, pcm, rate):
        self.calls += 1
        self._log.append(f"filter at {rate}")
        if self.calls == self._fail_at:
            raise RuntimeError("the filter broke")
        return (pcm.astype(np.int32) * 2).clip(-32768, 32767).astype(np.int16)

    def reset(self):
        pass

    def close(self):
        pass


def filtered_by(noise_filter, rate=8000):
    return InputStages(rate, noise_filter=lambda pcm: noise_filter.process(pcm, rate))


def frames(count=5, size=160):
    random = np.random.default_rng(1)
    return [random.integers(0, 256, size, dtype=np.uint8).tobytes() for _ in range(count)]


@pytest.mark.behaviour("SP-17", "SP-03")
def test_with_nothing_switched_on_the_stt_and_the_vad_get_the_carriers_own_bytes():
    stt, vad = Sink(MULAW_8K), Sink(MULAW_8K)
    listening = Listening(MULAW_8K, stt, vad)
    given = frames()
    for frame in given:
        listening.audio(frame)
    assert all(taken is frame for taken, frame in zip(stt.taken, given, strict=True))
    assert all(taken is frame for taken, frame in zip(vad.taken, given, strict=True))


@pytest.mark.behaviour("SP-17")
def test_with_nothing_switched_on_nothing_is_allocated_for_a_frame():
    class Quiet:
        format = MULAW_8K

        def feed(self, payload):
            pass

        send = feed

    first, second, third = frames(3)
    for stt, vad in ((Quiet(), Quiet()), (Quiet(), None), (None, Quiet())):
        audio = Listening(MULAW_8K, stt, vad).audio
        audio(first)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            audio(second)
            audio(third)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak - before < 16  # the smallest object there is


def test_a_lone_taker_of_the_carriers_format_is_called_by_the_reader_itself():
    stt = Sink(MULAW_8K)
    assert Listening(MULAW_8K, stt, None).audio == stt.send


@pytest.mark.behaviour("SP-03")
def test_who_wants_the_same_format_shares_one_conversion():
    """VAD and STT get one object, and the VAD gets it first."""
    log = []
    stt, vad = Sink(PCM16_16K, log, "stt"), Sink(PCM16_16K, log, "vad")
    listening = Listening(MULAW_8K, stt, vad)
    for frame in frames():
        listening.audio(frame)
    assert len(stt.taken) == 5
    assert all(one is other for one, other in zip(stt.taken, vad.taken, strict=True))
    assert log == ["vad", "stt"] * 5


def test_the_order_is_filter_then_vad_then_stt():
    log = []
    listening = Listening(
        MULAW_8K, Sink(MULAW_8K, log, "stt"), Sink(MULAW_8K, log, "vad"), filtered_by(Louder(log))
    )
    for frame in frames(2):
        listening.audio(frame)
    assert log == ["filter at 8000", "vad", "stt"] * 2


def test_vad_and_stt_hear_the_filtered_audio():
    stt, vad = Sink(PCM16_8K), Sink(MULAW_8K)
    listening = Listening(MULAW_8K, stt, vad, filtered_by(Louder()))
    quiet = mulaw_encode(np.full(160, 1000, np.int16))
    listening.audio(quiet)
    doubled = (mulaw_decode(quiet) * 2).astype("<i2")
    assert vad.taken == [mulaw_encode(doubled)]
    assert stt.taken == [doubled.tobytes()]


def test_each_gets_its_own_format_and_the_conversion_is_one_stream():
    tone = (np.sin(np.arange(8000) * 2 * np.pi * 440 / 8000) * 8000).astype(np.int16)
    stt, vad = Sink(PCM16_16K), Sink(MULAW_8K)
    listening = Listening(MULAW_8K, stt, vad)
    coded = mulaw_encode(tone)
    for start in range(0, 8000, 160):
        listening.audio(coded[start : start + 160])
    assert b"".join(vad.taken) == coded
    heard = np.frombuffer(b"".join(stt.taken), "<i2").astype(float)
    assert 15_800 < len(heard) <= 16_000
    spectrum = np.abs(np.fft.rfft(heard[800:15_200] * np.hanning(14_400)))
    peak = int(spectrum.argmax()) * 16_000 / 14_400
    assert peak == pytest.approx(440, abs=2)
    # A seam at each frame would show as lines 50 Hz apart.
    near = 440 * 14_400 // 16_000
    rest = np.delete(spectrum, slice(near - 4, near + 5))
    assert rest.max() < spectrum.max() / 100


def test_a_call_without_a_vad_or_an_stt_is_heard_by_the_other():
    for stt, vad in ((Sink(MULAW_8K), None), (None, Sink(MULAW_8K)), (None, None)):
        listening = Listening(MULAW_8K, stt, vad)
        listening.audio(b"\x01" * 160)
        assert [sink.taken for sink in (stt, vad) if sink] == [[b"\x01" * 160] for sink in (stt, vad) if sink]


def test_a_filter_that_raises_is_left_out_for_the_rest_of_the_call_and_no_frame_is_lost(caplog):
    stt, louder = Sink(MULAW_8K), Louder(fail_at=3)
    listening = Listening(MULAW_8K, stt, None, filtered_by(louder))
    given = frames(6)
    with caplog.at_level(logging.WARNING):
        for frame in given:
            listening.audio(frame)
    assert louder.calls == 3
    assert len(stt.taken) == 6
    assert stt.taken[2:] == given[2:]
    assert stt.taken[:2] != given[:2]
    assert len([record for record in caplog.records if "noise filter" in record.getMessage()]) == 1


@pytest.mark.parametrize(
    ("carrier", "rates", "expected"),
    [
        (MULAW_8K, (16000, 8000), MULAW_8K),
        (ALAW_8K, (8000,), ALAW_8K),
        (MULAW_8K, (16000,), PCM16_16K),
        (AudioFormat(Encoding.PCM16, 24000), (8000, 16000), PCM16_8K),
    ],
)
def test_a_detector_is_fed_the_carriers_format_at_a_rate_it_takes(carrier, rates, expected):
    assert detector_format(carrier, rates) == expected
