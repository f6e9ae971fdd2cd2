"""Playout on its two clocks: what is sent when, and what counts as heard."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.audio.formats import AudioFormat, Encoding
from patter.call.heard import heard_text
from patter.call.playout import Chunk, Playout, SpokenSentence
from patter.providers.tts import WordTime

MULAW = AudioFormat(Encoding.MULAW, 8000)


class Line:
    """An ideal carrier that plays what it is sent and echoes marks after a delay."""

    def __init__(self, playout: Playout, *, echo_s: float | None = 0.1) -> None:
        self.playout = playout
        self.echo_s = echo_s
        self.t = 0.0
        self.sent: list[tuple[float, Chunk]] = []
        self.heard: list[int] = []
        self._plays_until = 0.0
        self._echoes: list[tuple[float, str]] = []
        self.gaps = 0.0

    def run(self, until: float, *, grid: float = 0.01, stop: Callable[[], bool] = lambda: False) -> None:
        while self.t < until and not stop():
            for at, name in [echo for echo in self._echoes if echo[0] <= self.t]:
                self._echoes.remove((at, name))
                self.playout.mark_reached(name, self.t)
            for chunk in self.playout.step(self.t):
                if self.sent and self._plays_until < self.t:
                    self.gaps += self.t - self._plays_until
                self._plays_until = (
                    max(self._plays_until, self.t)
                    + self.playout.format.duration_ms(len(chunk.payload)) / 1000
                )
                self.playout.sent(chunk, self.t)
                self.sent.append((self.t, chunk))
                if self.echo_s is not None:
                    self._echoes += [(self._plays_until + self.echo_s, name) for name in chunk.marks]
            self.heard.append(self.playout.heard(self.t))
            self.t = round(self.t + grid, 6)

    def ahead_ms(self) -> float:
        """The most that was sent ahead of real time, measured from the first audio."""
        start, total, most = self.sent[0][0], 0.0, 0.0
        for t, chunk in self.sent:
            total += self.playout.format.duration_ms(len(chunk.payload))
            most = max(most, total - (t - start) * 1000)
        return most


def speaking(
    seconds: float, *, fmt: AudioFormat = MULAW, greeting: bool = False, marks: bool = True
) -> Playout:
    playout = Playout(fmt, marks=marks)
    playout.begin(1, mark_each_chunk=greeting)
    playout.open_sentence(1, "one sentence")
    playout.add(1, b"\x10" * fmt.bytes_for_ms(int(seconds * 1000)))
    playout.end(1)
    return playout


@pytest.mark.behaviour("PL-01")
@pytest.mark.parametrize("fmt", [MULAW, AudioFormat(Encoding.PCM16, 16000)])
def test_audio_leaves_in_chunks_of_at_most_40_ms(fmt: AudioFormat) -> None:
    line = Line(speaking(3.0, fmt=fmt))
    line.run(4.0)
    assert (
        max(len(chunk.payload) for _, chunk in line.sent)
        == fmt.bytes_for_ms(40)
        == {8000: 320, 16000: 1280}[fmt.rate]
    )
    assert b"".join(chunk.payload for _, chunk in line.sent) == b"\x10" * fmt.bytes_for_ms(3000)


@pytest.mark.behaviour("PL-02")
def test_no_more_than_200_ms_ahead_and_no_burst_after_a_stall() -> None:
    line = Line(speaking(160.0))
    line.run(170.0, stop=lambda: line.playout.finished(line.t))
    assert line.ahead_ms() <= 200.0
    assert line.sent[-1][0] == pytest.approx(160.0 - 0.2, abs=0.2)
    stalled = Line(speaking(20.0))
    stalled.run(2.0)
    stalled.t = 7.0
    before = len(stalled.sent)
    stalled.run(7.001)
    assert sum(len(chunk.payload) for _, chunk in stalled.sent[before:]) <= MULAW.bytes_for_ms(200)
    stalled.run(8.0)
    # real time goes on from the stall: nothing is made up for
    assert sum(len(chunk.payload) for _, chunk in stalled.sent[before:]) <= MULAW.bytes_for_ms(1200)


@pytest.mark.behaviour("PL-03")
@pytest.mark.parametrize("echo_ms", [0, 100, 400, 3000])
def test_marks_follow_the_audio_and_never_gate_it(echo_ms: int) -> None:
    line = Line(speaking(6.0, greeting=True), echo_s=echo_ms / 1000)
    most = 0
    while line.t < 5.9:
        line.run(line.t + 0.01)
        most = max(most, line.playout.waiting_marks)
    assert line.gaps == 0.0
    assert all(len(chunk.marks) == 1 for _, chunk in line.sent)
    if echo_ms == 0:
        assert most <= 5
    reply = Line(speaking(2.0))
    reply.run(3.0)
    marked = [chunk.end for _, chunk in reply.sent if chunk.marks]
    assert marked == [1600 * n for n in range(1, 11)]


@pytest.mark.behaviour("PL-04")
@pytest.mark.parametrize(("echo_s", "marks"), [(0.4, True), (None, True), (None, False)])
def test_the_pace_clock_alone_decides_sending(echo_s: float | None, marks: bool) -> None:
    line = Line(speaking(10.0, marks=marks), echo_s=echo_s)
    line.run(11.0)
    assert line.sent[-1][0] - line.sent[0][0] == pytest.approx(10.0 - 0.2, rel=0.05)
    assert line.ahead_ms() <= 200.0
    assert line.heard == sorted(line.heard)
    at_5_s = line.heard[500] / 8000
    lag = 0.0 if echo_s is None else echo_s
    assert at_5_s == pytest.approx(5.0 - lag, abs=0.05)
    if not marks:
        assert all(not chunk.marks for _, chunk in line.sent)


@pytest.mark.behaviour("PL-05")
def test_only_an_outstanding_mark_confirms() -> None:
    playout = speaking(4.0, greeting=True)
    line = Line(playout, echo_s=None)
    line.run(1.0)
    names = [chunk.marks[0] for _, chunk in line.sent]
    assert len(set(names)) == len(names)
    before = playout.heard(line.t)
    assert not playout.mark_reached("unknown", line.t)
    assert playout.mark_reached(names[-1], line.t)
    assert not playout.mark_reached(names[-1], line.t)
    confirmed = playout.heard(line.t)
    assert confirmed == line.sent[-1][1].end > before
    # echoes of an earlier turn never confirm audio of the current one
    playout.clear(line.t)
    playout.begin(2)
    playout.open_sentence(2, "next")
    playout.add(2, b"\x10" * 16000)
    later = Line(playout, echo_s=None)
    later.t = line.t
    later.run(line.t + 0.02)
    assert not playout.mark_reached(names[0], later.t)
    assert playout.heard_ms(later.t) < 50
    assert {mark for _, chunk in later.sent for mark in chunk.marks}.isdisjoint(names)


@pytest.mark.behaviour("PL-06")
def test_marks_that_a_clear_returns_are_not_heard_nor_measured() -> None:
    playout = speaking(6.0, greeting=True)
    line = Line(playout, echo_s=0.1)
    line.run(2.0)
    lag = playout.carrier_delay_ms
    names = [chunk.marks[0] for _, chunk in line.sent]
    heard = playout.clear(line.t)
    assert playout.waiting_marks == 0
    for name in names:
        assert not playout.mark_reached(name, line.t + 0.001)
    assert playout.carrier_delay_ms == lag == pytest.approx(100, abs=11)
    assert playout.heard(line.t + 5.0) <= heard + MULAW.samples(MULAW.bytes_for_ms(200))
    assert playout.step(line.t + 1.0) == []


@pytest.mark.behaviour("PL-08")
@pytest.mark.parametrize(
    "fmt",
    [
        AudioFormat(Encoding.PCM16, 24000),
        AudioFormat(Encoding.PCM16, 8000),
        MULAW,
        AudioFormat(Encoding.ALAW, 8000),
    ],
)
def test_a_second_is_a_second_in_every_format(fmt: AudioFormat) -> None:
    payload = random.Random(1).randbytes(fmt.bytes_for_ms(1000))
    playout = Playout(fmt)
    playout.begin(1)
    playout.open_sentence(1, "noise")
    playout.add(1, payload)
    playout.end(1)
    line = Line(playout, echo_s=None)
    line.run(5.0, stop=lambda: playout.finished(line.t))
    assert line.t == pytest.approx(1.0, abs=0.011)
    assert b"".join(chunk.payload for _, chunk in line.sent) == payload


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    pieces=st.lists(st.integers(1, 900), min_size=1, max_size=40),
    gaps=st.lists(st.floats(0.0, 0.6), min_size=40, max_size=40),
    clear_at=st.none() | st.floats(0.0, 3.0),
)
def test_whatever_the_source_does_the_invariants_hold(
    pieces: list[int], gaps: list[float], clear_at: float | None
) -> None:
    playout = Playout(MULAW)
    playout.begin(1)
    playout.open_sentence(1, "a b c d e f g h i j")
    line = Line(playout, echo_s=0.05)
    added = b""
    for piece, gap in zip(pieces, gaps, strict=False):
        audio = bytes([piece % 251]) * piece
        if playout.add(1, audio):
            added += audio
        line.run(line.t + gap)
        if clear_at is not None and line.t >= clear_at and playout.turn is not None:
            playout.clear(line.t)
    if playout.turn is not None:
        playout.end(1)
        line.run(line.t + 10.0, stop=lambda: playout.finished(line.t))
        assert playout.finished(line.t)
        assert b"".join(chunk.payload for _, chunk in line.sent) == added
    assert line.heard == sorted(line.heard)
    window = [(t, len(chunk.payload)) for t, chunk in line.sent]
    for index, (t, _) in enumerate(window):
        burst = sum(size for at, size in window[index:] if at <= t + 1e-9)
        assert burst <= MULAW.bytes_for_ms(200)
    assert added.startswith(b"".join(chunk.payload for _, chunk in line.sent))


def test_the_heard_text_is_cut_at_a_word() -> None:
    whole = SpokenSentence("All of this was heard.", 0, 8000, complete=True)
    cut = SpokenSentence("one two three four five", 8000, 8000, complete=True)
    assert heard_text([whole, cut], 0, 8000) == ""
    assert heard_text([whole, cut], 8000, 8000) == "All of this was heard."
    assert heard_text([whole, cut], 12000, 8000) == "All of this was heard. one two three"
    assert heard_text([whole, cut], 16000, 8000).endswith("four five")
    timed = SpokenSentence(
        "one two three",
        0,
        8000,
        complete=True,
        word_times=(WordTime("one", 0), WordTime("two", 700), WordTime("three", 900)),
    )
    assert heard_text([timed], 4000, 8000) == "one"
    assert heard_text([timed], 5700, 8000) == "one two"
    # synthesis was cut: the audio made so far is not the whole sentence
    half = SpokenSentence("one two three four five six seven eight", 0, 2000, complete=False)
    assert len(heard_text([half], 2000, 8000).split()) <= 2
