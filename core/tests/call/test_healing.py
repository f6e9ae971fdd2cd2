"""Providers of a call that are renewed, switched or given up."""

from __future__ import annotations

import asyncio
import logging

import pytest
from traced_providers import Brain, Office, Traced, virtually

from patter import LLMRecord, hookimpl
from patter.call.fallback_llm import FallbackLLM
from patter.decisions import Hangup, Retry, Switch
from patter.errors import AllProvidersFailedError, ProviderAuthError, ProviderError, ProviderTimeout
from patter.providers.carrier import CallStatus


class Decide:
    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    @hookimpl
    async def patter_call_error(self, call, error):
        self.asked.append((call.id, error.kind, error.reference, str(error.error)))
        return self.answers.pop(0) if self.answers else None


# -- healing


@pytest.mark.parametrize(
    ("kind", "times", "hopeless"), [("tts", 2, True), ("stt", 2, True), ("llm", 1, False)]
)
def test_a_provider_is_made_anew_so_often_and_then_given_up(kind, times, hopeless):
    async def scenario():
        made = Office().lineup()
        first = {"tts": lambda: made.lineup.voice.tts, "llm": lambda: made.lineup.voice.llm}.get(
            kind, lambda: made.lineup._stt
        )
        for _ in range(times):
            before = first()
            assert await made.lineup.heal(kind, ProviderError("broke"), spoken=False)
            if kind != "stt":  # its receiver makes that one anew when it connects again
                assert first() is not before
                assert before.done == ["close"]
        assert made.ended == []
        assert not await made.lineup.heal(kind, ProviderError("broke"), spoken=False)
        reference = {"tts": "mouth", "stt": "ears", "llm": "brain"}[kind]
        assert made.ended == ([(CallStatus.FAILED, f"{kind} {reference} failed")] if hopeless else [])
        assert [(failure.kind, failure.reference) for failure in made.failed] == [(kind, reference)] * (
            times + 1
        )
        assert made.lineup.failures == times + 1

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
        made.lineup.recovered("llm")
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


def test_a_provider_that_has_worked_since_is_not_given_up_for_what_was_before():
    async def scenario():
        made = Office().lineup()
        for _ in range(5):
            assert await made.lineup.heal("stt", ProviderError("broke"), spoken=False)
            made.lineup.recovered("stt")
        assert made.ended == []
        for _ in range(2):
            assert await made.lineup.heal("stt", ProviderError("broke"), spoken=False)
        assert not await made.lineup.heal("stt", ProviderError("broke"), spoken=False)
        assert [status for status, _ in made.ended] == [CallStatus.FAILED]

    virtually(scenario)


def test_switching_another_provider_does_not_leave_the_failed_one_dead():
    async def scenario():
        made = Office(Decide(Switch("llm", "other"))).lineup()
        before = made.lineup.voice.llm
        assert await made.lineup.heal("stt", ProviderError("broke"), spoken=False)
        assert made.lineup.voice.llm is not before
        assert made.ended == []

    virtually(scenario)


def test_a_model_that_was_given_up_in_one_turn_is_made_anew_once_in_the_next():
    async def scenario():
        made = Office().lineup()
        for _ in range(3):
            assert await made.lineup.heal("llm", ProviderError("broke"), spoken=False)
            assert not await made.lineup.heal("llm", ProviderError("broke"), spoken=False)
        assert made.ended == []

    virtually(scenario)


def test_models_with_fallbacks_heal_themselves_unless_the_hook_wants_them_made_anew():
    async def scenario():
        made = Office(Decide(None, Retry())).lineup(llm_fallbacks="other")
        chain = made.lineup.voice.llm
        assert isinstance(chain, FallbackLLM)
        assert chain.healthy == ("brain", "other")
        assert not await made.lineup.heal("llm", AllProvidersFailedError("both"), spoken=False)
        assert made.lineup.voice.llm is chain
        assert await made.lineup.heal("llm", AllProvidersFailedError("both"), spoken=False)
        assert made.lineup.voice.llm is not chain
        assert chain.first.done == ["close"]
        await made.lineup.close()
        assert all("close" in one.done for one in Traced.made if isinstance(one, Brain))

    virtually(scenario)


def test_a_fallback_that_cannot_be_made_is_left_out():
    async def scenario():
        def broken():
            raise RuntimeError("no such machine")

        made = Office().lineup(llm_fallbacks=[LLMRecord("broken", broken), "other"])
        assert made.lineup.voice.llm.healthy == ("brain", "other")
        made.lineup.check()
        await made.lineup.close()

    virtually(scenario)


# -- connecting the STT


def test_an_stt_that_never_connects_has_failed_after_ten_seconds():
    async def scenario():
        made = Office().lineup()
        made.lineup._stt.connect = lambda audio_format: asyncio.Event().wait()
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(ProviderTimeout, match="within 10 s"):
            await made.lineup.connect_stt()
        assert loop.time() - began == pytest.approx(10.0)

    virtually(scenario)


def test_an_stt_that_takes_anothers_place_learns_whether_interims_are_wanted():
    async def scenario():
        made = Office().lineup()
        await made.lineup.connect_stt()
        made.lineup.interims_wanted(True)
        await made.lineup.rebuild("stt")
        second = await made.lineup.connect_stt()
        assert second.done[-1] == "interims True"
        made.lineup.interims_wanted(False)
        await made.lineup.rebuild("stt")
        third = await made.lineup.connect_stt()
        assert "interims True" not in third.done

    virtually(scenario)
