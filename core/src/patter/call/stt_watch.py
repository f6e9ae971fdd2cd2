"""The watch over a connected but silent STT (SP-23). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

STEP_S = 3.0
Step = Literal["finalize", "reconnect", "failed"]


@dataclass(slots=True)
class STTWatch:
    """Counts from the end of the caller's speech until any result comes."""

    can_finalize: bool = True
    _deadline: float | None = None
    _steps: tuple[Step, ...] = ()

    def speech_ended(self, t: float, *, finalized: bool) -> None:
        """The caller stopped speaking; `finalized`: the STT was asked for a final already."""
        steps: tuple[Step, ...] = (
            ("reconnect", "failed") if finalized else ("finalize", "reconnect", "failed")
        )
        self._steps = steps if self.can_finalize else ()
        self._deadline = t + STEP_S if self._steps else None

    def answered(self) -> None:
        """The STT gave a result."""
        self._deadline, self._steps = None, ()

    def deadline(self) -> float | None:
        """When `time_passed` may next have something."""
        return self._deadline

    def time_passed(self, t: float) -> Step | None:
        """The next step, once it is due."""
        if self._deadline is None or t < self._deadline:
            return None
        step, *rest = self._steps
        self._steps = tuple(rest)
        self._deadline = t + STEP_S if rest else None
        return step
