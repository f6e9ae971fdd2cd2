"""The session machine: the one owner of a call's state. Pure.

It owns playout, barge-in, turns, the STT watch and the conversation, takes timestamped events and returns actions;
nobody else's decisions reach I/O, so they cannot race through glue code. Times are seconds of the call's clock.

States::

    IDLE ─ started ─▶ THINKING (greeting) or LISTENING
    LISTENING ─ a turn is committed ─▶ THINKING ─ first audio sent ─▶ SPEAKING ─ heard to its end ─▶ LISTENING
    THINKING ─ the caller goes on ─▶ THINKING (merged text, a new reply)
    SPEAKING ─ interrupted ─▶ LISTENING
    any ─ end_call ─▶ DRAINING ─ heard, or 10 s ─▶ ENDED
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from patter.call.actions import (
    Action,
    CancelReply,
    Emit,
    EndCall,
    Finalize,
    ReconnectSTT,
    ReplyKind,
    SendClear,
    StartReply,
    STTSilent,
    WantInterims,
)
from patter.call.heard import heard_text
from patter.call.session_state import Reply, SessionSettings, State
from patter.call.stt_watch import STTWatch
from patter.call.turns import Dispatch, Turns
from patter.call.types import BargeInOutcome
from patter.providers.carrier import CallStatus

if TYPE_CHECKING:
    from patter.call.barge_in import BargeIn, Interruption
    from patter.call.conversation import Conversation
    from patter.call.playout import Chunk, Playout
    from patter.call.types import EosTrigger
    from patter.providers.stt import Final

#: speech already begun is heard for at most this long after `end_call`, in s (CC-11)
DRAIN_S = 10.0


class SessionMachine:
    """One call. Every public method takes the time of its event and returns what to do."""

    def __init__(
        self, settings: SessionSettings, playout: Playout, barge_in: BargeIn, conversation: Conversation
    ) -> None:
        self.settings = settings
        self.playout = playout
        self.barge_in = barge_in
        barge_in.heard_ms = playout.heard_ms
        self.conversation = conversation
        self.turns = Turns(manual=settings.turn_end == "manual")
        self.watch = STTWatch(can_finalize=settings.can_finalize)
        self.state = State.IDLE
        self.reply: Reply | None = None
        self.started_at = 0.0
        self.interruptions = 0
        self.backchannels = 0
        self._replies = 0
        self._ending: EndCall | None = None
        self._drain_deadline: float | None = None
        self._speech_began: float | None = None
        self._speech_ended: float | None = None
        self._covered = False
        self._finalizing = False
        self._actions: list[Action] = []

    def _take(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    def _ms(self, t: float) -> float:
        return max(0.0, (t - self.started_at) * 1000)

    # -- the call

    def started(self, t: float) -> list[Action]:
        """The media is up: greet, or listen."""
        self.started_at = t
        self.state = State.LISTENING
        if self.settings.first_message:
            self._start_reply("greeting", self.settings.first_message, t)
        return self._take()

    def announce(self, text: str, t: float) -> list[Action]:
        """Say a fixed text as an agent turn of its own, over whatever the agent was saying."""
        if self.state in (State.DRAINING, State.ENDED) or not text.strip():
            return []
        self._stop_reply(t)
        self.turns.open = None  # what the caller says before it is heard waits for its end
        self._start_reply("announcement", text, t)
        return self._take()

    def end_after_speech(self, reason: str, t: float) -> list[Action]:
        """Hang up once what the agent has begun to say is heard, at the latest in 10 s (CC-11)."""
        if self.state in (State.DRAINING, State.ENDED):
            return []
        self._ending = EndCall(CallStatus.COMPLETED, reason)
        self.state = State.DRAINING
        self._drain_deadline = t + DRAIN_S
        self._end_if_heard(t)
        return self._take()

    def end(self, status: CallStatus, reason: str, t: float, *, by_carrier: bool = False) -> list[Action]:
        """The call is over now, whoever ended it; harmless when it already was."""
        self._end(status, reason, t, by_carrier=by_carrier)
        return self._take()

    def _end(self, status: CallStatus, reason: str, t: float, *, by_carrier: bool = False) -> None:
        if self.state is State.ENDED:
            return
        if self.reply is not None:
            self._close_turn(t, interrupted=True)
        self.playout.clear(t)
        for text in self.turns.unanswered():
            self.conversation.unanswered(text, self._ms(t))
        self.state = State.ENDED
        self._actions.append(EndCall(status, reason, by_carrier))

    # -- the caller

    def speech_started(self, t: float) -> list[Action]:
        """The caller's speech begins (VAD, or the STT where there is none)."""
        if self.state is State.ENDED:
            return []
        self._speech_began, self._speech_ended, self._covered = t, None, False
        self.turns.speech_started()
        self.watch.speech_started(t)
        self._actions.append(Emit("user_speech_started"))
        self._decide(self.barge_in.speech_started(t), t)
        return self._take()

    def speech_ended(self, t: float) -> list[Action]:
        """The caller's speech ends (VAD)."""
        if self.state is State.ENDED:
            return []
        self._speech_ended = t
        self._actions.append(Emit("user_speech_ended"))
        finalize = self.settings.turn_end == "vad" and not self._covered
        if finalize:
            self._ask_final()
        self.watch.speech_ended(t, finalized=finalize, covered=self._covered)
        self._decide(self.barge_in.speech_ended(t), t)
        return self._take()

    def _ask_final(self) -> None:
        self._finalizing = self.barge_in.finalizing = True
        self._actions.append(Finalize())

    def interim(self, text: str, t: float) -> list[Action]:
        """A partial transcript; it never changes a dispatched text (TN-02)."""
        if self.state is State.ENDED:
            return []
        if not self._finalizing:
            self.watch.answered(interim_at=t)
        self._actions.append(Emit("transcript_partial", text))
        self._decide(self.barge_in.interim(text, t), t)
        return self._take()

    def final(self, final: Final, t: float) -> list[Action]:
        """A closed utterance. It changes the state in this very step (TN-01)."""
        self.watch.answered()
        self._finalizing = self.barge_in.finalizing = False
        self._covered = True
        text = final.text.strip()
        if self.state is State.ENDED or not self.turns.accepts(text, t):
            self._after_silence(t)
            return self._take()
        self._actions.append(Emit("transcript_final", text))
        if self.state is State.DRAINING:
            self.turns.hold(text, triggers=True)
        elif self.state is State.SPEAKING:
            self._final_over_agent(text, t)
        else:
            self._dispatch(
                self.turns.take(text, t, self._trigger(), agent_unheard=self.state is State.THINKING), t
            )
        return self._take()

    def _after_silence(self, t: float) -> None:
        """Nothing was said after an interruption: what waited for the next turn is answered now."""
        if self.state is State.LISTENING:
            self._dispatch(self.turns.agent_turn_over(t, self._trigger()), t)

    def _trigger(self) -> EosTrigger:
        return "vad_silence" if self.settings.turn_end == "vad" else "stt_endpoint"

    def _final_over_agent(self, text: str, t: float) -> None:
        reply = self.reply
        assert reply is not None
        assert reply.first_audio_at is not None
        began_before = self.barge_in.began_before_audio
        late = self._speech_ended is not None and self._speech_ended <= reply.first_audio_at
        decision = self.barge_in.final(text, t)
        self._decide(decision, t)
        if decision is not None and decision.outcome == "confirmed":
            goes_on = late and reply.user_turn is not None
            self._dispatch(self.turns.take_over_agent(text, t, self._trigger(), goes_on=goes_on), t)
            return
        self.backchannels += 1
        if began_before:
            self.turns.hold(text, triggers=True)
            return
        self.conversation.backchannel(text, self._ms(t))
        self.turns.hold(text, triggers=False)

    def commit_turn(self, t: float) -> list[Action]:
        """`call.commit_turn()` in mode `manual` (TN-21)."""
        if self.state in (State.LISTENING, State.THINKING, State.SPEAKING):
            self._dispatch(self.turns.commit(t, agent_unheard=self.state is State.THINKING), t)
        return self._take()

    # -- deciding about interruptions

    def _decide(self, decision: Interruption | None, t: float) -> None:
        if decision is None:
            self._pause_if_pending(t)
            return
        reply = self.reply
        delay = (decision.decided_at - decision.overlap_start) * 1000
        turn = reply.reply if reply is not None else 0
        outcome = BargeInOutcome(turn, decision.outcome, decision.transcript, max(0.0, delay))
        self._actions.append(Emit("interruption", outcome))
        if decision.outcome == "confirmed" and self.state is State.SPEAKING:
            self.interruptions += 1
            self._interrupt(t)
        elif self.playout.paused:
            self.playout.resume()

    def _pause_if_pending(self, t: float) -> None:
        """Mode `pause`: silence while an interruption is pending; the turn is kept (BI-18)."""
        if self.barge_in.settings.mode != "pause" or not self.barge_in.pending or self.playout.paused:
            return
        if self.state is State.SPEAKING:
            self.playout.pause(t)
            self._actions.append(SendClear())

    def interrupt(self, t: float) -> list[Action]:
        """Stop the agent, because the application asked for it; what the caller said meanwhile is answered now."""
        if self.state is State.SPEAKING:
            self._interrupt(t)
            self._after_silence(t)
        return self._take()

    def _interrupt(self, t: float) -> None:
        """The one way from SPEAKING to LISTENING before the end: clear, cancel, remember what was heard (BI-22)."""
        assert self.reply is not None
        self._actions.append(CancelReply(self.reply.reply))
        cleared = self.playout.paused
        self._close_turn(t, interrupted=True)
        if not cleared:
            self._actions.append(SendClear())
        self.state = State.LISTENING

    def go_on(self, t: float) -> list[Action]:
        """Give up an agent turn of which nothing more will come, and answer what waits: the watchdog's repair."""
        if self.state not in (State.DRAINING, State.ENDED):
            self._stop_reply(t)
            self.state = State.LISTENING
            self._after_silence(t)
        return self._take()

    # -- the agent

    def _dispatch(self, dispatch: Dispatch | None, t: float) -> None:
        if dispatch is None:
            return
        self._stop_reply(t)
        self.conversation.user(
            dispatch.turn, dispatch.text, self._ms(t if self._speech_began is None else self._speech_began)
        )
        if not dispatch.restart:
            self._actions.append(Emit("turn_started", dispatch.turn))
        self._actions.append(Emit("user_speech_eos", dispatch.trigger))
        self._start_reply("reply", dispatch.text, t, user_turn=dispatch.turn, trigger=dispatch.trigger)

    def _stop_reply(self, t: float) -> None:
        """Give up the reply in progress, heard or not."""
        if self.reply is None:
            return
        if self.state is State.SPEAKING:
            self._interrupt(t)
            return
        self._actions.append(CancelReply(self.reply.reply))
        in_flight = self.playout.began_sending
        self._close_turn(t, interrupted=True)
        if in_flight:
            self._actions.append(SendClear())

    def _start_reply(
        self,
        kind: ReplyKind,
        text: str,
        t: float,
        *,
        user_turn: int | None = None,
        trigger: EosTrigger | None = None,
    ) -> None:
        self._replies += 1
        ended = self._speech_ended if user_turn is not None else None
        self.reply = Reply(self._replies, kind, user_turn, text if user_turn else "", t, ended)
        self.playout.begin(self._replies, mark_each_chunk=kind == "greeting")
        self.state = State.THINKING
        self._actions.append(StartReply(self._replies, kind, text, user_turn, trigger))

    def audio_sent(self, chunk: Chunk, t: float) -> list[Action]:
        """The carrier connection accepted audio."""
        if self.playout.sent(chunk, t) and self.reply is not None and self.state is not State.ENDED:
            self.reply.first_audio_at = t
            self.barge_in.agent_sent_audio(t)
            if self.state is State.THINKING:
                self.state = State.SPEAKING
            self._actions += (Emit("agent_speech_started", self.reply.reply), WantInterims(True))
        return self._take()

    def reply_made(self, reply: int, t: float) -> list[Action]:
        """All of a reply is synthesised, or it failed and nothing more of it will come."""
        if self.reply is not None and self.reply.reply == reply:
            self.reply.made = True
            self.playout.end(reply)
            self._end_if_heard(t)
        return self._take()

    def _end_if_heard(self, t: float) -> None:
        if self.reply is not None and self.reply.made and self.playout.finished(t):
            self._close_turn(t, interrupted=False)
            if self.state is not State.DRAINING:
                self.state = State.LISTENING
                self._dispatch(self.turns.agent_turn_over(t, self._trigger()), t)
        if self.state is State.DRAINING and self.reply is None and self._ending is not None:
            ending = self._ending
            self._end(ending.status, ending.reason, t)

    def _close_turn(self, t: float, *, interrupted: bool) -> None:
        """The agent turn is over: what was heard becomes history (TN-08)."""
        reply = self.reply
        assert reply is not None
        sentences = list(self.playout.sentences)
        heard_ms = self.playout.heard_ms(t)
        if interrupted:
            heard = self.playout.clear(t)
        else:
            heard = self.playout.heard(t)
            self.playout.finish()
        text = heard_text(sentences, heard, self.playout.format.rate)
        began = reply.first_audio_at
        self.conversation.agent(
            reply.reply, text, self._ms(t if began is None else began), interrupted=interrupted
        )
        self.barge_in.agent_turn_over()
        self.reply = None
        if began is not None:
            self._actions += (Emit("agent_speech_ended", reply.reply), WantInterims(False))
        self._actions.append(Emit("turn_ended", reply.report(text, heard_ms, interrupted=interrupted)))

    # -- time

    def time_passed(self, t: float) -> list[Action]:
        """Look at the clock; call it at `deadline()` or earlier, as often as you like."""
        if self.state in (State.IDLE, State.ENDED):
            return []
        if self.state is State.SPEAKING:
            self._decide(self.barge_in.time_passed(t), t)
        self._watch_stt(t)
        self._end_if_heard(t)
        if self.state is State.DRAINING and self._drain_deadline is not None and t >= self._drain_deadline:
            self._end(CallStatus.COMPLETED, "what the agent was saying took over 10 s", t)
        if t - self.started_at >= self.settings.max_duration_s:
            self._end(CallStatus.COMPLETED, "the call reached its maximum duration", t)
        return self._take()

    def _watch_stt(self, t: float) -> None:
        step = self.watch.time_passed(t)
        if step == "finalize":
            self._ask_final()
        elif step is not None:
            self._actions.append(ReconnectSTT() if step == "reconnect" else STTSilent())

    def deadline(self, t: float) -> float | None:
        """When `time_passed` must be called at the latest, playout apart; None when nothing is scheduled."""
        if self.state in (State.IDLE, State.ENDED):
            return None
        moment = self.started_at + self.settings.max_duration_s
        barge_in = self.barge_in.deadline(t) if self.state is State.SPEAKING else None
        for other in (barge_in, self.watch.deadline(), self._drain_deadline):
            if other is not None and other < moment:
                moment = other
        return moment
