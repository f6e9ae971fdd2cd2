"""The simulated agent: the model's and the voice's part of a call, late or deaf to being cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from patter.testing.simulation.agent_plans import ReplyPlan, SpokenPlan
from patter.testing.simulation.record import SpokenLine
from patter.testing.simulation.speech import PER_MS, pattern, spoken

if TYPE_CHECKING:
    from collections.abc import Callable

    from patter.call.actions import StartReply
    from patter.testing.simulation.stage import Stage

#: audio comes in multiples of this, in samples
STEP = 20 * PER_MS


class SimulatedAgent:
    """Makes the replies of one call as their plans have it.

    Attributes:
        cancelled: the replies that nobody wants any more.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._playout = stage.machine.playout
        self._audio = pattern()
        self._source = 0
        self._plans: dict[int, ReplyPlan] = {}
        self.cancelled: set[int] = set()

    def begin(self, start: StartReply) -> None:
        """A reply is wanted."""
        replies = self._stage.script.replies
        plan = replies[start.reply % len(replies)]
        if start.user_turn is None:
            line = spoken(start.text, plan.voice)
            plan = ReplyPlan(0.0, (SpokenPlan(line, 0.0),), 0.0, plan.goes_on, plan.voice)
        self._plans[start.reply] = plan
        self._stage.put(self._stage.t + plan.llm_s, self._next_sentence, (start.reply, 0))

    def cancel(self, reply: int) -> None:
        """It is not wanted any more."""
        self.cancelled.add(reply)
        self._stage.put(self._stage.t, self._made, reply)

    def sentences_of(self, reply: int) -> int:
        """How many sentences a reply has."""
        return len(self._plans[reply].sentences)

    def _next_sentence(self, at: tuple[int, int]) -> None:
        reply, index = at
        stage = self._stage
        if stage.t < stage.frozen_until:
            stage.put(stage.frozen_until, self._next_sentence, at)
            return
        plan = self._plans[reply]
        if reply in self.cancelled and not plan.goes_on:
            return
        if index >= len(plan.sentences):
            self._after(plan.tail_s, self._made, reply)
            return
        sentence = plan.sentences[index]
        samples = sentence.line.samples
        line = SpokenLine(reply, sentence.line, self._source)
        if self._playout.open_sentence(reply, sentence.line.text) is not None:
            stage.record.lines.append(line)
            self._source += samples
        if sentence.gap_s > 0:
            first = samples // 2 // STEP * STEP
            self._add(line, 0, first)
            stage.put(stage.t + sentence.gap_s, self._rest, (line, first, index))
        else:
            self._add(line, 0, samples)
            self._rest((line, samples, index))

    def _after(self, seconds: float, event: Callable[[Any], None], argument: Any) -> None:
        """What follows after some time, or at once."""
        if seconds > 0:
            self._stage.put(self._stage.t + seconds, event, argument)
        else:
            event(argument)

    def _rest(self, at: tuple[SpokenLine, int, int]) -> None:
        line, first, index = at
        stage, reply = self._stage, line.reply
        if stage.t < stage.frozen_until:
            stage.put(stage.frozen_until, self._rest, at)
            return
        plan = self._plans[reply]
        if reply in self.cancelled and not plan.goes_on:
            return
        if first < line.line.samples:
            self._add(line, first, line.line.samples)
        self._playout.close_sentence(reply, line.line.word_times)
        if not stage.record.ended:
            stage.tick()
        index += 1
        if index < len(plan.sentences):
            self._after(plan.sentences[index].tts_s, self._next_sentence, (reply, index))
        elif plan.goes_on or reply not in self.cancelled:
            self._after(plan.tail_s, self._made, reply)

    def _add(self, line: SpokenLine, begin: int, end: int) -> None:
        playout = self._playout
        first = playout.backlog_ms() <= 0
        audio = self._audio[line.start + begin : line.start + end]
        if playout.add(line.reply, audio) and first and not self._stage.record.ended:
            self._stage.tick()

    def _made(self, reply: int) -> None:
        stage = self._stage
        if stage.t < stage.frozen_until:
            stage.put(stage.frozen_until, self._made, reply)
            return
        stage.cause = "time"
        stage.apply(stage.machine.reply_made(reply, stage.t))
