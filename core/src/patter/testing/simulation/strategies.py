"""Barge-in strategies of the simulation: decided by a word, a time, or broken."""

from __future__ import annotations

from patter.providers.barge_in import BargeInEvent, BargeInStrategy, Verdict

#: the caller's words that mean something to the strategies
STOP_WORD = "stop"
BACKCHANNEL = "uhhuh"


class StopWord(BargeInStrategy):
    """Confirms when the stop word was said, rejects a backchannel."""

    def evaluate(self, event: BargeInEvent) -> bool | Verdict:
        """Judge by the words."""
        if STOP_WORD in event.transcript:
            return True
        return Verdict.REJECT if BACKCHANNEL in event.transcript else Verdict.WAIT


class AfterSpeech(BargeInStrategy):
    """Confirms once the caller has spoken for 400 ms."""

    def evaluate(self, event: BargeInEvent) -> bool:
        """Judge by the time."""
        return event.speech_ms >= 400


class Raising(BargeInStrategy):
    """Raises at every third question."""

    def __init__(self) -> None:
        self._asked = 0

    def evaluate(self, event: BargeInEvent) -> bool:
        """Fail, or say nothing."""
        self._asked += 1
        if self._asked % 3 == 0:
            raise ValueError(f"a broken strategy at {event.kind}")
        return False


class Rejecting(BargeInStrategy):
    """Rejects speech that ended without a word."""

    def evaluate(self, event: BargeInEvent) -> Verdict:
        """Judge at the end of the speech."""
        return Verdict.REJECT if event.kind == "speech_end" and not event.transcript else Verdict.WAIT


#: what a call may be set to, by name
LINEUPS: dict[str, tuple[type[BargeInStrategy], ...]] = {
    "none": (),
    "stop word": (StopWord,),
    "raising, stop word": (Raising, StopWord),
    "rejecting, stop word": (Rejecting, StopWord),
    "after speech": (AfterSpeech,),
    "rejecting, after speech": (Rejecting, AfterSpeech),
}
