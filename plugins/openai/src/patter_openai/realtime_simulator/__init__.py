"""OpenAI's Realtime API (GA) on loopback or in a network in memory, and the ways in which it can go wrong.

    async with RealtimeSimulator(faults=RealtimeFaults(cancels=1)) as simulator:
        config = OpenAIRealtimeConfig(base_url=simulator.base_url, api_key=simulator.key)

It checks the client's messages as the vendor does, finds speech by its energy, speaks in tones (`patter.simulators.tones`)
and faster than real time. For tests of this plugin and of applications; nothing in the plugin imports it.
"""

from __future__ import annotations

from patter_openai.realtime_simulator.faults import RealtimeFaults
from patter_openai.realtime_simulator.model import Asked, FunctionCall, Spoken, Voice
from patter_openai.realtime_simulator.server import RealtimeSimulator
from patter_openai.realtime_simulator.session import SimulatedSession

__all__ = [
    "Asked",
    "FunctionCall",
    "RealtimeFaults",
    "RealtimeSimulator",
    "SimulatedSession",
    "Spoken",
    "Voice",
]
