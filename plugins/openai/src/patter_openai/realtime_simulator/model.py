"""What the simulated model says, and what it makes of what it hears."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

#: what a client wants to be said word for word stands between quotation marks
_QUOTED: Final = re.compile(r'"(.*)"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call of a tool; `arguments` is JSON."""

    name: str
    arguments: str = "{}"


@dataclass(frozen=True, slots=True)
class Spoken:
    """One response: what is said, then the tools that are called; it is done `lingers_s` after that."""

    text: str = ""
    calls: tuple[FunctionCall, ...] = ()
    lingers_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a response is made from.

    Attributes:
        instructions: those of the session, or the response's own.
        exact_text: the text that the response's own instructions quote; "" without.
        heard: the texts of the conversation's items with their roles, in order.
        tools: the names of the tools it may call.
    """

    instructions: str
    exact_text: str
    heard: tuple[tuple[str, str], ...]
    tools: tuple[str, ...]


Reply = str | Spoken
Model = Callable[[Asked], Reply]


def quoted(instructions: Any) -> str:
    """The text that instructions quote; "" for none."""
    found = _QUOTED.search(instructions) if isinstance(instructions, str) else None
    return found.group(1) if found else ""


def repeat(asked: Asked) -> Reply:
    """Repeats what the caller said last."""
    said = next((text for role, text in reversed(asked.heard) if role == "user" and text), "nothing")
    return f"You said: {said}"


@dataclass(slots=True)
class Voice:
    """Speaks each response as a tone of its own pitch; `spoken` are the texts by number."""

    spoken: list[str] = field(default_factory=list)

    def begin(self, text: str) -> int:
        """Note a text; returns its number, whose pitch it is spoken at (`patter.simulators.tones`)."""
        self.spoken.append(text)
        return len(self.spoken) - 1


def tones_heard(pitches: Sequence[int]) -> str:
    """The words of a caller who speaks in tones, for want of better ones."""
    return " ".join(f"tone {pitch}" for pitch in pitches) or "a noise"
