"""Tools and their schemas."""

from __future__ import annotations

import enum
import functools
import re
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from patter.errors import ConfigError
from patter.providers.llm import ToolSpec
from patter.tools import Reassurance, Tool, tool

if TYPE_CHECKING:
    from patter import Call


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Guest(BaseModel):
    name: str
    age: int | None = None


OBJECT = {"type": "object", "properties": {}}


@tool
async def book(
    day: str,
    people: int,
    hours: float = 1.5,
    outside: bool = False,
    wishes: list[str] | None = None,
    extras: dict[str, int] = {},  # noqa: B006 - the schema must cope with it
    size: Size = Size.SMALL,
    style: Literal["inside", "garden"] = "inside",
    guest: Guest | None = None,
) -> str:
    """Book a table.

    Use it once the day and the number of people are known.

    Args:
        day: a weekday,
            in English
        people (int): how many: at most 8

    Returns:
        What to tell the caller.
    """
    return f"{day} {people} {hours} {outside} {wishes} {extras} {size} {style} {guest}"


@pytest.mark.behaviour("TL-01")
def test_the_schema_comes_from_hints_and_docstring() -> None:
    assert book.name == "book"
    assert book.description == "Book a table.\n\nUse it once the day and the number of people are known."
    assert (book.strict, book.timeout_s) == (False, 15.0)
    schema = book.parameters
    assert schema["type"] == "object"
    assert schema["required"] == ["day", "people"]
    properties = schema["properties"]
    assert properties["day"] == {"type": "string", "description": "a weekday, in English"}
    assert properties["people"] == {"type": "integer", "description": "how many: at most 8"}
    assert properties["hours"] == {"type": "number", "default": 1.5}
    assert properties["outside"] == {"type": "boolean", "default": False}
    assert properties["wishes"]["anyOf"] == [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]
    assert properties["extras"] == {
        "type": "object",
        "additionalProperties": {"type": "integer"},
        "default": {},
    }
    assert schema["$defs"]["Size"] == {"type": "string", "enum": ["small", "large"]}
    assert properties["style"] == {"type": "string", "enum": ["inside", "garden"], "default": "inside"}
    assert schema["$defs"]["Guest"]["properties"]["name"] == {"type": "string"}
    assert book.spec == ToolSpec("book", book.description, schema, strict=False)
    # all fields
    hook = Tool(
        "hook",
        "A hook.",
        OBJECT,
        webhook_url="https://hooks.example/x?key=sesame",
        strict=False,
        reassurance={"message": "One moment.", "after_ms": 900},
        timeout_s=5,
        allow_hosts=["inner.example"],
    )
    assert (hook.name, hook.description, hook.parameters, hook.handler) == ("hook", "A hook.", OBJECT, None)
    assert (hook.webhook_url, hook.strict, hook.timeout_s) == (
        "https://hooks.example/x?key=sesame",
        False,
        5.0,
    )
    assert (hook.reassurance, hook.allow_hosts) == (Reassurance("One moment.", 900), ("inner.example",))
    assert "sesame" not in repr(hook)
    with pytest.raises(TypeError, match="webhook"):
        hook()
    plain = Tool("plain", "", OBJECT, nothing)
    assert (plain.handler, plain.webhook_url, plain.reassurance) == (nothing, None, None)
    assert tool(reassurance="One moment.")(nothing).reassurance == Reassurance("One moment.", 1500)
    # what cannot work fails when it is built
    for schema in (dict(OBJECT, type="array"), {"name": "book"}, [], "object"):
        with pytest.raises(ConfigError):
            Tool("x", "", schema, nothing)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="additionalProperties"):
        Tool("x", "", OBJECT, nothing, strict=True)
    # and a raw dict is no tool
    with pytest.raises(ConfigError, match="tools"):
        agent_with({"name": "x", "description": "", "parameters": OBJECT, "handler": nothing})
    assert agent_with(book).tools == (book,)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "either a handler or a webhook_url"),
        ({"handler": len, "webhook_url": "https://hooks.example/"}, "either a handler or a webhook_url"),
        ({"webhook_url": "https://hooks.example/", "parameters": None}, "needs parameters"),
        ({"webhook_url": "http://10.0.0.1/sesame"}, "10.0.0.1 is not a public address"),
        ({"webhook_url": "ftp://hooks.example/sesame"}, "http:// or https://"),
        ({"webhook_url": 5}, "webhook_url"),
        ({"webhook_url": "https://hooks.example/", "allow_hosts": "inner.example"}, "list of host names"),
        ({"webhook_url": "https://hooks.example/", "allow_hosts": ["*"]}, "allow_hosts"),
        ({"handler": len, "allow_hosts": ["inner.example"]}, "allow_hosts is for a webhook_url"),
        ({"handler": len, "reassurance": ""}, "reassurance"),
        ({"handler": len, "reassurance": 5}, "reassurance"),
        ({"handler": len, "reassurance": {"after_ms": 5}}, "reassurance"),
        ({"handler": len, "reassurance": {"message": "Hm.", "after": 5}}, "reassurance"),
        ({"handler": len, "reassurance": {"message": "Hm.", "after_ms": "5"}}, "after_ms"),
        ({"handler": len, "reassurance": {"message": "Hm.", "after_ms": -1}}, "after_ms"),
    ],
)
def test_fields_that_cannot_work_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)) as caught:
        Tool("x", "", **{"parameters": OBJECT, **options})
    assert "sesame" not in str(caught.value)


def nothing() -> None:
    """Nothing."""


def agent_with(one: Any) -> Any:
    from patter.agent import Agent

    return Agent(tools=[one])


def test_rest_docstrings_are_read() -> None:
    @tool
    def hours(day: str, place: str = "here") -> str:
        """Opening hours.

        :param day: a weekday,
            in English
        :param str place: which shop
        :type day: str
        :returns: the hours
        """
        return day

    assert hours.description == "Opening hours."
    assert hours.parameters["properties"]["day"]["description"] == "a weekday, in English"
    assert hours.parameters["properties"]["place"]["description"] == "which shop"


def test_hints_may_carry_constraints_and_descriptions() -> None:
    @tool
    def hours(people: Annotated[int, Field(ge=1, le=8, description="guests")]) -> str:
        return ""

    assert hours.parameters["properties"]["people"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 8,
        "description": "guests",
    }
    with pytest.raises(ValueError, match="people"):
        hours.read_arguments({"people": 9})


def test_a_model_of_arguments_named_title_survives() -> None:
    @tool
    def write(title: str, description: str) -> str:
        return ""

    assert set(write.parameters["properties"]) == {"title", "description"}


def test_arguments_become_what_the_hints_say() -> None:
    values = book.read_arguments({"day": "friday", "people": 4, "size": "large", "guest": {"name": "Miller"}})
    assert values["size"] is Size.LARGE
    assert values["guest"] == Guest(name="Miller")
    assert (values["hours"], values["wishes"], values["style"]) == (1.5, None, "inside")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"day": "friday"}, "people"),
        ({"day": "friday", "people": "many"}, "people"),
        ({"day": "friday", "people": 4, "size": "huge"}, "size"),
        ({"day": "friday", "people": 4, "colour": "red"}, "colour"),
        ({"day": "friday", "people": 4, "guest": {}}, "guest.name"),
    ],
)
def test_wrong_arguments_are_explained(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        book.read_arguments(arguments)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "n: missing"),
        ({"n": "1"}, "n: must be of type integer"),
        ({"n": True}, "n: must be of type integer"),
        ({"n": 1, "m": 2}, "m: there is no such argument"),
        ({"n": 1, "e": "c"}, "e: must be one of"),
    ],
)
def test_a_schema_written_by_hand_is_held_too(arguments: dict[str, Any], problem: str) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "e": {"enum": ["a", "b"]}},
        "required": ["n"],
        "additionalProperties": False,
    }
    by_hand = Tool("by-hand", "", schema, nothing)
    assert by_hand.read_arguments({"n": 1.0, "e": "a"}) == {"n": 1.0, "e": "a"}
    with pytest.raises(ValueError, match=problem):
        by_hand.read_arguments(arguments)


def test_the_call_is_hidden_from_the_model() -> None:
    @tool
    def who(call: Call, day: str) -> str:
        return ""

    assert who.wants_call
    assert set(who.parameters["properties"]) == {"day"}
    assert not book.wants_call


def test_decorator_arguments() -> None:
    @tool(name="opening-hours", timeout_s=2, strict=True)
    async def hours(day: str, place: str | None) -> str:
        """Opening hours."""
        return day

    assert (hours.name, hours.timeout_s, hours.strict) == ("opening-hours", 2.0, True)
    assert hours.parameters["additionalProperties"] is False
    assert hours.parameters["required"] == ["day", "place"]


def test_methods_partials_and_callables_are_handlers() -> None:
    class Desk:
        def hours(self, day: str) -> str:
            """Hours of the desk."""
            return f"desk {day}"

        def __call__(self, day: str) -> str:
            return day

    method = tool(Desk().hours)
    assert set(method.parameters["properties"]) == {"day"}
    assert method(day="friday") == "desk friday"
    partial = Tool("partial", "", None, functools.partial(Desk.hours, Desk()))
    assert set(partial.parameters["properties"]) == {"day"}
    assert set(Tool("callable", "", None, Desk()).parameters["properties"]) == {"day"}


def untyped(day):  # type: ignore[no-untyped-def]
    return day


def variadic(*days: str) -> None: ...


def positional(day: str, /) -> None: ...


def unresolved(day: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def unfit(day: object) -> None: ...


class Opaque: ...


def opaque(day: Opaque) -> None: ...


def generator(day: str) -> Any:
    yield day


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        (untyped, "type hint"),
        (variadic, "name each parameter"),
        (positional, "name each parameter"),
        (unresolved, "Nowhere"),
        (opaque, "JSON form"),
        (generator, "async generator"),
        (Opaque, "not a class"),
        ("text", "must be a function"),
    ],
)
def test_a_handler_that_cannot_work_is_refused(handler: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Tool("x", "", None, handler)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ümlaut", None, "a\n"])
def test_a_bad_name_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match="name"):
        Tool(name, "", OBJECT, nothing)


@pytest.mark.parametrize("timeout_s", [0, -1, True, float("inf"), float("nan"), "15"])
def test_a_bad_time_limit_is_refused(timeout_s: Any) -> None:
    with pytest.raises(ConfigError, match="timeout_s"):
        Tool("x", "", OBJECT, nothing, timeout_s=timeout_s)


BAD = [
    ({"properties": []}, "properties"),
    ({"properties": {"a": "string"}}, "parameters.a"),
    ({"properties": {"a": {"type": "text"}}}, "parameters.a"),
    ({"properties": {"a": {"type": "array", "items": {"type": "text"}}}}, r"parameters.a\[\]"),
    ({"properties": {"a": {"enum": []}}}, "enum"),
    ({"properties": {"a": {"$ref": "#/$defs/A"}}}, "defs"),
    ({"properties": {"a": {"anyOf": {}}}}, "anyOf"),
    ({"properties": {"a": {"anyOf": [{"type": "nope"}]}}}, "anyOf"),
    ({"required": ["a"]}, "no property"),
    ({"required": "a"}, "required"),
    ({"$defs": []}, "defs"),
    ({"$defs": 5, "properties": {"a": {"$ref": "#/$defs/A"}}}, "defs"),
    ({"properties": {"a": {"type": [{}]}}}, "parameters.a"),
    ({"properties": {"a": {"maximum": float("nan")}}}, "JSON"),
    ({"properties": {"a": {"items": []}}}, r"parameters.a\[\]"),
    ({"properties": {"a": {"default": object()}}}, "JSON"),
]


@pytest.mark.parametrize(("part", "problem"), BAD)
def test_an_invalid_schema_is_refused(part: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Tool("x", "", {"type": "object", **part}, nothing)


def test_a_schema_nested_too_deep_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(30):
        schema = {"type": "object", "properties": {"a": schema}}
    with pytest.raises(ConfigError, match="nested"):
        Tool("x", "", schema, nothing)


def defaulted(day: str = "friday") -> None: ...


def free_form(extras: dict[str, int]) -> None: ...


@pytest.mark.parametrize(
    ("handler", "problem"), [(defaulted, "default|requires every"), (free_form, "free-form")]
)
def test_strict_violations_are_refused(handler: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        tool(strict=True)(handler)
    tool(handler)


CLOSED = {"type": "object", "properties": {}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({}, "type"),
        ({"description": "anything"}, "type"),
        ({"type": "array"}, "what an array holds"),
        ({"type": ["array", "null"]}, "what an array holds"),
        ({"type": "array", "items": {"type": "array", "items": True}}, "what an array holds"),
        ({"type": "object"}, "additionalProperties"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "additionalProperties"),
        ({"anyOf": [{"type": "string"}, {"type": "object"}]}, "additionalProperties"),
        ({"type": "object", "properties": {"b": CLOSED}, "additionalProperties": False}, "requires every"),
        ({"type": "string", "default": "x"}, "default"),
        ({"oneOf": [{"type": "string"}], "type": "string"}, "oneOf"),
        ({"type": "string", "not": {"enum": ["x"]}}, "not"),
    ],
)
def test_strict_violations_in_a_schema_are_refused(schema: dict[str, Any], problem: str) -> None:
    whole = {"type": "object", "properties": {"a": schema}, "required": ["a"], "additionalProperties": False}
    Tool("x", "", whole, nothing)
    with pytest.raises(ConfigError, match=problem):
        Tool("x", "", whole, nothing, strict=True)


def test_strict_schemas_that_hold_are_taken() -> None:
    properties = {
        "a": {"type": ["string", "null"], "enum": ["x", None]},
        "b": {"type": "array", "items": {"$ref": "#/$defs/B"}},
        "c": {"anyOf": [{"type": "number", "minimum": 0}, CLOSED]},
        "d": {"const": 5},
    }
    whole = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        "$defs": {"B": CLOSED},
    }
    assert Tool("x", "", whole, nothing, strict=True).spec.strict
    with pytest.raises(ConfigError, match="anyOf"):
        Tool("x", "", {**whole, "anyOf": [CLOSED]}, nothing, strict=True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "$defs", "$ref", "items", "enum", "anyOf", "required", "a"]
            )
            | st.text(max_size=3),
            inner | st.sampled_from(["object", "array", "string", "#/$defs/a", ["a"]]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=3), json_values, max_size=3), json_values, st.booleans())
def test_any_schema_is_taken_or_refused_and_any_arguments_answered(
    properties: dict[str, Any], other: Any, strict: bool
) -> None:
    for given_schema in (other, {"type": "object", "properties": properties, "$defs": other}):
        try:
            made = Tool("x", "", given_schema, nothing, strict=strict)
        except ConfigError:
            continue
        for arguments in ({}, properties, dict.fromkeys(properties, other)):
            with suppress(ValueError):
                assert made.read_arguments(arguments) == arguments


def test_strict_holds_in_nested_models() -> None:
    def greet(guest: Guest) -> None: ...

    with pytest.raises(ConfigError, match="strict"):
        tool(strict=True)(greet)  # Guest.age has a default


def test_importing_tools_is_cheap() -> None:
    code = (
        "import sys, patter.tools; "
        "print(sorted({'pydantic', 'asyncio', 'numpy', 'aiohttp', 'websockets', 'json'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.strip() == "[]"
