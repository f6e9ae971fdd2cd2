"""Server-sent events."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.errors import ProviderError
from patter_openai.event_stream import LONGEST_BODY, LONGEST_LINE, EventStreamReader, ServerEvent


def read(*chunks):
    reader = EventStreamReader()
    return [event for chunk in chunks for event in reader.feed(chunk)] + reader.finish()


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("data: a\n\n", [("", "a")]),
        ("data:a\n\n", [("", "a")]),
        ("data:  a\n\n", [("", " a")]),
        ("data: a\r\n\r\ndata: b\r\n\r\n", [("", "a"), ("", "b")]),
        ("data: a\r\n\ndata: b\n\n", [("", "a"), ("", "b")]),
        ("data: a\r\rdata: b\r\r", [("", "a"), ("", "b")]),
        (": ping\n\ndata: a\n\n", [("", "a")]),
        ("data: a\ndata: b\n\n", [("", "a\nb")]),
        ("event: error\ndata: a\n\ndata: b\n\n", [("error", "a"), ("", "b")]),
        ("event: error\n\n", []),
        ("id: 1\nretry: 5\nnonsense\ndata: a\n\n", [("", "a")]),
        ("data: a", [("", "a")]),
        ("data: a\n", [("", "a")]),
        ("\ufeffdata: a\n\n", [("", "a")]),
        ("data: äöü€😀\n\n", [("", "äöü€😀")]),
        ("", []),
        ("\n\n\n", []),
    ],
)
def test_reads_events(text, events):
    wanted = [ServerEvent(*event) for event in events]
    raw = text.encode()
    assert read(raw) == wanted
    assert read(*(raw[at : at + 1] for at in range(len(raw)))) == wanted


LINES = st.sampled_from(["data: ä€😀", "data:{}", ": x", "event: error", "", "id: 3", "data"])


@given(
    lines=st.lists(LINES, max_size=20),
    ends=st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=20, max_size=20),
    cuts=st.lists(st.integers(0, 400), max_size=30),
)
def test_bytes_may_be_cut_anywhere(lines, ends, cuts):
    raw = "".join(line + end for line, end in zip(lines, ends, strict=False)).encode()
    places = [0, *sorted(cut for cut in cuts if cut < len(raw)), len(raw)]
    pieces = [raw[begin:end] for begin, end in pairwise(places)]
    assert read(*pieces) == read(raw)


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_any_bytes_can_be_read(chunks):
    read(*chunks)


@pytest.mark.parametrize("line", [b"data: ", b"data: x\ndata: ", b": "])
def test_a_line_is_bounded(line):
    with pytest.raises(ProviderError, match="line"):
        read(line, *([b"x" * 1000] * (LONGEST_LINE // 1000 + 1)))
    with pytest.raises(ProviderError, match="line"):
        read(line + b"x" * (LONGEST_LINE + 1) + b"\n\n")


def test_many_lines_of_one_event_are_bounded():
    with pytest.raises(ProviderError, match="line"):
        read(*([b"data: " + b"x" * 1000 + b"\n"] * (LONGEST_LINE // 1000 + 2)))


def test_an_answer_is_bounded():
    chunk = b"data: " + b"x" * 99_992 + b"\n\n"
    with pytest.raises(ProviderError, match="longer"):
        read(*([chunk] * (LONGEST_BODY // len(chunk) + 1)))


def test_a_long_line_in_small_pieces_costs_no_square():
    started = time.perf_counter()
    read(*([b"x"] * (LONGEST_LINE - 10)))
    assert time.perf_counter() - started < 3.0
