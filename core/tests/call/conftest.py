from __future__ import annotations

import pytest
from loudness import Loudness

from patter.call.vad_batching import VADBank
from patter.environment import SystemClock


@pytest.fixture
def loud_model():
    return Loudness()


@pytest.fixture
def vad_bank(loud_model):
    return VADBank(loud_model, 8000, SystemClock())
