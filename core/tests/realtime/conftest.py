"""A phone whose calls' events are noted."""

from __future__ import annotations

from typing import Any

import pytest
from realtime_calls import Told


@pytest.fixture
def told(phone: Any) -> Told:
    """What observers of the phone's calls are told."""
    return Told(phone)
