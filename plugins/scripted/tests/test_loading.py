"""Dialogue files."""

from __future__ import annotations

import re

import pytest

from patter.errors import ConfigError
from patter_scripted.loading import BOOKING, LARGEST_FILE, booking, load, parse

SMALL = """\
greeting: Hello!
slots:
  people:
    type: number
    ask: How many?
intents:
  book:
    patterns: book
    needs: [people]
    confirm: "For {people}?"
    done: "Done for {people}."
    tool:
      name: book
      arguments: {people: "{people}", source: phone}
      done: "Number {result.number}, {result}."
      failed: No.
  hours:
    patterns:
      - when
      - no
    reply: Always.
affirm: yes
deny: no
accepted: Good.
changed: Changed.
ask_change: What?
more: More?
no_more: Bye.
fallback: Pardon?
"""


def test_the_shipped_dialogue_is_valid():
    assert booking() is booking()
    assert booking().only_task == "book_table"


def test_reads_a_small_dialogue():
    script = parse(SMALL)
    assert script.slots["people"].ask == ["How many?"]
    assert script.intents["hours"].patterns[1].match(["no"]) > 0  # a word, not a truth value
    assert script.affirm[0].text == "yes"


BAD = [
    ("greeting: Hello!\n", "", r"greeting: is missing"),
    ("    type: number", "    type: numbers", r"line 4: slots\.people\.type"),
    ("    ask: How many?", "    asks: How many?", r"slots\.people"),
    ("    ask: How many?", "    ask: []", r"line 5: slots\.people\.ask"),
    ("    patterns: book", "    patterns: book|", r"line 8: intents\.book\.patterns: .*'book\|'"),
    ("      - when", "      - (when)", r"line 19: intents\.hours\.patterns\.0.*at least one"),
    ("      - when", "      - 4711", r"line 19: intents\.hours\.patterns\.0.*must be text"),
    ("    needs: [people]", "    needs: [person]", r"no slot 'person'"),
    ("For {people}?", "For {person}?", r"intents\.book\.confirm: there is no \{person\}"),
    ("Done for {people}.", "Done, {result}.", r"intents\.book\.done: there is no \{result\}"),
    ('confirm: "For {people}?"', "resume: true", r"line 7: intents\.book: .*confirm and done"),
    ("    reply: Always.", "    resume: true", r"line 17: intents\.hours: .*must have a reply"),
    ("more: More?", "more: More?\nmore: Again?", r"line 28: 'more' is written twice"),
    ("more: More?", "more: &a More?\nx: *a", r"line 28: aliases"),
    ("more: More?", "more: [More?", r"line \d+: "),
    ("more: More?", "? [a]\n: b", r"line 27: a key must be a word"),
    ("more: More?", "more: !!python/object:os.system x", r"line 27|more"),
    ("slots:", "slots: \t- x", r"line 2"),
]


@pytest.mark.parametrize(("old", "new", "problem"), BAD)
def test_an_error_names_line_and_key(old, new, problem):
    assert old in SMALL
    text = SMALL.replace(old, new, 1)
    if "!!python" in new:  # a tag is only a tag: nothing is ever made of it
        assert parse(text).more == "x"
        return
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert re.search(problem, str(caught.value)), str(caught.value)


@pytest.mark.parametrize("text", ["", "- a", "text", "[" * 5000, "{" * 5000, "a: " * 300, "\x00"])
def test_what_is_no_dialogue_is_refused(text):
    with pytest.raises(ConfigError):
        parse(text)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load(tmp_path / "nowhere.yaml")
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (LARGEST_FILE + 1))
    with pytest.raises(ConfigError, match="larger"):
        load(large)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("greeting: é".encode("latin-1"))
    with pytest.raises(ConfigError, match="UTF-8"):
        load(latin)
    broken = tmp_path / "broken.yaml"
    broken.write_text(SMALL.replace("type: number", "type: numbers"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken\.yaml: line 4: slots\.people\.type"):
        load(broken)


def test_the_shipped_file_can_be_copied_and_used(tmp_path):
    copy = tmp_path / "mine.yaml"
    copy.write_bytes(BOOKING.read_bytes())
    assert load(copy).greeting == booking().greeting
