"""The providers of a call: its own alone, healed by rule, and all closed at its end."""

from __future__ import annotations

import asyncio
import logging

import pytest
from traced_providers import Detector, Office, Providers, Traced, virtually

from patter import (
    BargeInEvent,
)
from patter.audio.formats import ALAW_8K, MULAW_8K, PCM16_16K
from patter.call.ledger import Ledger
from patter.call.listening import Listening
from patter.call.stt_feed import STTFeed
from patter.errors import ProviderError
from patter.providers.carrier import CallStatus

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
