"""The language model in whole calls: its history, its rounds of tools, and what is said when it fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from patter import Agent, LLMRecord, tool
from patter.agent import LLM_ERROR_MESSAGE
from patter.call.conversation import Conversation
from patter.call.reply_model import TOO_MANY_ROUNDS, TOOL_ROUNDS
from patter.errors import AllProvidersFailedError, ProviderError, ProviderTimeout
from patter.providers.llm import LLM, Message, Text, ToolCall
from patter.testing import CallTool, Reply

MOMENT = "One moment please, I am looking that up in the calendar."
FREE = "There is a table free at eight, and another one at nine in the evening."


@tool
async def calendar() -> str:
    """Look at the calendar."""
    return "free at eight"


def contents(messages: Any) -> list[tuple[str, str]]:
    return [(one.role, one.content) for one in messages]


class Other(LLM):
    """A model whose answers are given here."""

    def __init__(self) -> None:
        self.answer = "The other one speaks."

    async def stream(self, messages: Any, tools: Any, **options: Any) -> Any:
        yield Text(self.answer)

    async def close(self) -> None:
        pass


class Broken(Other):
    """Fails at once, always."""

    async def stream(self, messages: Any, tools: Any, **options: Any) -> Any:
        raise ProviderError("the other one is down as well")
        yield


OTHER = LLMRecord("other", Other)
BROKEN = LLMRecord("broken", Broken)


# -- the history


@pytest.mark.behaviour("LM-06", "TN-08")
async def test_text_before_a_tool_call_stands_in_the_history_once(simcall: Any) -> None:
    replies = [Reply(MOMENT, tools=[CallTool("calendar")]), FREE, "You are welcome."]
    async with simcall(tools=[calendar], replies=replies) as call:
        await call.caller_says("Is there a table?")
        await call.agent_says("in the evening.")
        await call.quiet(500)
        await call.caller_says("Thank you.")
        await call.agent_says("You are welcome.")
        await call.quiet(500)
        first, second, third = call.scene.model.requests
    assert contents(first)[1:] == [("user", "Is there a table?")]
    # the model knows what it is saying just now
    assert contents(second)[1:] == [
        ("user", "Is there a table?"),
        ("assistant", MOMENT),
        ("tool", "free at eight"),
    ]
    assert contents(third)[1:] == [*contents(second)[1:], ("assistant", FREE), ("user", "Thank you.")]
    assert next(line.text for line in call.transcript if line.role == "assistant") == f"{MOMENT} {FREE}"


@pytest.mark.behaviour("LM-06", "TN-08")
@pytest.mark.parametrize("heard_ms", [400, 1_500, 2_700, 3_300, 3_700, 4_500, 6_000, 7_000])
async def test_what_was_not_heard_of_it_leaves_the_history_also_before_a_tool_call(
    simcall: Any, heard_ms: int
) -> None:
    """The caller interrupts in the text before the tool call, and in the one after it."""
    replies = [Reply(MOMENT, tools=[CallTool("calendar")]), FREE, "Yes?"]
    async with simcall(tools=[calendar], replies=replies) as call:
        await call.caller_says("Is there a table?")
        while call.call.agent_state != "speaking":
            await asyncio.sleep(0.02)
        await asyncio.sleep(heard_ms / 1000)
        await call.caller_says("Wait a moment.")
        await call.agent_says("Yes?")
        request = call.scene.model.requests[-1]
        (line,) = [line for line in call.transcript if line.interrupted]
    calling = next(one for one in request if one.tool_calls)
    told = [one.content for one in request if one.role == "assistant" and one.content]
    assert " ".join(told) == line.text
    assert f"{MOMENT} {FREE}".startswith(line.text)
    assert line.text
    assert calling.content == line.text[: len(MOMENT)]
    if heard_ms <= 1_500:
        assert len(line.text) < len(MOMENT)
    if heard_ms >= 6_000:
        assert len(line.text) > len(MOMENT)
    # the call and its result stay together
    after = request[request.index(calling) + 1]
    assert (after.role, after.tool_call_id) == ("tool", calling.tool_calls[0].id)


@pytest.mark.behaviour("LM-06")
@pytest.mark.parametrize(
    ("heard", "contents_of_calls", "rest"),
    [
        ([], ["", ""], []),
        (["One mo"], ["One mo", ""], []),
        (["", "Still at it."], ["", "Still at it."], []),
        (["One moment.", "Still at it.", "It is", "four."], ["One moment.", "Still at it."], ["It is four."]),
    ],
)
def test_each_heard_part_stands_where_it_was_said(heard: Any, contents_of_calls: Any, rest: Any) -> None:
    conversation = Conversation("The rules.")
    conversation.user(1, "What is two and two?", 0)
    for number, text in enumerate(["One moment.", "Still at it."]):
        calls = (ToolCall(f"c{number}", "add", "{}"),)
        results = [Message("tool", "4", tool_call_id=f"c{number}")]
        conversation.tool_calls(1, Message("assistant", text, calls), results)
    conversation.agent(1, heard, 0, interrupted=True)
    history = conversation.history
    assert [one.content for one in history if one.tool_calls] == contents_of_calls
    assert [one.content for one in history if one.role == "assistant" and not one.tool_calls] == rest
    lines = [line.text for line in conversation.transcript if line.role == "assistant"]
    assert lines == ([" ".join(filter(None, heard))] if heard else [])


@pytest.mark.behaviour("LM-06")
@pytest.mark.parametrize("limit", [2, 3, 4, 7, 11, 200])
def test_the_history_is_bounded_and_calls_stay_with_their_results(limit: int) -> None:
    conversation = Conversation("The rules.", max_history=limit)
    for turn in range(1, 101):
        conversation.user(turn, f"question {turn}", turn)
        calls = tuple(ToolCall(f"{turn}.{number}", "calendar", "{}") for number in range(turn % 4))
        if calls:
            results = [Message("tool", "free", tool_call_id=one.id) for one in calls]
            conversation.tool_calls(turn, Message("assistant", "Let me see.", calls), results)
        conversation.agent(turn, ["Let me see.", f"answer {turn}"], turn, interrupted=False)
        messages = conversation.messages()
        assert messages[0] == Message("system", "The rules.")
        assert len(messages) <= limit + 1
        assert messages[-1].content.endswith(f"answer {turn}")
        waiting: list[str] = []
        for one in messages[1:]:
            if one.role == "tool":
                assert one.tool_call_id == waiting.pop(0)
            else:
                assert waiting == []
                waiting = [call.id for call in one.tool_calls]
        assert waiting == []
    assert len(conversation.history) > limit
    if limit == 200:
        assert len(messages) == 201


@pytest.mark.behaviour("LM-06")
async def test_two_hundred_entries_are_sent_unless_the_agent_says_otherwise(simcall: Any) -> None:
    async with simcall(max_history=3, first_message="Hello.", replies=["One.", "Two.", "Three."]) as call:
        await call.agent_says("Hello.")
        for answer in ("One.", "Two.", "Three."):
            await call.quiet(500)
            await call.caller_says(f"Count on to {answer}")
            await call.agent_says(answer)
    assert Agent.model_fields["max_history"].default == 200
    assert contents(call.scene.model.requests[-1])[1:] == [
        ("user", "Count on to Two."),
        ("assistant", "Two."),
        ("user", "Count on to Three."),
    ]
    assert all(messages[0].role == "system" for messages in call.scene.model.requests)


# -- rounds of tools


@pytest.mark.behaviour("LM-02")
@pytest.mark.parametrize("text", ["", "I look again."])
async def test_a_model_that_only_calls_tools_is_stopped_with_words(simcall: Any, text: str) -> None:
    replies = [Reply(text, tools=[CallTool("calendar")]) for _ in range(TOOL_ROUNDS + 5)]
    async with simcall(tools=[calendar], replies=replies) as call:
        await call.caller_says("Is there a table?")
        await call.agent_says(TOO_MANY_ROUNDS, within_s=60)
        await call.quiet(1000)
        assert len(call.scene.model.requests) == TOOL_ROUNDS == 10
        assert call.heard.count(TOO_MANY_ROUNDS) == 1
        results = [one for one in call.call.history if one.role == "tool"]
        assert len(results) == 10
        # the call goes on, and the next turn counts anew
        call.scene.model.replies.clear()
        await call.caller_says("Then tell me the time?")
        await call.agent_says("You said: Then tell me the time?")


# -- failing models


def failed(call: Any) -> list[tuple[str, type[Exception]]]:
    return [(one.reference, type(one.error)) for one in call.failures]


@pytest.mark.behaviour("LM-03")
async def test_another_model_answers_in_place_of_the_one_that_failed(simcall: Any) -> None:
    down = ProviderError("down")
    async with simcall(llm_fallbacks=[OTHER], replies=[down, down, "I am back."]) as call:
        await call.caller_says("Who is there?")
        await call.agent_says("The other one speaks.")
        await call.quiet(500)
        await call.caller_says("And who now?")
        await call.agent_says("The other one speaks.")
        assert len(call.scene.model.requests) == 2
        await asyncio.sleep(30)
        assert len(call.scene.model.requests) == 3  # the probe
        await call.caller_says("Is somebody back?")
        await call.agent_says("You said: Is somebody back?")
    assert failed(call) == [("fake", ProviderError)] * 2
    assert call.summary.metrics["stuck_repairs"] == 0


@pytest.mark.behaviour("LM-03")
async def test_what_broke_off_after_its_first_words_is_not_begun_anew_elsewhere(simcall: Any) -> None:
    broken = Reply(
        "The table is free. It is by the window.", error=ProviderError("gone"), tokens_before_error=5
    )
    async with simcall(llm_fallbacks=[OTHER], replies=[broken]) as call:
        await call.caller_says("Is there a table?")
        await call.agent_says(LLM_ERROR_MESSAGE)
        await call.quiet(500)
        assert "The table is free." in call.heard
        assert "The other one" not in call.heard
        await call.caller_says("Say that again?")
        await call.agent_says("The other one speaks.")


@pytest.mark.behaviour("LM-03", "LM-04")
async def test_when_all_models_fail_the_caller_is_told_once_and_the_call_goes_on(simcall: Any) -> None:
    down = ProviderError("down")
    async with simcall(llm_fallbacks=[BROKEN], replies=[down] * 4) as call:
        for turn in range(2):
            await call.caller_says(f"Who is there, number {turn}?")
            await call.agent_says(LLM_ERROR_MESSAGE)
            await call.quiet(1000)
        assert call.heard.count(LLM_ERROR_MESSAGE) == 2
        assert call.summary is None
        await call.caller_says("And now?")
        await call.agent_says("You said: And now?")
    assert [type(one.error) for one in call.failures].count(AllProvidersFailedError) == 2


@pytest.mark.behaviour("LM-04")
async def test_a_model_without_fallback_is_asked_once_more_and_then_the_caller_is_told(simcall: Any) -> None:
    down = ProviderError("down")
    async with simcall(
        llm_error_message="Sorry, say it again.", replies=[down, down, down, "Now it works."]
    ) as call:
        await call.caller_says("Who is there?")
        await call.agent_says("Sorry, say it again.")
        await call.quiet(1000)
        assert call.heard.count("Sorry") == 1
        await call.caller_says("Who is there?")
        await call.agent_says("Now it works.")
    assert failed(call) == [("fake", ProviderError)] * 3


@pytest.mark.behaviour("LM-08")
async def test_a_silent_model_has_failed_after_fifteen_seconds(simcall: Any) -> None:
    silent = Reply(hangs=True)
    async with simcall(llm_fallbacks=[OTHER], replies=[silent, silent], limit_s=60) as call:
        await call.caller_says("Who is there?")
        asked = asyncio.get_running_loop().time()
        await call.agent_says("The other one speaks.")
        assert 30 <= asyncio.get_running_loop().time() - asked < 33
        assert call.scene.model.open_streams == 0
    assert failed(call) == [("fake", ProviderTimeout)] * 2


@pytest.mark.behaviour("LM-08")
async def test_without_anybody_else_a_silent_model_ends_in_words_and_in_no_repair(simcall: Any) -> None:
    silent = Reply(hangs=True)
    second = LLMRecord("second", Silent)
    async with simcall(llm_fallbacks=[second, second], replies=[silent] * 2, limit_s=120) as call:
        await call.caller_says("Who is there?")
        await call.agent_says(LLM_ERROR_MESSAGE)
        await call.quiet(500)
        assert call.scene.model.open_streams == 0
    assert [kind for _, kind in failed(call)] == [ProviderTimeout] * 6 + [AllProvidersFailedError]
    assert call.summary.metrics["stuck_repairs"] == 0


class Silent(Other):
    """Never says a word."""

    async def stream(self, messages: Any, tools: Any, **options: Any) -> Any:
        await asyncio.get_running_loop().create_future()
        yield Text("never")


# -- long turns

LONG = "I am still looking, please hold on."


@pytest.mark.behaviour("LM-04")
@pytest.mark.parametrize(("options", "after_s"), [({}, 4.0), ({"long_turn_message_after_s": 2.0}, 2.0)])
async def test_a_caller_who_waits_long_is_told_so_once(simcall: Any, options: Any, after_s: float) -> None:
    slow = Reply("There is a table.", delay_s=14.0)
    async with simcall(long_turn_message=LONG, replies=[slow, "Good."], **options) as call:
        await call.caller_says("Is there a table?")
        before = asyncio.get_running_loop().time()
        await call.agent_says(LONG)
        began = next(line.start for line in call.timeline if line.text == LONG)
        assert began - before == pytest.approx(after_s, abs=0.6)
        await call.agent_says("There is a table.")
        await call.quiet(500)
        await call.caller_says("Then I take it.")
        await call.agent_says("Good.")
        assert call.heard.count(LONG) == 1
        assert contents(call.scene.model.requests[1])[2] == ("assistant", f"{LONG} There is a table.")


@pytest.mark.behaviour("LM-04")
async def test_nothing_is_said_of_a_turn_that_begins_in_time_or_without_such_a_message(simcall: Any) -> None:
    begun = Reply("There is a table free.", delay_s=3.0, token_delay_s=3.0)
    async with simcall(long_turn_message=LONG, replies=[begun]) as call:
        await call.caller_says("Is there a table?")
        await call.agent_says("There is a table free.")
        assert LONG not in call.heard
    slow = Reply("There is a table.", delay_s=10.0)
    async with simcall(replies=[slow]) as call:
        await call.caller_says("Is there a table?")
        await call.agent_says("There is a table.")
        assert call.heard == "There is a table."


@pytest.mark.behaviour("LM-04")
async def test_a_silent_tool_is_waited_for_with_words_and_the_failure_that_follows_is_told_too(
    simcall: Any,
) -> None:
    @tool
    async def slow() -> str:
        """Take a while."""
        await asyncio.sleep(8)
        return "done"

    down = ProviderError("down")
    replies = [Reply(tools=[CallTool("slow")]), down, down]
    async with simcall(long_turn_message=LONG, tools=[slow], replies=replies) as call:
        await call.caller_says("Is there a table?")
        await call.agent_says(LONG)
        await call.agent_says(LLM_ERROR_MESSAGE)
        await call.quiet(1000)
        assert call.heard == f"{LONG} {LLM_ERROR_MESSAGE}"


async def test_a_caller_may_interrupt_the_message_of_a_long_turn(simcall: Any) -> None:
    slow = Reply("There is a table.", delay_s=14.0)
    async with simcall(long_turn_message=LONG, replies=[slow, "Good bye."]) as call:
        await call.caller_says("Is there a table?")
        await call.agent_says("I am")
        await asyncio.sleep(0.5)
        await call.caller_says("Never mind, thank you.")
        await call.agent_says("Good bye.")
        await call.quiet(15_000)
        assert "There is a table." not in call.heard
        assert call.scene.model.open_streams == 0
