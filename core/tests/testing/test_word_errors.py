from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.testing.word_errors import WordErrors, count_word_errors, normalise, word_error_rate


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Hello, I'd like a table!", "hello id like a table"),
        ("Seven O’Clock", "seven oclock"),
        ("half past 7, 10 people", "half past seven ten people"),
        ("at 7:30 p.m. today", "at seven thirty pm today"),
        ("at 7:00", "at seven"),
        ("21 and 40", "twenty one and forty"),
        ("twenty-one", "twenty one"),
        ("555-1234", "five five five one two three four"),
        ("call 5551234", "call five five five one two three four"),
        ("room 007", "room zero zero seven"),
        ("100, 120, 305", "one hundred one hundred twenty three hundred five"),
        ("1,500 and 2,000,001", "one thousand five hundred and two million one"),
        ("in 2026", "in twenty twenty six"),
        ("in 2000 and 2005", "in two thousand and twenty zero five"),
        (
            "the 1st, 2nd, 3rd, 4th, 12th, 20th and 21st",
            "the first second third fourth twelfth twentieth and twenty first",
        ),
        ("$20 or 3.50", "twenty dollars or three point five zero"),
        ("5% & more", "five percent and more"),
        ("Grüße, Zoë_x", "grüße zoë x"),
        ("...!?", ""),
        ("", ""),
    ],
)
def test_normalises_what_is_written_to_what_is_said(written, said):
    assert normalise(written) == said.split()


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("a table for four", "A table for 4.", WordErrors(0, 0, 0, 4)),
        ("a table for four", "a cable for four", WordErrors(1, 0, 0, 4)),
        ("a table for four", "table for four", WordErrors(0, 1, 0, 4)),
        ("a table for four", "You a table for four", WordErrors(0, 0, 1, 4)),
        ("a table for four", "", WordErrors(0, 4, 0, 4)),
        ("", "you", WordErrors(0, 0, 1, 0)),
        ("", "", WordErrors(0, 0, 0, 0)),
        ("how about ten", "pal about then you", WordErrors(2, 0, 1, 3)),
    ],
)
def test_counts_the_kinds_of_errors(reference, hypothesis, expected):
    assert count_word_errors(reference, hypothesis) == expected


def test_the_rate_is_errors_per_word_said():
    assert word_error_rate("one two three four", "one two tree") == 0.5
    assert word_error_rate("one", "two three four") == 3.0
    assert word_error_rate("", "you know") == 2.0
    assert word_error_rate("", "") == 0.0


def test_the_errors_of_a_call_are_the_sum_over_its_lines():
    lines = [("one two three", "one two three"), ("four", "for"), ("five six", "six")]
    total = sum((count_word_errors(*line) for line in lines), WordErrors())
    assert total == WordErrors(1, 1, 0, 6)
    assert total.rate == pytest.approx(1 / 3)


words = st.lists(st.sampled_from("abc"), max_size=8).map(" ".join)


@given(words, words)
def test_errors_are_a_distance(left, right):
    forth, back = count_word_errors(left, right), count_word_errors(right, left)
    assert forth.errors == back.errors
    assert (forth.errors == 0) == (left == right)
    assert forth.errors <= max(len(left.split()), len(right.split()))
    assert forth.deletions - forth.insertions == len(left.split()) - len(right.split())


@given(words, words, words)
def test_a_way_round_is_never_shorter(a, b, c):
    direct = count_word_errors(a, c).errors
    assert direct <= count_word_errors(a, b).errors + count_word_errors(b, c).errors


@given(st.text(max_size=200))
def test_normalising_takes_any_text_and_is_stable(text):
    once = normalise(text)
    assert not any(digit in word for word in once for digit in "0123456789")
    assert normalise(" ".join(once)) == once
