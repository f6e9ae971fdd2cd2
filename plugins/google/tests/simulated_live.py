"""An engine connected to its simulator, in virtual time."""

from __future__ import annotations

from patter.providers.realtime import RealtimeSession
from patter.testing import run_engine
from patter_google.live import GeminiLive
from patter_google.live_config import GeminiLiveConfig
from patter_google.simulator import SimulatedTurn, Simulator

KEY = "test-key-4711"
HELLO = "Good morning, this is the bakery."
SESSION = RealtimeSession("You are a receptionist.", first_message=HELLO)
LED = RealtimeSession("You are a receptionist.", patter_decides=True)


def virtually(body, turns=None, faults=None, terms=None, **settings):
    """Run `body(engine, simulator)`."""
    simulator = Simulator(
        turns or (SimulatedTurn(),), faults=faults, terms=terms, key=KEY, host="live.example", port=80
    )
    run_engine(body, simulator, lambda server, context: engine_of(server, context, **settings))


def engine_of(simulator, context, **settings):
    values = {"api_key": KEY, "base_url": simulator.base_url, **settings}
    return GeminiLive(GeminiLiveConfig(**values), context)
