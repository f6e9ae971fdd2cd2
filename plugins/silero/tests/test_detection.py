"""Real inference on rendered speech; see data/SOURCES.md. Position 0 of a file is its audible onset."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from patter.audio.formats import Encoding
from patter.audio.g711 import MULAW_TO_FLOAT, mulaw_decode, mulaw_encode
from patter.call.vad_batching import VADBank
from patter.environment import SystemClock
from patter_silero.session import BUNDLED, CONTEXT, WINDOW

FILES = ("appointment", "opening-hours", "wait", "stop")
LEAD_S = 2


def reference(audio, rate, context=None):
    """The model's own loop as its tensors ask for it, without any of our code: probabilities of whole windows."""
    session = onnxruntime.InferenceSession(str(BUNDLED), providers=["CPUExecutionProvider"])
    context = CONTEXT[rate] if context is None else context
    samples = np.concatenate([np.zeros(context, np.float32), MULAW_TO_FLOAT[np.frombuffer(audio, np.uint8)]])
    state = np.zeros((2, 1, 128), np.float32)
    probabilities = []
    for start in range(0, len(samples) - context - WINDOW[rate] + 1, WINDOW[rate]):
        window = samples[None, start : start + context + WINDOW[rate]]
        feed = {"input": window, "state": state, "sr": np.array(rate, np.int64)}
        probability, state = session.run(None, feed)
        probabilities.append(float(probability[0, 0]))
    return probabilities


def reported_at(events_of, audio, chunk=80):
    """Sample count at which the first event came."""
    _, slot, events = events_of
    for start in range(0, len(audio), chunk):
        slot.feed(audio[start : start + chunk])
        if events:
            return start + chunk
    return None


@pytest.fixture
def listening(make_model):
    def open_one(rate=8000, **settings):
        bank = VADBank(make_model(**settings), rate, SystemClock())
        events = []
        return bank, bank.open(Encoding.MULAW, events.append, on_failure=pytest.fail), events

    return open_one


@pytest.mark.parametrize(("name", "rate"), [("opening-hours", 8000), ("opening-hours-16k", 16000)])
def test_windows_context_state_and_scale_are_the_models(recorded, hear, speech, silence, name, rate):
    audio = silence(0.5, rate) + speech(name) + silence(0.5, rate)
    hear(audio, rate=rate, model=recorded)
    assert recorded.probabilities == reference(audio, rate)
    assert {window.shape for window in recorded.windows} == {(CONTEXT[rate] + WINDOW[rate],)}
    assert max(recorded.probabilities) > 0.9
    # what makes that comparison worth having: without context the model still answers, and hears next to nothing
    if rate == 16000:
        deaf, heard = (
            np.array(each) >= 0.5 for each in (reference(audio, rate, context=0), recorded.probabilities)
        )
        assert deaf.sum() < heard.sum() / 5


def test_a_full_scale_sine_stays_within_one(recorded, hear):
    sine = np.rint(np.sin(np.arange(8000) * 0.7) * 32767).astype("<i2")
    sine[:2] = -32768, 32767
    hear(sine.tobytes(), encoding=Encoding.PCM16, chunk=320, model=recorded)
    assert max(abs(window).max() for window in recorded.windows) == 1.0
    hear(b"\x00\x80" * 400, model=recorded)
    assert 0.9 < max(abs(window).max() for window in recorded.windows) <= 1.0


@pytest.mark.behaviour("SP-14")
@pytest.mark.parametrize("name", [*FILES, "opening-hours-16k"])
@pytest.mark.parametrize(
    "settings", [{}, {"activation": 0.8, "deactivation": 0.65}], ids=["default", "phone"]
)
def test_clear_speech_is_reported_within_450_ms_of_its_onset(listening, speech, silence, name, settings):
    rate = 16000 if name.endswith("16k") else 8000
    bank, slot, events = listening(rate, **settings)
    assert (bank.window_samples, bank._context_samples) == ((256, 32) if rate == 8000 else (512, 64))
    samples = reported_at((bank, slot, events), silence(LEAD_S, rate) + speech(name) + silence(1, rate))
    assert events[0].kind == "speech_start"
    assert samples / rate - LEAD_S <= 0.450
    assert abs(events[0].sample_position / rate - LEAD_S) <= 0.200
    assert events[0].confidence >= settings.get("deactivation", 0.35)


@pytest.mark.behaviour("SP-14")
@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("encoding", [Encoding.MULAW, Encoding.ALAW, Encoding.PCM16], ids=str)
def test_a_minute_of_silence_or_quiet_noise_is_not_speech(hear, noise, rate, encoding):
    silent = {Encoding.MULAW: b"\xff", Encoding.ALAW: b"\xd5", Encoding.PCM16: b"\0\0"}[encoding] * 60 * rate
    assert hear(silent, rate=rate, encoding=encoding, chunk=len(silent) // 600) == []
    if encoding is Encoding.PCM16:
        quiet = noise(60, -46, rate)
        assert hear(quiet, rate=rate, encoding=encoding, chunk=rate // 25) == []
        assert hear(mulaw_encode(np.frombuffer(quiet, np.int16)), rate=rate, chunk=rate // 50) == []


@pytest.fixture
def line():
    """µ-law of a line on which nobody speaks: `line("ringback", 30)`."""

    def make(kind, seconds):
        t = np.arange(seconds * 8000) / 8000
        if kind == "ringback":
            sound = np.where(t % 6 < 2, 0.2 * (np.sin(2 * np.pi * 440 * t) + np.sin(2 * np.pi * 480 * t)), 0)
        elif kind == "dtmf":
            sound = np.where(
                t % 0.3 < 0.1, 0.25 * (np.sin(2 * np.pi * 770 * t) + np.sin(2 * np.pi * 1336 * t)), 0
            )
        elif kind == "melody":
            notes = np.random.default_rng(5).choice([262, 294, 330, 349, 392, 440, 494, 523], seconds * 4)
            phase = 2 * np.pi * np.cumsum(np.repeat(notes, 2000)) / 8000
            sound = 0.15 * np.exp(-12 * (t % 0.25)) * sum(np.sin(phase * n) / n for n in range(1, 7))
        else:
            sound = np.zeros_like(t)
        return mulaw_encode(np.rint(sound * 32767).astype(np.int16))

    return make


@pytest.mark.parametrize("kind", ["ringback", "dtmf", "melody"])
def test_the_sounds_of_a_telephone_are_not_speech(hear, line, kind):
    assert hear(line(kind, 60)) == []


@pytest.mark.parametrize("kind", ["silence", "ringback", "dtmf"])
@pytest.mark.parametrize("name", FILES)
def test_speech_is_heard_at_once_after_minutes_without_any(listening, line, speech, silence, kind, name):
    """Perfect zeros and tones dull the network's memory, which is therefore zeroed while nobody speaks."""
    lead = line(kind, 120)
    samples = reported_at(listening(activation=0.8, deactivation=0.65), lead + speech(name) + silence(1))
    assert len(lead) < samples <= len(lead) + 0.450 * 8000


def test_speech_ends_where_the_silence_began(hear, speech, silence):
    audio = silence(LEAD_S) + speech("opening-hours") + silence(1)
    start, end = hear(audio)
    assert (start.kind, end.kind) == ("speech_start", "speech_end")
    assert abs(end.sample_position - (len(audio) - 8000)) <= 8000 * 0.150
    assert end.duration_ms == (end.sample_position - start.sample_position) / 8


@pytest.mark.parametrize("pause_s", [0.2, 1.0])
def test_min_silence_decides_between_a_pause_and_an_end(hear, speech, silence, pause_s):
    events = hear(speech("wait") + silence(pause_s) + speech("opening-hours") + silence(1))
    kinds = [event.kind for event in events]
    assert kinds == ["speech_start", "speech_end"] * (1 if pause_s < 0.4 else 2)


def test_min_speech_makes_reports_quicker(listening, speech, silence):
    audio = silence(LEAD_S) + speech("wait") + silence(1)
    quick, usual = (reported_at(listening(min_speech_ms=ms), audio, chunk=64) for ms in (64, 250))
    assert usual - quick == 6 * 256  # 8 windows make 250 ms, 2 make 64 ms


@pytest.mark.parametrize("rate", [8000, 16000])
def test_any_cut_of_the_audio_gives_the_same_events(hear, speech, silence, rate):
    name = "opening-hours-16k" if rate == 16000 else "opening-hours"
    audio = silence(1, rate) + speech(name) + silence(1, rate)
    expected = hear(audio, rate=rate, chunk=rate // 50)
    assert [event.kind for event in expected] == ["speech_start", "speech_end"]
    for chunk in (1, rate // 100, rate, 137, 2 * rate):
        if chunk > 1 or rate == 8000:
            assert hear(audio, rate=rate, chunk=chunk) == expected


def test_an_encoding_changes_nothing_that_the_samples_do_not(hear, speech, silence):
    audio = silence(1) + speech("wait") + silence(1)
    pcm = mulaw_decode(audio).astype("<i2").tobytes()
    assert hear(pcm, encoding=Encoding.PCM16, chunk=320) == hear(audio)
