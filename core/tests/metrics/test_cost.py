"""Prices, units and sums: what a quantity costs. Pure."""

from __future__ import annotations

import json
import logging
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.audio.formats import MULAW_8K, PCM16_16K
from patter.errors import ConfigError
from patter.metrics.cost import (
    CallCost,
    CostLine,
    Price,
    Used,
    billed_seconds,
    corrected,
    cost_line,
    llm_parts,
    realtime_parts,
)
from patter.metrics.cost_book import PriceBook
from patter.metrics.cost_meter import AudioUse, CallMeter
from patter.metrics.cost_prices import own_prices, read_price_list
from patter.providers.billing import ReportedBill
from patter.providers.llm import Message, Text, ToolCall, ToolCallDelta, Usage
from patter.providers.realtime import RealtimeUsage
from patter.records import FREE, CarrierRecord, LLMRecord, RealtimeRecord, STTRecord, TTSRecord

MODELS = {
    "swift": {"input": 1e-6, "output": 4e-6},
    "swift-2": {"input": 2e-6, "output": 8e-6, "cache_read": 5e-7},
    "swift-2-mini": {"input": 3e-7, "output": 1e-6},
}


def listed(**changes: Any) -> dict[str, Any]:
    """A price list."""
    prices = {"llm": {"acme": {"unit": "token", "models": MODELS}}}
    whole = {
        "version": 1,
        "date": "2026-11-23",
        "currency": "USD",
        "source": "acme.example",
        "prices": prices,
    }
    return {**whole, **changes}


def llm(name: str = "acme", prices: str | None = "patter_acme:prices.json") -> LLMRecord:
    return LLMRecord(name, lambda: None, prices=prices)


@pytest.fixture
def acme(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with a price list."""
    package = tmp_path / "patter_acme"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "prices.json").write_text(json.dumps(listed()), encoding="utf-8")
    (package / "broken.json").write_text("{", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "patter_acme:prices.json"


# -- CO-01


@pytest.mark.behaviour("CO-01")
@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("swift", "swift"),
        ("swift-2", "swift-2"),
        ("swift-2-2026-01-01", "swift-2"),
        ("swift-2-mini-2026-01-01", "swift-2-mini"),
        ("swift-1", "swift"),
        ("slow", None),
        ("swif", None),
        ("", None),
    ],
)
def test_a_price_is_that_of_the_exact_model_then_of_the_longest_beginning(
    model: str, found: str | None, acme: str
) -> None:
    price = PriceBook().price(llm(), model)
    assert (None if price is None else price.model) == found
    if price is not None:
        assert (price.date, price.source) == ("2026-11-23", "acme.example")
        assert price.parts == MODELS[price.model]


@pytest.mark.behaviour("CO-01")
def test_own_prices_are_laid_over_the_shipped_ones_with_models_one_level_deep(acme: str) -> None:
    own = {
        "llm": {"acme": {"models": {"swift-2": {"input": 9e-6, "output": 9e-6}, "other": MODELS["swift"]}}}
    }
    book = PriceBook(own)
    changed = book.price(llm(), "swift-2")
    assert changed is not None
    assert changed.parts == {"input": 9e-6, "output": 9e-6}, "a model is replaced whole"
    assert (changed.source, changed.date) == ("your own prices", "")
    kept = book.price(llm(), "swift-2-mini")
    assert kept is not None
    assert kept.parts == MODELS["swift-2-mini"]
    assert kept.source == "acme.example"
    assert book.price(llm(), "other") is not None
    nobody = PriceBook({"tts": {"nobody": {"characters": 0.5}}}).price(TTSRecord("nobody", lambda: None), "x")
    assert nobody is not None, "a provider without a list of its own"
    assert nobody.of("characters") == 0.5


@pytest.mark.behaviour("CO-01")
def test_common_prices_are_laid_over_part_by_part(acme: str) -> None:
    shipped = own_prices({"carrier": {"acme": {"call": 0.01, "media_stream": 0.004}}})
    mine = own_prices({"carrier": {"acme": {"call": 0.02}}})
    price = shipped["carrier", "acme"].under(mine["carrier", "acme"]).price("inbound/+1")
    assert price is not None
    assert price.parts == {"call": 0.02, "media_stream": 0.004}


@pytest.mark.behaviour("CO-01")
def test_what_has_no_price_costs_nothing_and_is_reported_once(
    acme: str, caplog: pytest.LogCaptureFixture
) -> None:
    book, unknown = PriceBook(), LLMRecord("nobody", lambda: None)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            for record, model in ((llm(), "slow"), (unknown, "swift")):
                line = book.line(record, Used("llm", record.name, model, llm_parts(1000, 1000, 0, 0)))
                assert (line.amount, line.priced) == (0.0, False)
                assert line.units["input"] == 1000
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "llm acme/slow" in messages[0]
    assert "llm nobody/swift" in messages[1]


@pytest.mark.behaviour("CO-01")
@pytest.mark.parametrize(
    "prices", ["patter_acme:broken.json", "patter_acme:none.json", "nowhere:prices.json"]
)
def test_a_list_that_cannot_be_read_costs_nothing(
    acme: str, prices: str, caplog: pytest.LogCaptureFixture
) -> None:
    book = PriceBook()
    with caplog.at_level(logging.INFO):
        assert book.price(llm(prices=prices), "swift") is None
        assert book.price(llm(prices=prices), "swift") is None
    assert sum(prices in record.getMessage() for record in caplog.records) == 1


def test_what_is_free_costs_nothing_and_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        line = PriceBook().line(llm(prices=FREE), Used("llm", "acme", "x", llm_parts(10, 10, 0, 0)))
    assert (line.amount, line.priced, line.price_source) == (0.0, True, "free")
    assert caplog.records == []
    own = PriceBook({"llm": {"acme": {"input": 1.0, "output": 1.0}}})
    assert own.line(llm(prices=FREE), Used("llm", "acme", "x", llm_parts(10, 10, 0, 0))).amount == 20.0


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"version": 0}, "version"),
        ({"version": True}, "version"),
        ({"date": "23.11.2026"}, "date"),
        ({"date": "2026-02-30"}, "date"),
        ({"currency": "EUR"}, "currency"),
        ({"source": " "}, "source"),
        ({"more": 1}, "exactly"),
        ({"prices": []}, "table"),
        ({"prices": {"sms": {}}}, "sms"),
        ({"prices": {"llm": {"acme": {"models": MODELS}}}}, "unit is missing"),
        ({"prices": {"llm": {"acme": {"unit": "minute", "models": MODELS}}}}, "by the token"),
        ({"prices": {"llm": {"acme": {"unit": "token"}}}}, "no price"),
        (
            {"prices": {"llm": {"acme": {"unit": "token", "models": {"a": {"input": 1}}}}}},
            "output is missing",
        ),
        ({"prices": {"tts": {"acme": {"unit": "1k_characters", "words": 1}}}}, "'words'"),
        ({"prices": {"tts": {"acme": {"unit": "1k_characters", "characters": -1}}}}, "0 or more"),
        ({"prices": {"tts": {"acme": {"unit": "1k_characters", "characters": "1"}}}}, "0 or more"),
        ({"prices": {"tts": {"acme": {"unit": "1k_characters", "characters": math.inf}}}}, "0 or more"),
    ],
)
def test_a_list_with_anything_else_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        read_price_list(json.dumps(listed(**changes)), "acme")


@given(st.recursive(st.none() | st.integers() | st.text(), lambda one: st.dictionaries(st.text(), one)))
def test_own_prices_of_any_shape_are_read_or_refused(prices: Any) -> None:
    try:
        found = own_prices(prices)
    except ConfigError:
        return
    assert found == {} or prices


# -- CO-03, CO-06


@pytest.mark.behaviour("CO-03")
@pytest.mark.parametrize(
    ("seconds", "increment_s", "billed"),
    [(61, 60, 120), (60, 60, 60), (60.0004, 60, 60), (0.2, 60, 60), (0, 60, 0), (60.2, 1, 61), (61, 1, 61)],
)
def test_time_is_billed_in_whole_steps(seconds: float, increment_s: int, billed: float) -> None:
    assert billed_seconds(seconds, increment_s) == billed
    used = Used("carrier", "acme", "inbound", {"call": seconds}, increment_s=increment_s)
    assert cost_line(used, Price("", {"call": 0.6}, "x")).amount == pytest.approx(billed / 100)


@pytest.mark.behaviour("CO-03")
def test_a_carrier_that_declares_nothing_bills_by_the_second() -> None:
    assert CarrierRecord("acme", lambda: None).billing_increment_s == 1


@pytest.mark.behaviour("CO-06")
@pytest.mark.parametrize(("audio_format", "size"), [(MULAW_8K, 480_000), (PCM16_16K, 1_920_000)])
def test_seconds_follow_from_bytes_rate_and_encoding(audio_format: Any, size: int) -> None:
    assert AudioUse(audio_format, size).seconds == 60.0
    record, stt, meter = STTRecord("acme", lambda: None), object(), CallMeter()
    meter.made(record, "", stt)
    meter.hears(stt, audio_format).bytes += size
    (use,) = meter.uses()
    assert use.used().units == {"audio": 60.0}
    line = PriceBook({"stt": {"acme": {"audio": 0.006}}}).line(record, use.used())
    assert line.amount == pytest.approx(0.006)
    assert line.estimated, "the vendor has told no figure"


# -- CO-02, CO-04


def test_what_is_cached_is_part_of_the_input() -> None:
    price = Price("", {"input": 4.0, "output": 10.0, "cache_read": 1.0, "cache_write": 5.0}, "x")
    line = cost_line(Used("llm", "acme", "", llm_parts(100, 7, 60, 30)), price)
    assert line.units == {"input": 10, "output": 7, "cache_read": 60, "cache_write": 30}
    assert line.amounts == {"input": 40.0, "output": 70.0, "cache_read": 60.0, "cache_write": 150.0}
    assert line.amount == 320.0
    assert line.cached_savings == 60 * 3.0
    assert sum(llm_parts(10, 0, 900, 900).values()) == 10, (
        "a vendor that counts wrongly bills no more than the input"
    )


def test_a_cached_part_without_a_price_costs_what_the_input_does() -> None:
    line = cost_line(
        Used("llm", "acme", "", llm_parts(100, 0, 60, 30)), Price("", {"input": 2.0, "output": 1.0}, "x")
    )
    assert (line.amount, line.cached_savings) == (200.0, 0.0)


ENGINE = Price(
    "",
    {
        "input_text": 4e-6,
        "cached_text": 4e-7,
        "output_text": 16e-6,
        "input_audio": 32e-6,
        "cached_audio": 8e-7,
        "output_audio": 64e-6,
    },
    "x",
)


@pytest.mark.behaviour("CO-04")
def test_text_and_audio_are_billed_apart_cached_and_not() -> None:
    usage = RealtimeUsage(1000, 2000, 300, 400, cached_text=600, cached_audio=1500)
    line = cost_line(Used("realtime", "acme", "", realtime_parts(usage)), ENGINE)
    expected = {
        "input_text": 400 * 4e-6,
        "cached_text": 600 * 4e-7,
        "input_audio": 500 * 32e-6,
        "cached_audio": 1500 * 8e-7,
        "output_text": 300 * 16e-6,
        "output_audio": 400 * 64e-6,
        "session": 0.0,
    }
    assert line.amounts == pytest.approx(expected)
    saved = 600 * (4e-6 - 4e-7) + 1500 * (32e-6 - 8e-7)
    cost = CallCost((line,))
    assert cost.llm_cached_savings == pytest.approx(saved)
    assert cost.realtime == cost.total == pytest.approx(sum(expected.values()))


@pytest.mark.behaviour("CO-04")
def test_a_total_of_cached_tokens_is_split_as_the_input_is() -> None:
    parts = realtime_parts(RealtimeUsage(input_text=300, input_audio=900, cached_total=400))
    assert (parts["cached_text"], parts["cached_audio"]) == (100, 300)
    assert (parts["input_text"], parts["input_audio"]) == (200, 600)
    half = realtime_parts(RealtimeUsage(input_text=300, input_audio=900, cached_total=400, cached_text=250))
    assert (half["cached_text"], half["cached_audio"]) == (250, 150)
    told = realtime_parts(RealtimeUsage(input_text=300, input_audio=900, cached_total=400, cached_audio=0))
    assert (told["cached_text"], told["cached_audio"]) == (300, 0)


tokens = st.integers(0, 10**7)


@given(tokens, tokens, st.none() | tokens, st.none() | tokens, st.integers(-5, 10**8))
def test_cached_tokens_are_never_more_than_the_input(
    text: int, audio: int, cached_text: int | None, cached_audio: int | None, total: int
) -> None:
    usage = RealtimeUsage(text, audio, cached_text=cached_text, cached_audio=cached_audio, cached_total=total)
    parts = realtime_parts(usage)
    assert all(part >= 0 for part in parts.values())
    assert parts["input_text"] + parts["cached_text"] == pytest.approx(text)
    assert parts["input_audio"] + parts["cached_audio"] == pytest.approx(audio)


@pytest.mark.behaviour("CO-04")
def test_the_meter_adds_up_the_responses_of_an_engine() -> None:
    meter, record = CallMeter(), RealtimeRecord("acme", lambda: None)
    meter.response(RealtimeUsage(1, 1, 1, 1))
    meter.made(record, "talker", object())
    meter.response(RealtimeUsage(10, 20, 30, 40))
    meter.response(RealtimeUsage(1, 2, 3, 4, cached_total=3, seconds=2.5))
    (use,) = meter.uses()
    assert use.used().units == {
        "input_text": 10,
        "input_audio": 20,
        "cached_text": 1,
        "cached_audio": 2,
        "output_text": 33,
        "output_audio": 44,
        "session": 2.5,
    }


# -- the sum


lines = st.builds(
    CostLine,
    st.sampled_from(["carrier", "stt", "tts", "llm", "realtime"]),
    st.text(max_size=3),
    st.text(max_size=3),
    st.just({}),
    st.dictionaries(st.text(max_size=3), st.floats(0, 1e6)),
)


@pytest.mark.behaviour("CO-02")
@given(st.lists(lines, max_size=8))
def test_the_total_is_the_sum_of_what_is_listed_alone(listed_lines: list[CostLine]) -> None:
    cost = CallCost(tuple(listed_lines))
    parts = (cost.telephony, cost.stt, cost.tts, cost.llm, cost.realtime)
    assert cost.total == pytest.approx(sum(parts)) == pytest.approx(sum(one.amount for one in listed_lines))
    assert json.loads(json.dumps(cost.as_dict()))["total"] == cost.total


# -- CO-07


def asked(meter: CallMeter, model: object, *chunks: Any) -> None:
    messages = [
        Message("system", "x" * 10),
        Message("assistant", "", tool_calls=(ToolCall("1", "look", '{"a": 1}'),)),
        Message("tool", "y" * 7, tool_call_id="1"),
    ]
    with meter.request(model, messages) as bill:
        for chunk in chunks:
            bill.take(chunk)


@pytest.mark.behaviour("CO-07")
def test_tokens_that_nobody_counted_are_a_quarter_of_the_characters(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Any] = []
    meter, model = CallMeter(lambda name, data: told.append((name, data))), object()
    meter.made(llm(), "swift", model)
    chunks = (Text("Hello"), ToolCallDelta(0, "1", "look", "{}"))
    with caplog.at_level(logging.DEBUG):
        for _ in range(3):
            asked(meter, model, *chunks)
    given, written = 10 + len('look{"a": 1}') + 7, len("Hello") + len("look{}")
    usage = Usage(math.ceil(given / 4), math.ceil(written / 4), estimated=True)
    assert told == [("usage", usage)] * 3
    first, *later = [record for record in caplog.records if record.name == "patter.metrics.cost_meter"]
    assert first.levelno == logging.INFO
    for word in (
        "acme",
        "swift",
        str(given),
        str(written),
        str(usage.input_tokens),
        str(usage.output_tokens),
    ):
        assert word in first.getMessage()
    assert [record.levelno for record in later] == [logging.DEBUG, logging.DEBUG]
    assert [str(count) in record.getMessage() for count, record in zip((2, 3), later, strict=True)] == [
        True,
        True,
    ]
    (use,) = meter.uses()
    assert use.used().units["input"] == 3 * usage.input_tokens
    assert use.used().units["output"] == 3 * usage.output_tokens
    assert use.used().estimated

    quiet = CallMeter()
    quiet.made(llm(), "swift", model)
    with caplog.at_level(logging.CRITICAL):
        for _ in range(3):
            asked(quiet, model, *chunks)
    assert quiet.uses()[0].used() == use.used(), "what is billed does not depend on what is logged"


@pytest.mark.behaviour("CO-07")
def test_each_call_says_it_once_and_counted_tokens_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            meter, model = CallMeter(), object()
            meter.made(llm(), "swift", model)
            asked(meter, model, Text("Hello"), Usage(5, 2))
            assert meter.uses()[0].used().units["input"] == 5
            assert not meter.uses()[0].used().estimated
            asked(meter, model, Text("Hello"))
            asked(meter, model, Text("Hello"))
    assert sum("no token count" in record.getMessage() for record in caplog.records) == 2


def test_a_request_that_failed_before_it_was_answered_is_not_billed() -> None:
    meter, model = CallMeter(), object()
    meter.made(llm(), "swift", model)
    with pytest.raises(RuntimeError), meter.request(model, [Message("user", "Hi")]):
        raise RuntimeError
    assert meter.uses() == ()
    with suppress(RuntimeError), meter.request(model, [Message("user", "Hi")]) as bill:
        bill.take(Text("Half of"))
        raise RuntimeError
    assert meter.uses()[0].used().units == {"input": 1, "output": 2, "cache_read": 0, "cache_write": 0}
    with pytest.raises(KeyboardInterrupt), meter.request(model, [Message("user", "Hi")]):
        raise KeyboardInterrupt
    assert meter.uses()[0].used().units["input"] == 2, "one that was given up was asked all the same"


# -- CO-08


@pytest.mark.behaviour("CO-08")
def test_the_vendors_figures_take_the_place_of_ours() -> None:
    price = Price("inbound/+1", {"call": 0.0085, "media_stream": 0.004}, "x", "2026-11-23")
    used = Used(
        "carrier", "acme", "inbound", {"call": 61, "media_stream": 61}, estimated=True, increment_s=60
    )
    line = cost_line(used, price)
    assert line.amount == pytest.approx(2 * 0.0085 + 2 * 0.004)
    timed = corrected(line, ReportedBill(seconds=58), price, 60)
    assert (timed.units["call"], timed.estimated) == (60, False)
    assert timed.amount == pytest.approx(0.0085 + 2 * 0.004)
    billed = corrected(timed, ReportedBill(seconds=58, amount=0.0071), price, 60)
    assert billed.amounts == pytest.approx({"call": 0.0071, "media_stream": 0.008})
    assert corrected(billed, ReportedBill(amount=5.0, currency="EUR"), price, 60) == billed
    assert corrected(billed, ReportedBill(seconds=500), price, 60) == billed, "a callback that comes twice"
    assert corrected(line, ReportedBill(), price, 60) == line
    unpriced = corrected(cost_line(used, None), ReportedBill(amount=0.02), None, 60)
    assert (unpriced.amount, unpriced.priced, unpriced.estimated) == (0.02, True, False)
