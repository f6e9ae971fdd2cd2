"""What is known of the caller's speech: where it began and ended, and whether its words have come. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patter.call.actions import Emit, Finalize, ReconnectSTT, STTSilent
from patter.call.stt_watch import AFTER_INTERIM_S, STTWatch

if TYPE_CHECKING:
    from patter.call.actions import Action
    from patter.call.types import EosTrigger

BEGAN, OVER = Emit("user_speech_started"), Emit("user_speech_ended")
_FINALIZE = Finalize()
#: the caller's turn is over, by what ended it
TURN_ENDS: dict[EosTrigger, Emit] = {
    "vad_silence": Emit("user_speech_eos", "vad_silence"),
    "stt_endpoint": Emit("user_speech_eos", "stt_endpoint"),
    "manual_commit": Emit("user_speech_eos", "manual_commit"),
}


class CallerSpeech:
    """The speech of one call's caller. Takes what VAD and STT say, returns what to tell and to ask. Times in s.

    With a VAD its edges count. Without one, speech begins with the STT's first sign of it (BI-07) and is over with the
    final, for which the caller counts as speaking at most 3 s after the last sign. Observers are told of beginning and
    end in turn, and of the end before the turn is answered, although a VAD may notice it later than the STT.

    Attributes:
        watch: the watch over what the STT owes.
        has_vad: whether a VAD gives the edges.
        began: when the last speech began; None before the first.
        ended: when it ended by the VAD; None while it goes on.
        heard_by_vad: whether the VAD hears speech.
        finalizing: whether the STT was asked for a final and has not answered.
    """

    def __init__(self, watch: STTWatch, *, has_vad: bool, asks_finals: bool) -> None:
        self.watch = watch
        self.has_vad = has_vad
        self.began: float | None = None
        self.ended: float | None = None
        self.heard_by_vad = False
        self.finalizing = False
        self._asks_finals = asks_finals
        self._understood = False
        self._going_on = False
        self._told = False
        self._sign_at = 0.0

    def started(self, t: float) -> tuple[Action, ...]:
        """The VAD, or the STT where there is none, hears that speech begins."""
        self.began, self.ended, self._understood = t, None, False
        self.watch.speech_started(t)
        return self._tell_began(t)

    def stopped(self, t: float) -> tuple[Action, ...]:
        """The VAD hears that speech ends; the STT is asked for its words unless they have come (TN-21)."""
        self.ended = t
        asks = self._asks_finals and not self._understood
        self.watch.speech_ended(t, finalized=asks, covered=self._understood)
        self._going_on = self.heard_by_vad = False
        over = self._tell_over()
        return (*over, self._ask_final()) if asks else over

    def interim(self, text: str, t: float) -> tuple[Action, ...]:
        """A partial transcript."""
        if not self.finalizing:
            self.watch.answered(interim_at=t)
        speaks = bool(text.strip()) and (self._going_on or not self.has_vad)
        return self._tell_began(t) if speaks else ()

    def final(self, text: str, t: float) -> tuple[Action, ...]:
        """A final, "" when nothing was understood."""
        self.watch.answered()
        self.finalizing = False
        self._understood = True
        if self.has_vad:
            return ()
        began = self._tell_began(t) if text else ()
        self._going_on = False
        return (*began, *self._tell_over())

    def answered(self) -> tuple[Action, ...]:
        """What was said is taken for a whole turn, although the VAD may still hear the caller."""
        return self._tell_over()

    def time_passed(self, t: float) -> tuple[Action, ...]:
        """What is to be done about an STT that says nothing (SP-23)."""
        step = self.watch.time_passed(t)
        if step is None:
            return ()
        if step == "finalize":
            return (self._ask_final(),)
        return (ReconnectSTT() if step == "reconnect" else STTSilent(),)

    def _ask_final(self) -> Action:
        self.finalizing = True
        return _FINALIZE

    def began_by(self, t: float) -> float:
        """When the last speech began; t when none was heard."""
        return t if self.began is None else self.began

    def _tell_began(self, t: float) -> tuple[Action, ...]:
        self._going_on, self._sign_at = True, t
        self.heard_by_vad = self.has_vad
        was, self._told = self._told, True
        return () if was else (BEGAN,)

    def _tell_over(self) -> tuple[Action, ...]:
        was, self._told = self._told, False
        return (OVER,) if was else ()

    def is_going_on(self, t: float) -> bool:
        """Whether the caller is speaking."""
        return self._going_on and (self.has_vad or t - self._sign_at < AFTER_INTERIM_S)
