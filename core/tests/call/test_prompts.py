"""The texts of a call: the phone preamble, and placeholders filled from variables and from what came with the call."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter import Agent
from patter.agent import PHONE_PREAMBLE
from patter.call.prompts import LONGEST_PARAMETER, prompts_of


def test_the_preamble_asks_for_what_suits_a_telephone() -> None:
    for rule in ("short", "no markdown", "no emoji", "Spell out numbers"):
        assert rule in PHONE_PREAMBLE


@pytest.mark.behaviour("TN-18")
def test_the_preamble_precedes_the_prompt_unless_it_is_left_out() -> None:
    agent = Agent(system_prompt="You sell tea.")
    assert prompts_of(agent, {}).system == f"{PHONE_PREAMBLE}\n\nYou sell tea."
    assert prompts_of(agent.changed(disable_phone_preamble=True), {}).system == "You sell tea."
    assert prompts_of(agent.changed(system_prompt=""), {}).system == PHONE_PREAMBLE


@pytest.mark.behaviour("TN-18")
def test_placeholders_are_filled_and_what_the_carrier_sent_wins() -> None:
    agent = Agent(
        system_prompt="You are {name} of {company}. {name} again.",
        first_message="Hello {caller}, this is {name}.",
        variables={"name": "Ann", "company": "Acme", "caller": "you"},
        disable_phone_preamble=True,
    )
    prompts = prompts_of(agent, {"caller": "Bob", "unused": "x"})
    assert prompts.system == "You are Ann of Acme. Ann again."
    assert prompts.first_message == "Hello Bob, this is Ann."
    assert prompts.unknown == ()


@pytest.mark.behaviour("TN-18")
def test_what_the_carrier_sent_has_no_control_characters_and_is_bounded() -> None:
    agent = Agent(first_message="{a}|{b}|{c}", variables={"a": "line\nline"})
    nasty = "\x00\x1b[2J\r\n\u202eB\u200bo\u2028b\x7f\x85"
    prompts = prompts_of(agent, {"b": nasty, "c": "é" * 10_000})
    assert prompts.first_message == f"line\nline|[2JBob|{'é' * LONGEST_PARAMETER}"


@pytest.mark.behaviour("TN-18")
def test_a_value_is_put_in_as_it_is() -> None:
    agent = Agent(first_message="{a} {b}", variables={"a": "{b}", "b": r"\1 {a}"})
    assert prompts_of(agent, {"secret": "s"}).first_message == r"{b} \1 {a}"
    assert prompts_of(agent, {"a": "{secret}", "secret": "s"}).first_message == r"{secret} \1 {a}"


@pytest.mark.behaviour("TN-18")
def test_braces_that_are_no_placeholders_are_left_alone() -> None:
    shape = json.dumps({"name": "{name}", "nested": {"a": [1, {}], "b": {"c": {}}}}, indent=1)
    code = "function() { return {name}; } {} {{}} {\n name\n} { name } {name!r} {0} {a b} {"
    agent = Agent(system_prompt=shape + code, variables={"name": "Ann"}, disable_phone_preamble=True)
    prompts = prompts_of(agent, {})
    assert prompts.system == (shape + code).replace("{name}", "Ann")
    assert prompts.unknown == ()


@given(st.text(alphabet='{}"ab: \n'), st.dictionaries(st.sampled_from(["a", "b", "ab", "a b"]), st.text()))
def test_every_text_can_be_filled(text: str, variables: dict[str, str]) -> None:
    agent = Agent(system_prompt=text, variables=variables, disable_phone_preamble=True)
    prompts = prompts_of(agent, {})
    assert not variables.keys() & set(prompts.unknown)
    if not variables:
        assert prompts.system == text


@pytest.mark.behaviour("TN-18")
async def test_in_a_call_unknown_placeholders_stay_and_are_warned_of_once(simcall: Any, caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        async with simcall(
            system_prompt="You are {name}. {mood} {mood} {weather}",
            first_message="Hello {who}, I am {name}, {mood}.",
            variables={"name": "Ann", "who": "you"},
            parameters={"who": "B\x07ob", "name": "Eve"},
            replies=["Fine."],
        ) as call:
            await call.agent_says("Hello Bob, I am Eve, {mood}.")
            await call.quiet(200)
            await call.caller_says("How are you?")
            await call.agent_says("Fine.")
    system = call.scene.model.requests[0][0]
    assert (system.role, system.content) == (
        "system",
        f"{PHONE_PREAMBLE}\n\nYou are Eve. {{mood}} {{mood}} {{weather}}",
    )
    warnings = [one.getMessage() for one in caplog.records if "placeholders" in one.getMessage()]
    assert warnings == [
        f"call {call.call.id}: no value for the placeholders mood, weather; they stay as they are"
    ]
