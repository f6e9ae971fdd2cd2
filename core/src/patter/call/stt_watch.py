"""The watch over a connected but silent STT (SP-23). Pure."""

from __future__ import annotations

from math import inf
from typing import Literal

STEP_S = 3.0
#: after an interim more of the utterance may be this long in coming, in s
AFTER_INTERIM_S = 3.0
#: what a VAD takes for speech for longer than this, without its end, may be noise, in s
LONGEST_SPEECH_S = 20.0
Step = Literal["finalize", "reconnect", "failed"]
#: what is done about an STT that was asked for a final, and about one that was not
_AFTER_FINALIZE: tuple[Step, ...] = ("reconnect", "failed")
_ALL: tuple[Step, ...] = ("finalize", *_AFTER_FINALIZE)


class STTWatch:
    """Counts from the end of the caller's speech until any result comes.

    Attributes:
        deadline: when `time_passed` may next have something, or nothing more is expected; infinity for never.
    """

    def __init__(self, *, can_finalize: bool = True) -> None:
        self.deadline = inf
        self._can_finalize = can_finalize
        #: what is left to do about the silence, the first of it at the deadline
        self._steps: tuple[Step, ...] = ()
        self._speaking_since: float | None = None
        self._interim_at: float | None = None

    def speech_started(self, t: float) -> None:
        """The caller began to speak."""
        self._speaking_since = t
        if not self._steps and self._interim_at is None:
            self.deadline = t + LONGEST_SPEECH_S

    def speech_ended(self, t: float, *, finalized: bool, covered: bool = False) -> None:
        """The caller stopped speaking.

        `finalized`: the STT was asked for a final already; `covered`: it has given one for this speech.
        """
        self._speaking_since = None
        if not covered:
            steps = _AFTER_FINALIZE if finalized else _ALL
            self._steps = steps if self._can_finalize else ()
            self.deadline = t + STEP_S
        if not self._steps:
            self.deadline = self._expected_until()

    def answered(self, interim_at: float | None = None) -> None:
        """The STT gave a result; with the time of an interim, after which more is to come."""
        self._interim_at, self._steps = interim_at, ()
        if interim_at is None:  # what is said after a final is a matter of its own (TN-21)
            self._speaking_since, self.deadline = None, inf
        else:
            self.deadline = interim_at + AFTER_INTERIM_S

    def expects_result(self, t: float) -> bool:
        """Whether the caller is speaking, or the STT still owes what was said."""
        if self._steps:
            return True
        since, interim_at = self._speaking_since, self._interim_at
        speaking = since is not None and t < since + LONGEST_SPEECH_S
        return speaking or (interim_at is not None and t < interim_at + AFTER_INTERIM_S)

    def time_passed(self, t: float) -> Step | None:
        """The next step, once it is due."""
        if t < self.deadline:
            return None
        if self._interim_at is not None and t >= self._interim_at + AFTER_INTERIM_S:
            self._interim_at = None
        if self._speaking_since is not None and t >= self._speaking_since + LONGEST_SPEECH_S:
            self._speaking_since = None
        step, self._steps = (self._steps[0], self._steps[1:]) if self._steps else (None, ())
        self.deadline = t + STEP_S if self._steps else self._expected_until()
        return step

    def _expected_until(self) -> float:
        """How long a result is expected although no step waits for it."""
        if self._interim_at is not None:
            return self._interim_at + AFTER_INTERIM_S
        return inf if self._speaking_since is None else self._speaking_since + LONGEST_SPEECH_S
