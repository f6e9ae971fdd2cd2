"""Random calls against the machines: what must hold whatever happens when."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.call.barge_in import BargeInSettings
from patter.call.session_state import SessionSettings, State
from patter.providers.barge_in import BargeInEvent, BargeInStrategy
from patter.providers.carrier import CallStatus
from patter.testing.machine_driver import MachineDriver, Replies

WORDS = (
    "alpha",
    "bravo",
    "charlie",
    "delta",
    "echo",
    "foxtrot",
    "golf",
    "hotel",
    "india",
    "juliet",
    "kilo",
    "lima",
)


class StopOn(BargeInStrategy):
    """Confirms words of the second half of the list."""

    def evaluate(self, event: BargeInEvent) -> bool:
        return any(word in event.transcript for word in WORDS[6:])


def random_call(seed: int) -> MachineDriver:
    """A call of 20 to 60 events at random times; returns it, over."""
    draw = random.Random(seed)
    driver = MachineDriver(
        SessionSettings(
            first_message=draw.choice(["", "Hello, this is Acme."]),
            turn_end=draw.choice(["vad", "stt", "manual"]),
        ),
        barge_in=BargeInSettings(
            mode=draw.choice(["cancel", "confirm", "pause"]), has_vad=draw.random() < 0.8
        ),
        strategies=[StopOn()] if draw.random() < 0.6 else [],
        replies=Replies(
            sentences=tuple(f"Sentence number {n} of the reply." for n in range(draw.randint(0, 3))),
            llm_s=draw.choice([0.0, 0.1, 1.0, 4.0]),
            sentence_s=draw.choice([0.03, 0.5, 2.0]),
        ),
        echo_ms=draw.choice([None, 0.0, 40.0, 250.0, 2500.0]),
    )
    driver.begin()
    t = 0.0
    for number in range(draw.randint(10, 25)):
        t += draw.choice([0.0, 0.02, 0.3, 1.0, 3.0]) * draw.random()
        end = t + draw.random() * 1.5
        kind = draw.random()
        if kind < 0.75:
            driver.speech(t, end)
            if draw.random() < 0.5:
                driver.interim(t + (end - t) * draw.random(), draw.choice(WORDS))
        if kind < 0.85:
            text = f"{draw.choice(WORDS)} number{number}"
            driver.final(end + draw.choice([-0.05, 0.0, 0.1, 0.6, 2.0]), text)
        if kind > 0.93:
            driver.at(end, lambda: driver.apply(driver.machine.interrupt(driver.t)))
        if kind > 0.96:
            driver.at(end, lambda: driver.apply(driver.machine.commit_turn(driver.t)))
        if draw.random() < 0.04:
            driver.at(end, lambda: setattr(driver, "socket_open", not driver.socket_open))
        t = end if draw.random() < 0.7 else t
    driver.run(t + 3.0)
    driver.socket_open = True
    driver.run(t + draw.choice([0.0, 20.0]) + 3.1)
    if draw.random() < 0.3:
        driver.apply(driver.machine.end_after_speech("goodbye", driver.t))
        driver.run(driver.t + 10.5)
        assert driver.machine.state is State.ENDED
    else:
        driver.apply(driver.machine.end(CallStatus.COMPLETED, "hung up", driver.t))
    return driver


def check(driver: MachineDriver) -> None:
    """The invariants."""
    texts = [str(text) for _, text in driver.log.named("transcript_final")]
    conversation = driver.machine.conversation
    said = Counter(
        word for role, text in driver.roles if role == "user" for word in text.split() if "number" in word
    )
    left = Counter(
        word
        for line in conversation.transcript
        if line.unanswered
        for word in line.text.split()
        if "number" in word
    )
    for text in texts:
        word = text.split()[1]
        assert said[word] + left[word] == 1, (
            f"{text!r} is in {said[word]} user entries, {left[word]} times unanswered"
        )
    _no_audio_after_clear(driver)
    assert len(driver.log.ended) == 1
    assert driver.machine.playout.waiting_marks == 0
    heard = [text for role, text in driver.roles if role == "assistant"]
    assert all(heard), "an agent entry without text"
    spoken = {chunk.turn for _, chunk in driver.log.sent}
    started = {start.reply for _, start in driver.log.started}
    assert spoken <= started
    # one reply at a time: each is begun after the one before it was closed
    assert [start.reply for _, start in driver.log.started] == sorted(started)


def _no_audio_after_clear(driver: MachineDriver) -> None:
    cancelled = {reply: t for t, reply in driver.log.cancelled}
    for t, chunk in driver.log.sent:
        assert t <= cancelled.get(chunk.turn, t), f"audio of turn {chunk.turn} after it was cancelled"
    for reply, t in cancelled.items():
        if any(chunk.turn == reply for _, chunk in driver.log.sent):
            assert any(clear >= t - 1.6 for clear in driver.log.clears if clear <= t), (
                f"turn {reply} was cancelled and not cleared"
            )


@pytest.mark.simulation
@settings(max_examples=400, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_random_calls_keep_every_promise(seed: int) -> None:
    check(random_call(seed))
