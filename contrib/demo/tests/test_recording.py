from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from demo_sounds import tone

from patter.audio import mulaw_decode
from patter_demo.recording import timeline, until, write_recording


def test_parts_lie_where_they_sounded() -> None:
    samples = timeline([(10.5, tone(10)), (11.0, tone(20))], start=10.0)

    assert samples.size == 8160
    assert not samples[:4000].any()
    assert np.array_equal(samples[4000:4080], mulaw_decode(tone(10)))
    assert not samples[4080:8000].any()
    assert np.array_equal(samples[8000:], mulaw_decode(tone(20)))


def test_rounded_times_neither_overlap_nor_leave_a_gap() -> None:
    piece = tone(40)
    parts = [(1.0 + index * 0.04 + (0.0002 if index % 2 else -0.0001), piece) for index in range(5)]

    assert np.array_equal(timeline(parts, start=1.0), np.tile(mulaw_decode(piece), 5))


def test_what_lies_before_the_start_is_left_out() -> None:
    assert np.array_equal(timeline([(0.98, tone(40))], start=1.0), mulaw_decode(tone(40))[160:])
    assert timeline([(0.0, tone(40))], start=1.0).size == 0


def test_until_cuts_what_had_not_sounded_yet() -> None:
    assert until([(0.0, tone(40)), (0.04, tone(40)), (0.08, tone(40))], 0.05) == [
        (0.0, tone(40)),
        (0.04, tone(40)[:80]),
    ]


def test_the_caller_is_on_the_left_and_the_agent_on_the_right(tmp_path: Path) -> None:
    write_recording(tmp_path / "call.wav", [(0.0, tone(10))], [(0.02, tone(10))], 0.0)

    with wave.open(str(tmp_path / "call.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 8000, 240)
        frames = np.frombuffer(file.readframes(240), "<i2").reshape(-1, 2)
    assert frames[:80, 0].any()
    assert not frames[:160, 1].any()
    assert not frames[80:, 0].any()
    assert frames[160:, 1].any()
