"""The watch over a connected but silent STT (SP-23). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

STEP_S = 3.0
#: after an interim more of the utterance may be this long in coming, in s
AFTER_INTERIM_S = 3.0
#: what a VAD takes for speech for longer than this, without its end, may be noise, in s
LONGEST_SPEECH_S = 20.0
Step = Literal["finalize", "reconnect", "failed"]


@dataclass(slots=True)
class STTWatch:
    """Counts from the end of the caller's speech until any result comes."""

    can_finalize: bool = True
    _deadline: float | None = None
    _steps: tuple[Step, ...] = ()
    _speaking_since: float | None = None
    _interim_at: float | None = None

    def speech_started(self, t: float) -> None:
        """The caller began to speak."""
        self._speaking_since = t

    def speech_ended(self, t: float, *, finalized: bool, covered: bool = False) -> None:
        """The caller stopped speaking.

        `finalized`: the STT was asked for a final already; `covered`: it has given one for this speech.
        """
        self._speaking_since = None
        if covered:
            return
        steps: tuple[Step, ...] = (
            ("reconnect", "failed") if finalized else ("finalize", "reconnect", "failed")
        )
        self._steps = steps if self.can_finalize else ()
        self._deadline = t + STEP_S if self._steps else None

    def answered(self, interim_at: float | None = None) -> None:
        """The STT gave a result; with the time of an interim, after which more is to come."""
        self._interim_at = interim_at
        self._deadline, self._steps = None, ()
        if interim_at is None:  # what is said after a final is a matter of its own (TN-21)
            self._speaking_since = None

    def expects_result(self, t: float) -> bool:
        """Whether the caller is speaking, or the STT still owes what was said."""
        since, interim_at = self._speaking_since, self._interim_at
        speaking = since is not None and t < since + LONGEST_SPEECH_S
        going_on = interim_at is not None and t < interim_at + AFTER_INTERIM_S
        return speaking or going_on or self._deadline is not None

    def deadline(self) -> float | None:
        """When `time_passed` may next have something, or nothing more is expected."""
        if self._deadline is not None:
            return self._deadline
        if self._interim_at is not None:
            return self._interim_at + AFTER_INTERIM_S
        return None if self._speaking_since is None else self._speaking_since + LONGEST_SPEECH_S

    def time_passed(self, t: float) -> Step | None:
        """The next step, once it is due."""
        if self._interim_at is not None and t >= self._interim_at + AFTER_INTERIM_S:
            self._interim_at = None
        if self._speaking_since is not None and t >= self._speaking_since + LONGEST_SPEECH_S:
            self._speaking_since = None
        if self._deadline is None or t < self._deadline:
            return None
        step, *rest = self._steps
        self._steps = tuple(rest)
        self._deadline = t + STEP_S if rest else None
        return step
