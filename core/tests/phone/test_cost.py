"""What whole calls cost, in virtual time, against what the fakes were given."""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import pytest
from outgoing import GREETING, Outgoing, agent

from patter import Agent, LLMRecord, STTRecord, hookimpl
from patter.errors import ConfigError, ProviderError
from patter.metrics.cost import CallCost, CostLine
from patter.providers.billing import ReportedBill
from patter.providers.carrier import CallOffer, CallStatus, StatusReport
from patter.providers.llm import Usage
from patter.server.late_bills import LateBills
from patter.testing import Reply
from patter.testing.fake_llm import FakeLLM
from patter.testing.fake_stt import FakeSTT
from patter.testing.scene import Scene, VoiceFault

#: the prices of the fakes, as their own list has them, of a single second, character or token
SECOND, CHARACTER = {"call": 0.01 / 60, "media_stream": 0.004 / 60, "audio": 0.006 / 60}, 0.03 / 1000
TOKEN = {"input": 2e-6, "output": 8e-6, "cache_read": 5e-7, "cache_write": 2.5e-6}


def line_of(cost: CallCost, kind: str) -> CostLine:
    (found,) = [line for line in cost.lines if line.kind == kind]
    return found


def characters(scene: Scene) -> int:
    """What the fake voice was asked to say."""
    return sum(len(text) for text in scene.voice.spoken)


def limit(phone: Any, **flags: Any) -> None:
    """Change the record of the carrier of a phone that serves."""
    trunks = phone.switchboard.trunks
    trunks["fake"] = replace(trunks["fake"], record=replace(trunks["fake"].record, **flags))


# -- CO-02


@pytest.mark.behaviour("CO-02")
async def test_a_call_costs_what_its_providers_were_given(simcall: Any, phone: Any) -> None:
    replies = [
        Reply("We open at nine.", usage=Usage(1200, 6, cache_read_tokens=1000, cache_write_tokens=150)),
        Reply("Goodbye.", usage=Usage(1300, 2)),
    ]
    async with simcall(agent(), replies=replies) as call:
        await call.agent_says(GREETING)
        await call.caller_says("When do you open?")
        await call.agent_says("We open at nine.")
        await call.caller_says("Thank you.")
        await call.agent_says("Goodbye.")
    cost, seconds = call.summary.cost, call.summary.duration_s
    tokens = {"input": 50 + 1300, "output": 8, "cache_read": 1000, "cache_write": 150}
    assert line_of(cost, "llm").units == tokens
    assert cost.llm == pytest.approx(sum(count * TOKEN[part] for part, count in tokens.items()))
    assert cost.llm_cached_savings == pytest.approx(1000 * (TOKEN["input"] - TOKEN["cache_read"]))
    said = len(GREETING) + len("We open at nine.") + len("Goodbye.")
    assert characters(call.scene) == said
    assert cost.tts == pytest.approx(said * CHARACTER)
    heard_s = line_of(cost, "stt").units["audio"]
    assert heard_s == pytest.approx(seconds, abs=0.2)
    assert cost.stt == pytest.approx(heard_s * SECOND["audio"])
    whole_s = math.ceil(round(seconds, 3))
    assert cost.telephony == pytest.approx(whole_s * (SECOND["call"] + SECOND["media_stream"]))
    assert cost.total == pytest.approx(cost.telephony + cost.stt + cost.tts + cost.llm)
    assert [line.provider for line in cost.lines] == ["fake"] * 4
    assert {line.price_date for line in cost.lines} == {"2026-11-23"}
    assert {line.kind: line.estimated for line in cost.lines} == {
        "carrier": True,
        "stt": True,
        "llm": False,
        "tts": False,
    }
    assert call.summary.metrics["cost"] == cost.as_dict()
    assert phone.calls.get(call.call.id).cost == cost


class Vendor:
    """Two vendors of language models that speak the same language, and another STT."""

    @hookimpl
    def patter_register_llm(self) -> list[LLMRecord]:
        return [LLMRecord("one", FakeLLM), LLMRecord("two", FakeLLM)]

    @hookimpl
    def patter_register_stt(self) -> list[STTRecord]:
        return [STTRecord("telling", TellingSTT, reports_bill=True)]


class TellingSTT(FakeSTT):
    """Has a vendor that tells its bill; `bills` are its answers, by the calls of this class."""

    bills: ClassVar[list[Any]] = []

    async def reported_bill(self) -> ReportedBill | None:
        assert self._closed
        bill = self.bills.pop(0)
        if isinstance(bill, Exception):
            raise bill
        return bill


OWN = {"llm": {"one": {"input": 1.0, "output": 0.0}, "two": {"input": 0.0, "output": 1.0}}}


@pytest.mark.behaviour("CO-02")
@pytest.mark.patter_phone(prices=OWN)
async def test_cost_goes_to_the_vendor_that_answered(simcall: Any, phone: Any) -> None:
    phone.register(Vendor())
    broken = ProviderError("down")
    replies = [broken, broken, Reply("Here is the other one.", usage=Usage(7, 3))]
    async with simcall(agent(llm="one", llm_fallbacks=["two"]), replies=replies) as call:
        await call.agent_says(GREETING)
        await call.caller_says("Is anyone there?")
        await call.agent_says("Here is the other one.")
    line = line_of(call.summary.cost, "llm")
    assert (line.provider, line.units["input"], line.units["output"]) == ("two", 7, 3)
    assert call.summary.cost.llm == 3.0


# -- CO-01


@pytest.mark.behaviour("CO-01")
@pytest.mark.patter_phone(prices={"tts": {"fake": {"characters": 1.0}}})
async def test_own_prices_are_an_option_of_the_phone(simcall: Any) -> None:
    async with simcall(agent()) as call:
        await call.agent_says(GREETING)
    line = line_of(call.summary.cost, "tts")
    assert line.amount == pytest.approx(len(GREETING) / 1000)
    assert line.price_source == "your own prices"
    assert call.summary.cost.stt > 0


@pytest.mark.behaviour("CO-01")
def test_own_prices_come_from_the_settings_file(tmp_path: Any) -> None:
    from patter import Patter
    from patter.plugins import PluginManager

    alone = PluginManager([], autoload=False, environ={})
    file = tmp_path / "patter.toml"
    file.write_text(
        '[phone.prices.llm.acme.models."swift-2"]\ninput = 1e-6\noutput = 2e-6\n', encoding="utf-8"
    )
    assert Patter(config=file, manager=alone).settings.prices == {
        "llm": {"acme": {"models": {"swift-2": {"input": 1e-6, "output": 2e-6}}}}
    }
    with pytest.raises(ConfigError, match=r"llm\.acme"):
        Patter(manager=alone, prices={"llm": {"acme": {"words": 1}}})


@pytest.mark.behaviour("CO-01")
async def test_a_provider_without_prices_is_reported_once(
    simcall: Any, phone: Any, caplog: pytest.LogCaptureFixture
) -> None:
    phone.register(Vendor())
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            async with simcall(agent(llm="one")) as call:
                await call.agent_says(GREETING)
                await call.caller_says("Hello?")
                await call.agent_says("You said: Hello?")
            line = line_of(call.summary.cost, "llm")
            assert (line.amount, line.priced) == (0.0, False)
            assert line.units["input"] > 0
    assert sum("no price is known of llm one" in record.getMessage() for record in caplog.records) == 1


# -- CO-03, CO-06


@pytest.mark.behaviour("CO-03")
@pytest.mark.parametrize(("increment_s", "billed"), [(60, 120.0), (1, 61.0)])
async def test_a_call_is_billed_in_the_steps_of_its_carrier(
    simcall: Any, phone: Any, increment_s: int, billed: float
) -> None:
    await phone.start(agent(), port=0)
    limit(phone, billing_increment_s=increment_s)
    async with simcall(agent(first_message="")) as call:
        await asyncio.sleep(61.0)
    assert call.summary.duration_s == pytest.approx(61.0, abs=0.05)
    line = line_of(call.summary.cost, "carrier")
    assert line.units["call"] == billed
    assert line.amounts["call"] == pytest.approx(billed * SECOND["call"])


@pytest.mark.behaviour("CO-06")
@pytest.mark.parametrize("rate", [8000, 16_000])
async def test_what_an_stt_heard_is_counted_in_any_format(simcall: Any, phone: Any, rate: int) -> None:
    class Wide(FakeSTT):
        def input_formats(self) -> Any:
            from patter.audio.formats import MULAW_8K, PCM16_16K

            return (MULAW_8K if rate == 8000 else PCM16_16K,)

    stt = STTRecord("wide", Wide)
    async with simcall(agent(stt=stt, first_message="")) as call:
        await asyncio.sleep(60.0)
    assert line_of(call.summary.cost, "stt").units["audio"] == pytest.approx(60.0, abs=0.1)


# -- CO-05


@pytest.mark.behaviour("CO-05")
@pytest.mark.parametrize("ring_s", [0.0, 0.05, 3.0])
@pytest.mark.parametrize("prewarm", [False, True])
async def test_a_greeting_is_billed_once(simcall: Any, prewarm: bool, ring_s: float) -> None:
    greets = agent(prewarm_first_message=prewarm, tts="fake?delay_ms=300")
    async with simcall(greets, ring_s=ring_s) as call:
        await call.agent_says(GREETING)
        await call.quiet(500)
    assert line_of(call.summary.cost, "tts").units == {"characters": len(GREETING)}


@pytest.mark.behaviour("CO-05")
async def test_a_greeting_that_nobody_heard_was_paid_for(phone: Any) -> None:
    outgoing = Outgoing(phone)
    calling, dialled = await outgoing.place(agent=agent(prewarm_first_message=True))
    await asyncio.sleep(5.0)
    outgoing.ends(dialled, CallStatus.NO_ANSWER)
    cost = (await calling).cost
    assert [(line.kind, dict(line.units)) for line in cost.lines] == [("tts", {"characters": len(GREETING)})]
    assert cost.total == pytest.approx(len(GREETING) * CHARACTER)


async def test_a_voice_that_failed_without_a_sound_is_not_paid(simcall: Any) -> None:
    call = simcall(agent(first_message=""), replies=["One sentence. Another one."])
    call.scene.voice.faults.extend([VoiceFault(error=ProviderError("mute")), None, None])
    async with call:
        await call.caller_says("Hello?")
        await call.agent_says("Another one.")
    failed, *spoken = call.scene.voice.spoken
    assert spoken[0] == failed
    assert line_of(call.summary.cost, "tts").units["characters"] == sum(map(len, spoken))


# -- CO-07


@pytest.mark.behaviour("CO-07")
async def test_a_reply_that_was_cut_off_is_estimated(simcall: Any, caplog: pytest.LogCaptureFixture) -> None:
    usages: list[Usage] = []
    long = Reply("Here is one word more. " * 100, token_delay_s=0.1)
    with caplog.at_level(logging.INFO):
        async with simcall(agent(first_message=""), replies=[long, Reply("Yes.", counted=False)]) as call:
            call.call.on("usage", usages.append)
            await call.caller_says("Tell me all about it.")
            await call.agent_says("one word more.")
            await call.caller_says("Stop that, please stop that now.")
            await call.agent_says("Yes.")
    assert len(usages) == 2
    assert all(usage.estimated for usage in usages)
    assert 0 < usages[0].output_tokens < len(long.text) / 4
    assert usages[1].output_tokens == 1
    for usage, asked in zip(usages, call.scene.model.requests, strict=True):
        assert usage.input_tokens == math.ceil(sum(len(message.content) for message in asked) / 4)
    line = line_of(call.summary.cost, "llm")
    assert line.estimated
    assert line.units["input"] == sum(usage.input_tokens for usage in usages)
    assert sum("no token count" in record.getMessage() for record in caplog.records) == 1


# -- CO-08


@pytest.mark.behaviour("CO-08")
async def test_the_carriers_duration_replaces_the_estimate(simcall: Any, phone: Any) -> None:
    await phone.start(agent(), port=0)
    limit(phone, billing_increment_s=60)
    async with simcall(agent()) as call:
        await call.agent_says(GREETING)
        host, sid = call.carrier.host, call.carrier_call_id
        await asyncio.sleep(70.0)
    before = phone.calls.get(call.call.id).cost
    assert line_of(before, "carrier").units["call"] == 120
    host.call_status(StatusReport(sid, CallStatus.COMPLETED, duration_s=59.0))
    after = phone.calls.get(call.call.id).cost
    assert (line_of(after, "carrier").units["call"], line_of(after, "carrier").estimated) == (60, False)
    assert before.telephony - after.telephony == pytest.approx(60 * SECOND["call"])
    assert [line for line in after.lines if line.kind != "carrier"] == list(before.lines[1:])


@pytest.mark.behaviour("CO-08")
async def test_the_carriers_price_replaces_the_estimate_when_it_is_known(simcall: Any, phone: Any) -> None:
    await phone.start(agent(), port=0)
    limit(phone, reports_bill=True)
    async with simcall(agent()) as call:
        await call.agent_says(GREETING)
        carrier, sid = call.carrier, call.carrier_call_id
    before = call.summary.cost
    carrier.bills[sid] = ProviderError("not now")
    await asyncio.sleep(25.0)
    assert carrier.asked_for_bills == [sid]
    assert phone.calls.get(call.call.id).cost == before, "failing to fetch it changes nothing"
    carrier.bills[sid] = ReportedBill(seconds=3.0)
    await asyncio.sleep(30.0)
    assert carrier.asked_for_bills == [sid] * 2
    carrier.bills[sid] = ReportedBill(seconds=3.0, amount=0.0123)
    await asyncio.sleep(120.0)
    line = line_of(phone.calls.get(call.call.id).cost, "carrier")
    assert (line.units["call"], line.amounts["call"], line.estimated) == (3.0, 0.0123, False)
    assert line.amounts["media_stream"] == line_of(before, "carrier").amounts["media_stream"]
    asked = len(carrier.asked_for_bills)
    await asyncio.sleep(4000.0)
    assert len(carrier.asked_for_bills) == asked == 3, "what is known is not asked again"
    carrier.host.call_status(StatusReport(sid, CallStatus.COMPLETED, duration_s=3.0))
    assert line_of(phone.calls.get(call.call.id).cost, "carrier") == line, "a callback that comes late"
    assert call.summary.cost == before


@pytest.mark.behaviour("CO-08")
@pytest.mark.parametrize(
    "answer", [None, ProviderError("down"), ReportedBill(amount=-1.0), ReportedBill(math.nan)]
)
async def test_a_price_that_cannot_be_had_changes_nothing(simcall: Any, phone: Any, answer: Any) -> None:
    await phone.start(agent(), port=0)
    limit(phone, reports_bill=True)
    async with simcall(agent()) as call:
        await call.agent_says(GREETING)
        carrier, sid = call.carrier, call.carrier_call_id
    if answer is not None:
        carrier.bills[sid] = answer
    await asyncio.sleep(4000.0)
    assert carrier.asked_for_bills == [sid] * 5, "then it is given up"
    assert phone.calls.get(call.call.id).cost == call.summary.cost


@pytest.mark.behaviour("CO-08")
@pytest.mark.patter_phone(prices={"stt": {"telling": {"audio": 0.6}}})
async def test_what_an_stt_reports_replaces_the_estimate(simcall: Any, phone: Any) -> None:
    phone.register(Vendor())
    TellingSTT.bills[:] = [None, ProviderError("down"), ReportedBill(seconds=100.0), ReportedBill(amount=0.5)]
    async with simcall(agent(stt="telling")) as call:
        await call.agent_says(GREETING)
    await asyncio.sleep(40.0)
    assert phone.calls.get(call.call.id).cost == call.summary.cost
    await asyncio.sleep(200.0)
    line = line_of(phone.calls.get(call.call.id).cost, "stt")
    assert (line.units["audio"], line.amount, line.estimated) == (100.0, 1.0, False)
    await asyncio.sleep(3600.0)
    assert line_of(phone.calls.get(call.call.id).cost, "stt").amount == 0.5
    assert TellingSTT.bills == []


async def test_a_refused_call_costs_what_its_carrier_says(phone: Any) -> None:
    await phone.start(Agent(stt="fake", llm="fake", tts="fake", vad="fake"), port=0)
    phone.switchboard.ready = False
    carrier = phone.switchboard.trunks["fake"].carrier
    await carrier.host.incoming_call(CallOffer("one", "+15550001111", "+15550001234"))
    record = phone.calls.find("fake", "one")
    assert record.cost == CallCost()
    carrier.host.call_status(StatusReport("one", CallStatus.BUSY, duration_s=0.0))
    assert phone.calls.get(record.call_id).cost == CallCost()
    carrier.host.call_status(StatusReport("one", CallStatus.COMPLETED, duration_s=6.0))
    assert phone.calls.get(record.call_id).cost.total == pytest.approx(6 * SECOND["call"])


# -- CC-01


@pytest.mark.behaviour("CC-01")
async def test_a_call_that_was_placed_returns_its_cost(simcall: Any, phone: Any) -> None:
    outgoing = Outgoing(phone)
    calling, dialled = await outgoing.place()
    async with simcall(dialled=dialled) as call:
        await call.agent_says(GREETING)
    result = await calling
    assert result.cost == call.summary.cost
    assert line_of(result.cost, "carrier").model == "outbound"
    assert result.cost.total > result.cost.telephony > 0


# -- CO-04


@pytest.mark.behaviour("CO-04")
async def test_an_engine_is_billed_for_each_response_cancelled_ones_too(simcall: Any) -> None:
    told: list[Any] = []
    ends: list[Any] = []
    async with simcall(Agent(engine="fake", first_message=GREETING)) as call:
        call.call.on("realtime_usage", told.append)
        call.call.on("turn_ended", ends.append)
        await call.agent_says(GREETING)
        await call.caller_says("When do you open, and when do you close, and where are you?")
        await call.quiet(20)
        await asyncio.sleep(1.5)
        await call.caller_says("Stop, please.")
        await call.quiet(1500)
    assert any(end.interrupted for end in ends)
    assert len(told) == call.scene.engine.responses >= 3
    cost = call.summary.cost
    line = line_of(cost, "realtime")
    assert line.units == realtime_sum(told)
    assert line.units["input_audio"] == 10 * len(told)
    assert cost.realtime == pytest.approx(len(told) * (10 * 32e-6 + 20 * 64e-6))
    assert cost.total == pytest.approx(cost.telephony + cost.realtime)
    assert {one.kind for one in cost.lines} == {"carrier", "realtime"}


def realtime_sum(usages: list[Any]) -> dict[str, float]:
    """The parts of usages that name no cached tokens, added up."""
    names = {
        "input_text": "input_text",
        "input_audio": "input_audio",
        "output_text": "output_text",
        "output_audio": "output_audio",
        "session": "seconds",
    }
    parts = {part: sum(getattr(usage, name) for usage in usages) for part, name in names.items()}
    return {**parts, "cached_text": 0, "cached_audio": 0}


async def test_slow_vendors_keep_nobody_waiting_and_are_all_asked(phone: Any) -> None:
    asked: list[int] = []
    told: list[int] = []
    bills = LateBills()

    async def slow(number: int) -> ReportedBill:
        asked.append(number)
        await asyncio.sleep(3.0)
        return ReportedBill(amount=float(number))

    loop = asyncio.get_running_loop()
    for number in range(100):
        bills.expect(partial(slow, number), lambda bill: told.append(int(bill.amount or 0)), loop.time())
    await bills.look(loop.time())
    assert asked == [], "too early"
    looks = 0
    while len(bills):
        await asyncio.sleep(15.0)
        began = loop.time()
        await bills.look(began)
        assert loop.time() - began <= 10.0
        looks += 1
    assert sorted(told) == list(range(100))
    assert looks < 10, "three rounds of eight are answered in a look; the fourth is cut off and asked again"
    assert max(asked.count(number) for number in range(100)) == 2
