"""Audio for the tests: µ-law at 8 kHz that is audible, or is not, and turns of an agent that consist of it."""

from __future__ import annotations

import numpy as np

from patter.audio import mulaw_encode
from patter.call.types import TurnReport
from patter_demo.evidence import AgentTurn
from patter_demo.hearing import RATE, Part


def tone(ms: float, amplitude: int = 8000) -> bytes:
    """A tone of 400 Hz."""
    t = np.arange(round(RATE * ms / 1000)) / RATE
    return mulaw_encode(np.round(amplitude * np.sin(2 * np.pi * 400 * t)).astype(np.int16))


def silence(ms: float) -> bytes:
    """Digital silence."""
    return b"\xff" * round(RATE * ms / 1000)


def speech(start: float, seconds: float) -> list[Part]:
    """Audible audio as a carrier plays it: a message every 40 ms."""
    return [(start + index * 0.04, tone(40)) for index in range(round(seconds / 0.04))]


def agent_turn(number: int, began: float, heard_ms: float, *, interrupted: bool = False) -> AgentTurn:
    """A turn that the engine holds for heard to that extent."""
    return AgentTurn(number, began, TurnReport(number, "", "words", interrupted, heard_ms))
