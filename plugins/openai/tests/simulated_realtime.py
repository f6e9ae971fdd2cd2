"""The engine connected to its simulator, and the vendor's own models as the judge of what both say."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from pydantic import BaseModel, TypeAdapter

from patter.audio.formats import MULAW_8K
from patter.environment import Environment
from patter.plugins.building import SharedObjectPool
from patter.providers.context import ProviderContext
from patter.providers.realtime import RealtimeSession
from patter.testing.memory_network import MemoryNetwork
from patter.testing.tones import ToneReader, tone
from patter.testing.virtual_loop import VirtualClock, run_virtual
from patter_openai.realtime import OpenAIRealtime
from patter_openai.realtime_config import OpenAIRealtimeConfig
from patter_openai.realtime_simulator import RealtimeSimulator

KEY = "test-key-of-the-engine"
SESSION = RealtimeSession("Be kind.")
#: what the server sends beyond the vendor's models: the session's own data, and what other servers make up
_EXTRA = {"id", "object", "expires_at"}
_NOT_THE_VENDORS = {"response.cancelled", "response.canceled"}


def make(simulator, carrier_format=MULAW_8K, **settings):
    values = {"api_key": KEY, "base_url": simulator.base_url, **settings}
    environment = Environment.seeded(1, VirtualClock(asyncio.get_running_loop()))
    surroundings = ProviderContext(environment, SharedObjectPool(), "call_1", carrier_format)
    return OpenAIRealtime(OpenAIRealtimeConfig(**values), surroundings)


def virtually(body, *arguments, carrier_format=MULAW_8K, settings=None, network=None, **options):
    """Run `body(engine, simulator)` in virtual time, both ends in one memory network; judge all that was said."""

    async def main():
        async with served(*arguments, host="engine.example", port=80, **options) as simulator:
            engine = make(simulator, carrier_format, **(settings or {}))
            try:
                await body(engine, simulator)
            finally:
                await engine.close()

    run_virtual(main(), network=network or MemoryNetwork())


@asynccontextmanager
async def served(*arguments, judges_client=True, **options):
    async with RealtimeSimulator(*arguments, key=KEY, **options) as simulator:
        try:
            yield simulator
        finally:
            for session in simulator.sessions:
                for message in session.instructed if judges_client else ():
                    check_client_message(message)
                for _, event in session.sent:
                    check_server_event(event)


async def collect(engine, until, within_s=30.0):
    """The events up to the first one for which `until(event)` holds."""
    events = []
    async with asyncio.timeout(within_s):
        async for event in engine.receive():
            events.append(event)
            if until(event):
                return events
    return events


def of_kind(*kinds):
    return lambda event: event.kind in kinds


async def says(engine, number, duration_ms=600, silence_ms=700):
    """Let the caller say something in real time: a tone, then silence."""
    takes, _ = engine.audio_formats()
    frames = [tone(number, 20, takes)] * (duration_ms // 20)
    frames += [takes.silence(takes.samples(takes.bytes_for_ms(20)))] * (silence_ms // 20)
    for frame in frames:
        await engine.send_audio(frame)
        await asyncio.sleep(0.02)


def heard(events, audio_format):
    """The pitches in the engine's audio and how long each sounded, in ms."""
    found = []
    for pitch in ToneReader(audio_format).feed(b"".join(event.audio for event in events)):
        if found and found[-1][0] == pitch:
            found[-1] = (pitch, found[-1][1] + 20)
        else:
            found.append((pitch, 20))
    return found


# -- the vendor's own models


def check_client_message(message):
    """Valid by the vendor's own model, without a key that it does not know."""
    extra = _unknown_keys(_adapters()[0].validate_python(message))
    assert extra == set(), message


def check_server_event(event):
    if event["type"] not in _NOT_THE_VENDORS:
        extra = _unknown_keys(_adapters()[1].validate_python(event))
        assert extra <= (_EXTRA if event["type"].startswith("session.") else set()), event


def _adapters():
    realtime = pytest.importorskip("openai.types.realtime")
    if not hasattr(_adapters, "made"):
        _adapters.made = (
            TypeAdapter(realtime.RealtimeClientEvent),
            TypeAdapter(realtime.RealtimeServerEvent),
        )
    return _adapters.made


def _unknown_keys(value):
    """The keys, anywhere in a model, that it does not declare."""
    if isinstance(value, list | tuple):
        return set().union(*map(_unknown_keys, value)) if value else set()
    if not isinstance(value, BaseModel):
        return set()
    found = set(value.model_extra or {})
    return found.union(*(_unknown_keys(getattr(value, name)) for name in type(value).model_fields))
