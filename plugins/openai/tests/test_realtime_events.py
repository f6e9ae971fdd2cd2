"""What the engine makes of the server's events, message by message."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.audio.formats import MULAW_8K, PCM16_24K
from patter.providers.llm import ToolCall
from patter.providers.realtime import RealtimeEvent, RealtimeUsage
from patter_openai.realtime_events import LONGEST_AUDIO, EventReader

CREATED = {"type": "response.created", "response": {"id": "r1", "status": "in_progress"}}
GUARDED = {"type": "server_vad", "create_response": False, "interrupt_response": False}


def reading(*messages, reader=None):
    reader = reader or EventReader(MULAW_8K)
    return [event for message in messages for event in reader.read(json.dumps(message))]


def kinds(events):
    return [event.kind for event in events]


def done(status="completed", response_id="r1", **details):
    response = {"id": response_id, "status": status, "status_details": {"type": status, **details}}
    return {"type": "response.done", "response": response}


def delta(audio=b"\xff" * 160, response_id="r1", item_id="i1"):
    return {
        "type": "response.output_audio.delta",
        "response_id": response_id,
        "item_id": item_id,
        "delta": base64.b64encode(audio).decode(),
    }


def settings_of(kind, detection, takes="audio/pcmu", gives="audio/pcmu"):
    heard = {"format": {"type": takes}, "turn_detection": detection}
    return {"type": kind, "session": {"audio": {"input": heard, "output": {"format": {"type": gives}}}}}


@pytest.mark.parametrize(
    ("detection", "guarded"),
    [
        (GUARDED, True),
        ({**GUARDED, "create_response": True}, False),
        ({**GUARDED, "interrupt_response": True}, False),
        ({"type": "server_vad"}, False),
        (None, False),
        ("off", False),
    ],
)
def test_only_an_echo_with_both_flags_false_says_that_it_is_guarded(detection, guarded):
    (event,) = reading(settings_of("session.updated", detection))
    assert event.kind == "session_ready"
    assert event.echo.guarded is guarded
    assert dict(event.echo.values) == (detection if isinstance(detection, dict) else {})


def test_the_servers_word_on_formats_counts_but_not_what_it_begins_with():
    reader = EventReader(MULAW_8K)
    reading(settings_of("session.created", GUARDED, "audio/pcm", "audio/pcm"), reader=reader)
    assert reader.ready
    assert reader.formats == (MULAW_8K, MULAW_8K)
    reading(settings_of("session.updated", GUARDED, "audio/pcmu", "audio/pcm"), reader=reader)
    assert reader.formats == (MULAW_8K, PCM16_24K)
    reading(settings_of("session.updated", GUARDED, "audio/opus", None), reader=reader)
    assert reader.formats == (MULAW_8K, PCM16_24K)


def test_a_refused_set_up_leaves_the_formats_that_the_server_began_with():
    reader = EventReader(MULAW_8K)
    reading(settings_of("session.created", GUARDED, "audio/pcm", "audio/pcm"), reader=reader)
    error = {"code": "invalid_value", "param": "session.voice", "event_id": "session-1", "message": "no"}
    (event,) = reading({"type": "error", "error": error}, reader=reader)
    assert event == RealtimeEvent(
        "error", detail="invalid_value", parameter="session.voice", request="session"
    )
    assert reader.formats == (PCM16_24K, PCM16_24K)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([done("completed")], ["response_done"]),
        ([done("cancelled", reason="turn_detected")], ["interrupted", "response_done"]),
        ([done("canceled", reason="turn_detected")], ["interrupted", "response_done"]),
        ([done("cancelled", reason="client_cancelled")], ["response_done"]),
        (
            [{"type": "response.cancelled", "response_id": "r1"}, done("cancelled", reason="turn_detected")],
            ["interrupted", "response_done"],
        ),
        (
            [{"type": "response.canceled", "response": {"id": "r1"}}, done("cancelled")],
            ["interrupted", "response_done"],
        ),
        ([done("cancelled"), done("cancelled")], ["interrupted", "response_done"]),
        (
            [done("cancelled"), {"type": "response.cancelled", "response_id": "r1"}],
            ["interrupted", "response_done"],
        ),
        ([done("incomplete", reason="max_output_tokens")], ["response_done"]),
        ([done("failed", error={"code": "insufficient_quota"})], ["response_done"]),
    ],
)
def test_a_response_is_done_exactly_once_however_its_end_is_spelt(messages, expected):
    events = reading(CREATED, *messages)
    assert kinds(events) == ["response_started", *expected]
    assert {event.response_id for event in events} == {"r1"}
    assert all(event.status in ("completed", "cancelled", "incomplete", "failed") for event in events[-1:])


def test_a_cancellation_that_is_never_followed_by_done_is_ended_on_demand():
    reader = EventReader(MULAW_8K)
    reading(CREATED, {"type": "response.canceled", "response_id": "r1"}, reader=reader)
    assert reader.waits
    (event,) = reader.give_up_waiting()
    assert (event.kind, event.status, event.response_id) == ("response_done", "cancelled", "r1")
    assert not reader.waits
    assert reading(done("cancelled"), delta(), reader=reader) == []


def test_late_audio_of_a_response_that_was_cancelled_is_dropped():
    reader = EventReader(MULAW_8K)
    cancelled = {"type": "response.cancelled", "response_id": "r1"}
    events = reading(CREATED, delta(), cancelled, delta(), done("cancelled"), delta(), reader=reader)
    assert kinds(events).count("audio") == 1
    reading({"type": "response.created", "response": {"id": "r2"}}, reader=reader)
    reader.silence("r2")
    ours = reading(delta(response_id="r2"), done("cancelled", "r2", reason="turn_detected"), reader=reader)
    assert kinds(ours) == ["response_done"]  # we cancelled it ourselves, whatever the server thinks


def test_audio_that_overtakes_its_response_begins_it():
    events = reading(delta(), CREATED, done())
    assert kinds(events) == ["response_started", "audio", "response_done"]


def test_a_response_ends_with_the_item_that_it_made():
    item = {"id": "i1", "type": "message", "role": "assistant"}
    added = {"type": "response.output_item.added", "response_id": "r1", "item": item}
    assert reading(CREATED, added, done())[-1].item_id == "i1"


@pytest.mark.parametrize(
    "broken", ["%%%", "QQ", "QQ==\n", 7, None, "A" * (LONGEST_AUDIO + 4)], ids=lambda value: str(value)[:8]
)
def test_audio_that_is_no_audio_is_an_error_and_no_crash(broken):
    events = reading(CREATED, {**delta(), "delta": broken}, delta(b"\x00"))
    assert kinds(events) == ["response_started", "error", "audio"]
    assert events[1].detail == "invalid_audio"


def test_how_much_of_an_item_came_in_is_known():
    reader = EventReader(MULAW_8K)
    reading(CREATED, delta(b"\xff" * 400), delta(b"\xff" * 404), reader=reader)
    assert reader.received_ms("i1") == 100
    assert reader.received_ms("i2") is None


def test_a_function_call_is_told_once_it_is_complete():
    item = {"type": "function_call", "name": "book", "call_id": "c1", "arguments": '{"people":4}'}
    place = {"type": "response.output_item.done", "response_id": "r1"}
    events = reading(
        CREATED,
        {**place, "item": {**item, "status": "completed"}},
        {**place, "item": {**item, "status": "incomplete"}},
        {**place, "item": {**item, "call_id": None}},
    )
    assert kinds(events) == ["response_started", "function_call"]
    assert events[1].call == ToolCall("c1", "book", '{"people":4}')


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "input_tokens": 130,
                "output_tokens": 60,
                "input_token_details": {
                    "text_tokens": 30,
                    "audio_tokens": 100,
                    "cached_tokens": 90,
                    "cached_tokens_details": {"text_tokens": 20, "audio_tokens": 70},
                },
                "output_token_details": {"text_tokens": 10, "audio_tokens": 50},
            },
            RealtimeUsage(30, 100, 10, 50, 20, 70, 0),
        ),
        (
            {
                "input_token_details": {"text_tokens": 30, "audio_tokens": 100, "cached_tokens": 90},
                "output_token_details": {"text_tokens": 10, "audio_tokens": 50},
            },
            RealtimeUsage(30, 100, 10, 50, None, None, 90),
        ),
        ({"input_tokens": 130, "output_tokens": 60}, RealtimeUsage(0, 130, 0, 60)),
        ({"input_tokens": -1, "output_tokens": True, "total_tokens": 1}, RealtimeUsage()),
        ({"input_token_details": [], "output_token_details": {"text_tokens": "7"}}, RealtimeUsage()),
    ],
)
def test_usage_is_read_by_kind_where_the_server_tells_kinds(usage, expected):
    message = done()
    message["response"]["usage"] = usage
    events = reading(CREATED, message)
    assert kinds(events) == ["response_started", "usage", "response_done"]
    assert events[1].usage == expected


@pytest.mark.parametrize("code", ["response_cancel_not_active", "input_audio_buffer_commit_empty"])
def test_races_that_change_nothing_are_no_errors(code):
    reader = EventReader(MULAW_8K)
    assert reading({"type": "error", "error": {"code": code}}, reader=reader) == []
    assert reader.fatal == ""


@pytest.mark.parametrize(
    ("event_id", "request_name"),
    [("guard-2", "guard"), ("restore-9", "restore"), ("response-3", "response"), (None, ""), (7, "")],
)
def test_an_error_says_what_had_been_asked_for(event_id, request_name):
    error = {"code": "invalid_value", "param": "p", "event_id": event_id, "message": "sk-secret"}
    (event,) = reading({"type": "error", "error": error})
    assert (event.request, event.detail, event.parameter) == (request_name, "invalid_value", "p")
    assert "secret" not in repr(event)


def test_the_callers_words_come_by_item_and_a_failure_is_an_end_of_waiting():
    kind = "conversation.item.input_audio_transcription"
    events = reading(
        {"type": f"{kind}.delta", "item_id": "u1", "delta": "hel"},
        {"type": f"{kind}.completed", "item_id": "u1", "transcript": "hello \ud83d"},
        {"type": f"{kind}.failed", "item_id": "u2", "error": {"code": "x"}},
    )
    assert [(one.kind, one.text, one.final, one.item_id) for one in events] == [
        ("transcript_input", "hel", False, "u1"),
        ("transcript_input", "hello \ufffd", True, "u1"),
        ("transcript_input", "", True, "u2"),
    ]


def test_what_is_kept_is_bounded():
    reader = EventReader(MULAW_8K)
    for number in range(1000):
        reading(delta(response_id=f"r{number}", item_id=f"i{number}"), reader=reader)
    assert max(len(reader._responses), len(reader._audio_bytes)) <= 128
    for number in range(1000):
        reading(done(response_id=f"r{number}"), reader=reader)
    assert len(reader._done) <= 128


def test_a_server_cannot_fill_the_log(caplog):
    reader = EventReader(MULAW_8K)
    failed = {"type": "conversation.item.input_audio_transcription.failed", "error": {"code": "x"}}
    for _ in range(50):
        assert reader.read("nonsense") == []
        reading(failed, reader=reader)
    assert [record.levelname for record in caplog.records].count("WARNING") == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
KEYS = ["response", "response_id", "item", "item_id", "delta", "session", "error", "transcript"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(EventReader(MULAW_8K)._readers)),
            st.dictionaries(st.sampled_from(KEYS), JSON),
        ),
        max_size=6,
    )
)
@settings(max_examples=150, deadline=None)
def test_no_message_of_any_shape_breaks_the_reader(messages):
    reader = EventReader(MULAW_8K)
    for kind, body in messages:
        for event in reader.read(json.dumps({**body, "type": kind})):
            assert isinstance(event, RealtimeEvent)
    for raw in (b"\xff\xfe", "{", "[]", "7", "[" * 100_000):
        assert reader.read(raw) == []
