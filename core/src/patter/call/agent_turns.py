"""The agent's turns, one at a time: from their start to what the caller heard of them. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from patter.call.actions import Action, CancelReply, Emit, SendClear, StartReply, WantInterims
from patter.call.heard import heard_by_round
from patter.call.session_state import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from patter.call.actions import ReplyKind
    from patter.call.conversation import Conversation
    from patter.call.playout import Playout
    from patter.call.turns import Dispatch


_WANT_INTERIMS, _WANT_NO_INTERIMS, _CLEAR = WantInterims(True), WantInterims(False), SendClear()


class AgentTurns:
    """The agent turns of one call.

    Attributes:
        current: the turn in progress; None while the agent has nothing to say.
        is_sounding: whether the caller hears the agent.
        is_occupied: whether the agent has something to say, other than to ask whether the caller is there (TN-22).
        presses_keys: whether the current turn is keys, which are no speech: nobody is told of it as of a turn.
        waiting: turns of the agent's own account that wait for the floor: a text, or the tones of keys.
    """

    def __init__(self, playout: Playout, conversation: Conversation) -> None:
        self.current: Reply | None = None
        self.is_sounding = False
        self.is_occupied = False
        self.presses_keys = False
        self.waiting: deque[tuple[ReplyKind, str | bytes]] = deque()
        self._playout = playout
        self._conversation = conversation
        self._count = 0

    def begin(self, kind: ReplyKind, text: str, dispatch: Dispatch | None = None) -> StartReply:
        """Give the floor to a new turn: a fixed text, or the answer to `dispatch`."""
        self._count = number = self._count + 1
        self._playout.begin(number, mark_each_chunk=kind == "greeting")
        self.is_sounding, self.is_occupied = False, kind != "idle_prompt"
        if dispatch is None:
            self.current = Reply(number, kind, None, "")
            return StartReply(number, kind, text)
        self.current = Reply(number, kind, dispatch.turn, text)
        return StartReply(number, kind, text, dispatch.turn, dispatch.trigger)

    def begin_waiting(self) -> tuple[Action, ...]:
        """Give the floor to the turn that has waited for longest."""
        kind, content = self.waiting.popleft()
        if isinstance(content, str):
            return (self.begin(kind, content),)
        number = self.begin(kind, "").reply
        self.presses_keys = True
        self._playout.open_sentence(number, "")
        self._playout.add(number, content)
        self._playout.close_sentence(number)
        self.made(number)
        return ()

    def begins_to_sound(self, t: float) -> tuple[Action, ...]:
        """The first audio of the current turn was sent."""
        assert self.current is not None
        self.current.first_audio_at = t
        self.is_sounding = True
        if self.presses_keys:
            return ()
        return Emit("agent_speech_started", self.current.reply), _WANT_INTERIMS

    def made(self, number: int) -> bool:
        """All of a turn is synthesised; False when it is not the current one."""
        if self.current is None or self.current.reply != number:
            return False
        self.current.made = True
        self._playout.end(number)
        return True

    def give_up(self, t: float, ms_of_call: Callable[[float], float]) -> tuple[Action, ...]:
        """Stop making and playing the current turn; see `close`."""
        assert self.current is not None
        cancel = () if self.presses_keys else (CancelReply(self.current.reply),)
        # what is paused was cleared; what is on its way may sound before anybody knows that it does
        clears = not self._playout.paused and (self.is_sounding or self._playout.began_sending)
        closed = self.close(t, ms_of_call, interrupted=True)
        return (*cancel, *closed, _CLEAR) if clears else (*cancel, *closed)

    def close(
        self, t: float, ms_of_call: Callable[[float], float], *, interrupted: bool
    ) -> tuple[Action, ...]:
        """The current turn is over: what was heard of it becomes history (TN-08).

        `ms_of_call` gives a moment in ms of the call, as the transcript has it.
        """
        reply = self.current
        assert reply is not None
        playout = self._playout
        sentences, heard_ms = playout.sentences, playout.heard_ms(t)
        heard = playout.clear(t) if interrupted else playout.heard(t)
        playout.finish()
        self.current, self.is_sounding, self.is_occupied = None, False, False
        if self.presses_keys:
            self.presses_keys = False
            return () if interrupted else (Emit("keys_pressed"),)
        rounds = heard_by_round(sentences, heard, playout.format.rate)
        text = rounds[0] if len(rounds) == 1 else " ".join(filter(None, rounds))
        began = t if reply.first_audio_at is None else reply.first_audio_at
        self._conversation.agent(reply.reply, rounds, ms_of_call(began), interrupted=interrupted)
        ended = Emit("turn_ended", reply.ended(text, heard_ms, interrupted=interrupted))
        if reply.first_audio_at is None:
            return (ended,)
        return Emit("agent_speech_ended", reply.reply), _WANT_NO_INTERIMS, ended
