"""Providers that write down what happens to them, and an office that makes calls with them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import ClassVar

from patter import (
    Agent,
    BargeInRecord,
    BargeInStrategy,
    LLMRecord,
    NoiseFilterRecord,
    STTRecord,
    TTSRecord,
    VADRecord,
    hookimpl,
)
from patter.audio.formats import MULAW_8K, PCM16_16K
from patter.call.call import Call
from patter.call.lineup import Lineup, LineupServices
from patter.call.pacer import Pacer
from patter.call.plan import Planner
from patter.call.vad_sources import VADSources
from patter.environment import Environment
from patter.phone_settings import SettingsFile
from patter.plugins import HookDispatcher, PluginManager, SharedObjectPool
from patter.providers.context import ProviderContext
from patter.providers.vad import VADEvent
from patter.testing.virtual_loop import VirtualClock, run_virtual


class Traced:
    """Keeps what is done to it, in one list for all."""

    made: ClassVar[list[Traced]] = []

    def __init__(self, context: ProviderContext):
        self.call = context.call_id
        self.done = []
        self.number = len(Traced.made)
        Traced.made.append(self)

    async def close(self):
        self.done.append("close")


class Ears(Traced):
    formats = (PCM16_16K, MULAW_8K)

    def input_formats(self):
        return self.formats

    async def connect(self, audio_format):
        self.done.append(f"connect {audio_format.encoding} {audio_format.rate}")

    def send_audio(self, chunk):
        self.done.append(chunk)

    def speech_started(self):
        self.done.append("speech started")

    def interims_wanted(self, wanted):
        self.done.append(f"interims {wanted}")


class WideEars(Ears):
    formats = (PCM16_16K,)


class Brain(Traced):
    pass


class Mouth(Traced):
    pass


class Stuck(Traced):
    async def close(self):
        self.done.append("close")
        await asyncio.Event().wait()


class Clumsy(Traced):
    async def close(self):
        self.done.append("close")
        raise RuntimeError("it broke while closing")


class Gate(Traced):
    def process(self, pcm, rate):
        self.done.append("process")
        return pcm

    def close(self):
        self.done.append("close")


class Detector(Traced):
    def process_frame(self, pcm, rate):
        self.done.append("frame")
        if not pcm.any():
            raise RuntimeError("silence is too much for it")
        return VADEvent("speech_start", 0)

    def reset(self):
        self.done.append("reset")

    def close(self):
        self.done.append("close")


class Counting(BargeInStrategy):
    def __init__(self):
        self.events = 0

    def evaluate(self, event):
        self.events += 1
        return self.events >= 2

    def reset(self):
        self.events = 0


class Once(Traced):
    """Can be made once."""

    def __init__(self, context: ProviderContext):
        if any(isinstance(made, Once) for made in Traced.made):
            raise RuntimeError("there is no second one")
        super().__init__(context)


class Providers:
    def __init__(self, *, vad=True):
        self.vad = vad

    @hookimpl
    def patter_register_stt(self):
        return [
            STTRecord("ears", Ears, endpoints=True),
            STTRecord("wide", WideEars, endpoints=True),
            STTRecord("once", Once, endpoints=True),
        ]

    @hookimpl
    def patter_register_llm(self):
        return [
            LLMRecord(name, made) for name, made in (("brain", Brain), ("other", Brain), ("clumsy", Clumsy))
        ]

    @hookimpl
    def patter_register_tts(self):
        return [TTSRecord("mouth", Mouth), TTSRecord("stuck", Stuck)]

    @hookimpl
    def patter_register_vad(self):
        return [VADRecord("detector", Detector)] if self.vad else []

    @hookimpl
    def patter_register_noise_filter(self):
        return [NoiseFilterRecord("gate", Gate)]

    @hookimpl
    def patter_register_barge_in(self):
        return [BargeInRecord("counting", Counting)]


class Office:
    """Makes lineups as a phone does."""

    def __init__(self, *plugins, providers=None):
        environ = {"PATTER_DISABLE_PLUGIN_AUTOLOAD": "1"}
        self.clock = VirtualClock(asyncio.get_running_loop())
        self.environment = Environment.seeded(1, self.clock)
        self.manager = PluginManager([providers or Providers(), *plugins], environ=environ)
        planner = Planner(self.manager, SettingsFile(), environ)
        self.shared = SharedObjectPool()
        context = ProviderContext(self.environment, self.shared)
        vads = VADSources(self.manager, context, Pacer(self.clock), self.clock)
        self.services = LineupServices(self.manager, planner, vads, self.clock)
        Traced.made.clear()

    def lineup(self, call_id="call_1", carrier_format=MULAW_8K, **options):
        agent = options.pop("agent", None) or self.agent(**options)
        call = Call(call_id, direction="inbound", carrier="c", caller="a", callee="b")
        context = ProviderContext(self.environment, self.shared, call_id, carrier_format)
        hooks = HookDispatcher([call.scope, self.manager], self.environment, arguments={"call": call})
        lineup = Lineup(call, self.services.planner.plan(agent), context, self.services, hooks)
        ended = []
        lineup.on_hopeless(lambda status, reason: ended.append((status, reason)))
        failed = []
        call.on("failed", failed.append)
        return SimpleNamespace(lineup=lineup, call=call, ended=ended, failed=failed)

    def agent(self, **options):
        parts = {"stt": "ears", "llm": "brain", "tts": "mouth", "vad": "detector", "noise_filter": "gate"}
        return Agent(**{**parts, "barge_in_strategies": "counting", **options})


def virtually(scenario):
    run_virtual(scenario())
