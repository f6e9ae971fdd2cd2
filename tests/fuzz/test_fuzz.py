"""Fifty thousand hostile inputs for every parser that reads from outside, the same ones in every run.

`python tests/fuzz/fuzz_run.py --inputs 1000000` tries more; its seed is an option.
"""

from __future__ import annotations

import contextlib
import json
import time
import tracemalloc
from typing import Any

import pytest
from fuzz_inputs import LARGEST, Inputs
from fuzz_run import Hung, run, shares, targets
from fuzz_target import Broken, Target, require_text

INPUTS = 50_000
#: memory that a parser may take for an input of `LARGEST` characters, in bytes: as many copies as it has steps
MOST_MEMORY = 40 * LARGEST
TARGETS = {one.name: one for one in targets()}
COUNTS = dict(zip(TARGETS, shares(tuple(TARGETS.values()), INPUTS), strict=True))


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_stands_whatever_comes(name: str) -> None:
    outcome = run(TARGETS[name], range(COUNTS[name]))
    assert [str(failure) for failure in outcome.failures] == []
    assert outcome.inputs == COUNTS[name] > 50


@pytest.mark.parametrize("name", [one for one in TARGETS if TARGETS[one].refuses and one != "tool-result"])
def test_the_inputs_are_neither_all_right_nor_all_wrong(name: str) -> None:
    outcome = run(TARGETS[name], range(400), seed=1)
    assert outcome.refused > 0
    never = ("cli-target", "twilio-signature")  # there is no such agent, and nobody signed anything
    assert (outcome.accepted > 0) is (name not in never)


#: inputs that a parser did not stand once, or might not
FOUND: list[tuple[str, Any]] = [
    ("fake-media", '{"type": "mark", "name": "\\ud800"}'),
    ("fake-media", '{"type": "start", "stream": "s", "call": "c", "encoding": "mulaw", "rate": 8000, "parameters": {"a": [[]]}}'),
    ("tool-schema", {"type": "object", "properties": {"a": {"type": [[]]}}}),
    ("tool-schema", {"type": "object", "properties": {"a": {"enum": [float("nan")]}}}),
    ("tool-schema", {"type": "object", "$defs": [], "properties": {"a": {"$ref": "#/$defs/a"}}}),
    ("tool-arguments", '{"day": {}, "people": 1e999}'),
    ("settings-file", b"a = " + b"[" * 5000),
    ("settings-file", b"a." * 50_000 + b"a = 1"),
    ("settings-file", b"[agent]\ngain_control = -2" + b"0" * 5000),
    ("settings-file", b"[phone]\nself = 1"),
    ("settings-file", b"[agent]\nself = 1"),
    ("environment", "\udfff\x00"),
    ("environment", "1" + "0" * 400),
    ("openai-stream", b"data: {}\r\n\ndata: {}\n\n"),
    ("openai-chunk", {"choices": [{"delta": {"content": "\ud800", "tool_calls": [{"id": "\udc00"}]}}]}),
    ("openai-chunk", {"usage": {"prompt_tokens": 10**400}}),
    ("openai-error", {"error": {"message": [[[[[]]]]], "code": {"a": 1}}}),
    ("twilio-document", '"/><Dial>+1900</Dial>\x00\ud800]]>'),
    ("twilio-document", '"' * 5000),
    ("message-handler", b'{"text": "\\ud800"}'),
    ("tool-server", b'{"id": 1, "error": {"code": ' + b"[" * 900 + b"]" * 900 + b"}}"),
    ("reference", "deepgram?key=%ff&a=\ud800"),
    ("transfer-number", "+15550001234\n"),
    ("transfer-number", "+1٥٥٥٠٠٠١٢٣٤"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), FOUND, ids=[f"{name}-{at}" for at, (name, _) in enumerate(FOUND)])
def test_inputs_that_were_not_stood_once(name: str, value: Any) -> None:
    try:
        TARGETS[name].parse(value)
    except TARGETS[name].refuses:
        pass


@pytest.mark.parametrize("core", ["[", '{"a":', "<&", "a=1&", "data: {}\n\n", "é"])
@pytest.mark.parametrize("name", [one for one in TARGETS if TARGETS[one].kind != "json"])
def test_four_mebibytes_cost_little_time_and_memory(name: str, core: str) -> None:
    target = TARGETS[name]
    text = (core * (LARGEST // len(core) + 1))[: target.longest]
    value = text.encode() if target.kind == "bytes" else text
    began = time.process_time()
    _parse(target, value)
    assert time.process_time() - began < 5.0
    if core not in ("[", "a=1&"):  # tracing takes its time
        return
    tracemalloc.start()
    try:
        _parse(target, value)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


def _parse(target: Target, value: Any) -> None:
    with contextlib.suppress(target.refuses):
        target.parse(value)


# -- the fuzzer itself


def written(value: object) -> str:
    """An input, to be compared; how deep one can be written depends on who calls."""
    try:
        return repr(value)
    except RecursionError:
        return f"a {type(value).__name__} that is too deep to be written"


def test_the_same_seed_gives_the_same_inputs() -> None:
    for target in TARGETS.values():
        first, again, other = (
            [written(target.make(Inputs(f"{seed}/{number}"))) for number in range(30)] for seed in (0, 0, 1)
        )
        assert first == again != other


def _careless(text: str) -> None:
    message = json.loads(text)
    require_text(message["name"])


def test_a_careless_parser_is_found_out_in_every_way() -> None:
    seeds = ({"name": "a", "more": [1, 2]},)
    target = Target(
        "careless",
        "text",
        lambda one: one.text(('{"name": "a"}',), seeds),
        _careless,
        (json.JSONDecodeError,),
    )
    found = set()
    for start in range(0, 3000, 100):
        found |= {type(failure.error) for failure in run(target, range(start, start + 100)).failures}
    assert found >= {KeyError, TypeError, RecursionError, Broken}


def test_a_parser_that_hangs_is_stopped_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(text: str) -> None:
        while len(text) > 2:
            pass

    monkeypatch.setattr("fuzz_run.LONGEST_S", 0.05)
    target = Target("hanging", "text", lambda one: one.letters(4 if one.random.random() < 0.1 else 1), hang)
    outcome = run(target, range(60))
    assert {type(failure.error) for failure in outcome.failures} == {Hung}
    assert outcome.accepted > 0
