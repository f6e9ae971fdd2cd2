"""Who is doing what in a call: the callbacks in their order, and the state at any time (TN-10)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from patter import Call, hookimpl, tool
from patter.call.types import ConversationState
from patter.testing.scene import CallTool, Reply

OBSERVED = (
    *("on_user_speech_started", "on_user_speech_ended", "on_user_speech_eos"),
    *("on_agent_speech_started", "on_agent_speech_ended", "on_llm_token", "on_audio_out"),
)
NOTED: list[tuple[str, Any, ConversationState]] = []


def note(name: str, call: Call, data: Any) -> None:
    NOTED.append((name.removeprefix("on_"), data, call.conversation_state))


async def note_later(name: str, call: Call, data: Any) -> None:
    NOTED.append((name.removeprefix("on_"), data, call.conversation_state))
    await asyncio.sleep(0.5)


plain = pytest.mark.patter_phone(**{name: partial(note, name) for name in OBSERVED})
coroutines = pytest.mark.patter_phone(**{name: partial(note_later, name) for name in OBSERVED})

#: one turn of each side, with the data of the callbacks
ONE_TURN = [
    ("user_speech_started", None),
    ("user_speech_ended", None),
    ("user_speech_eos", "vad_silence"),
    ("llm_token", "One "),
    ("audio_out", 2),
    ("agent_speech_started", 2),
    ("agent_speech_ended", 2),
]


def noted() -> list[tuple[str, Any]]:
    taken = [(name, data) for name, data, _ in NOTED]
    NOTED.clear()
    return taken


@pytest.mark.behaviour("TN-10")
@pytest.mark.parametrize(
    "kind", [pytest.param("plain", marks=plain), pytest.param("async", marks=coroutines)]
)
async def test_callbacks_come_in_causal_order_and_the_first_ones_once_a_turn(simcall: Any, kind: str) -> None:
    NOTED.clear()

    @tool
    async def look_up() -> str:
        """Search the archive."""
        return "found"

    replies = [
        Reply("One moment, I am looking. ", tools=[CallTool("look_up")]),
        Reply("Here it is, I have found it. It was in the archive. "),
    ]
    async with simcall(first_message="Hello.", replies=replies, tools=[look_up]) as call:
        await call.agent_says("Hello.")
        await call.quiet(100)
        assert noted() == [("audio_out", 1), ("agent_speech_started", 1), ("agent_speech_ended", 1)]
        await call.caller_says("Please look it up.")
        await call.agent_says("in the archive.")
        await call.quiet(100)
        assert noted() == ONE_TURN


@pytest.mark.behaviour("TN-10")
@plain
async def test_an_interruption_ends_the_agents_speech_and_a_restart_begins_a_turn(simcall: Any) -> None:
    NOTED.clear()
    long = "This is a long story that goes on and on, so that there is time to interrupt it."
    replies = [Reply("Never heard.", delay_s=3.0), Reply(long), "Fine."]
    async with simcall(replies=replies) as call:
        await call.caller_says("I want.")
        await asyncio.sleep(1.0)
        await call.caller_says("A pizza.")
        await call.agent_says("This is")
        await asyncio.sleep(1.0)
        noted()
        await call.caller_says("Stop now.")
        await call.agent_says("Fine.")
        await call.quiet(100)
    assert noted() == [
        ("user_speech_started", None),
        ("agent_speech_ended", 2),
        ("user_speech_ended", None),
        ("user_speech_eos", "vad_silence"),
        ("llm_token", "Fine."),
        ("audio_out", 3),
        ("agent_speech_started", 3),
        ("agent_speech_ended", 3),
    ]


@pytest.mark.behaviour("TN-10")
@plain
@pytest.mark.parametrize(
    ("options", "trigger"),
    [
        ({"turn_end": "vad"}, "vad_silence"),
        ({"turn_end": "stt", "stt": "fake-endpointing"}, "stt_endpoint"),
        ({"turn_end": "stt", "stt": "fake-endpointing", "vad": False}, "stt_endpoint"),
        ({"turn_end": "manual", "stt": "fake-endpointing"}, "manual_commit"),
    ],
    ids=["vad", "stt", "stt without a VAD", "manual"],
)
async def test_the_trigger_says_who_ended_the_turn(simcall: Any, options: Any, trigger: str) -> None:
    NOTED.clear()
    async with simcall(replies=["One moment."], **options) as call:
        await call.caller_says("Please look it up.")
        await call.quiet(1000)
        if trigger == "manual_commit":
            assert [name for name, _ in noted()] == ["user_speech_started", "user_speech_ended"]
            call.call.commit_turn()
        await call.agent_says("One moment.")
        await call.quiet(100)
        names = noted()
        assert [data for name, data in names if name == "user_speech_eos"] == [trigger]
        heard = [] if trigger == "manual_commit" else ["user_speech_started", "user_speech_ended"]
        assert [name for name, _ in names] == [
            *heard,
            "user_speech_eos",
            "llm_token",
            "audio_out",
            "agent_speech_started",
            "agent_speech_ended",
        ]


class BeforeTheMedia:
    """Reads the state of a call that has no media yet."""

    states: list[ConversationState]

    def __init__(self) -> None:
        self.states = []

    @hookimpl
    def patter_incoming_call(self, call: Call) -> None:
        self.states.append(call.conversation_state)


@pytest.mark.behaviour("TN-10")
async def test_the_state_is_readable_from_before_the_media_until_after_the_end(
    simcall: Any, phone: Any
) -> None:
    before = phone.register(BeforeTheMedia())
    seen: list[tuple[float, ConversationState]] = []
    loop = asyncio.get_running_loop()

    async def watch(call: Call) -> None:
        while True:
            state = call.conversation_state
            if not seen or seen[-1][1] != state:
                seen.append((loop.time(), state))
            await asyncio.sleep(0.01)

    replies = [Reply("This is quite a long answer, of which only a part is heard.", delay_s=1.0)]
    async with simcall(first_message="Hello.", replies=replies) as call:
        watching = asyncio.ensure_future(watch(call.call))
        await call.agent_says("Hello.")
        await call.quiet(20_000)
        await call.caller_says("How are you?")
        await call.agent_says("This is")
        await asyncio.sleep(0.6)
        await call.caller_says("Stop.", understood="")
        await call.quiet(1000)
        watching.cancel()
        await call.caller_hangs_up()
    assert before.states == [ConversationState("listening", "initializing")]
    assert call.call.conversation_state == ConversationState("listening", "idle")
    states = [(state.user, state.agent) for _, state in seen]
    assert states == [
        ("listening", "initializing"),
        ("listening", "speaking"),
        ("thinking", "listening"),
        ("away", "listening"),
        ("speaking", "listening"),
        # its end is known after the VAD's silence, in the step in which the final comes
        ("listening", "thinking"),
        ("listening", "speaking"),
        ("speaking", "listening"),
        ("thinking", "listening"),
    ]
    at = {state: t for (t, _), state in zip(reversed(seen), reversed(states), strict=True)}
    agent = [one for one in call.timeline if one.who == "agent"]
    begins = [t for t, state in seen if state.agent == "speaking"]
    assert begins == [pytest.approx(one.start, abs=0.03) for one in agent]
    silent = at["thinking", "listening"]
    assert silent == pytest.approx(agent[0].end, abs=0.03)
    assert at["away", "listening"] == pytest.approx(silent + 15.0, abs=0.03)
    interrupted = next(
        t for t, state in reversed(seen) if (state.user, state.agent) == ("speaking", "listening")
    )
    assert interrupted == pytest.approx(agent[1].end, abs=0.05)


@pytest.mark.behaviour("TN-10")
@plain
async def test_the_agent_speaks_from_the_first_sent_audio_to_the_end_of_playout(simcall: Any) -> None:
    NOTED.clear()
    async with simcall(replies=["One moment."]) as call:
        await call.caller_says("Please look it up.")
        await call.agent_says("One moment.")
        await call.quiet(100)
    agent = {name: state.agent for name, _, state in NOTED}
    assert agent == {
        "user_speech_started": "listening",
        "user_speech_ended": "listening",
        "user_speech_eos": "thinking",
        "llm_token": "thinking",
        "audio_out": "thinking",
        "agent_speech_started": "speaking",
        "agent_speech_ended": "listening",
    }
