"""Fifty calls over real sockets in which everything misbehaves: drawn from a seed, several at a time.

Every word that the agent says names its reply and its place in it and sounds for 200 ms, so what a caller heard of
each reply can be counted. On the real clock, so the tolerances are those of a busy machine; the same promises are kept
to the millisecond by `patter simulate`.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest

from patter import LLMRecord, STTRecord, TTSRecord, hookimpl
from patter.decisions import Accept
from patter.errors import ProviderDisconnected, ProviderError
from patter.providers.carrier import CallStatus
from patter.providers.llm import LLM, Done, Text, ToolCallDelta
from patter_twilio.simulator import Faults, StreamFaults

SEED = 3
CALLS = 50
AT_ONCE = 13
#: all calls together, in s
LIMIT_S = 60.0
GREETING = 0
#: of a word of the agent, at 5 ms each
CHARACTERS = 40
WORD = re.compile(r"r(\d\d)w(\d\d)[a-z]*\.?")


def spoken(reply: int, words: int) -> str:
    """A reply: sentences of three words, each of which says where it belongs."""
    made = []
    for number in range(words):
        end = "." if number % 3 == 2 or number == words - 1 else ""
        made.append(f"r{reply:02}w{number:02}".ljust(CHARACTERS - 1 - len(end), "x") + end)
    return " ".join(made)


@dataclass
class Plan:
    """One call, as it is drawn."""

    number: int
    mode: str
    stream: StreamFaults
    greeting_words: int
    reply_words: int
    llm_delay_s: float
    llm_fails: list[str]
    tts_delay_s: float
    tts_fails: list[int]
    stt_drops_after: list[int]
    hooks_raise: float
    steps: list[tuple[float, str]]
    ending: tuple[str, float]

    @property
    def caller(self) -> str:
        return f"+1555{self.number:07}"

    @property
    def echoes_are_prompt(self) -> bool:
        """Whether the heard position is right to one word (TN-08)."""
        return self.stream.mark_delay_s <= 0.3 and self.stream.lose_marks_every == 0


def draw(number: int) -> Plan:
    dice = random.Random(f"{SEED} {number}")
    steps = []
    for step in range(dice.randint(1, 4)):
        said = dice.choice(["+", "+", "+", "#"])  # words, or a key
        words = (f"c{number:02}s{step}p{part:02}" for part in range(dice.randint(4, 16)))
        text = dice.choice("0123456789*#") if said == "#" else " ".join(words)
        steps.append((dice.uniform(0.1, 2.5), said + text))
    return Plan(
        number,
        mode=dice.choice(["cancel", "confirm", "pause"]),
        stream=StreamFaults(
            mark_delay_s=dice.choice([0.0, 0.0, 0.2, 1.5]),
            lose_marks_every=dice.choice([0, 0, 0, 3]),
            malformed_every=dice.choice([0, 0, 20]),
            bunch=dice.choice([1, 1, 2, 5]),
            omit_stop=dice.random() < 0.2,
        ),
        greeting_words=dice.choice([1, 3, 9]),
        reply_words=dice.choice([2, 6, 12]),
        llm_delay_s=dice.choice([0.0, 0.05, 0.4, 1.2]),
        llm_fails=[dice.choice(["", "", "", "before", "amid"]) for _ in range(6)],
        tts_delay_s=dice.choice([0.0, 0.0, 0.1, 0.5]),
        tts_fails=[dice.randrange(12) for _ in range(dice.choice([0, 0, 1, 2]))],
        stt_drops_after=[dice.randint(20, 200) for _ in range(dice.choice([0, 0, 1, 2]))],
        hooks_raise=dice.choice([0.0, 0.0, 0.5]),
        steps=steps,
        ending=(dice.choice(["hang-up", "hang-up", "loss", "phone", "goodbye"]), dice.uniform(0.0, 3.0)),
    )


class Talker(LLM):
    """Says the next reply, late or never; after "bye" it hangs up."""

    def __init__(self, plan: Plan, replies: list[int]) -> None:
        self._plan = plan
        self._replies = replies

    async def stream(self, messages: Any, tools: Any, *, cancel_event: asyncio.Event, call_id: str) -> Any:
        plan = self._plan
        number = len(self._replies) + 1
        fault = plan.llm_fails[number % len(plan.llm_fails)]
        await asyncio.sleep(plan.llm_delay_s)
        if messages[-1].role == "tool":
            yield Done()
            return
        self._replies.append(number)
        if fault == "before":
            raise ProviderError("overloaded")
        words = spoken(number, plan.reply_words).split()
        for index, word in enumerate(words):
            if fault == "amid" and index == len(words) // 2:
                raise ProviderDisconnected("gone in the middle")
            yield Text(f"{word} ")
        if "bye" in next(one.content for one in reversed(messages) if one.role == "user"):
            yield ToolCallDelta(0, f"t{number}", "end_call", json.dumps({"reason": "bye"}))
        yield Done()

    async def close(self) -> None:
        return None


@dataclass
class Watched:
    """What a call told of itself."""

    plan: Plan
    replies: list[int] = field(default_factory=list)
    finals: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    events_of_end: int = 0
    call: Any = None


class Misbehaviour:
    """A plugin: gives each caller the agent of its plan, watches the call, and raises in its hooks now and then."""

    def __init__(self, carrier: Any, plans: list[Plan]) -> None:
        self._carrier = carrier
        self._watched = {plan.caller: Watched(plan) for plan in plans}

    def of(self, plan: Plan) -> Watched:
        return self._watched[plan.caller]

    @hookimpl
    async def patter_incoming_call(self, call: Any) -> Accept:
        watched = self._watched[call.caller]
        watched.call = call
        call.on("transcript_final", watched.finals.append)
        call.on("failed", lambda failure: watched.failed.append(failure.kind))
        call.on("dtmf", watched.keys.append)

        def ended(_: object) -> None:
            watched.events_of_end += 1

        call.on("call_ended", ended)
        return Accept(self._agent(watched))

    def _agent(self, watched: Watched) -> Any:
        plan, drops, failures = watched.plan, list(watched.plan.stt_drops_after), list(watched.plan.tts_fails)
        parts = self._carrier.parts

        class Ears(parts.stt):  # type: ignore[misc]
            """Loses its connection after so many frames, with a word or without one."""

            def __init__(self) -> None:
                super().__init__()
                self._left = drops.pop() if drops else -1

            def send_audio(self, chunk: bytes) -> None:
                self._left -= 1
                if self._left == 0 and plan.number % 2:
                    raise ProviderDisconnected("the recogniser is gone")
                if self._left == 0:
                    self._events.put_nowait(None)
                super().send_audio(chunk)

        class Mouth(parts.tts):  # type: ignore[misc]
            made = 0

            async def synthesize(self, text: str) -> Any:
                Mouth.made += 1
                await asyncio.sleep(plan.tts_delay_s)
                if Mouth.made in failures:
                    raise ProviderDisconnected("the voice is gone")
                async for chunk in super().synthesize(text):
                    yield chunk

        return self._carrier.agent(
            first_message=spoken(GREETING, plan.greeting_words),
            barge_in_mode=plan.mode,
            stt=STTRecord("dropping", Ears, interims=True),
            tts=TTSRecord("late", Mouth),
            llm=LLMRecord("talker", lambda: Talker(plan, watched.replies)),
            llm_error_message="Sorry.",
        )

    def _raise(self, call: Any, where: str) -> None:
        plan = self._watched[call.caller].plan
        if random.Random(f"{plan.number} {where}").random() < plan.hooks_raise:
            raise LookupError(f"a hook that raises: {where}")

    @hookimpl
    async def patter_modify_user_turn(self, call: Any, turn: Any) -> None:
        self._raise(call, "user turn")

    @hookimpl
    async def patter_modify_speech(self, call: Any, sentence: Any) -> None:
        self._raise(call, "speech")

    @hookimpl
    def patter_barge_in(self, call: Any, event: Any) -> None:
        self._raise(call, "barge-in")

    @hookimpl
    def patter_dtmf(self, call: Any, digit: str) -> None:
        self._raise(call, "key")


class Caller:
    """Carries one plan out."""

    def __init__(self, served: Any, carrier: Any, plan: Plan) -> None:
        self._served = served
        self._carrier = carrier
        self._plan = plan
        self.sent: defaultdict[int, int] = defaultdict(int)
        self.pressed: list[str] = []

    async def run(self) -> Any:
        served, plan = self._served, self._plan
        served.simulator.faults = Faults(stream=plan.stream)
        call = await served.ring(plan.caller)
        self._note_what_is_sent(call)
        for wait_s, step in plan.steps:
            await asyncio.sleep(wait_s)
            if call.status != "in-progress":
                break
            if step[0] == "+":
                await call.say(self._carrier.written(step[1:]))
            else:
                call.dtmf(step[1:])
                self.pressed.append(step[1:])
        way, after_s = plan.ending
        await asyncio.sleep(after_s)
        await self._end(call, way)
        async with asyncio.timeout(20):
            await call.wait_closed()
        return call

    async def _end(self, call: Any, way: str) -> None:
        if way == "goodbye" and call.status == "in-progress":
            await call.say(self._carrier.written("bye".ljust(60, "e")))
            await asyncio.wait({asyncio.ensure_future(call.wait_closed())}, timeout=4)
        lines = [
            one for one in self._served.phone.switchboard.lines() if one.call.carrier_call_id == call.sid
        ]
        if way == "phone" and lines:
            await self._served.phone.end_call(lines[0].call.id)
        elif way == "loss":
            await call.drop_media()
            call.hangup()
        else:
            call.hangup()

    def _note_what_is_sent(self, call: Any) -> None:
        """Count the words of each reply whose audio came to the carrier, heard or not."""
        playback, text = call.stream.playback, ""
        queue = playback.queue

        def noting(audio: bytes, t: float) -> None:
            nonlocal text
            text = (text + self._carrier.read(audio))[-400:]
            for reply, word in WORD.findall(text):
                self.sent[int(reply)] = max(self.sent[int(reply)], int(word) + 1)
            queue(audio, t)

        playback.queue = noting


def words_heard(text: str) -> Counter[int]:
    """How many words of each reply the caller heard, whole ones and the beginning of one."""
    return Counter(int(reply) for reply, _ in WORD.findall(text))


def said_of(entry: Any) -> tuple[int, list[int]]:
    """The reply that an entry of the transcript is of, and the places of its words."""
    found = WORD.findall(entry.text)
    assert len({reply for reply, _ in found}) <= 1, entry
    return (int(found[0][0]) if found else -1), [int(word) for _, word in found]


def problems(watched: Watched, caller: Caller, call: Any, summary: Any, heard: str) -> list[str]:
    """What is wrong with a call that is over."""
    plan, found = watched.plan, []
    if watched.events_of_end != 1:
        found.append(f"call_ended came {watched.events_of_end} times")
    if summary.leaks:
        found.append(f"left: {summary.leaks}")
    if watched.keys != caller.pressed[: len(watched.keys)]:
        found.append(f"pressed {caller.pressed}, but got {watched.keys}")
    if "core" in watched.failed:
        found.append(f"failed: {watched.failed}")
    found += greeting_problems(watched, call, summary, heard)
    found += heard_problems(plan, caller, summary, heard)
    kept = [one.content for one in summary.history if one.role == "user"]
    kept += [one.text for one in summary.transcript if one.unanswered]
    for text in watched.finals:
        count = sum(text in one for one in kept)
        if count != 1:
            found.append(f"{text!r} is in {count} entries of {kept}")
    return found


def greeting_problems(watched: Watched, call: Any, summary: Any, heard: str) -> list[str]:
    """It is heard in full, or interrupted, or cut off by the call's end, or its failure is reported."""
    whole = words_heard(heard)[GREETING] >= watched.plan.greeting_words
    entries = [one for one in summary.transcript if one.role == "assistant" and said_of(one)[0] == GREETING]
    interrupted = any(one.interrupted for one in entries) or summary.metrics["interruptions"] > 0
    short = summary.duration_s < 0.2 * watched.plan.greeting_words + 2.5
    if whole or interrupted or short or "tts" in watched.failed:
        return []
    return [f"the greeting was not heard: {heard[:200]!r}, {entries}"]


def heard_problems(plan: Plan, caller: Caller, summary: Any, heard: str) -> list[str]:
    """No word that was not sent; each reply once, in order, from its start; right to one word with prompt echoes."""
    found, counts = [], words_heard(heard)
    entries = [one for one in summary.transcript if one.role == "assistant"]
    replies = [said_of(one)[0] for one in entries]
    real = [reply for reply in replies if reply >= 0]
    if real != sorted(set(real)):
        found.append(f"replies {replies}")
    for entry in entries:
        reply, words = said_of(entry)
        if words and (words != sorted(set(words)) or len(words) > caller.sent[reply]):
            found.append(f"{words} of reply {reply}, of which {caller.sent[reply]} were sent")
        # In `pause` a sentence may be heard twice, and a lost connection plays no more of what it has.
        exact = plan.echoes_are_prompt and plan.mode != "pause" and plan.ending[0] != "loss"
        if words and exact and abs(len(words) - counts[reply]) > 2:
            found.append(
                f"{len(words)} words of reply {reply} are in the transcript, {counts[reply]} were heard"
            )
    return found


@pytest.mark.realtime
def test_fifty_calls_in_which_everything_misbehaves(carrier: Any) -> None:
    plans = [draw(number) for number in range(CALLS)]
    plugin = Misbehaviour(carrier, plans)

    async def scenario() -> None:
        places = asyncio.Semaphore(AT_ONCE)
        async with carrier.loopback(plugins=[plugin], max_calls=AT_ONCE * 2) as served:

            async def one(plan: Plan) -> tuple[Plan, Caller, Any]:
                async with places:
                    caller = Caller(served, carrier, plan)
                    return plan, caller, await caller.run()

            began = asyncio.get_running_loop().time()
            ended = await asyncio.gather(*map(one, plans))
            await served.ended(total=CALLS)
            assert asyncio.get_running_loop().time() - began < LIMIT_S
            summaries = {summary.call_id: summary for summary in served.summaries}
            assert len(summaries) == len(served.summaries) == CALLS
            records = Counter(record.carrier_call_id for record in served.phone.calls.finished())
            found = {}
            for plan, caller, call in ended:
                watched = plugin.of(plan)
                summary = summaries[watched.call.id]
                wrong = problems(watched, caller, call, summary, served.heard(call))
                record = served.phone.calls.find("twilio", call.sid)
                if records[call.sid] != 1 or record is None:
                    wrong.append(f"{records[call.sid]} records")
                elif (record.caller, record.status.is_terminal) != (plan.caller, True):
                    wrong.append(f"the record is {record}")
                if wrong:
                    found[plan.number] = (wrong, plan)
            assert not found, "\n".join(f"{wrong}\n  {plan}" for wrong, plan in found.values())
            outcomes = Counter(summary.outcome for summary in served.summaries)
            assert outcomes[CallStatus.COMPLETED] > CALLS // 2
            interrupted = sum(summary.metrics["interruptions"] for summary in served.summaries)
            # The seed must have drawn something to get wrong.
            assert interrupted >= 10
            assert sum(len(plugin.of(plan).finals) for plan in plans) >= 50
            assert {"stt", "tts", "llm"} <= {kind for plan in plans for kind in plugin.of(plan).failed}

    asyncio.run(scenario())
