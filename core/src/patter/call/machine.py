"""The session machine: the one owner of a call's state. Pure.

It owns playout, barge-in, the turns of both sides, their silence and the conversation, takes timestamped events and
returns actions; nobody else's decisions reach I/O, so they cannot race through glue code. Times are seconds of the
call's clock.

States::

    IDLE ─ started ─▶ THINKING (greeting) or LISTENING
    LISTENING ─ a turn is committed ─▶ THINKING ─ first audio sent ─▶ SPEAKING ─ heard to its end ─▶ LISTENING
    THINKING ─ the caller goes on ─▶ THINKING (merged text, a new reply)
    SPEAKING ─ interrupted ─▶ LISTENING
    any ─ end_call ─▶ DRAINING ─ heard, or 10 s ─▶ ENDED
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from patter.call.actions import Action, Emit, EndCall, SendClear
from patter.call.agent_turns import AgentTurns
from patter.call.caller_speech import TURN_ENDS, CallerSpeech
from patter.call.session_state import Reply, SessionSettings, State
from patter.call.silence import Silence
from patter.call.stt_watch import STTWatch
from patter.call.turns import Dispatch, Turns
from patter.providers.carrier import CallStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from patter.call.actions import ReplyKind
    from patter.call.barge_in import BargeIn, Interruption
    from patter.call.conversation import Conversation
    from patter.call.playout import Chunk, Playout
    from patter.providers.stt import Final

#: speech already begun is heard for at most this long after `end_call`, in s (CC-11)
DRAIN_S = 10.0
#: every event of a call compares these, and an enum takes its time to look up a member
_IDLE, _LISTENING, _THINKING = State.IDLE, State.LISTENING, State.THINKING
_SPEAKING, _DRAINING, _ENDED = State.SPEAKING, State.DRAINING, State.ENDED


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
        self.caller = CallerSpeech(
            self.watch, has_vad=barge_in.settings.has_vad, asks_finals=settings.turn_end == "vad"
        )
        self.silence = Silence(settings.idle_prompt_s, settings.idle_hangup_s)
        #: whether a tool is at work, be it for a reply that was given up
        self.tools_busy: Callable[[], bool] = lambda: False
        self.state = State.IDLE
        self.started_at = 0.0
        self.interruptions = self.backchannels = 0
        self._agent = AgentTurns(playout, conversation)
        self._trigger = settings.trigger
        self._pauses = barge_in.settings.mode == "pause"
        self._goodbye = ""
        #: when the call ends at the latest, and why
        self._ends_at, self._ends_because = inf, ""
        self._actions: list[Action] = []

    @property
    def reply(self) -> Reply | None:
        """The agent turn in progress."""
        return self._agent.current

    def _take(self, t: float) -> list[Action]:
        """What is to be done; called at the end of every event, when it is clear how things stand."""
        if self._agent.waiting and self.state is _LISTENING:
            self._speak_up(t)
        caller, agent, silence = self.caller.heard_by_vad, self._agent, self.silence
        heard, occupied = caller or agent.is_sounding, caller or agent.is_occupied
        if heard is not silence.heard or occupied is not silence.occupied:
            silence.observe(t, heard=heard, occupied=occupied)
        actions, self._actions = self._actions, []
        return actions

    def _ms(self, t: float) -> float:
        return (t - self.started_at) * 1000 if t > self.started_at else 0.0

    # -- the call

    def started(self, t: float) -> list[Action]:
        """The media is up: greet, or listen."""
        self.started_at, self.state = t, _LISTENING
        self._ends_at = t + self.settings.max_duration_s
        self._ends_because = "the call reached its maximum duration"
        if self.settings.first_message:
            self._start_reply("greeting", self.settings.first_message, t)
        return self._take(t)

    def announce(self, text: str, t: float) -> list[Action]:
        """Say a fixed text as an agent turn of its own, over whatever the agent was saying."""
        if self.state in (_DRAINING, _ENDED) or not text.strip():
            return []
        if not self._agent.presses_keys:
            self._stop_reply(t)
        self._agent.waiting.append(("announcement", text))
        return self._take(t)

    def press_keys(self, tones: bytes, t: float) -> list[Action]:
        """Play keys once the agent's turn is over, and then to their end, whoever speaks meanwhile (CC-09)."""
        if self.state is not _ENDED:
            self._agent.waiting.append(("keys", tones))
        return self._take(t)

    def _speak_up(self, t: float) -> None:
        """Begin the turn of the agent's own account that waits for the floor."""
        self.turns.open = None  # what the caller says before it is heard waits for its end
        self._actions += self._agent.begin_waiting()
        self.state = _DRAINING if self.state is _DRAINING else _THINKING

    def end_after_speech(self, reason: str, t: float) -> list[Action]:
        """Hang up once what the agent has begun to say is heard, at the latest in 10 s (CC-11)."""
        if self.state in (_DRAINING, _ENDED):
            return []
        self.state, self._goodbye = _DRAINING, reason
        if t + DRAIN_S < self._ends_at:
            self._ends_at, self._ends_because = t + DRAIN_S, "what the agent was saying took over 10 s"
        self.playout.resume()  # a caller who speaks meanwhile does not prevent the goodbye
        self._end_if_heard(t)
        return self._take(t)

    def end(self, status: CallStatus, reason: str, t: float, *, by_carrier: bool = False) -> list[Action]:
        """The call is over now, whoever ended it; harmless when it already was."""
        self._end(status, reason, t, by_carrier=by_carrier)
        return self._take(t)

    def _end(self, status: CallStatus, reason: str, t: float, *, by_carrier: bool = False) -> None:
        if self.state is _ENDED:
            return
        if self._agent.current is not None:
            self._close_turn(t, interrupted=True)
        self.playout.clear(t)
        self._agent.waiting.clear()
        for text in self.turns.unanswered():
            self.conversation.unanswered(text, self._ms(t))
        self.state = _ENDED
        self._actions.append(EndCall(status, reason, by_carrier))

    # -- the caller

    def speech_started(self, t: float) -> list[Action]:
        """The caller's speech begins (VAD, or the STT where there is none)."""
        if self.state is _ENDED:
            return []
        self._actions += self.caller.started(t)
        self.turns.speech_started()
        if not self.caller.has_vad:
            self.silence.broken(t)
        self._decide(self.barge_in.speech_started(t), t)
        return self._take(t)

    def speech_ended(self, t: float) -> list[Action]:
        """The caller's speech ends (VAD)."""
        if self.state is _ENDED:
            return []
        self._actions += self.caller.stopped(t)
        self.silence.broken(t)
        self.barge_in.finalizing = self.caller.finalizing
        self._decide(self.barge_in.speech_ended(t), t)
        self._answer_what_waits(t)
        return self._take(t)

    def interim(self, text: str, t: float) -> list[Action]:
        """A partial transcript; it never changes a dispatched text (TN-02)."""
        if self.state is _ENDED:
            return []
        self._actions += self.caller.interim(text, t)
        # where no VAD hears the caller, what the STT says is all that breaks the silence
        if not self.caller.has_vad and text.strip():
            self.silence.broken(t)
        self._actions.append(Emit("transcript_partial", text))
        self._decide(self.barge_in.interim(text, t), t)
        return self._take(t)

    def final(self, final: Final, t: float) -> list[Action]:
        """A closed utterance. It changes the state in this very step (TN-01)."""
        text = final.text.strip()
        if self.state is _ENDED:
            return []
        accepted = self.turns.accepts(text, t)
        self._actions += self.caller.final(text if accepted else "", t)
        self.barge_in.finalizing = False
        if not accepted:
            self._after_silence(t)
            return self._take(t)
        self.silence.broken(t)
        self._actions.append(Emit("transcript_final", text))
        if self.state is _DRAINING or self._agent.presses_keys:
            self.turns.hold(text, triggers=True)
        elif self.state is _SPEAKING:
            self._final_over_agent(text, t)
        else:
            self._answer(self.turns.take(text, t, self._trigger, agent_unheard=self.state is _THINKING), t)
        return self._take(t)

    def _after_silence(self, t: float) -> None:
        """Nothing was said after an interruption: what waited for the next turn is answered now."""
        if self.state is _LISTENING:
            self._dispatch(self.turns.agent_turn_over(t, self._trigger), t)

    def _answer_what_waits(self, t: float) -> None:
        """Words that came before their speech interrupted are answered once nothing more of it is expected (TN-03)."""
        waits = self.turns.open is not None or self.turns.held
        if waits and self.state is _LISTENING and not self.watch.expects_result(t):
            self._dispatch(self.turns.agent_turn_over(t, self._trigger), t)

    def _final_over_agent(self, text: str, t: float) -> None:
        reply = self.reply
        assert reply is not None
        assert reply.first_audio_at is not None
        began_before = self.barge_in.began_before_audio
        late = self.caller.ended is not None and self.caller.ended <= reply.first_audio_at
        decision = self.barge_in.final(text, t)
        self._decide(decision, t)
        if decision is not None and decision.outcome == "confirmed":
            goes_on = late and reply.user_turn is not None
            self._answer(self.turns.take_over_agent(text, t, self._trigger, goes_on=goes_on), t)
            return
        self.backchannels += 1
        if began_before:
            self.turns.hold(text, triggers=True)
            return
        self.conversation.backchannel(text, self._ms(t))
        self.turns.hold(text, triggers=False)

    def commit_turn(self, t: float) -> list[Action]:
        """`call.commit_turn()` in mode `manual` (TN-21)."""
        if self.state in (_LISTENING, _THINKING, _SPEAKING):
            waits, unheard = self._agent.presses_keys, self.state is _THINKING
            self._answer(self.turns.commit(t, agent_unheard=unheard, waits=waits), t)
        return self._take(t)

    def digit(self, digit: str, t: float) -> list[Action]:
        """The caller pressed a key."""
        if self.state is _ENDED:
            return []
        self._actions.append(Emit("dtmf", digit))
        self.silence.broken(t)
        return self._take(t)

    # -- deciding about interruptions

    def _decide(self, decision: Interruption | None, t: float) -> None:
        # a goodbye is not interrupted, whoever speaks (CC-11)
        if decision is None or self.state is _DRAINING:
            if self._pauses:
                self._pause_if_pending(t)
            return
        turn = self.reply.reply if self.reply is not None else 0
        self._actions.append(Emit("interruption", decision.outcome_for(turn)))
        if decision.outcome == "confirmed" and self.state is _SPEAKING:
            self.interruptions += 1
            self._interrupt(t)
        elif self.playout.paused:
            self.playout.resume()

    def _pause_if_pending(self, t: float) -> None:
        """Mode `pause`: silence while an interruption is pending; the turn is kept (BI-18)."""
        if self.barge_in.pending and not self.playout.paused and self.state is _SPEAKING:
            self.playout.pause(t)
            self._actions.append(SendClear())

    def interrupt(self, t: float) -> list[Action]:
        """Stop the agent, because the application asked for it; what the caller said meanwhile is answered now."""
        if self.state is _SPEAKING and not self._agent.presses_keys:
            self._decide(self.barge_in.stopped(t), t)
            self._after_silence(t)
        return self._take(t)

    def _interrupt(self, t: float) -> None:
        """The one way to LISTENING before the end: cancel, remember what was heard, clear (BI-22)."""
        self._actions += self._agent.give_up(t, self._ms)
        self.barge_in.agent_turn_over()
        self.state = _LISTENING

    def go_on(self, t: float) -> list[Action]:
        """Give up an agent turn of which nothing more will come, and answer what waits: the watchdog's repair."""
        if self.state not in (_DRAINING, _ENDED):
            self._stop_reply(t)
            self.state = _LISTENING
            self._after_silence(t)
        return self._take(t)

    # -- the agent

    def _answer(self, dispatch: Dispatch | None, t: float) -> None:
        """Answer what the caller has said up to now."""
        if dispatch is not None:
            self._actions += self.caller.answered()
            self._dispatch(dispatch, t)

    def _dispatch(self, dispatch: Dispatch | None, t: float) -> None:
        if dispatch is None:
            return
        self._stop_reply(t)
        self.conversation.user(dispatch.turn, dispatch.text, self._ms(self.caller.began_by(t)))
        self._actions.append(TURN_ENDS[dispatch.trigger])
        if not dispatch.restart:
            self._actions.append(Emit("turn_started", dispatch.turn))
        self._start_reply("reply", dispatch.text, t, dispatch)

    def _stop_reply(self, t: float) -> None:
        """Give up the reply in progress, heard or not."""
        if self._agent.current is not None:
            self._interrupt(t)

    def _start_reply(self, kind: ReplyKind, text: str, t: float, dispatch: Dispatch | None = None) -> None:
        self._actions.append(self._agent.begin(kind, text, dispatch))
        self.state = _THINKING

    def audio_sent(self, chunk: Chunk, t: float) -> list[Action]:
        """The carrier connection accepted audio."""
        if not self.playout.sent(chunk, t) or self._agent.current is None or self.state is _ENDED:
            return []
        self._actions += self._agent.begins_to_sound(t)
        if not self._agent.presses_keys:  # nobody can interrupt those
            self.barge_in.agent_sent_audio(t)
        if self.state is _THINKING:
            self.state = _SPEAKING
        return self._take(t)

    def reply_made(self, reply: int, t: float) -> list[Action]:
        """All of a reply is synthesised, or it failed and nothing more of it will come."""
        if self._agent.made(reply):
            self._end_if_heard(t)
        return self._take(t)

    def _end_if_heard(self, t: float) -> None:
        if (reply := self._agent.current) is not None and reply.made and self.playout.finished(t):
            self._close_turn(t, interrupted=False)
            if self._agent.waiting:
                self._speak_up(t)
            elif self.state is not _DRAINING:
                self.state = _LISTENING
                self._dispatch(self.turns.agent_turn_over(t, self._trigger), t)
        if self.state is _DRAINING and self._agent.current is None:
            self._end(CallStatus.COMPLETED, self._goodbye, t)

    def _close_turn(self, t: float, *, interrupted: bool) -> None:
        self._actions += self._agent.close(t, self._ms, interrupted=interrupted)
        self.barge_in.agent_turn_over()

    # -- time

    def time_passed(self, t: float) -> list[Action]:
        """Look at the clock; call it at `deadline()` or earlier, as often as you like."""
        if self.state in (_IDLE, _ENDED):
            return []
        if self.state is _SPEAKING:
            self._decide(self.barge_in.time_passed(t), t)
        if t >= self.watch.deadline:
            self._actions += self.caller.time_passed(t)
        self.barge_in.finalizing = self.caller.finalizing
        self._end_if_heard(t)
        self._answer_what_waits(t)
        if t >= self.silence.deadline and self.state is _LISTENING:
            self._watch_silence(t)
        if t >= self._ends_at:
            self._end(CallStatus.COMPLETED, self._ends_because, t)
        return self._take(t)

    def _watch_silence(self, t: float) -> None:
        """Ask whether the caller is there, or hang up, when it is the caller's turn for too long (TN-22)."""
        if self.watch.expects_result(t) or self.tools_busy():
            self.silence.count_again(t)  # what was said or asked for is still worked at
            return
        step = self.silence.step(t)
        if step == "hangup":
            self._end(CallStatus.COMPLETED, f"nobody said anything for {self.settings.idle_hangup_s:g} s", t)
        elif step == "prompt" and self.settings.idle_prompt.strip():
            self._agent.waiting.append(("idle_prompt", self.settings.idle_prompt))

    def deadline(self, t: float) -> float:
        """When `time_passed` must be called at the latest, playout apart; infinity when nothing is scheduled."""
        moment, watch, state = self._ends_at, self.watch.deadline, self.state
        if watch < moment:
            moment = watch
        if state is _LISTENING:
            other = self.silence.deadline
        elif state is _SPEAKING:
            other = self.barge_in.deadline(t)
        else:
            return inf if state is _IDLE or state is _ENDED else moment
        return other if other < moment else moment
