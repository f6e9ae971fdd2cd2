"""The rules of a conversation. Pure: what was said so far in, what to say next out.

Nothing is kept between two replies. The whole conversation is gone through again each time, so that a reply that the
caller interrupted, or a turn that was taken back, leaves no trace.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Literal

from patter.providers.llm import Message
from patter_scripted.patterns import Pattern
from patter_scripted.script import PLACEHOLDER, Intent, Script, ToolUse
from patter_scripted.slots import find_values
from patter_scripted.times import Value
from patter_scripted.words import words_of

_LONGEST_SPOKEN_RESULT = 300
END_CALL = "end_call"

Awaited = Literal["", "slot", "confirm", "change", "more"]


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A tool that the script wants called."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say, and the tool to call after it."""

    text: str
    call: PlannedCall | None = None


@dataclass(slots=True)
class Turn:
    """What the caller said once, and the results of the tools that were called for it, by name."""

    text: str
    results: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _State:
    task: str = ""
    awaited: Awaited = ""
    slot: str = ""
    finished: bool = False
    values: dict[str, Value] = field(default_factory=dict)
    said: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What an utterance says whatever came before it: its words, how surely yes or no, and the intent."""

    heard: tuple[str, ...]
    yes: float
    no: float
    intent: str


class Dialogue:
    """A script at work, in one call."""

    def __init__(self, script: Script) -> None:
        self._script = script
        # The turns of a call are gone through again for each reply; each is understood once.
        self._understand = lru_cache(maxsize=256)(partial(_understood, script))

    def answer(self, messages: Sequence[Message], offered: frozenset[str]) -> Answer:
        """The reply to the last thing said; `offered` are the names of the tools that can be called.

        After the result of a tool it goes on from there. With nothing said yet it greets.
        """
        turns = turns_of(messages)
        if not turns:
            return Answer(self._script.greeting)
        conversation = _Conversation(self._script, self._understand)
        for turn in turns[:-1]:
            conversation.hear(turn, offered, last=False)
        return conversation.hear(turns[-1], offered, last=True)


def turns_of(messages: Sequence[Message]) -> list[Turn]:
    """The caller's turns with the tool results that belong to each."""
    turns: list[Turn] = []
    names: dict[str, str] = {}
    for message in messages:
        if message.role == "user":
            turns.append(Turn(message.content))
        for call in message.tool_calls:
            names[call.id] = call.name
        if message.role == "tool" and turns and message.tool_call_id is not None:
            turns[-1].results[names.get(message.tool_call_id, "")] = message.content
    return turns


class _Conversation:
    """One pass through the caller's turns."""

    def __init__(self, script: Script, understand: Callable[[str], _Meaning]) -> None:
        self._script = script
        self._understand = understand
        self._state = _State()

    def hear(self, turn: Turn, offered: frozenset[str], *, last: bool) -> Answer:
        answer = self._respond(turn.text)
        call = answer.call
        if call is None or call.name not in offered:
            return answer if call is None else Answer(self._without_tool(answer))
        if call.name not in turn.results:
            # A call without a result in an earlier turn was interrupted; it is not made again by itself.
            return answer if last else Answer(answer.text)
        return Answer(self._after_tool(call.name, turn.results[call.name]))

    # -- what was meant

    def _respond(self, text: str) -> Answer:
        script, state = self._script, self._state
        meaning = self._understand(text)
        yes, no, name = meaning.yes, meaning.no, meaning.intent
        intent = script.intents.get(name)
        free = intent is None and not yes and not no
        expected = state.slot if state.awaited == "slot" else None
        values = find_values(script.slots, meaning.heard, expected, free_names=free)
        if intent is not None and intent.ends_call:
            return Answer(
                self._next_of(f"intents.{name}", intent.reply or []), PlannedCall(END_CALL, {"reason": name})
            )
        if intent is not None and intent.needs:
            return self._begin(name, values)
        if intent is not None and not (intent.changes and self._needed(values)):
            return self._side_reply(name, intent, values)
        if self._needed(values):
            return self._fill(values)
        if not state.task and values and script.only_task:
            return self._begin(script.only_task, values)
        return self._yes_or_no(yes if yes > no else 0.0, no > 0)

    def _needed(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """The values that the running task has a use for."""
        task = self._script.intents.get(self._state.task)
        return {name: value for name, value in values.items() if task and name in task.needs}

    # -- a task

    def _begin(self, name: str, values: Mapping[str, Value]) -> Answer:
        state = self._state
        if state.task != name or state.finished:
            state.task, state.finished, state.values = name, False, {}
        return self._fill(self._needed(values))

    def _fill(self, values: Mapping[str, Value]) -> Answer:
        """Take values over; what was known before and differs is a correction."""
        state, script = self._state, self._script
        opening = ""
        corrected = False
        for name, value in values.items():
            slot = script.slots[name]
            if slot.type == "number" and not slot.minimum <= int(value.value) <= slot.maximum:
                state.awaited, state.slot = "slot", name
                state.values.pop(name, None)
                return Answer(slot.invalid or self._ask(name))
            corrected = corrected or (name in state.values and state.values[name].value != value.value)
            state.values[name] = value
        if corrected:
            opening = self._next_of("changed", script.changed)
        elif values:
            opening = self._next_of("accepted", script.accepted)
        state.finished = state.finished and not values
        return Answer(_joined(opening, self._prompt()))

    def _prompt(self) -> str:
        """What the running task asks next; nothing when it has finished."""
        state = self._state
        task = self._script.intents.get(state.task)
        if task is None:
            state.awaited = ""
            return ""
        if state.finished:
            state.awaited = "more"
            return self._script.more
        missing = self._missing()
        if missing:
            state.awaited, state.slot = "slot", missing
            return self._ask(missing)
        state.awaited = "confirm"
        return self._filled(self._next_of("confirm", task.confirm or []))

    def _missing(self) -> str:
        """The first slot that the running task still needs."""
        task = self._script.intents[self._state.task]
        return next((name for name in task.needs if name not in self._state.values), "")

    def _ask(self, slot: str) -> str:
        return self._next_of(f"ask.{slot}", self._script.slots[slot].ask)

    def _finish(self) -> Answer:
        """The caller has confirmed."""
        state = self._state
        task = self._script.intents[state.task]
        state.finished, state.awaited = True, "more"
        if task.tool is None:
            return Answer(self._done(task))
        values = {name: value.value for name, value in state.values.items()}
        arguments = {
            name: _converted(_substituted(value, values), self._script, value)
            if isinstance(value, str)
            else value
            for name, value in task.tool.arguments.items()
        }
        return Answer("", PlannedCall(task.tool.name, arguments))

    def _done(self, task: Intent) -> str:
        return self._filled(self._next_of("done", task.done or []))

    def _without_tool(self, answer: Answer) -> str:
        """The reply where the agent does not offer the tool that the script would call."""
        if answer.call is not None and answer.call.name == END_CALL:
            return answer.text
        return self._done(self._script.intents[self._state.task])

    def _after_tool(self, name: str, result: str) -> str:
        """What is said once a tool has answered; nothing after the end of the call."""
        tool = self._tool()
        if name == END_CALL or tool is None:
            return ""
        parsed = _parsed(result)
        if isinstance(parsed, dict) and "error" in parsed:
            # Not finished: another yes tries again, a change is still possible.
            self._state.finished, self._state.awaited = False, "confirm"
            return self._filled(self._next_of("failed", tool.failed))
        return self._filled(self._next_of("tool.done", tool.done), _spoken_fields(parsed))

    def _tool(self) -> ToolUse | None:
        task = self._script.intents.get(self._state.task)
        return task.tool if task else None

    # -- everything else

    def _side_reply(self, name: str, intent: Intent, values: Mapping[str, Value]) -> Answer:
        """Answer a question, then come back to what was asked before."""
        text = ""
        for slot, texts in intent.reply_by.items():
            value = values.get(slot)
            if value is not None and value.value in texts:
                text = texts[value.value]
        text = text or self._next_of(f"intents.{name}", intent.reply or [])
        if intent.changes and self._state.task:
            self._state.awaited = "change"
            return Answer(self._filled(text))
        resumes = intent.resume and self._state.task and not self._state.finished
        return Answer(_joined(self._filled(text, _spoken(values)), self._prompt() if resumes else ""))

    def _yes_or_no(self, yes: float, no: bool) -> Answer:
        state, script = self._state, self._script
        # A mere "yes" to "what shall I change?" announces a change; "that is right" takes it back.
        sure = state.awaited == "confirm" or (state.awaited == "change" and yes > 1)
        if sure and yes and not self._missing():
            return self._finish()
        if state.awaited == "confirm" and no:
            state.awaited = "change"
            return Answer(self._next_of("ask_change", script.ask_change))
        if state.awaited == "change" and (yes or no):
            return Answer(self._next_of("ask_change", script.ask_change) if yes else self._prompt())
        if state.awaited == "more" and (yes or no):
            return Answer(script.more if yes else script.no_more)
        fallback = self._next_of("fallback", script.fallback)
        return Answer(_joined(fallback, "" if state.finished else self._prompt()))

    # -- texts

    def _next_of(self, key: str, texts: Sequence[str]) -> str:
        """The next of several texts, the last one then again and again from the first."""
        count = self._state.said.get(key, 0)
        self._state.said[key] = count + 1
        return texts[count % len(texts)] if texts else ""

    def _filled(self, text: str, more: Mapping[str, str] | None = None) -> str:
        return _substituted(text, {**_spoken(self._state.values), **(more or {})})


def _understood(script: Script, text: str) -> _Meaning:
    """The intent is the one of which most was said; of two equal ones the first."""
    heard = tuple(words_of(text))
    best, name = 0.0, ""
    for candidate, intent in script.intents.items():
        score = _best(intent.patterns, heard)
        if score > best:
            best, name = score, candidate
    return _Meaning(heard, _best(script.affirm, heard), _best(script.deny, heard), name)


def _best(patterns: Sequence[Pattern], heard: Sequence[str]) -> float:
    return max((pattern.match(heard) for pattern in patterns), default=0.0)


def _joined(*texts: str) -> str:
    return " ".join(text for text in texts if text)


def _spoken(values: Mapping[str, Value]) -> dict[str, str]:
    return {name: value.spoken for name, value in values.items()}


def _substituted(text: str, values: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: values.get(match[1], ""), text)


def _converted(text: str, script: Script, template: str) -> str | int:
    """A number for the tool where the argument is nothing but a slot for numbers."""
    match = PLACEHOLDER.fullmatch(template)
    slot = script.slots.get(match[1]) if match else None
    return int(text) if slot is not None and slot.type == "number" else text


def _parsed(result: str) -> Any:
    try:
        return json.loads(result)
    except (ValueError, RecursionError):
        return result


def _spoken_fields(result: Any) -> dict[str, str]:
    """A tool's result as placeholders: {result}, and {result.field} for the fields of an object."""
    if not isinstance(result, dict):
        return {"result": str(result)[:_LONGEST_SPOKEN_RESULT]}
    return {f"result.{name}": str(value)[:_LONGEST_SPOKEN_RESULT] for name, value in result.items()}
