"""What was seen and heard of one conversation, by the caller on the line and by observers of the call.

All times are seconds of the running loop's clock, which is also the one of the call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.call.first_message_actions import GreetingReport
    from patter.call.types import BargeInOutcome, CallSummary, TurnReport
    from patter_demo.hearing import Part
    from patter_demo.script import Script


@dataclass(slots=True)
class SpokenLine:
    """One line as it was said: its place in the script and its audio as it went out."""

    line: int
    began: float
    parts: list[Part] = field(default_factory=list)


@dataclass(slots=True)
class AgentTurn:
    """One turn of the agent: when its first audio was sent, and how it ended as the engine tells it."""

    number: int
    began: float
    report: TurnReport | None = None


@dataclass(slots=True)
class Evidence:
    """Everything the report is made from.

    `engine`: one engine heard and spoke; `simulated`: and it was its simulator, which knows no words. `greets`: the
    agent has a first message; `greeting` is what an engine's call tells of it.
    """

    script: Script
    engine: bool = False
    simulated: bool = False
    greets: bool = False
    greeting: GreetingReport | None = None
    started: float = 0.0
    spoken: list[SpokenLine] = field(default_factory=list)
    heard: list[Part] = field(default_factory=list)
    turns: list[AgentTurn] = field(default_factory=list)
    #: the text of every utterance that the recogniser closed
    understood: list[str] = field(default_factory=list)
    interruptions: list[BargeInOutcome] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    summary: CallSummary | None = None
    hung_up: str = ""
    leaks: list[str] = field(default_factory=list)

    @property
    def said(self) -> list[Part]:
        """All that the caller said."""
        return [part for line in self.spoken for part in line.parts]
