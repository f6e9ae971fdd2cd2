from __future__ import annotations

import numpy as np
import pytest

from patter.audio.formats import AudioFormat, Encoding
from patter.audio.g711 import mulaw_encode
from patter.call.vad_simple import SimpleVAD
from patter.errors import InputError
from patter.providers.vad import VAD, VADEvent


class Threshold(VAD):
    """Speech is what is louder than a tenth of full scale; edges are reported at once."""

    def __init__(self):
        self.frames, self.closed, self.resets = [], 0, 0
        self.speaking, self.position = False, 0

    def process_frame(self, pcm, rate):
        self.frames.append((pcm.dtype, len(pcm), rate))
        start, self.position = self.position, self.position + len(pcm)
        loud = bool(np.abs(pcm.astype(int)).mean() > 3276)
        if loud == self.speaking:
            return None
        self.speaking = loud
        return VADEvent("speech_start" if loud else "speech_end", start)

    def reset(self):
        self.resets += 1
        self.speaking, self.position = False, 0

    def close(self):
        self.closed += 1


@pytest.fixture
def source():
    made = []

    def make():
        made.append(Threshold())
        return made[-1]

    def of_rate(rate=8000):
        simple = SimpleVAD(make, rate)
        simple.made = made
        return simple

    return of_rate


def loud_then_quiet(rate):
    """0.1 s quiet, 0.5 s loud, 0.3 s quiet."""
    samples = np.zeros(rate * 9 // 10, np.int16)
    samples[rate // 10 : rate * 6 // 10] = 12000
    return samples


@pytest.mark.behaviour("SP-13")
@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("chunk_ms", [10, 20, 30, 900])
@pytest.mark.parametrize("encoding", [Encoding.MULAW, Encoding.PCM16], ids=str)
def test_frames_of_20_ms_of_int16_whatever_the_payloads(source, rate, chunk_ms, encoding):
    simple, events = source(rate), []
    slot = simple.open(encoding, events.append, on_failure=pytest.fail)
    assert slot.format == AudioFormat(encoding, rate)
    samples = loud_then_quiet(rate)
    audio = mulaw_encode(samples) if encoding is Encoding.MULAW else samples.astype("<i2").tobytes()
    size = slot.format.bytes_for_ms(chunk_ms)
    for start in range(0, len(audio), size):
        slot.feed(audio[start : start + size])
    assert [(event.kind, event.sample_position) for event in events] == [
        ("speech_start", rate // 10),
        ("speech_end", rate * 6 // 10),
    ]
    assert simple.made[0].frames == [(np.int16, rate // 50, rate)] * 45
    assert simple.step() is False


@pytest.mark.behaviour("SP-13")
def test_each_slot_has_a_vad_of_its_own(source):
    simple = source()
    first, second = (simple.open(Encoding.MULAW, pytest.fail) for _ in range(2))
    first.feed(b"\xff" * 160)
    first.reset()
    first.close()
    first.close()
    first.feed(b"\x80" * 1600)
    first.reset()
    one, other = simple.made
    assert (len(one.frames), one.resets, one.closed) == (1, 1, 1)
    assert (len(other.frames), other.resets, other.closed) == (0, 0, 0)
    second.close()


def test_an_event_may_close_the_slot(source):
    simple, events = source(), []

    def once(event):
        events.append(event)
        slot.close()

    slot = simple.open(Encoding.MULAW, once, on_failure=pytest.fail)
    slot.feed(mulaw_encode(loud_then_quiet(8000)))
    assert len(events) == 1
    assert simple.made[0].closed == 1


def test_a_failure_closes_the_slot_and_tells_its_call(source):
    simple, failures = source(), []

    def broken(event):
        raise LookupError("no such turn")

    slot = simple.open(Encoding.MULAW, broken, failures.append)
    slot.feed(mulaw_encode(loud_then_quiet(8000)))
    assert [type(failure) for failure in failures] == [LookupError]
    assert simple.made[0].closed == 1


def test_half_a_sample_is_refused(source):
    with pytest.raises(InputError):
        source().open(Encoding.PCM16, pytest.fail).feed(b"\0")
