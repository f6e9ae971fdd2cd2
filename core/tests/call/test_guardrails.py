"""Guardrails: what is blocked, what is said instead, and what a check that fails means (TN-16)."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from patter import Agent, ConfigError, Guardrail, Patter, filter_markdown
from patter.blocked_terms import BlockedTerms, TermSearch
from patter.call.guarding import ReplyGuard
from patter.testing import CallTool, Reply
from patter.testing.virtual_loop import run_virtual

SORRY = "I would rather not say that."


def found_in(terms: list[str], *sentences: str) -> list[bool]:
    """Whether each of the sentences of one reply is blocked."""
    search = TermSearch(BlockedTerms(terms))
    return [search.finds(sentence) for sentence in sentences]


def spoken(call: Any) -> list[str]:
    return list(call.scene.voice.spoken)


# -- in a call


@pytest.mark.behaviour("TN-16")
@pytest.mark.parametrize("by", ["term", "check", "async check"])
async def test_a_blocked_sentence_is_never_made_and_its_replacement_is_spoken(simcall: Any, by: str) -> None:
    def check(text: str) -> bool:
        return "forty-two" in text

    async def check_later(text: str) -> bool:
        await asyncio.sleep(0.05)
        return check(text)

    guardrail = {
        "term": Guardrail("numbers", ["Forty-TWO"], replacement=SORRY),
        "check": Guardrail("numbers", check=check, replacement=SORRY),
        "async check": Guardrail("numbers", check=check_later, replacement=SORRY),
    }[by]
    reply = "I can tell you this much. The answer is FORTY-two, of course. Was that all you need?"
    if by != "term":
        reply = reply.replace("FORTY", "forty")
    async with simcall(guardrails=guardrail, replies=[reply]) as call:
        await call.caller_says("What is the answer?")
        await call.agent_says("Was that all you need?")
        await call.quiet(500)
        history = [one.content for one in call.call.history]
    said = ["I can tell you this much.", SORRY, "Was that all you need?"]
    assert spoken(call) == said
    # what was spoken is what everybody remembers
    assert history[-1] == call.transcript[-1].text == " ".join(said)


@pytest.mark.behaviour("TN-16")
async def test_a_term_split_over_two_sentences_is_caught_in_the_second(simcall: Any) -> None:
    guardrail = Guardrail("cards", ["card number please"], replacement=SORRY)
    reply = "Now tell me your credit card. Number, please, and then its expiry date. Thank you very much."
    async with simcall(guardrails=[guardrail], replies=[reply, "Number, please, for the next one."]) as call:
        await call.caller_says("How do I pay?")
        await call.agent_says("Thank you very much.")
        await call.quiet(500)
        # another reply starts anew
        await call.caller_says("And then?")
        await call.agent_says("for the next one.")
    assert spoken(call) == [
        "Now tell me your credit card.",
        SORRY,
        "Thank you very much.",
        "Number, please, for the next one.",
    ]


@pytest.mark.behaviour("TN-16")
@pytest.mark.parametrize("waits", ["raises", "raises later", "hangs"])
@pytest.mark.parametrize("fail_closed", [False, True])
async def test_a_check_that_fails_lets_pass_or_blocks_and_is_logged(
    simcall: Any, caplog: pytest.LogCaptureFixture, fail_closed: bool, waits: str
) -> None:
    def raises(text: str) -> bool:
        raise LookupError("no judge")

    async def raises_later(text: str) -> bool:
        await asyncio.sleep(0.05)
        raise LookupError("no judge")

    async def hangs(text: str) -> bool:
        await asyncio.sleep(3600)
        return True

    check: Any = {"raises": raises, "raises later": raises_later, "hangs": hangs}[waits]
    options: dict[str, bool] = {"fail_closed": True} if fail_closed else {}
    guardrail = Guardrail("judge", check=check, replacement=SORRY, **options)
    with caplog.at_level(logging.WARNING, logger="patter"):
        async with simcall(guardrails=[guardrail], replies=["Nobody has judged this."]) as call:
            await call.caller_says("Is it true?")
            await call.agent_says(SORRY if fail_closed else "Nobody has judged this.")
    assert spoken(call) == [SORRY if fail_closed else "Nobody has judged this."]
    (record,) = [one for one in caplog.records if "guardrail" in one.getMessage()]
    assert (
        f"the check of guardrail 'judge' failed and {'blocks' if fail_closed else 'lets'}"
        in record.getMessage()
    )
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], TimeoutError if waits == "hangs" else LookupError)


@pytest.mark.behaviour("TN-16")
async def test_it_judges_the_text_as_it_will_be_heard_also_what_is_fixed(simcall: Any) -> None:
    guardrail = Guardrail("passwords", ["password"], replacement=SORRY)
    replies = ["Of course I will tell you. The pass**word** is on the wall."]
    async with simcall(
        guardrails=[guardrail], text_transforms=[filter_markdown], replies=replies, first_message="PASSWORD?"
    ) as call:
        await call.agent_says(SORRY)
        await call.caller_says("Do tell me?")
        await call.agent_says(SORRY)
    assert spoken(call) == [SORRY, "Of course I will tell you.", SORRY]


@pytest.mark.behaviour("TN-16")
async def test_a_blocked_sentence_does_not_come_back_to_the_model_with_its_tool_calls(simcall: Any) -> None:
    guardrail = Guardrail("passwords", ["password"], replacement=SORRY)
    replies = [Reply("The password is swordfish. ", tools=[CallTool("no_such_tool")]), "That did not work."]
    async with simcall(guardrails=[guardrail], replies=replies) as call:
        await call.caller_says("Try it?")
        await call.agent_says("That did not work.")
    seen = [one.content for request in call.scene.model.requests for one in request]
    assert SORRY in seen
    assert not [one for one in seen if "swordfish" in one]


# -- terms


@pytest.mark.parametrize(
    ("term", "sentences", "blocked"),
    [
        ("Password", ["My PASSWORD is this."], [True]),
        ("password", ["Our passwords are safe."], [True]),
        ("password", ["pass\u200bword and p\u00adassword"], [True]),
        ("password", ["\uff30\uff41\uff53\uff53word"], [True]),
        ("straße", ["Die STRASSE ist lang."], [True]),
        ("caf\u00e9 noir", ["Un cafe\u0301  noir."], [True]),
        ("top secret", ["It is top-secret."], [True]),
        ("top-secret", ["It is top, secret."], [True]),
        ("card number", ["Your card.", "Number please."], [False, True]),
        ("card number", ["Your card.", "...", "Number please."], [False, False, True]),
        ("card number", ["Your", "card", "number"], [False, False, True]),
        ("card number", ["Your card number", "and your", "card number"], [True, False, True]),
        ("card number", ["Your card.", "A number."], [False, False]),
        ("card number", ["Number please.", "Your card."], [False, False]),
        ("buy now! limited", ["Buy now!", "Limited to ten."], [False, True]),
        ("c++", ["I write C.", "I write C++ too."], [False, True]),
        ("$4.50", ["It is 4.50 euro.", "It is $4.50 here."], [False, True]),
        ("秘密", ["これは秘密です。"], [True]),
        ("गुप्त", ["यह गुप्त है।", "यह गप्प है।"], [True, False]),
        ("a", ["", "b", "a"], [False, False, True]),
    ],
)
def test_a_term_is_found_whatever_its_spelling(term: str, sentences: list[str], blocked: list[bool]) -> None:
    assert found_in([term], *sentences) == blocked


def test_what_is_remembered_of_a_reply_is_bounded_by_the_longest_term() -> None:
    search = TermSearch(BlockedTerms(["card number", "x" * 50]))
    for _ in range(100):
        search.finds("a long sentence without any of them " * 50)
    remembered = [value for value in vars(search).values() if isinstance(value, str)]
    assert remembered
    assert all(len(value) <= 49 for value in remembered)
    search.finds("... card")
    assert search.finds("number")
    search.finds("card")
    search.forget()
    assert not search.finds("number")


# -- rules


def said(guardrails: list[Guardrail], *sentences: str) -> list[str]:
    """What is said in place of the sentences of one reply."""
    guard = ReplyGuard(guardrails, "call_1")

    async def judge() -> list[str]:
        return [await guard.passed(sentence) for sentence in sentences]

    return run_virtual(judge())


def test_a_replacement_is_not_repeated_for_sentences_that_follow_one_another() -> None:
    guardrail = Guardrail("g", ["bad"], replacement=SORRY)
    assert said([guardrail], "bad one.", "bad two.", "fine.", "bad three.") == [SORRY, "", "fine.", SORRY]
    assert said([Guardrail("g", ["bad"], replacement="")], "bad one.", "fine.") == ["", "fine."]


def test_the_first_that_blocks_decides_and_no_term_begins_in_what_was_not_said() -> None:
    first = Guardrail("first", ["bad"], replacement="First.")
    second = Guardrail("second", ["bad", "card number"], replacement="Second.")
    assert said([first, second], "A bad card.", "Number one.") == ["First.", "Number one."]
    assert said([second, first], "A bad card.") == ["Second."]
    checked = Guardrail("checked", check=lambda text: True, replacement="Third.")
    assert said([checked, first], "bad") == ["First."]
    assert said([checked, first], "good") == ["Third."]


def test_a_guardrail_that_can_block_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'empty'.*blocked_terms or a check"):
        Guardrail("empty")
    with pytest.raises(ConfigError, match="sequence of texts"):
        Guardrail("letters", "password")
    for term in ("", " ", "\u200b", "x" * 201):
        with pytest.raises(ConfigError, match="1 to 200 characters"):
            Guardrail("terms", ["fine", term])
    with pytest.raises(ConfigError, match="check is a function"):
        Guardrail("check", check="no")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"guardrails.*blocked_terms or a check"):
        Agent(guardrails=[{"name": "empty"}])
    with pytest.raises(ConfigError, match="guardrails"):
        Agent(guardrails=["password"])


def test_a_settings_file_may_hold_guardrails(tmp_path: Any) -> None:
    file = tmp_path / "patter.toml"
    file.write_text(
        '[agent]\nstt = "fake"\n\n[[agent.guardrails]]\nname = "cards"\nblocked_terms = ["card number"]\n'
    )
    agent = Patter(config=file).complete(Agent())
    assert agent.guardrails == (Guardrail("cards", ("card number",)),)
