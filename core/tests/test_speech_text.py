"""Text transforms: what is left of a sentence that was written for the eye (TN-17)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from patter import Agent, ConfigError, filter_emoji, filter_for_tts, filter_markdown

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


@pytest.mark.behaviour("TN-17")
@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("**Note:** this is *very* ~~un~~important.", "Note: this is very unimportant."),
        ("__Both__ and _either_ and ***all***", "Both and either and all"),
        ("**Note.", "Note."),  # its partner is in another sentence
        ("This is bold.** Fine.", "This is bold. Fine."),
        ("5 * 3 is 5*3, my_file_name, 2 < 3", "5 * 3 is 5*3, my_file_name, 2 < 3"),
        ("*5* stars", "5 stars"),
        ("# Opening hours #", "Opening hours"),
        ("### Hours\nFrom *nine*.", "Hours\nFrom nine."),
        ("We are the #1, C# and issue #5.", "We are the #1, C# and issue #5."),
        ("- milk\n* bread\n+ eggs\n- [x] tea", "milk\nbread\neggs\ntea"),
        ("-5 degrees\n1. Open the door", "-5 degrees\n1. Open the door"),
        ("> quoted\n> > twice", "quoted\ntwice"),
        ("Read [our terms](https://a.example/b_(c)).", "Read our terms."),
        ("Read [our terms][1] or ![a map](map.png).", "Read our terms or a map."),
        ("See <https://a.example>.", "See https://a.example."),
        ("Use `pip install` or ``x``.", "Use pip install or x."),
        ("```python\nprint(1)\n```", "print(1)"),
        ("| day | open |\n|:---|---:|\n| Monday | nine |", "day, open\nMonday, nine"),
        ("above\n---\nbelow\n***", "above\nbelow"),
        ("<b>bold</b><br/>and <break time='1s'/>", "boldand <break time='1s'/>"),
        (r"a \* b and \[c\]", "a * b and [c]"),
        ("Array[0] and (brackets)", "Array[0] and (brackets)"),
        ("", ""),
    ],
)
def test_markdown_goes_and_words_stay(written: str, left: str) -> None:
    assert filter_markdown(written) == left


@pytest.mark.behaviour("TN-17")
@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("Great \U0001f44d!", "Great!"),
        ("Hi \U0001f44b there", "Hi there"),
        ("Sure!\U0001f44d\U0001f3fd Bye", "Sure! Bye"),
        (f"A {FAMILY} and \U0001f1e9\U0001f1ea, {ENGLAND}.", "A and,."),
        ("\u2600\ufe0f \u2764\ufe0f sun", "sun"),
        ("Press 1\ufe0f\u20e3 or #\ufe0f\u20e3.", "Press 1 or #."),
        ("\U0001f389 \U0001f389", ""),
        (
            "\u00a9 2024, 5 \u20ac \u2192 6 \u2122, 20 \u00b0C",
            "\u00a9 2024, 5 \u20ac \u2192 6 \u2122, 20 \u00b0C",
        ),
        (
            "\u0915\u094d\u200d\u0937 \u65e5\u672c\u8a9e \u00e4\u00f6",
            "\u0915\u094d\u200d\u0937 \u65e5\u672c\u8a9e \u00e4\u00f6",
        ),
        ("**bold**", "**bold**"),
    ],
)
def test_emoji_go_and_characters_stay(written: str, left: str) -> None:
    assert filter_emoji(written) == left


@pytest.mark.behaviour("TN-17")
@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("## **Hours** \U0001f550\n\n- from *nine*\n- to six", "Hours from nine to six"),
        ("It is  done.", "It is done."),
        ("\U0001f44d", ""),
        ("---", ""),
        ("**!** \u2728", ""),
        ("5!", "5!"),
    ],
)
def test_a_voice_gets_neither_and_nothing_without_a_word(written: str, left: str) -> None:
    assert filter_for_tts(written) == left


@pytest.mark.parametrize(
    "unit",
    ["[", "[x](", "*", "_a", " ", "<b ", "\U0001f44d ", "\U0001f44d\u200d", "`", "\\", "|", "> ", "- "],
)
@pytest.mark.parametrize("transform", [filter_markdown, filter_emoji, filter_for_tts])
def test_the_cost_is_linear(transform: Callable[[str], str], unit: str) -> None:
    def seconds(count: int) -> float:
        started = time.process_time()
        transform(unit * count)
        return time.process_time() - started

    # a quadratic one takes minutes
    assert seconds(100_000) < 5


# -- in a call


@pytest.mark.behaviour("TN-17")
async def test_what_is_synthesised_and_remembered_is_the_transformed_text(simcall: Any) -> None:
    reply = "We are open **all day**. \U0001f389\U0001f389\U0001f389\U0001f389\U0001f389\U0001f389\U0001f389\U0001f389\U0001f389\U0001f389\U0001f389\U0001f389\U0001f389\U0001f389\U0001f389\U0001f389\U0001f389\U0001f389\U0001f389! Do [call us](tel:1) again."
    async with simcall(
        text_transforms=[filter_for_tts], replies=[reply], first_message="*Hello* there."
    ) as call:
        await call.agent_says("Hello there.")
        await call.caller_says("When are you open?")
        await call.agent_says("Do call us again.")
        await call.quiet(500)
    # the second sentence has no word and is skipped
    assert call.scene.voice.spoken == ["Hello there.", "We are open all day.", "Do call us again."]
    assert [entry.text for entry in call.transcript if entry.role == "assistant"] == [
        "Hello there.",
        "We are open all day. Do call us again.",
    ]


@pytest.mark.behaviour("TN-17")
@pytest.mark.parametrize(
    ("transform", "reply", "said"),
    [
        (filter_markdown, "This is **bold** \U0001f44d today.", "This is bold \U0001f44d today."),
        (filter_emoji, "This is **bold** \U0001f44d today.", "This is **bold** today."),
        (filter_for_tts, "This is **bold** \U0001f44d today.", "This is bold today."),
    ],
)
async def test_each_is_a_transform_of_its_own(
    simcall: Any, transform: Callable[[str], str], reply: str, said: str
) -> None:
    async with simcall(text_transforms=transform, replies=[reply]) as call:
        await call.caller_says("What is it?")
        await call.agent_says(said)
    assert call.scene.voice.spoken == [said]


async def test_transforms_act_in_their_order_and_one_that_fails_changes_nothing(
    simcall: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def prices(text: str) -> str:
        return text.replace("$5", "five dollars")

    def broken(text: str) -> str:
        raise LookupError(text)

    def numbers(text: str) -> Any:
        return 5

    transforms = [prices, broken, numbers, str.upper]
    with caplog.at_level(logging.WARNING, logger="patter"):
        async with simcall(text_transforms=transforms, replies=["That makes $5."]) as call:
            await call.caller_says("How much?")
            await call.agent_says("THAT MAKES FIVE DOLLARS.")
    messages = [one.getMessage() for one in caplog.records if "text transform" in one.getMessage()]
    assert [message.split(": ")[1] for message in messages] == [
        "text transform broken failed, the text goes on unchanged",
        "text transform numbers failed, the text goes on unchanged",
    ]


def test_a_transform_is_a_plain_function() -> None:
    async def later(text: str) -> str:
        return text

    with pytest.raises(ConfigError, match=r"text_transforms.*later must be a plain function"):
        Agent(text_transforms=[later])
    with pytest.raises(ConfigError, match="text_transforms"):
        Agent(text_transforms=["filter_markdown"])
