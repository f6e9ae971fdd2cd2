"""The providers of a call: its own alone, healed by rule, and all closed at its end."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import ClassVar

import pytest

from patter import (
    Agent,
    BargeInEvent,
    BargeInRecord,
    BargeInStrategy,
    LLMRecord,
    NoiseFilterRecord,
    STTRecord,
    TTSRecord,
    VADRecord,
    hookimpl,
)
from patter.audio.formats import ALAW_8K, MULAW_8K, PCM16_16K
from patter.call.call import Call
from patter.call.ledger import Ledger
from patter.call.lineup import Lineup, LineupServices
from patter.call.listening import Listening
from patter.call.pacer import Pacer
from patter.call.plan import Planner
from patter.call.stt_feed import STTFeed
from patter.call.vad_sources import VADSources
from patter.decisions import Hangup, Retry, Switch
from patter.environment import Environment
from patter.errors import ProviderAuthError, ProviderError
from patter.phone_settings import SettingsFile
from patter.plugins import HookDispatcher, PluginManager, SharedObjectPool
from patter.providers.carrier import CallStatus
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


class Decide:
    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    @hookimpl
    async def patter_call_error(self, call, error):
        self.asked.append((call.id, error.kind, error.reference, str(error.error)))
        return self.answers.pop(0) if self.answers else None


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


# -- one call's own


@pytest.mark.behaviour("LC-04")
def test_two_calls_of_one_agent_share_no_provider_and_nothing_done_to_one_reaches_the_other():
    async def scenario():
        office = Office()
        agent = office.agent()
        ledgers, heard, calls = {}, {}, {}
        for name in ("one", "two"):
            made = office.lineup(name, agent=agent)
            calls[name], ledgers[name], heard[name] = made, Ledger(), []
            lineup = made.lineup
            stt = await lineup.connect_stt()
            feed = STTFeed(lineup.stt_format)
            feed.attach(stt)
            detector = lineup.open_detector(heard[name].append, ledgers[name], MULAW_8K)
            made.listening = Listening(
                MULAW_8K, feed, detector, lineup.input_chain(lambda: 0.0, lambda: 0.0).stages
            )
        parts = {
            name: [made.lineup._stt, made.lineup.voice.llm, made.lineup.voice.tts, made.lineup.noise_filter]
            for name, made in calls.items()
        }
        assert not set(map(id, parts["one"])) & set(map(id, parts["two"]))
        assert calls["one"].lineup.strategies[0] is not calls["two"].lineup.strategies[0]

        two = [*parts["two"], [made for made in Traced.made if isinstance(made, Detector)][1]]
        before = [list(made.done) for made in two]
        event = BargeInEvent("final", "stop", True, True, 300.0, 500.0)

        # Call one is heard, interrupts, has its model and its recogniser fail, its detector break, and ends.
        one = calls["one"]
        one.listening.audio(b"\x10" * 160)
        assert (len(heard["one"]), heard["two"]) == (1, [])
        assert one.lineup.strategies[0].evaluate(event) is False
        assert one.lineup.strategies[0].evaluate(event) is True
        assert calls["two"].lineup.strategies[0].evaluate(event) is False
        one.lineup.strategies[0].reset()
        assert calls["two"].lineup.strategies[0].evaluate(event) is True
        await one.lineup.heal("llm", ProviderError("no"), spoken=False)
        await one.lineup.heal("stt", ProviderError("no"), spoken=False)
        await one.lineup.rebuild("stt")
        one.listening.audio(b"\xff" * 160)
        assert one.ended == [(CallStatus.FAILED, "voice activity detection failed")]
        await one.lineup.close()
        await ledgers["one"].close_all()

        assert [made.done for made in two] == before
        assert (calls["two"].ended, calls["two"].failed) == ([], [])
        assert all("close" in made.done for made in parts["one"])
        # Call two is heard as before.
        calls["two"].listening.audio(b"\x10" * 160)
        assert len(heard["two"]) == 1
        assert parts["two"][0].done[-1] == b"\x10" * 160
        await calls["two"].lineup.close()
        await ledgers["two"].close_all()

    virtually(scenario)


def test_nothing_of_an_ended_call_is_left_open():
    async def scenario():
        office = Office()
        made, ledger = office.lineup(), Ledger()
        made.lineup.open_detector(lambda event: None, ledger, MULAW_8K)
        assert ledger.open() == ("vad slot",)
        await made.lineup.close()
        await ledger.close_all()
        assert ledger.open() == ()
        assert all(provider.done.count("close") == 1 for provider in Traced.made)
        assert len(Traced.made) == 5

    virtually(scenario)


def test_closing_is_side_by_side_and_bounded_though_one_hangs_and_one_raises(caplog):
    async def scenario():
        office = Office()
        made = office.lineup(tts="stuck", llm="clumsy")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await made.lineup.close()
        assert loop.time() - began == pytest.approx(1.0)
        assert all("close" in provider.done for provider in Traced.made)

    with caplog.at_level(logging.WARNING):
        virtually(scenario)
    assert "Stuck did not close within 1 s" in caplog.text
    assert "closing llm Clumsy failed" in caplog.text


# -- formats


@pytest.mark.parametrize(
    ("stt", "carrier", "expected"),
    [("ears", MULAW_8K, MULAW_8K), ("ears", ALAW_8K, PCM16_16K), ("wide", MULAW_8K, PCM16_16K)],
)
def test_the_stt_gets_the_carriers_format_where_it_takes_it_else_its_best(stt, carrier, expected):
    async def scenario():
        made = Office().lineup(stt=stt, carrier_format=carrier)
        assert made.lineup.stt_format == expected
        connected = await made.lineup.connect_stt()
        assert connected.done == [f"connect {expected.encoding} {expected.rate}"]

    virtually(scenario)


def test_a_call_without_a_vad_opens_none():
    async def scenario():
        office, ledger = Office(providers=Providers(vad=False)), Ledger()
        made = office.lineup(vad=None)
        assert (made.lineup.has_stt, made.lineup.has_detector) == (True, False)
        assert made.lineup.open_detector(lambda event: None, ledger, MULAW_8K) is None
        assert ledger.open() == ()

    virtually(scenario)


def test_hints_reach_the_stt():
    async def scenario():
        made = Office().lineup()
        made.lineup.speech_started()
        made.lineup.interims_wanted(True)
        assert made.lineup._stt.done == ["speech started", "interims True"]
        assert made.lineup.reconnecting is False
        await made.lineup.close_stt()
        assert (made.lineup.reconnecting, made.lineup._stt.done[-1]) == (True, "close")

    virtually(scenario)


# -- healing


@pytest.mark.parametrize(("kind", "hopeless"), [("tts", True), ("stt", True), ("llm", False)])
def test_a_provider_is_made_anew_twice_and_then_given_up(kind, hopeless):
    async def scenario():
        made = Office().lineup()
        first = {"tts": lambda: made.lineup.voice.tts, "llm": lambda: made.lineup.voice.llm}.get(
            kind, lambda: made.lineup._stt
        )
        for _ in range(2):
            before = first()
            assert await made.lineup.heal(kind, ProviderError("broke"), spoken=False)
            if kind != "stt":  # its receiver makes that one anew when it connects again
                assert first() is not before
                assert before.done == ["close"]
        assert made.ended == []
        assert not await made.lineup.heal(kind, ProviderError("broke"), spoken=False)
        reference = {"tts": "mouth", "stt": "ears", "llm": "brain"}[kind]
        assert made.ended == ([(CallStatus.FAILED, f"{kind} {reference} failed")] if hopeless else [])
        assert [(failure.kind, failure.reference) for failure in made.failed] == [(kind, reference)] * 3

    virtually(scenario)


def test_a_wrong_key_is_not_tried_again():
    async def scenario():
        made = Office().lineup()
        assert not await made.lineup.heal("stt", ProviderAuthError("401"), spoken=False)
        assert made.ended == [(CallStatus.FAILED, "stt ears failed")]

    virtually(scenario)


def test_after_something_was_spoken_the_provider_is_renewed_and_the_text_is_not_tried_again():
    async def scenario():
        made = Office().lineup()
        before = made.lineup.voice.tts
        assert not await made.lineup.heal("tts", ProviderError("broke"), spoken=True)
        assert made.lineup.voice.tts is not before
        assert made.ended == []

    virtually(scenario)


def test_the_hook_decides_first():
    async def scenario():
        decide = Decide(Retry(), Retry(), Retry(), Hangup("enough of it"))
        made = Office(decide).lineup()
        for _ in range(3):
            assert await made.lineup.heal("llm", ProviderError("broke"), spoken=False)
        assert not await made.lineup.heal("llm", ProviderError("broke"), spoken=False)
        assert made.ended == [(CallStatus.FAILED, "enough of it")]
        assert decide.asked == [("call_1", "llm", "brain", "broke")] * 4

    virtually(scenario)


def test_switching_puts_another_provider_in_place_and_closes_the_old_one():
    async def scenario():
        made = Office(Decide(Switch("llm", "other"))).lineup()
        before = made.lineup.voice.llm
        assert await made.lineup.heal("llm", ProviderError("broke"), spoken=False)
        assert made.lineup.voice.llm is not before
        assert before.done == ["close"]
        await made.lineup.heal("llm", ProviderError("again"), spoken=False)
        assert [failure.reference for failure in made.failed] == ["brain", "other"]

    virtually(scenario)


def test_switching_to_what_does_not_exist_keeps_what_there_was(caplog):
    async def scenario():
        made = Office(Decide(Switch("llm", "nosuch"), Switch("vad", "detector"))).lineup()
        assert await made.lineup.heal("llm", ProviderError("broke"), spoken=False)
        assert made.lineup.voice.llm is not None
        assert await made.lineup.heal("llm", ProviderError("broke"), spoken=False)
        assert [failure.reference for failure in made.failed] == ["brain", "brain"]
        assert made.lineup.has_detector

    with caplog.at_level(logging.ERROR):
        virtually(scenario)
    assert caplog.text.count("cannot switch") == 2


def test_a_provider_that_cannot_be_made_again_ends_the_call():
    async def scenario():
        made = Office().lineup(stt="once")
        assert await made.lineup.heal("stt", ProviderError("broke"), spoken=False)
        with pytest.raises(ProviderError, match="no second one"):
            await made.lineup.rebuild("stt")
        ((status, reason),) = made.ended
        assert status is CallStatus.FAILED
        assert "cannot be made anew" in reason

    virtually(scenario)
