"""The stages before the VAD and the STT: their order, what each sees, and what happens when one fails."""

from __future__ import annotations

import itertools
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter import Agent, ConfigError
from patter.audio.formats import MULAW_8K, PCM16_8K, PCM16_16K, PCM16_24K, AudioFormat, Encoding
from patter.audio.g711 import mulaw_decode
from patter.call.input_chain import InputChain, InputStages, Sink, chain_rate, fan_out
from patter.call.input_stages import gain_target_dbfs, make_stages
from patter.call.listening import Listening
from patter.providers.noise_filter import NoiseFilter

STAGES = ("high_pass", "echo_cancellation", "noise_filter", "gain_control")
NAMES = tuple(name.replace("_", " ").replace("high pass", "high-pass") for name in STAGES)


class Taker:
    """The end of the chain, as a VAD and as an STT."""

    def __init__(self, audio_format, name="", log=None):
        self.format = audio_format
        self.taken = []
        self._name = name
        self._log = log

    def feed(self, payload):
        self.taken.append(payload)
        if self._log is not None:
            self._log.append((self._name, np.frombuffer(payload, "<i2"), None))

    send = feed

    def close(self):
        pass


class Halved(NoiseFilter):
    """Half as loud, so that its work shows."""

    def __init__(self):
        self.rates = []

    def process(self, pcm, rate):
        self.rates.append(rate)
        return pcm // 2

    def reset(self):
        pass

    def close(self):
        pass


def caller(count, size=160):
    random = np.random.default_rng(4)
    return [random.integers(0, 256, size, dtype=np.uint8).tobytes() for _ in range(count)]


def recorded(stages, log):
    """The stages with what each was given and what it made of it in a log."""

    def recording(name, process):
        def run(pcm):
            result = process(pcm)
            log.append((name, pcm.copy(), result.copy()))
            return result

        return run

    of = {name: getattr(stages, name) for name in STAGES if getattr(stages, name) is not None}
    return InputStages(stages.rate, **{name: recording(name, process) for name, process in of.items()})


def everything(**changes):
    """The real stages of an agent that has all of them on, for an STT at 16 kHz."""
    options = {"high_pass_hz": 100, "echo_cancellation": True, "gain_control": -20.0, **changes}
    clock = itertools.count(0.02, 0.02)
    parts = make_stages(
        Agent(stt="any", **options),
        MULAW_8K,
        PCM16_16K,
        Halved(),
        (lambda: next(clock), lambda: 0.0),
    )
    return parts.stages


@pytest.mark.behaviour("SP-17")
def test_the_order_of_the_stages_is_that_of_the_ledger_and_each_sees_what_the_one_before_made():
    """decode → high-pass → resample → echo cancellation → noise filter → gain control → VAD → STT."""
    log = []
    vad, stt = Taker(PCM16_16K, "vad", log), Taker(PCM16_16K, "stt", log)
    listening = Listening(MULAW_8K, stt, vad, recorded(everything(), log))
    assert listening.stages == NAMES
    given_frames = caller(5)
    for number, frame in enumerate(given_frames):
        log.clear()
        listening.audio(frame)
        assert [name for name, *_ in log] == [*STAGES, "vad", "stt"]
        high_pass, echo, noise_filter, gain, heard, written = log
        # Decoded, at the carrier's rate; the others come behind the resampling to the STT's.
        assert np.array_equal(high_pass[1], mulaw_decode(frame))
        assert high_pass[1].size == 160
        assert echo[1].size == (320 if number else 288)
        assert np.array_equal(noise_filter[1], echo[2])
        assert np.array_equal(gain[1], noise_filter[2])
        assert np.array_equal(heard[1], gain[2])
        assert np.array_equal(written[1], gain[2])
        assert not np.array_equal(high_pass[1], high_pass[2])
        assert not np.array_equal(gain[1], gain[2])
    assert vad.taken[-1] is stt.taken[-1]


@pytest.mark.behaviour("SP-17")
@pytest.mark.parametrize("count", range(5))
def test_every_choice_of_stages_keeps_their_order(count):
    whole = everything()
    for chosen in itertools.combinations(STAGES, count):
        log = []
        stages = InputStages(16000, **{name: getattr(whole, name) for name in chosen})
        chain = InputChain(MULAW_8K, recorded(stages, log), [])
        assert chain.stages == tuple(NAMES[STAGES.index(name)] for name in chosen)
        for frame in caller(2):
            chain.audio(frame)
        assert [name for name, *_ in log] == [*chosen] * 2


@pytest.mark.behaviour("SP-17")
def test_an_agent_has_no_stage_unless_it_asks_for_one():
    clock = (lambda: 0.0, lambda: 0.0)
    agent = Agent(stt="any")
    assert (agent.high_pass_hz, agent.echo_cancellation, agent.noise_filter, agent.gain_control) == (
        None,
        False,
        None,
        False,
    )
    assert make_stages(agent, MULAW_8K, MULAW_8K, None, clock) == (None, None)
    asked = [
        ({"high_pass_hz": 80}, "high-pass"),
        ({"echo_cancellation": True}, "echo cancellation"),
        ({"gain_control": True}, "gain control"),
    ]
    for options, name in asked:
        stages, reference = make_stages(Agent(stt="any", **options), MULAW_8K, MULAW_8K, None, clock)
        assert InputChain(MULAW_8K, stages, []).stages == (name,)
        assert (reference is not None) == (name == "echo cancellation")


def test_the_values_of_the_options_are_checked():
    assert gain_target_dbfs(Agent(stt="any", gain_control=True)) == -26
    assert gain_target_dbfs(Agent(stt="any", gain_control=-18)) == -18
    assert gain_target_dbfs(Agent(stt="any")) is None
    for options in ({"gain_control": -41}, {"gain_control": 3}, {"high_pass_hz": 19}, {"high_pass_hz": 401}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            Agent(stt="any", **options)


@pytest.mark.parametrize(
    ("carrier", "stt", "rate"),
    [
        (MULAW_8K, MULAW_8K, 8000),
        (MULAW_8K, PCM16_16K, 16000),
        (MULAW_8K, PCM16_24K, 8000),
        (MULAW_8K, None, 8000),
        (AudioFormat(Encoding.PCM16, 24000), PCM16_16K, 16000),
    ],
)
def test_the_stages_work_at_the_rate_that_the_stt_needs(carrier, stt, rate):
    assert chain_rate(carrier, stt) == rate


def test_a_noise_filter_is_told_the_rate_it_gets():
    noise_filter = Halved()
    parts = make_stages(Agent(stt="any"), MULAW_8K, PCM16_16K, noise_filter, (lambda: 0.0, lambda: 0.0))
    InputChain(MULAW_8K, parts.stages, []).audio(caller(1)[0])
    assert noise_filter.rates == [16000]


# -- failing


def fails(pcm):
    raise RuntimeError("it broke")


@pytest.mark.behaviour("SP-18")
@pytest.mark.parametrize("broken", STAGES)
def test_a_stage_that_fails_is_left_out_with_one_warning_and_the_others_go_on(broken, caplog):
    whole, log = everything(), []
    working = {name: getattr(whole, name) for name in STAGES if name != broken}
    stt = Taker(PCM16_16K)
    stages = recorded(InputStages(16000, **working), log)
    stages = InputStages(16000, **{name: getattr(stages, name) for name in working}, **{broken: fails})
    listening = Listening(MULAW_8K, stt, None, stages)
    with caplog.at_level(logging.WARNING):
        for frame in caller(10):
            listening.audio(frame)
    assert [record.getMessage() for record in caplog.records] == [
        f"the {NAMES[STAGES.index(broken)]} failed; the rest of the call goes without it"
    ]
    assert len(stt.taken) == 10
    assert [name for name, *_ in log] == [name for name in STAGES if name != broken] * 10
    first, second = log[0], log[1]
    if broken != "high_pass":
        assert np.array_equal(second[1].size, 288)
    else:
        assert first[1].size == 288


@pytest.mark.behaviour("SP-18")
@pytest.mark.parametrize(
    "wrong",
    [
        lambda pcm: pcm[:-1],
        lambda pcm: np.concatenate([pcm, pcm]),
        lambda pcm: pcm.astype(np.float32),
        lambda pcm: None,
        lambda pcm: pcm.reshape(2, -1),
    ],
)
def test_a_filter_that_gives_back_anything_but_as_many_samples_has_failed(wrong, caplog):
    stt, given_frames = Taker(MULAW_8K), caller(4)
    listening = Listening(MULAW_8K, stt, None, InputStages(8000, noise_filter=wrong))
    with caplog.at_level(logging.WARNING):
        for frame in given_frames:
            listening.audio(frame)
    assert len(caplog.records) == 1
    assert all(taken is frame for taken, frame in zip(stt.taken, given_frames, strict=True))


def test_when_all_have_failed_the_carriers_own_bytes_pass_again(caplog):
    stt, vad, given_frames = Taker(MULAW_8K), Taker(PCM16_8K), caller(6)
    listening = Listening(MULAW_8K, stt, vad, InputStages(8000, **dict.fromkeys(STAGES, fails)))
    with caplog.at_level(logging.WARNING):
        for frame in given_frames:
            listening.audio(frame)
    assert len(caplog.records) == 4
    assert all(taken is frame for taken, frame in zip(stt.taken, given_frames, strict=True))
    assert b"".join(vad.taken) == mulaw_decode(b"".join(given_frames)).astype("<i2").tobytes()


# -- streams


def test_a_detector_at_another_rate_gets_a_conversion_of_its_own():
    stt, vad = Taker(PCM16_16K), Taker(MULAW_8K)
    listening = Listening(MULAW_8K, stt, vad, InputStages(16000, noise_filter=lambda pcm: pcm))
    for frame in caller(50):
        listening.audio(frame)
    assert sum(map(len, stt.taken)) == pytest.approx(2 * 50 * 320, abs=64)
    assert sum(map(len, vad.taken)) == pytest.approx(50 * 160, abs=32)


@given(cuts=st.lists(st.integers(0, 3000), max_size=15))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_pcm_from_the_carrier_may_be_cut_anywhere_in_the_middle_of_a_sample_too(cuts):
    pcm = np.random.default_rng(2).integers(-9000, 9000, 1500).astype("<i2").tobytes()
    stt = Taker(PCM16_8K)
    listening = Listening(PCM16_8K, stt, None, InputStages(8000, noise_filter=lambda pcm: pcm))
    for start, end in itertools.pairwise([0, *sorted(cuts), 3000]):
        listening.audio(pcm[start:end])
    assert b"".join(stt.taken) == pcm


def test_many_takers_are_served_in_their_order():
    log = []
    sinks = [Sink(MULAW_8K, lambda payload, name=name: log.append(name)) for name in "abc"]
    fan_out(MULAW_8K, sinks)(b"\x01" * 160)
    assert log == ["a", "b", "c"]
