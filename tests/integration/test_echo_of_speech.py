"""The echo canceller on recorded speech, which is harder than noise: few frequencies at a time, and pauses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from patter.audio.echo_cancellation import EchoCanceller
from patter.audio.g711 import mulaw_decode, mulaw_encode
from patter.audio.mixing import level_dbfs

VOICE = Path(__file__).parents[2] / "plugins" / "silero" / "tests" / "data"
RATE = 8000


@pytest.mark.parametrize("gain", [0.1, 0.3])
def test_the_echo_of_recorded_speech_is_10_db_lower_after_2_s(gain):
    """As it comes back over a telephone line: reverberant, 12 ms late, in µ-law."""
    names = ("opening-hours.ulaw", "appointment.ulaw", "wait.ulaw", "stop.ulaw")
    agent = np.concatenate([mulaw_decode((VOICE / name).read_bytes()) for name in names])
    agent = np.resize(agent, RATE * 10)
    taps = np.zeros(256)
    taps[96:] = np.random.default_rng(3).standard_normal(160) * np.exp(-np.arange(160) / 30)
    taps *= gain / np.linalg.norm(taps)
    echo = np.rint(np.convolve(agent, taps)[: agent.size]).astype(np.int16)
    near = mulaw_decode(mulaw_encode(echo))
    canceller = EchoCanceller(RATE)
    out = np.concatenate(
        [canceller.process(near[at : at + 160], agent[at : at + 160]) for at in range(0, near.size, 160)]
    )
    assert level_dbfs(near[2 * RATE :]) - level_dbfs(out[2 * RATE :]) >= 10
