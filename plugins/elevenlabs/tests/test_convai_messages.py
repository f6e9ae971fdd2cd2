"""What is sent is what the vendor's own types know; what comes is believed only as far as it makes sense."""

from __future__ import annotations

import base64
import json

import pytest
from elevenlabs.types import ConversationInitiationClientDataRequestInput
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from patter.audio.formats import MULAW_8K, PCM16_16K
from patter.providers.hosted_agent import MOST_CALLS
from patter.providers.llm import Message
from patter.providers.paced_audio import MOST_KEPT_S
from patter.providers.realtime import RealtimeSession
from patter.providers.vendor_json import typed_object
from patter.testing.engine_listener import responses_of
from patter_elevenlabs.convai_config import ElevenLabsConvaiConfig
from patter_elevenlabs.convai_messages import (
    LONGEST_HISTORY,
    audio_chunk,
    history_update,
    initiation,
)
from patter_elevenlabs.convai_reading import ConversationReader

EVERYTHING = ElevenLabsConvaiConfig(
    agent_id="agent_1",
    llm="gpt-4o-mini",
    voice_id="v",
    user_id="u",
    dynamic_variables={"a": "b", "n": 1, "f": 0.5, "t": True},
    extra_body={"x": {"y": 1}},
)
NOTHING = ElevenLabsConvaiConfig(agent_id="agent_1")


def extras(model, path=""):
    """Every field that the vendor's types do not have."""
    found = [f"{path}{name}" for name in model.model_extra or {}]
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            found += extras(value, f"{path}{name}.")
    return found


@pytest.mark.parametrize("config", [EVERYTHING, NOTHING])
@pytest.mark.parametrize(
    "session",
    [
        RealtimeSession(""),
        RealtimeSession("Be kind.", language="de", first_message="Hallo."),
        RealtimeSession("Be kind.", history=(Message("user", "Hello."),)),
    ],
)
def test_the_first_message_has_no_field_that_the_vendors_types_do_not_have(config, session):
    message = initiation(config, session)
    assert message.pop("type") == "conversation_initiation_client_data"
    model = ConversationInitiationClientDataRequestInput.model_validate(message)
    assert extras(model) == []
    sent = json.loads(model.model_dump_json(exclude_none=True))
    assert sent == message


def test_the_oracle_knows_a_field_that_does_not_belong():
    message = {"conversation_config_override": {"tts": {"output_format": "ulaw_8000"}}}
    model = ConversationInitiationClientDataRequestInput.model_validate(message)
    assert extras(model) == ["conversation_config_override.tts.output_format"]


def test_a_frame_of_audio_has_no_type():
    assert json.loads(audio_chunk(b"\x00\xff")) == {
        "user_audio_chunk": base64.b64encode(b"\x00\xff").decode()
    }


def test_the_history_is_bounded_and_names_who_said_what():
    assert history_update(RealtimeSession("", history=(Message("system", "x"),))) is None
    long = tuple(Message("user", f"{n} " + "word " * 100) for n in range(100))
    text = history_update(RealtimeSession("", history=long))["text"]
    assert len(text) < LONGEST_HISTORY + 100
    assert "99 word" in text


# -- reading


def reader(session=None, gives=MULAW_8K):
    return ConversationReader(session or RealtimeSession(""), gives, 0.0)


def audio(data, event_id):
    return {
        "type": "audio",
        "audio_event": {"audio_base_64": base64.b64encode(data).decode(), "event_id": event_id},
    }


def spoken(text, event_id):
    return {"type": "agent_response", "agent_response_event": {"agent_response": text, "event_id": event_id}}


def read(one, message, at=0.0):
    return list(one.read(message, at))


def test_half_a_sample_waits_for_the_other_half():
    one = reader(gives=PCM16_16K)
    events = read(one, audio(b"\x01", 1)) + read(one, audio(b"\x02\x03", 2)) + read(one, audio(b"\x04", 3))
    assert [event.audio for event in events if event.kind == "audio"] == [b"\x01\x02", b"\x03\x04"]


def test_a_second_text_is_a_second_response_and_a_repeated_one_is_none():
    one = reader()
    events = (
        read(one, spoken("One moment.", 1))
        + read(one, audio(bytes(800), 2))
        + read(one, spoken("One moment.", 1))
    )
    assert [event.kind for event in events].count("response_started") == 1
    events += read(one, spoken("It is open.", 4)) + read(one, audio(bytes(800), 5))
    events += list(one.expire(10.0))
    assert responses_of(events) == (["response-1", "response-2"], ["response-1", "response-2"])


def test_what_an_interruption_covers_is_dropped_and_what_comes_after_is_not():
    one = reader()
    read(one, audio(bytes(800), 3))
    read(one, {"type": "interruption", "interruption_event": {"event_id": 5}})
    read(one, {"type": "interruption", "interruption_event": {"event_id": 2}})
    assert read(one, audio(bytes(800), 5)) == []
    assert read(one, spoken("late", 4)) == []
    assert [event.kind for event in read(one, audio(bytes(800), 6))] == ["response_started", "audio"]


def test_audio_without_a_gap_keeps_one_response_open():
    one, events = reader(), []
    for step in range(50):
        events += list(one.expire(step * 0.2)) + read(one, audio(bytes(1600), step + 1), step * 0.2)
    assert responses_of(events) == (["response-1"], [])
    assert one.deadline == pytest.approx(50 * 0.2 + 0.5)
    assert list(one.expire(50 * 0.2 + 0.4)) == []
    assert [event.kind for event in one.expire(50 * 0.2 + 0.51)] == ["usage", "response_done"]
    assert one.deadline is None


def test_audio_is_kept_until_shortly_before_its_time_however_it_comes():
    one = reader()
    events = read(one, audio(bytes(8 * 10_000), 1))
    assert sum(len(event.audio) for event in events) == 8 * 2_500, "what plays within 2 s, in pieces of 0.5 s"
    assert one.deadline == 0.5
    events = list(one.expire(0.5))
    assert [len(event.audio) for event in events] == [8 * 500]
    read(one, {"type": "interruption", "interruption_event": {"event_id": 1}}, 1.0)
    assert one.deadline is None
    assert sum(len(event.audio) for event in read(one, audio(bytes(8 * 1_000), 2), 1.0)) == 8 * 1_000


def test_audio_that_plays_much_later_is_not_kept_without_end():
    one, given = reader(), 0
    for number in range(300):
        given += sum(len(event.audio) for event in read(one, audio(bytes(8 * 1_000), number + 1)))
    assert given >= 8 * (300 - MOST_KEPT_S) * 1_000


def test_the_audio_of_a_response_that_another_one_follows_is_passed_on_first():
    one = reader()
    events = (
        read(one, spoken("One.", 1)) + read(one, audio(bytes(8 * 10_000), 2)) + read(one, spoken("Two.", 3))
    )
    assert sum(len(e.audio) for e in events if e.response_id == "response-1") == 8 * 10_000
    read(one, audio(bytes(8 * 1_000), 4))
    assert one.deadline == 8.0, "it plays behind the other one"
    assert responses_of(events) == (["response-1", "response-2"], ["response-1"])


def test_half_characters_and_numbers_that_are_none_are_not_passed_on():
    one = reader()
    (_, event) = read(
        one,
        typed_object('{"type": "agent_response", "agent_response_event": {"agent_response": "a\\ud800"}}'),
    )
    assert event.text == "a?"
    for parameters in ('{"a": 1e999}', '{"a": NaN}', '{"a":' * 900 + "1" + "}" * 900):
        raw = f'{{"type": "client_tool_call", "client_tool_call": {{"tool_name": "t", "tool_call_id": "{len(parameters)}", "parameters": {parameters}}}}}'
        message = typed_object(raw)
        calls = [event.call for event in read(one, message) if event.call] if message else []
        assert all(call.arguments == "{}" or len(call.arguments) > 900 for call in calls)


def test_waiting_tool_calls_are_bounded():
    one = reader()
    for number in range(MOST_CALLS * 2):
        call = {"tool_name": "t", "tool_call_id": str(number), "parameters": {}}
        events = read(one, {"type": "client_tool_call", "client_tool_call": call})
        assert [event.kind for event in events] == ["response_started", "function_call", "response_done"]
    assert len(one.calls) == MOST_CALLS
    assert str(MOST_CALLS * 2 - 1) in one.calls


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "{",
        "null",
        "[]",
        "7",
        '"audio"',
        "{}",
        '{"type": null}',
        '{"type": []}',
        "[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_message_is_none(raw):
    assert typed_object(raw) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
TYPES = (
    "audio",
    "agent_response",
    "agent_chat_response_part",
    "agent_response_complete",
    "user_transcript",
    "interruption",
    "client_tool_call",
    "agent_tool_response",
    "error",
    "ping",
    "conversation_initiation_metadata",
    "new_one",
)
UNDER = {
    "audio": "audio_event",
    "agent_response": "agent_response_event",
    "agent_chat_response_part": "text_response_part",
    "user_transcript": "user_transcription_event",
    "interruption": "interruption_event",
    "error": "error_event",
}
EVENT_IDS = st.integers(-1, 12) | st.none() | st.text(max_size=2)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "event_id": EVENT_IDS,
        "audio_base_64": st.binary(max_size=400).map(lambda data: base64.b64encode(data).decode()) | JSON,
        "agent_response": st.text(max_size=8) | JSON,
        "user_transcript": st.text(max_size=8) | JSON,
        "text": st.text(max_size=8) | JSON,
        "type": st.sampled_from(["start", "delta", "stop"]) | JSON,
        "tool_name": st.sampled_from(["end_call", "x", ""]) | JSON,
        "tool_call_id": st.sampled_from(["a", "b", ""]) | JSON,
        "tool_type": st.just("system") | JSON,
        "parameters": JSON,
        "error_type": st.text(max_size=8) | JSON,
    },
)


@st.composite
def messages(draw):
    kind = draw(st.sampled_from(TYPES))
    body = draw(FIELDS | JSON)
    return {"type": kind, UNDER.get(kind, kind): body}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(messages(), st.floats(0, 2)), max_size=30), st.booleans())
def test_whatever_comes_every_response_is_done_once_and_last(sent, orderly):
    one, at, events = reader(gives=PCM16_16K), 0.0, []
    for message, later in sent:
        deadline = one.deadline
        at += later
        if deadline is not None and deadline <= at:
            events += list(one.expire(deadline))
        events += read(one, message, at)
    events += list(one.end(at, "1000" if orderly else "1011"))
    started, done = responses_of(events)
    assert len(set(started) - set(done)) <= (0 if orderly else 1), "one that was under way may be lost"
    assert all(len(event.audio) % 2 == 0 for event in events)
    for event in events:
        assert event.kind != "interrupted" or event.response_id is not None
        assert event.kind != "error" or (event.detail.isascii() and len(event.detail) <= 64)
