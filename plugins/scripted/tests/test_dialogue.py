"""Whole conversations with the shipped dialogue."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.providers.llm import Message, ToolCall
from patter_scripted.dialogue import Dialogue, PlannedCall
from patter_scripted.loading import booking

BOOKING = [
    "hi i would like to book a table please",
    "for friday evening",
    "at seven thirty",
    "four people",
    "the name is miller",
]
TOOLS = frozenset(["book_table", "end_call"])


class Talk:
    """A conversation in which the tools answer what they are told to."""

    def __init__(self, *, offered=frozenset(), results=()):
        self.dialogue = Dialogue(booking())
        self.offered = offered
        self.results = list(results)
        self.messages = [Message("system", "You are a receptionist.")]
        self.calls: list[PlannedCall] = []

    def say(self, *lines):
        """The reply to the last line."""
        reply = ""
        for line in lines:
            self.messages.append(Message("user", line))
            reply = self._reply()
        return reply

    def _reply(self):
        answer = self.dialogue.answer(self.messages, self.offered)
        if answer.call is None or answer.call.name not in self.offered:
            self.messages.append(Message("assistant", answer.text))
            return answer.text
        self.calls.append(answer.call)
        call = ToolCall(f"call_{len(self.messages)}", answer.call.name, json.dumps(answer.call.arguments))
        result = self.results.pop(0) if self.results else '{"ok": true}'
        self.messages += [
            Message("assistant", answer.text, (call,)),
            Message("tool", result, tool_call_id=call.id),
        ]
        return f"{answer.text} {self._reply()}".strip()


def test_holds_a_booking_conversation():
    talk = Talk(offered=TOOLS)
    assert talk.say(BOOKING[0]) == "What day would you like to come?"
    assert "What time" in talk.say(BOOKING[1])
    assert "How many people" in talk.say(BOOKING[2])
    assert "name" in talk.say(BOOKING[3])
    assert "table for four on Friday at seven thirty, under the name Miller" in talk.say(BOOKING[4])
    assert "table for five on Friday at seven thirty for Miller" in talk.say(
        "actually can we make it five people"
    )
    closing = talk.say("what time do you close on friday")
    assert closing.startswith("On Friday we close at eleven in the evening.")
    assert closing.endswith("Is that right?")
    assert (
        talk.say("no wait please stop i want to change something")
        == "Of course. What would you like to change?"
    )
    assert "for five on Saturday at seven thirty" in talk.say("make it saturday")
    assert talk.calls == []
    assert "is booked" in talk.say("yes that is right")
    assert talk.calls == [
        PlannedCall("book_table", {"day": "saturday", "time": "19:30", "people": 5, "name": "Miller"})
    ]
    assert talk.say("thank you goodbye") == "Thank you for calling. Goodbye!"
    assert talk.calls[1:] == [PlannedCall("end_call", {"reason": "goodbye"})]


def test_that_is_right_takes_a_change_back():
    talk = Talk(offered=TOOLS)
    talk.say(*BOOKING, "no wait please stop i want to change something")
    assert "is booked" in talk.say("yes that is right")


def test_a_mere_yes_announces_the_change():
    talk = Talk(offered=TOOLS)
    talk.say(*BOOKING, "no")
    assert talk.say("yes") == "What would you like to change?"
    assert talk.calls == []
    assert "for six on Friday" in talk.say("six people please")


@pytest.mark.parametrize(
    "lines",
    [
        # as recognisers write them
        ["You high I would like to book a table, please.", "For Friday evening.", "At 7:30.", "4 people.", "The name is Miller."],
        ["Hi, I'd like to reserve a table.", "Fry day.", "Half past seven.", "For people.", "Miller."],
        ["I want to make a reservation", "this friday evening please", "at 7.30 p.m.", "there are four of us", "it's miller"],
        ["can I book a table for four people on friday at half past seven", "under the name of Miller"],
        ["hello", "a table for four on fridays at seven thirty pm", "my name is miller"],
        ["booking a table please", "um, friday", "seven thirty", "four", "miller"],
        ["I need a table", "friday i think", "quarter past... no half past seven", "for", "uh the name's miller"],
        ["a table for friday at nineteen thirty for four", "Miller, please"],
    ],
)  # fmt: skip
def test_understands_other_words_and_slips_of_recognition(lines):
    assert "table for four on Friday at seven thirty, under the name Miller" in Talk().say(*lines)


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("how late are you open", "We close at ten in the evening, and at eleven on Fridays and Saturdays."),
        ("when do you close on sunday", "On Sunday we close at nine in the evening."),
        ("when do you open", "We open at five in the afternoon, every day but Monday."),
        ("where are you", "You find us at twelve Mill Lane, right behind the old church, with parking in the yard."),
        ("do you have anything vegan", "Half of our dishes are vegetarian, and the kitchen takes care of allergies if you tell us when you arrive."),
        ("good evening", "Hello! How can I help you?"),
    ],
)  # fmt: skip
def test_answers_questions(line, reply):
    assert Talk().say(line) == reply


@pytest.mark.parametrize(
    "line", ["tell me about the menu", "what kind of food do you have", "Pal about the menu?"]
)
def test_one_answer_is_long_enough_to_be_interrupted(line):
    """At some three words a second, 40 words are well over ten seconds of speech."""
    assert len(Talk().say(line).split()) > 40


def test_every_other_answer_is_short():
    talk = Talk()
    lines = [
        *BOOKING,
        "what time do you close",
        "where are you",
        "vegan",
        "a human please",
        "blah",
        "no",
        "friday",
        "yes",
        "bye",
    ]
    for reply in map(talk.say, lines):
        assert 1 <= len(re.findall(r"[.?!](?= |$)", reply)) <= 3, reply


def test_a_question_in_between_changes_nothing():
    talk = Talk()
    talk.say("book a table", "on saturday")
    assert talk.say("what time do you close on friday").endswith("At what time shall we expect you?")
    assert "on Saturday at eight o'clock" in talk.say("at eight", "two people", "miller")


def test_does_not_book_without_a_yes():
    talk = Talk(offered=TOOLS)
    talk.say(*BOOKING, "what was that", "hm", "saturday", "hello")
    assert talk.calls == []


def test_a_failed_tool_is_said_and_can_be_tried_again():
    talk = Talk(offered=TOOLS, results=['{"error": "timeout", "fallback": true}', '{"ok": true}'])
    talk.say(*BOOKING)
    assert "could not" in talk.say("yes")
    assert "is booked" in talk.say("yes please")
    assert len(talk.calls) == 2


def test_without_tools_it_says_the_same():
    talk = Talk()
    talk.say(*BOOKING)
    assert "is booked" in talk.say("yes")
    assert talk.say("bye") == "Thank you for calling. Goodbye!"
    assert talk.calls == []


def test_a_tool_that_was_interrupted_is_not_called_again():
    talk = Talk(offered=TOOLS)
    talk.say(*BOOKING)
    # its result is still to come when the caller goes on
    talk.messages += [Message("user", "yes"), Message("user", "where are you")]
    answer = talk.dialogue.answer(talk.messages, TOOLS)
    assert answer.call is None
    assert "Mill Lane" in answer.text


def test_after_the_booking():
    talk = Talk(offered=TOOLS)
    talk.say(*BOOKING, "yes")
    assert "for three on Friday" in talk.say("oh make it three people")
    assert "is booked" in talk.say("yes")
    assert [call.arguments["people"] for call in talk.calls] == [4, 3]
    assert talk.say("no") == "Then thank you for calling, and goodbye."


def test_a_number_out_of_bounds_is_explained():
    talk = Talk()
    talk.say("book a table", "friday", "eight pm")
    assert "between one and twelve" in talk.say("forty people")
    assert "name" in talk.say("ten")


def test_what_is_not_understood_is_said_in_turn():
    talk = Talk()
    first, second, third, fourth = (talk.say("colourless green ideas") for _ in range(4))
    assert len({first, second, third}) == 3
    assert fourth == first


def test_greets_when_nothing_was_said():
    assert Talk().dialogue.answer([Message("system", "x")], frozenset()).text == booking().greeting


def test_an_interrupted_reply_leaves_no_trace():
    """The agent's own lines in the history are what was heard; the state comes from the caller's lines alone."""
    whole, cut = Talk(), Talk()
    whole.say(*BOOKING)
    for line in BOOKING:
        cut.messages.append(Message("user", line))
    assert cut.dialogue.answer(cut.messages, frozenset()).text == whole.messages[-1].content


LINES = st.sampled_from(
    [
        *BOOKING,
        "yes",
        "no",
        "five people",
        "what time do you close",
        "bye",
        "",
        "...",
        "at",
        "make it",
        "the name is",
    ]
) | st.text(max_size=60)


@settings(max_examples=60)
@given(lines=st.lists(LINES, max_size=12), offered=st.sampled_from([frozenset(), TOOLS]))
def test_always_has_an_answer(lines, offered):
    talk = Talk(offered=offered)
    for line in lines:
        assert talk.say(line)
        assert "{" not in talk.messages[-1].content
