"""Gemini Live on loopback, and the ways in which it fails a call.

    async with Simulator() as simulator:
        config = GeminiLiveConfig(api_key=simulator.key, base_url=simulator.base_url)

It checks messages as the vendor does, hears tones, speaks tones, and misbehaves on request. For tests of this plugin and
of applications; nothing in the plugin imports it.
"""

from __future__ import annotations

from patter_google.simulator.connection import SimulatedConnection
from patter_google.simulator.server import Simulator
from patter_google.simulator.terms import Faults, SimulatedTool, SimulatedTurn, Terms

__all__ = ["Faults", "SimulatedConnection", "SimulatedTool", "SimulatedTurn", "Simulator", "Terms"]
