"""Reading and writing the messages of a media stream."""

from __future__ import annotations

import base64
import json
import timeit
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.audio.formats import MULAW_8K
from patter.errors import InputError, InternalError
from patter.providers.carrier import AudioReceived, DigitPressed, MarkReached, StreamStarted, StreamStopped
from patter_twilio.media import MAX_AUDIO, MAX_MESSAGE, TwilioMedia

STREAM = "MZ" + "0a" * 16
CALL = "CA" + "1b" * 16
ACCOUNT = "AC" + "0" * 32
FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}


def compact(message: object) -> str:
    return json.dumps(message, separators=(",", ":"))


def start(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "accountSid": ACCOUNT,
        "streamSid": STREAM,
        "callSid": CALL,
        "tracks": ["inbound"],
        "mediaFormat": FORMAT,
        "customParameters": {"k": "v"},
    }
    return {"event": "start", "sequenceNumber": "1", "streamSid": STREAM, "start": {**fields, **changes}}


def media(payload: str, **changes: Any) -> dict[str, Any]:
    fields = {"track": "inbound", "chunk": "1", "timestamp": "5", "payload": payload}
    return {"event": "media", "sequenceNumber": "2", "streamSid": STREAM, "media": {**fields, **changes}}


def started() -> TwilioMedia:
    protocol = TwilioMedia()
    assert protocol.parse('{"event":"connected","protocol":"Call","version":"1.0.0"}') is None
    assert isinstance(protocol.parse(compact(start())), StreamStarted)
    return protocol


def outcome(protocol: TwilioMedia, text: str) -> object:
    try:
        return protocol.parse(text)
    except InputError:
        return InputError


def test_the_start_names_stream_call_format_and_parameters() -> None:
    assert TwilioMedia().parse(compact(start())) == StreamStarted(STREAM, CALL, MULAW_8K, {"k": "v"})


def test_audio_digits_marks_and_the_stop_are_read() -> None:
    protocol = started()
    frame = bytes(range(160))

    assert protocol.parse(compact(media(base64.b64encode(frame).decode()))) == AudioReceived(frame)
    common = {"sequenceNumber": "5", "streamSid": STREAM}
    assert protocol.parse(
        compact({"event": "dtmf", **common, "dtmf": {"track": "inbound_track", "digit": "#"}})
    ) == DigitPressed("#")
    assert protocol.parse(compact({"event": "mark", **common, "mark": {"name": "m1"}})) == MarkReached("m1")
    stop = compact({"event": "stop", **common, "stop": {"accountSid": ACCOUNT, "callSid": CALL}})
    assert protocol.parse(stop) == StreamStopped()
    with pytest.raises(InputError, match="after the end"):
        protocol.parse(compact(media("/w==")))
    with pytest.raises(InputError, match="after the end"):
        protocol.parse(stop)


@given(st.binary(max_size=2000), st.text(max_size=40))
def test_what_is_sent_is_the_documented_json(audio: bytes, name: str) -> None:
    protocol = started()

    assert json.loads(protocol.media(audio)) == {
        "event": "media",
        "streamSid": STREAM,
        "media": {"payload": base64.b64encode(audio).decode()},
    }
    assert json.loads(protocol.mark(name)) == {"event": "mark", "streamSid": STREAM, "mark": {"name": name}}
    assert json.loads(protocol.clear()) == {"event": "clear", "streamSid": STREAM}


def test_nothing_can_be_sent_before_the_start() -> None:
    protocol = TwilioMedia()
    for send in (lambda: protocol.media(b"\xff"), lambda: protocol.mark("m"), protocol.clear):
        with pytest.raises(InternalError):
            send()


# -- the short way for audio -----------------------------------------------------------------------------------------

payloads = st.one_of(
    st.binary(max_size=400).map(lambda audio: base64.b64encode(audio).decode()),
    st.text("ABCabc019+/=\\\"'\n é}", max_size=30),
    st.sampled_from(
        ["", "=", "A", "AA=", "AA==", "AAA=", "AA==AA==", "QUJD\\/w==", "\\u0041AAA", '","x":"AAAA']
    ),
)
counters = st.one_of(st.integers(0, 10**20).map(str), st.text('0123456789\\"a,:² ', max_size=6))


@st.composite
def raw_media(draw: st.DrawFn) -> str:
    """A media message assembled from raw text, so that it may be no JSON at all."""
    sid = draw(st.sampled_from([STREAM, STREAM, STREAM.upper(), "MZ" + "1" * 32, "", STREAM + '"']))
    track = draw(st.sampled_from(["inbound", "inbound", "outbound"]))
    head = f'{{"event":"media","sequenceNumber":"{draw(counters)}","streamSid":"{sid}","media":{{"track":"{track}",'
    body = f'"chunk":"{draw(counters)}","timestamp":"{draw(counters)}","payload":"{draw(payloads)}"'
    tail = draw(
        st.sampled_from(["}}", "}}", "}}", "}} ", "}}\n", '},"x":1}', ',"payload":"AAAA"}}', "}", "}}}"])
    )
    return head + body + tail


@st.composite
def respelled_media(draw: st.DrawFn) -> str:
    """A valid media message with other key order, white space and escapes."""
    message = media(draw(payloads), chunk=draw(counters), timestamp=draw(counters))
    message["media"] = dict(draw(st.permutations(list(message["media"].items()))))
    message = dict(draw(st.permutations(list(message.items()))))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")]))
    return json.dumps(
        message,
        separators=separators,
        indent=draw(st.sampled_from([None, None, 1])),
        ensure_ascii=draw(st.booleans()),
    )


@given(st.one_of(raw_media(), respelled_media()))
def test_the_short_way_agrees_with_the_json_parser(text: str) -> None:
    protocol = started()

    shortly = outcome(protocol, text)
    try:
        by_json: object = protocol._parse_json(text)
    except InputError:
        by_json = InputError

    assert shortly == by_json


def test_a_message_as_twilio_spells_it_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = started()
    monkeypatch.setattr(protocol, "_parse_json", lambda text: pytest.fail("took the long way"))

    assert protocol.parse(compact(media("/38="))) == AudioReceived(b"\xff\x7f")


# -- whatever else may come ------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
EVENTS = ["connected", "start", "media", "mark", "dtmf", "stop"]


@given(st.text(max_size=200))
def test_any_text_is_an_event_or_an_input_error(text: str) -> None:
    outcome(TwilioMedia(), text)
    outcome(started(), text)


@given(st.sampled_from([*EVENTS, "other", 3, None]), json_values, json_values)
def test_odd_types_anywhere_are_input_errors(event: object, body: object, sid: object) -> None:
    for stream_sid in (STREAM, sid):
        message = {"event": event, "streamSid": stream_sid, str(event): body}
        outcome(TwilioMedia(), json.dumps(message))
        outcome(started(), json.dumps(message))


@given(st.dictionaries(st.sampled_from(list(start()["start"])), json_values, min_size=1))
def test_a_start_with_odd_fields_is_no_other_exception(changes: dict[str, Any]) -> None:
    outcome(TwilioMedia(), json.dumps(start(**changes)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 50_000,
        '{"event":' * 5_000,
        '{"event":"media","x":' + "[" * 900 + "]" * 900 + "}",
        '{"event":' + "[" * 900 + "]" * 900 + "}",
        '{"event":"media","streamSid":"' + STREAM + '"}',
        '{"event":"start","streamSid":"' + STREAM + '","start":' + "9" * 5_000 + "}",
        compact(media("/w==") | {"streamSid": "MZ" + "9" * 32}),
        compact(media("/w==", track="outbound")),
        compact(media("not base64!")),
        compact(media("")),
        compact(media(base64.b64encode(bytes(MAX_AUDIO + 1)).decode())),
        compact(media("/w==")) + " " * MAX_MESSAGE,
        compact(start()),
        compact({"event": "dtmf", "streamSid": STREAM, "dtmf": {"digit": "12"}}),
        compact({"event": "dtmf", "streamSid": STREAM, "dtmf": {"digit": "a\n"}}),
        compact({"event": "mark", "streamSid": STREAM, "mark": {"name": "\ud800"}}),
        compact({"event": "mark", "streamSid": STREAM, "mark": {"name": "m" * 300}}),
        compact({"event": "surprise", "streamSid": STREAM}),
    ],
)
def test_a_malformed_message_is_an_input_error_and_the_stream_goes_on(text: str) -> None:
    protocol = started()

    with pytest.raises(InputError):
        protocol.parse(text)

    assert protocol.parse(compact(media("/w=="))) == AudioReceived(b"\xff")


@pytest.mark.parametrize(
    "changes",
    [
        {"callSid": "CA123"},
        {"callSid": None},
        {"streamSid": "MZ" + "9" * 32},
        {"mediaFormat": {**FORMAT, "encoding": "audio/x-l16"}},
        {"mediaFormat": {**FORMAT, "sampleRate": 16000}},
        {"mediaFormat": None},
        {"customParameters": {"k": 1}},
        {"customParameters": {"k": "v" * 5000}},
        {"customParameters": {str(number): "" for number in range(65)}},
        {"customParameters": {"k": "\ud800"}},
    ],
)
def test_a_bad_start_leaves_the_stream_unstarted(changes: dict[str, Any]) -> None:
    protocol = TwilioMedia()

    with pytest.raises(InputError):
        protocol.parse(compact(start(**changes)))

    assert isinstance(protocol.parse(compact(start())), StreamStarted)


def test_audio_before_the_start_is_refused() -> None:
    with pytest.raises(InputError, match="before the start"):
        TwilioMedia().parse(compact(media("/w==")))


@pytest.mark.bench
def test_audio_costs_less_than_its_json() -> None:
    protocol = started()
    frame = bytes(range(160))
    text = compact(media(base64.b64encode(frame).decode()))

    def least(run: Any) -> float:
        return min(timeit.repeat(run, number=2000, repeat=7))

    by_json = least(lambda: base64.b64decode(json.loads(text)["media"]["payload"]))
    assert least(lambda: protocol.parse(text)) < 0.75 * by_json
    built_by_json = least(lambda: json.dumps(media(base64.b64encode(frame).decode())))
    assert least(lambda: protocol.media(frame)) < 0.4 * built_by_json
