"""Who makes the agent's turns in one call: the replies of its pipeline, or an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from patter.call.realtime_bridge import EngineBridge, EngineCall
from patter.call.realtime_machine import RealtimeMachine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patter.audio.formats import AudioFormat
    from patter.call.actions import StartReply
    from patter.call.lineup import Lineup
    from patter.call.listening import SpeechTaker
    from patter.call.machine import SessionMachine
    from patter.call.mouth import SessionMouth
    from patter.call.reply_meter import ReplyMeter
    from patter.call.tasks import CallTasks
    from patter.call.types import ToolResult
    from patter.plugins import HookDispatcher


class Seat(Protocol):
    """What a session asks of it."""

    def open(self, heard: AudioFormat) -> SpeechTaker | None:
        """Where the caller's audio goes besides, which comes as `heard`."""

    def run_in(self, tasks: CallTasks) -> None:
        """The call begins: start what it does beside the media."""

    def start(self, action: StartReply, moments: ReplyMeter) -> None:
        """Make an agent turn."""

    def cancel(self, turn: int) -> None:
        """An agent turn was given up."""

    def observe(self, event: str, data: object) -> None:
        """The machine told the call's observers something."""

    def under_way(self) -> tuple[str, ...]:
        """Turns that are being made without a task of the call, as the names of tasks."""

    def late_results(self, results: Sequence[ToolResult]) -> None:
        """Results of tools whose turn was given up."""

    def close(self) -> None:
        """The call is over."""


class PipelineSeat:
    """No engine: the session makes the replies itself."""

    def __init__(self, call: EngineCall) -> None:
        #: make an agent turn
        self.start = call.speak

    def open(self, heard: AudioFormat) -> None:
        """Nobody else listens."""

    def run_in(self, tasks: CallTasks) -> None:
        """Nothing to start."""

    def cancel(self, turn: int) -> None:
        """Cancelling its task was all."""

    def observe(self, event: str, data: object) -> None:
        """Of no interest."""

    def under_way(self) -> tuple[str, ...]:
        """Each reply is a task."""
        return ()

    def late_results(self, results: Sequence[ToolResult]) -> None:
        """They are in the history, from which the model is asked."""

    def close(self) -> None:
        """Nothing to release."""


def seat_of(
    call: EngineCall, machine: SessionMachine, lineup: Lineup, mouth: SessionMouth, hooks: HookDispatcher
) -> Seat:
    """Who makes the turns of a call with that line-up."""
    if isinstance(machine, RealtimeMachine):
        return EngineBridge(call, machine, lineup, mouth, hooks)
    return PipelineSeat(call)
