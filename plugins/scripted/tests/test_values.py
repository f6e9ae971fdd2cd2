"""Words, patterns, numbers, days, times and names."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter_scripted.loading import booking
from patter_scripted.numbers import number_in_words, read_number, time_in_words
from patter_scripted.patterns import Pattern, PatternError
from patter_scripted.slots import find_values
from patter_scripted.times import find_day, find_time
from patter_scripted.words import LONGEST_UTTERANCE, likeness, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I'd like a table, please!", "i would like a table please"),
        ("At 7:30 p.m.", "at 7:30 pm"),
        ("7pm, 7 a. m., 7.30", "7 pm 7 am 7.30"),
        ("It’s eight o'clock.", "it is eight oclock"),
        ("Goodbye – the Miller's", "good bye the miller"),
        ("…", ""),
    ],
)
def test_reads_words(text, words):
    assert words_of(text) == words.split()


@pytest.mark.parametrize(
    ("heard", "meant", "alike"),
    [
        ("friday", "friday", True),
        ("fryday", "friday", True),
        ("reservations", "reservation", True),
        ("booking", "book", True),
        ("resavation", "reservation", True),
        ("sunday", "monday", False),
        ("no", "now", False),
        ("not", "no", False),
        ("men", "menu", False),
        ("cat", "car", False),
    ],
)
def test_forgives_slips_in_long_words(heard, meant, alike):
    assert (likeness(heard, meant) > 0) is alike


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("book (a|the) table", "please book the table now", True),
        ("book (a|the) table", "book table", True),
        ("book (a|the) table", "book my table", False),
        ("what ... close", "what time do you close", True),
        ("what ... close", "what close", True),
        ("what ... close", "what a b c d close", False),
        ("yes|no", "well no", True),
        ("don't stop", "please do not stop", True),
        ("a b", "a a b", True),
        ("(please) stop", "stop", True),
    ],
)
def test_patterns(pattern, text, matches):
    assert (Pattern(pattern).match(words_of(text)) > 0) is matches


def test_more_words_score_more():
    heard = words_of("i would like to book a table")
    assert Pattern("book (a) table").match(heard) > Pattern("table").match(heard) > 0
    assert Pattern("(please) table").match(heard) < Pattern("(a) table").match(heard)


@pytest.mark.parametrize(
    "text", ["", "...", "(a)", "a|", "|a", "[a]", "a.b", "(a", "a*", "x " * 30, "a|don't"]
)
def test_bad_patterns_are_refused(text):
    with pytest.raises(PatternError):
        Pattern(text)


@given(st.text(max_size=400))
def test_any_text_can_be_heard(text):
    words = words_of(text)
    assert len(words) <= LONGEST_UTTERANCE
    find_values(booking().slots, words, "name", free_names=True)


def test_no_utterance_takes_long():
    started = time.perf_counter()
    for text in ("what " * 5000, "a" * 100_000, "seven " * 5000, "the name is " * 2000, "tabel " * 2000):
        words = words_of(text)
        for intent in booking().intents.values():
            for pattern in intent.patterns:
                pattern.match(words)
        find_values(booking().slots, words, "time", free_names=True)
    assert time.perf_counter() - started < 2.0


@pytest.mark.parametrize(
    ("text", "number"),
    [("seven", (7, 1)), ("twenty five", (25, 2)), ("twenty", (20, 1)), ("12", (12, 1)), ("nineteen five", (19, 1)),
     ("x", None), ("", None), ("1234", None), ("²", None)],
)  # fmt: skip
def test_reads_numbers(text, number):
    assert read_number(text.split(), 0) == number


@given(st.integers(min_value=0, max_value=59))
def test_numbers_survive_the_way_to_words_and_back(value):
    words = number_in_words(value).replace("-", " ").split()
    assert read_number(words, 0) == (value, len(words))


TIMES = [
    ("at seven thirty", "19:30"),
    ("seven thirty", "19:30"),
    ("at seven", "19:00"),
    ("seven o'clock", "19:00"),
    ("7 pm", "19:00"),
    ("7:30", "19:30"),
    ("7:30 a.m.", "07:30"),
    ("19:30", "19:30"),
    ("nineteen thirty", "19:30"),
    ("half past seven", "19:30"),
    ("quarter to eight", "19:45"),
    ("quarter past one", "13:15"),
    ("ten to eight", "19:50"),
    ("twenty five past six", "18:25"),
    ("seven oh five", "19:05"),
    ("twelve fifteen", "12:15"),
    ("at nine in the morning", "09:00"),
    ("at eleven at night", "23:00"),
    ("noon", "12:00"),
    ("midnight", "00:00"),
    ("at six no at seven", "19:00"),
    ("twelve a.m.", "00:00"),
]


@pytest.mark.parametrize(("text", "value"), TIMES)
def test_finds_times(text, value):
    found = find_time(words_of(text), expected=False, assume="pm")
    assert found is not None
    assert found.value == value


@pytest.mark.parametrize(
    "text", ["seven", "seven people", "table four", "25:00 12:70", "for seven", "room 99 at 77"]
)
def test_finds_no_time_where_there_is_none(text):
    assert find_time(words_of(text), expected=False, assume="pm") is None


def test_a_bare_number_answers_the_question_for_the_time():
    found = find_time(["seven"], expected=True, assume="pm")
    assert found is not None
    assert found.value == "19:00"


@given(st.integers(0, 23), st.integers(0, 59))
def test_every_time_can_be_said(hour, minute):
    assert time_in_words(hour, minute)


@pytest.mark.parametrize(
    ("text", "value", "spoken"),
    [
        ("for friday evening", "friday", "on Friday"),
        ("tomorrow night", "tomorrow", "tomorrow"),
        ("tonight", "today", "tonight"),
        ("on monday no tuesday", "tuesday", "on Tuesday"),
        ("wensday please", "wednesday", "on Wednesday"),
    ],
)
def test_finds_days(text, value, spoken):
    found = find_day(words_of(text))
    assert found is not None
    assert (found.value, found.spoken) == (value, spoken)


def values(text, expected=None, *, free_names=True):
    found = find_values(booking().slots, words_of(text), expected, free_names=free_names)
    return {name: value.value for name, value in found.items()}


@pytest.mark.parametrize(
    ("text", "expected", "found"),
    [
        ("four people on friday at seven thirty", None, {"people": "4", "day": "friday", "time": "19:30"}),
        ("at seven for four", None, {"time": "19:00", "people": "4"}),
        ("for two people at two", None, {"people": "2", "time": "14:00"}),
        ("to people", None, {"people": "2"}),
        ("five of us", None, {"people": "5"}),
        ("a couple", "people", {"people": "2"}),
        ("just me", "people", {"people": "1"}),
        ("too", "people", {"people": "2"}),
        ("four", None, {}),
        ("four", "people", {"people": "4"}),
        ("mary jane watson", "name", {"name": "Mary Jane Watson"}),
        ("it is uh smith please", "name", {"name": "Smith"}),
        ("smith", None, {}),
        ("the name is van der berg", None, {"name": "Van Der Berg"}),
        ("under smith for four people", None, {"name": "Smith", "people": "4"}),
        ("the name is", "name", {}),
    ],
)
def test_each_word_counts_once(text, expected, found):
    assert values(text, expected) == found


def test_no_free_name_where_something_else_was_meant():
    assert values("what about the menu", "name", free_names=False) == {}
