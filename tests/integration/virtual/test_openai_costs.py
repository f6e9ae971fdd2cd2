"""The cost of calls with OpenAI's engine against what the simulated server billed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from openai_calls import GREETING, EngineCall, engine_call

pytestmark = pytest.mark.patter_plugins("openai")

#: what a million tokens of the engine's default model cost, text and audio
TEXT = {"fresh": 4.0, "cached": 0.4, "out": 24.0}
AUDIO = {"fresh": 32.0, "cached": 0.4, "out": 64.0}


def billed(made: EngineCall) -> tuple[Counter[str], Counter[str]]:
    """The usages that the server told, added up by part, and the statuses of those responses."""
    parts: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    for session in made.sessions:
        for _, event in session.sent:
            if event["type"] != "response.done" or not event["response"]["usage"]:
                continue
            usage = event["response"]["usage"]
            given, cached = (
                usage["input_token_details"],
                usage["input_token_details"]["cached_tokens_details"],
            )
            for kind in ("text", "audio"):
                parts[f"{kind} cached"] += cached[f"{kind}_tokens"]
                parts[f"{kind} fresh"] += given[f"{kind}_tokens"] - cached[f"{kind}_tokens"]
                parts[f"{kind} out"] += usage["output_token_details"][f"{kind}_tokens"]
            statuses[event["response"]["status"]] += 1
    return parts, statuses


@pytest.mark.behaviour("CO-04")
async def test_a_call_costs_what_the_server_billed_cancelled_responses_too(simcall: Any) -> None:
    async with engine_call(simcall, server={"speed": 1.0}) as made:
        await made.call.agent_says(GREETING)
        await made.call.caller_says(
            "Tell me all that there is to know about Acme, and do not leave out a thing"
        )
        await made.call.agent_says("You said")
        await made.call.caller_says("Stop it please, that is enough")
        await made.call.quiet(2000)
        await made.call.caller_says("Thank you")
        await made.call.quiet(2000)
    parts, statuses = billed(made)
    assert statuses["cancelled"] >= 1
    assert statuses["completed"] >= 2
    assert parts["text cached"] > 0
    assert parts["audio cached"] > 0
    cost = made.call.summary.cost
    (line,) = [line for line in cost.lines if line.kind == "realtime"]
    assert (line.provider, line.price_model) == ("openai-realtime", "gpt-realtime-2.1")
    expected = sum(
        parts[f"{kind} {part}"] * price / 1e6
        for kind, prices in (("text", TEXT), ("audio", AUDIO))
        for part, price in prices.items()
    )
    assert cost.realtime == pytest.approx(expected)
    saved = parts["text cached"] * (4.0 - 0.4) + parts["audio cached"] * (32.0 - 0.4)
    assert cost.llm_cached_savings == pytest.approx(saved / 1e6)
    assert cost.total == pytest.approx(cost.realtime + cost.telephony)
