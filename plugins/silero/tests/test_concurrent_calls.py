"""Many calls on one model (SP-15)."""

from __future__ import annotations

import random

import onnxruntime
import pytest

from patter.audio.formats import Encoding
from patter.call.vad_batching import VADBank
from patter.environment import Environment, SystemClock
from patter.plugins import SharedObjectPool
from patter.providers.context import ProviderContext
from patter_silero.config import SileroConfig
from patter_silero.model import SileroModel

FILES = ("appointment", "opening-hours", "wait", "stop")


class Call:
    """One caller: where in the audio the call is, and what was heard."""

    def __init__(self, bank, audio):
        self.audio, self.events, self.at = audio, [], 0
        self.slot = bank.open(Encoding.MULAW, self.events.append, on_failure=pytest.fail)

    def feed(self, size):
        self.slot.feed(self.audio[self.at : self.at + size])
        self.at += size
        return self.at < len(self.audio)


def audio_of(number, speech, silence):
    """A line of its own for each call: another file, another start, another pause."""
    first, second = FILES[number % 4], FILES[(number // 4) % 4]
    lead = silence(0.2 + 0.013 * number)
    return lead + speech(first) + silence(0.5 + 0.007 * number) + speech(second) + silence(0.6)


@pytest.mark.behaviour("SP-15")
def test_eighty_calls_load_the_model_once(monkeypatch):
    loaded = []
    genuine = onnxruntime.InferenceSession

    def counted(path, *arguments, **options):
        loaded.append(path)
        return genuine(path, *arguments, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", counted)
    context = ProviderContext(Environment(), SharedObjectPool())
    models = [SileroModel(SileroConfig(activation=0.5 + number % 2 / 5), context) for number in range(80)]
    banks = [VADBank(model, 8000, SystemClock()) for model in models]
    slots = [bank.open(Encoding.MULAW, lambda event: None) for bank in banks]
    for slot in slots:
        slot.feed(b"\xff" * 256)
    assert len(loaded) == 1


@pytest.mark.behaviour("SP-15")
@pytest.mark.parametrize("count", [2, 3, 8, 17, 64])
def test_a_call_hears_the_same_alone_and_with_others(recorded, hear, speech, silence, count):
    lines = [audio_of(number, speech, silence) for number in range(count)]
    bank = VADBank(recorded, 8000, SystemClock())
    calls = [Call(bank, line) for line in lines]
    for call in calls:
        call.feed(256)
    bank.step()
    assert recorded.batches == [count]
    order = random.Random(count)
    talking = list(calls)
    while talking:
        order.shuffle(talking)
        talking = [call for call in talking if call.feed(order.choice((80, 160, 240, 800)))]
        bank.step()
    while bank.step():
        pass
    together = sorted(recorded.probabilities)
    recorded.probabilities.clear()
    for call, line in zip(calls, lines, strict=True):
        assert call.events
        assert call.events == hear(line, model=recorded)
    assert together == sorted(recorded.probabilities)


@pytest.mark.behaviour("SP-15")
def test_a_reset_of_one_call_touches_no_other_and_ends_nothing(make_model, hear, speech, silence):
    bank = VADBank(make_model(), 8000, SystemClock())
    steady, restless = Call(bank, speech("appointment") + silence(1)), Call(bank, silence(6))
    while steady.feed(160):
        restless.feed(160)
        if steady.at % 1600 == 0:
            restless.slot.reset()
        bank.step()
    while bank.step():
        pass
    assert steady.events == hear(steady.audio)
    assert restless.events == []


def test_after_a_reset_the_line_is_heard_like_a_new_one(make_model, hear, speech, silence):
    bank = VADBank(make_model(), 8000, SystemClock())
    events = []
    slot = bank.open(Encoding.MULAW, events.append, on_failure=pytest.fail)
    slot.feed(speech("stop")[:1999])
    slot.reset()
    slot.feed(speech("wait") + silence(1))
    while bank.step():
        pass
    fresh = hear(speech("wait") + silence(1))
    assert [event.confidence for event in events] == [event.confidence for event in fresh]
    assert [event.sample_position - 1999 for event in events] == [event.sample_position for event in fresh]
