# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter_espeak.text import BUDGET, clean, pieces


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("Hello, you.", "Hello, you."),
        ("one\0two", "one two"),
        ("\x01350S fast", "350S fast"),
        ("a\r\n\tb\u2028c", "a b c"),
        ("lone \ud800 half", "lone half"),
        ("left\u202eto right", "leftto right"),
        ("caf\u00e9 \u4f60\u597d \U0001f600", "caf\u00e9 \u4f60\u597d \U0001f600"),
        (" \x00\u200b\n", ""),
    ],
)
def test_cleans_what_the_engine_would_misread(text, safe):
    assert clean(text) == safe


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\0\x01\u200b", "\ud800"])
def test_blank_text_has_no_pieces(text):
    assert list(pieces(text)) == []


def test_a_sentence_stays_whole():
    assert list(pieces("Your table is booked for 7:30, for four people.")) == [
        "Your table is booked for 7:30, for four people."
    ]


def test_cuts_behind_the_last_sentence_that_fits():
    first, second = "Well. " + "a" * 100 + ".", "b" * 150 + "."
    assert list(pieces(f"{first} {second}")) == [first, second]


def test_cuts_behind_a_comma_then_at_a_space_then_anywhere():
    assert list(pieces("a" * 100 + ", " + "b" * 100 + " " + "c" * 100)) == [
        "a" * 100 + ",",
        "b" * 100 + " " + "c" * 100,
    ]
    assert list(pieces("a" * 200 + " " + "b" * 200)) == ["a" * 200, "b" * 200]
    assert list(pieces("a" * (BUDGET + 5))) == ["a" * BUDGET, "a" * 5]


def test_what_is_spelt_out_makes_short_pieces():
    assert max(len(piece) for piece in pieces("\U0001f600" * 100)) == BUDGET // 8
    assert max(len(piece) for piece in pieces("7" * 500)) == BUDGET // 4


@given(st.text(max_size=2000))
def test_loses_nothing_and_keeps_the_order(text):
    cut = list(pieces(text))
    assert "".join("".join(cut).split()) == "".join(clean(text).split())
    assert all(piece.strip() == piece != "" for piece in cut)
    assert all(len(piece) <= BUDGET for piece in cut)
    assert "\0" not in "".join(cut)
