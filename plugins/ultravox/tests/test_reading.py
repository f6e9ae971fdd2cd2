"""What comes is believed only as far as it makes sense."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.audio.formats import PCM16_8K
from patter.providers.hosted_agent import MOST_CALLS
from patter.providers.vendor_json import typed_object
from patter.testing.engine_listener import responses_of
from patter_ultravox.messages import join_url
from patter_ultravox.reading import CallReader

SECOND = bytes(16_000)


def transcript(ordinal, *, text=None, delta=None, final=False, role="agent"):
    return {
        "type": "transcript",
        "role": role,
        "medium": "voice",
        "text": text,
        "delta": delta,
        "final": final,
        "ordinal": ordinal,
    }


def reader():
    return CallReader(PCM16_8K, 0.0)


def read(one, *messages, at=0.0):
    return [event for message in messages for event in one.read(message, at)]


def said(events):
    return [(event.text, event.final) for event in events if event.kind == "transcript_output"]


def test_pieces_add_up_and_the_whole_comes_last():
    one = reader()
    events = read(one, transcript(0, delta="Good "), transcript(0, delta="morning."))
    events += read(one, transcript(0, text="Good morning.", final=True), transcript(0, delta="x"))
    assert said(events) == [("Good ", False), ("morning.", False), ("Good morning.", True)]


def test_a_last_piece_may_be_a_piece_too():
    events = read(reader(), transcript(0, delta="Good "), transcript(0, delta="morning.", final=True))
    assert said(events) == [("Good ", False), ("Good morning.", True)]


def test_a_text_that_grows_is_told_by_what_was_added_and_one_that_changes_at_its_end():
    one = reader()
    events = read(one, transcript(0, text="Good"), transcript(0, text="Good mor"), transcript(0, text="Nice"))
    events += read(one, transcript(0, text="Nice day", final=True))
    assert said(events) == [("Good", False), (" mor", False), ("Nice day", True)]


def test_what_was_said_is_told_in_the_end_though_the_vendor_does_not():
    one = reader()
    events = read(one, transcript(0, delta="Good ")) + list(one.read_audio(SECOND, 0.0))
    events += read(one, {"type": "playback_clear_buffer"}, transcript(0, text="Good", final=True))
    assert said(events) == [("Good ", False), ("Good", True)]
    assert responses_of(events) == (["response-1"], ["response-1"])


def test_another_utterance_is_another_response():
    one = reader()
    events = list(one.read_audio(SECOND, 0.0)) + read(one, transcript(3, text="One moment.", final=True))
    events += read(one, transcript(5, delta="It ")) + list(one.read_audio(SECOND, 0.5))
    events += read(one, transcript(3, text="One moment.", final=True), transcript(4, delta="late"))
    assert responses_of(events)[0] == ["response-1", "response-2"]
    assert said(events)[-1] == ("It ", False)


def test_a_state_ends_the_response_when_its_audio_ends_and_more_audio_takes_that_back():
    one = reader()
    list(one.read_audio(SECOND, 0.0))
    assert one.deadline == 1.0
    assert read(one, {"type": "state", "state": "listening"}, at=0.2) == []
    assert one.deadline == 1.0
    list(one.read_audio(SECOND[:1600], 0.9))
    assert one.deadline == pytest.approx(1.6), "or it would end with the first pause"
    list(one.read_audio(SECOND[:14400], 0.9))
    read(one, {"type": "state", "state": "listening"}, at=0.4)
    assert [event.kind for event in one.expire(2.0)] == ["usage", "response_done"]


def test_a_clear_of_an_empty_buffer_says_nothing():
    assert read(reader(), {"type": "playback_clear_buffer"}) == []


def test_half_a_sample_waits_for_the_other_half():
    one = reader()
    events = [event for piece in (b"\x01", b"\x02\x03", b"\x04") for event in one.read_audio(piece, 0.0)]
    assert [event.audio for event in events if event.kind == "audio"] == [b"\x01\x02", b"\x03\x04"]


def test_a_tool_that_is_called_in_the_middle_of_speech_belongs_to_it():
    one = reader()
    events = list(one.read_audio(SECOND, 0.0))
    events += read(one, {"type": "client_tool_invocation", "toolName": "t", "invocationId": "1"}, at=0.2)
    assert (events[-1].kind, events[-1].response_id) == ("function_call", "response-1")
    assert responses_of(events) == (["response-1"], [])


def test_audio_is_kept_until_shortly_before_its_time_and_dropped_when_it_is_cleared():
    one = reader()
    events = list(one.read_audio(SECOND * 10, 0.0))
    assert sum(len(event.audio) for event in events) == 16 * 2_500, (
        "what plays within 2 s, in pieces of 0.5 s"
    )
    assert one.deadline == 0.5
    assert [len(event.audio) for event in one.expire(0.5)] == [16 * 500]
    cleared = read(one, {"type": "playback_clear_buffer"}, at=1.0)
    assert [event.kind for event in cleared] == ["interrupted", "usage", "response_done"]
    assert one.deadline is None
    assert sum(len(event.audio) for event in one.read_audio(SECOND, 1.0)) == len(SECOND)


def test_waiting_tool_calls_are_bounded():
    one = reader()
    for number in range(MOST_CALLS * 2):
        call = {"type": "client_tool_invocation", "toolName": "t", "invocationId": str(number)}
        started, event, done = read(one, call)
        assert (started.kind, done.kind, done.status) == ("response_started", "response_done", "completed")
        assert event.call.arguments == "{}"
    assert len(one.calls) == MOST_CALLS
    assert str(MOST_CALLS * 2 - 1) in one.calls


@pytest.mark.parametrize(
    "raw", ["", "{", "null", "[]", "7", "{}", '{"type": null}', '{"type": []}', "[" * 100_000]
)
def test_what_is_no_message_is_none(raw):
    assert typed_object(raw) is None


def test_a_call_that_was_made_over_tls_is_joined_over_tls():
    secret = {"joinUrl": "wss://voice.ultravox.ai/calls/1"}
    assert join_url(secret, encrypted=True) == secret["joinUrl"]
    plain = {"joinUrl": "ws://voice.ultravox.ai/calls/1"}
    assert join_url(plain, encrypted=True) is None
    assert join_url(plain, encrypted=False) == plain["joinUrl"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(
    ["state", "transcript", "client_tool_invocation", "playback_clear_buffer", "call_started", "debug", "new"]
)
MESSAGES = st.fixed_dictionaries(
    {"type": TYPES},
    optional={
        "state": st.sampled_from(["idle", "listening", "thinking", "speaking"]) | JSON,
        "role": st.sampled_from(["user", "agent"]) | JSON,
        "text": st.text(max_size=8) | JSON,
        "delta": st.text(max_size=8) | JSON,
        "final": st.booleans() | JSON,
        "ordinal": st.integers(-1, 6) | JSON,
        "toolName": st.sampled_from(["x", ""]) | JSON,
        "invocationId": st.sampled_from(["a", "b", ""]) | JSON,
        "parameters": JSON,
    },
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(MESSAGES | st.binary(max_size=4000), st.floats(0, 2)), max_size=30), st.booleans())
def test_whatever_comes_every_response_is_done_once_and_last(sent, orderly):
    one, at, events = reader(), 0.0, []
    for message, later in sent:
        deadline = one.deadline
        at += later
        if deadline is not None and deadline <= at:
            events += list(one.expire(deadline))
        events += (
            list(one.read_audio(message, at)) if isinstance(message, bytes) else read(one, message, at=at)
        )
    events += list(one.end(at, "1000" if orderly else "1011"))
    started, done = responses_of(events)
    assert len(set(started) - set(done)) <= (0 if orderly else 1), "one that was under way may be lost"
    assert all(len(event.audio) % 2 == 0 for event in events)
    finals = [event.response_id for event in events if event.kind == "transcript_output" and event.final]
    assert len(finals) == len(set(finals))
