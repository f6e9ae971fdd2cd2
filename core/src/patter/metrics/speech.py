"""When the caller began and ended what a turn answers, and when it was understood (MX-01, MX-08)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallerTimes:
    """The caller's side of one turn, in s of the call's clock.

    Attributes:
        turn_start: where the caller began.
        end_of_speech: the first of VAD stop and STT final; None where there was neither.
        stt_complete: when the final came; None for a turn without one.
        vad_stopped: when the VAD heard the end; None where it had not when the turn was committed.
    """

    turn_start: float
    end_of_speech: float | None = None
    stt_complete: float | None = None
    vad_stopped: float | None = None


class SpeechAnchor:
    """Follows the caller's speech from one committed turn to the next.

    What was understood and waits for its turn is kept while the caller goes on: a turn has the times of the last
    utterance that it answers.
    """

    __slots__ = ("_final", "_has_vad", "_signal", "_speaking", "_start", "_stopped", "_understood")

    def __init__(self, *, has_vad: bool) -> None:
        self._has_vad = has_vad
        self._start: float | None = None
        self._signal: float | None = None
        self._stopped: float | None = None
        self._final: float | None = None
        self._speaking = False
        self._understood: CallerTimes | None = None

    def anchor_user_speech_start(self, t: float) -> None:
        """The open turn begins here, whatever was taken for its beginning before (MX-08).

        A turn that is committed keeps its times: this moves the one that follows it.
        """
        if self._final is not None:
            self._understood = self._times(self._final)
        self._start = t
        self._signal = self._stopped = self._final = None

    def speech_started(self, t: float) -> None:
        """The VAD, or the STT where there is none, hears speech begin."""
        self._speaking = True
        self.anchor_user_speech_start(t)

    def speech_heard(self, t: float) -> None:
        """A partial transcript came: the beginning of the turn where nothing else gave one."""
        if self._start is None:
            self._start = t

    def speech_ended(self, t: float) -> None:
        """The VAD hears the end of speech."""
        self._speaking = False
        self._stopped = t
        if self._signal is None:
            self._signal = t

    def final(self, t: float) -> None:
        """A final that counts; the turn is committed on it, or it waits."""
        if not self._has_vad:
            self._speaking = False
        if self._start is None:
            self._start = t
        if self._signal is None:
            self._signal = t
        self._final = t

    def dropped(self, t: float) -> None:
        """A final was dropped by the commit filter (TN-05, TN-06): what comes begins anew."""
        self.anchor_user_speech_start(t)

    def committed(self, t: float) -> CallerTimes:
        """The turn is committed: its times, and from now on those of the next one."""
        understood, self._understood = self._understood, None
        if self._final is None and understood is not None:
            return understood  # what the caller says now is of the next turn
        times = self._times(t)
        self._start = t if self._speaking else None
        self._signal = self._stopped = self._final = None
        return times

    def _times(self, otherwise: float) -> CallerTimes:
        start = otherwise if self._start is None else self._start
        return CallerTimes(start, self._signal, self._final, self._stopped)
