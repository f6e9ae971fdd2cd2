"""An engine connected to its simulator, in virtual time."""

from __future__ import annotations

from patter.audio.formats import MULAW_8K
from patter.environment import Environment
from patter.plugins.building import SharedObjectPool
from patter.providers.context import ProviderContext
from patter.providers.realtime import RealtimeSession
from patter.testing import run_engine
from patter_elevenlabs.convai import ElevenLabsConvai
from patter_elevenlabs.convai_config import ElevenLabsConvaiConfig
from patter_elevenlabs.simulator import SimulatedAgent, Simulator

agent = SimulatedAgent
KEY = "test-key-4711"
HELLO = "Good morning, this is the bakery."
SESSION = RealtimeSession("You are a receptionist.", first_message=HELLO)


def virtually(body, agent=None, faults=None, **settings):
    """Run `body(engine, simulator)`."""
    simulator = Simulator(agent, faults=faults, key=KEY, host="agent.example", port=80)
    run_engine(body, simulator, lambda server, context: engine_of(server, context, **settings))


def engine_of(simulator, context=None, **settings):
    values = {
        "agent_id": simulator.agent.agent_id,
        "api_key": KEY,
        "base_url": simulator.base_url,
        **settings,
    }
    context = context or ProviderContext(Environment(), SharedObjectPool(), "call_1", MULAW_8K)
    return ElevenLabsConvai(ElevenLabsConvaiConfig(**values), context)
