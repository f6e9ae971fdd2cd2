"""The form of a dialogue file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

from patter_scripted.patterns import Pattern

PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_RESULT: Final = re.compile(r"result(\.\w+)?\Z")

Line = Annotated[str, Field(min_length=1, max_length=2_000)]


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _compiled(value: Any) -> Pattern:
    if not isinstance(value, str):
        raise ValueError("a pattern must be text")
    return Pattern(value)


#: one text, or several that are said in turn
Lines = Annotated[list[Line], BeforeValidator(_one_or_many), Field(min_length=1, max_length=50)]
Patterns = Annotated[
    list[Annotated[Pattern, PlainValidator(_compiled)]],
    BeforeValidator(_one_or_many),
    Field(min_length=1, max_length=200),
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Slot(_Part):
    """Something a task must know. `units` are the words after a number ("people")."""

    type: Literal["day", "time", "number", "name"]
    ask: Lines
    units: list[str] = []
    minimum: int = 1
    maximum: int = 99
    assume: Literal["am", "pm"] = "pm"
    invalid: Line | None = None


class ToolUse(_Part):
    """A tool that is called if the agent offers it. Arguments may hold placeholders.

    `done` is said after it, with its result as {result} or {result.field}; `failed` when it gave an error.
    """

    name: str
    arguments: dict[str, str | int | bool] = {}
    done: Lines
    failed: Lines


class Intent(_Part):
    """Something the caller may want. With `needs` it is a task that asks for slots and ends in a confirmation."""

    patterns: Patterns
    reply: Lines | None = None
    reply_by: dict[str, dict[str, Line]] = {}
    needs: list[str] = []
    confirm: Lines | None = None
    done: Lines | None = None
    tool: ToolUse | None = None
    resume: bool = True
    changes: bool = False
    ends_call: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Intent:
        if self.needs and not (self.confirm and self.done):
            raise ValueError("an intent with needs must have confirm and done")
        if not self.needs and self.reply is None:
            raise ValueError("an intent without needs must have a reply")
        return self


class Script(_Part):
    """A whole dialogue."""

    greeting: Line
    slots: dict[str, Slot] = {}
    intents: dict[str, Intent] = Field(min_length=1)
    affirm: Patterns
    deny: Patterns
    accepted: Lines
    changed: Lines
    ask_change: Lines
    more: Line
    no_more: Line
    fallback: Lines

    @model_validator(mode="after")
    def _names_exist(self) -> Script:
        for name, intent in self.intents.items():
            for slot in (*intent.needs, *intent.reply_by):
                if slot not in self.slots:
                    raise ValueError(f"intents.{name}: there is no slot {slot!r}")
            known = set(self.slots)
            for key, text in _texts(intent):
                for placeholder in PLACEHOLDER.findall(text):
                    result = key == "tool.done" and _RESULT.match(placeholder)
                    if placeholder not in known and not result:
                        raise ValueError(f"intents.{name}.{key}: there is no {{{placeholder}}} here")
        return self

    @property
    def only_task(self) -> str | None:
        """The task, where there is just one: it may begin with its values alone."""
        tasks = [name for name, intent in self.intents.items() if intent.needs]
        return tasks[0] if len(tasks) == 1 else None


def _texts(intent: Intent) -> Iterator[tuple[str, str]]:
    """Every text with placeholders, with its key."""
    for key in ("reply", "confirm", "done"):
        for text in getattr(intent, key) or ():
            yield key, text
    for slot, texts in intent.reply_by.items():
        for text in texts.values():
            yield f"reply_by.{slot}", text
    if intent.tool is not None:
        for text in intent.tool.done:
            yield "tool.done", text
        for text in intent.tool.failed:
            yield "tool.failed", text
        for argument in intent.tool.arguments.values():
            yield "tool.arguments", str(argument)
