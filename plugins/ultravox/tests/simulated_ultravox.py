"""An engine connected to its simulator, in virtual time."""

from __future__ import annotations

from patter.audio.formats import MULAW_8K
from patter.providers.realtime import RealtimeSession
from patter.testing import run_engine
from patter_ultravox.config import UltravoxConfig
from patter_ultravox.engine import Ultravox
from patter_ultravox.simulator import SimulatedTurn, Simulator

KEY = "test-key-4711"
HELLO = "Good morning, this is the bakery."
SESSION = RealtimeSession("You are a receptionist.", first_message=HELLO)


def virtually(body, turns=None, faults=None, carrier_format=MULAW_8K, **settings):
    """Run `body(engine, simulator)`."""
    simulator = Simulator(turns or (SimulatedTurn(),), faults=faults, key=KEY, host="uv.example", port=80)
    run_engine(
        body, simulator, lambda server, context: engine_of(server, context, **settings), carrier_format
    )


def engine_of(simulator, context, **settings):
    values = {"api_key": KEY, "base_url": simulator.base_url, **settings}
    return Ultravox(UltravoxConfig(**values), context)
