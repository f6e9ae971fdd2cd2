"""What is sent is what the vendor's own types know, with no field besides."""

from __future__ import annotations

import json
from random import Random

import pytest
from google.genai import types
from simulated_live import KEY

from patter.providers.llm import Message, ToolSpec
from patter.providers.realtime import RealtimeSession
from patter.providers.vendor_json import LONGEST_TEXT, json_object
from patter.testing.engine_listener import responses_of
from patter_google import live_messages as messages
from patter_google.live_config import GeminiLiveConfig
from patter_google.live_reading import MOST_CALLS, LiveReader
from patter_google.live_usage import usage_of

TOOL = ToolSpec(
    "book",
    "Books a table.",
    {
        "type": "object",
        "properties": {"day": {"$ref": "#/$defs/Day"}},
        "$defs": {"Day": {"enum": ["friday"]}},
    },
)
HISTORY = (Message("user", "Hello?"), Message("assistant", "Hi."))


def config(**settings):
    return GeminiLiveConfig(api_key=KEY, **settings)


def known_to_the_vendor(message):
    """Validates the message, and that nothing is lost of it; the types of set-ups lack one field of the protocol."""
    message = json.loads(json.dumps(message))
    turns = message.get("setup", {}).pop("realtimeInputConfig", None)
    if turns is not None:
        known = types.RealtimeInputConfig.model_validate(turns)
        assert json.loads(known.model_dump_json(by_alias=True, exclude_none=True)) == turns
    known = types.LiveClientMessage.model_validate(message)
    assert json.loads(known.model_dump_json(by_alias=True, exclude_none=True)) == message


FULL = {
    "voice": "Puck",
    "temperature": 0.7,
    "max_output_tokens": 1024,
    "start_sensitivity": "low",
    "end_sensitivity": "high",
    "prefix_padding_ms": 20,
    "silence_duration_ms": 500,
    "extra_setup": {
        "proactivity": {"proactiveAudio": True},
        "generationConfig": {"thinkingConfig": {"thinkingLevel": "MINIMAL"}},
        "model": "not this one",
    },
}


@pytest.mark.parametrize("settings", [{}, FULL, {"transcription": False, "compression": False}])
@pytest.mark.parametrize("model", ["gemini-3.1-flash-live-preview", "gemini-live-2.5-flash"])
@pytest.mark.parametrize(
    "session",
    [
        RealtimeSession(""),
        RealtimeSession("Be kind.", tools=(TOOL, ToolSpec("end_call", "Ends.")), language="de-DE"),
        RealtimeSession("Be kind.", patter_decides=True, history=HISTORY),
    ],
)
def test_every_message_is_one_that_the_vendor_knows(settings, model, session):
    made = config(model=model, **settings)
    for handle in ("", "handle-1"):
        known_to_the_vendor(messages.setup(made, session, handle))
    for message in (
        messages.history(made, session),
        json.loads(messages.audio(b"\0\1" * 320)),
        messages.activity(begins=True),
        messages.activity(begins=False),
        messages.request(made, 'Say "hello".'),
        messages.tool_response([("1", "book", "done"), ("2", "book", "")]),
    ):
        if message is not None:
            known_to_the_vendor(message)


def test_the_settings_are_what_is_configured():
    session = RealtimeSession("Be kind.", tools=(TOOL,), language="de-DE")
    assert messages.setup(config(**FULL), session) == {
        "setup": {
            "model": "models/gemini-3.1-flash-live-preview",
            "proactivity": {"proactiveAudio": True},
            "generationConfig": {
                "responseModalities": ["AUDIO"],
                "thinkingConfig": {"thinkingLevel": "MINIMAL"},
                "temperature": 0.7,
                "maxOutputTokens": 1024,
                "speechConfig": {
                    "voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Puck"}},
                    "languageCode": "de-DE",
                },
            },
            "realtimeInputConfig": {
                "automaticActivityDetection": {
                    "disabled": False,
                    "startOfSpeechSensitivity": "START_SENSITIVITY_LOW",
                    "endOfSpeechSensitivity": "END_SENSITIVITY_HIGH",
                    "prefixPaddingMs": 20,
                    "silenceDurationMs": 500,
                },
                "activityHandling": "START_OF_ACTIVITY_INTERRUPTS",
            },
            "sessionResumption": {},
            "systemInstruction": {"parts": [{"text": "Be kind."}]},
            "tools": [
                {
                    "functionDeclarations": [
                        {
                            "name": "book",
                            "description": "Books a table.",
                            "parametersJsonSchema": dict(TOOL.parameters),
                        }
                    ]
                }
            ],
            "inputAudioTranscription": {"languageCodes": ["de-DE"]},
            "outputAudioTranscription": {},
            "contextWindowCompression": {"slidingWindow": {}},
        }
    }


def test_what_nobody_configured_is_not_sent():
    setup = messages.setup(config(), RealtimeSession("Be kind."))["setup"]
    assert setup["generationConfig"] == {"responseModalities": ["AUDIO"]}
    assert setup["realtimeInputConfig"]["automaticActivityDetection"] == {"disabled": False}
    assert setup["sessionResumption"] == {}
    assert not {"tools", "historyConfig", "proactivity"} & set(setup)


def test_only_a_new_session_of_a_new_model_is_promised_a_history():
    session = RealtimeSession("Be kind.", history=HISTORY)
    assert messages.setup(config(), session)["setup"]["historyConfig"] == {
        "initialHistoryInClientContent": True
    }
    assert messages.history(config(), session)["clientContent"]["turnComplete"] is True
    assert "historyConfig" not in messages.setup(config(), session, "handle-1")["setup"]
    old = config(model="gemini-2.5-flash-native-audio-latest")
    assert "historyConfig" not in messages.setup(old, session)["setup"]
    assert messages.history(old, session)["clientContent"]["turnComplete"] is False
    tools_alone = RealtimeSession("", history=(Message("tool", "done", tool_call_id="1"),))
    assert messages.history(config(), tools_alone) is None
    assert "historyConfig" not in messages.setup(config(), tools_alone)["setup"]


@pytest.mark.parametrize(
    ("model", "asks_with", "content"),
    [
        ("gemini-2.5-flash-native-audio-preview-12-2025", "auto", True),
        ("gemini-live-2.5-flash", "auto", True),
        ("gemini-2.0-flash-live-001", "auto", True),
        ("gemini-3.1-flash-live-preview", "auto", False),
        ("gemini-flash-live", "auto", False),
        ("gemini-3.1-flash-live-preview", "client_content", True),
        ("gemini-live-2.5-flash", "realtime_input", False),
    ],
)
def test_how_a_model_is_asked(model, asks_with, content):
    assert config(model=model, ask_with=asks_with).asks_with_content is content


def test_tokens_are_told_by_kind():
    used = usage_of(
        {
            "promptTokenCount": 100,
            "responseTokenCount": 50,
            "thoughtsTokenCount": 7,
            "toolUsePromptTokenCount": 3,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 60},
                {"modality": "AUDIO", "tokenCount": 40},
            ],
            "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 50}],
            "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 20}],
        }
    )
    assert (used.input_text, used.input_audio, used.output_text, used.output_audio) == (63, 40, 7, 50)
    assert (used.cached_text, used.cached_audio, used.cached_total) == (20, 0, 0)
    bare = usage_of({"promptTokenCount": 100, "responseTokenCount": 50, "cachedContentTokenCount": 10})
    assert (bare.input_audio, bare.output_audio, bare.cached_text, bare.cached_total) == (100, 50, None, 10)
    for nonsense in (-1, 10**12, "5", True, 1.5, None):
        assert usage_of({"promptTokenCount": nonsense}).input_audio == 0


NONSENSE = (None, True, False, 0, -1, 1e308, "", "x", "\ud800", "9.5s", "AAAA", [], {}, [[]], [{}], [None])
MEMBERS = (
    "serverContent",
    "toolCall",
    "toolCallCancellation",
    "usageMetadata",
    "goAway",
    "sessionResumptionUpdate",
)
FIELDS = (
    *(
        "modelTurn",
        "parts",
        "inlineData",
        "data",
        "mimeType",
        "text",
        "thought",
        "inputTranscription",
        "finished",
    ),
    *(
        "outputTranscription",
        "interrupted",
        "turnComplete",
        "generationComplete",
        "id",
        "name",
        "args",
        "ids",
    ),
    *("functionCalls", "timeLeft", "newHandle", "resumable", "promptTokensDetails", "promptTokenCount"),
)
AUDIO = {"modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAAAAAA"}}]}}
SOUND = (
    {"serverContent": AUDIO},
    {"serverContent": {"interrupted": True}},
    {"serverContent": {"generationComplete": True}},
    {"serverContent": {"turnComplete": True}},
    {"serverContent": {"outputTranscription": {"text": " words"}}},
    {"serverContent": {"inputTranscription": {"text": " words"}}},
    {"toolCall": {"functionCalls": [{"id": "1", "name": "f", "args": {}}]}},
)


def nonsense(random, depth):
    """Something in the place of a field: nearly right, or not at all."""
    if depth == 0 or random.random() < 0.3:
        return random.choice(NONSENSE)
    if random.random() < 0.3:
        return [nonsense(random, depth - 1) for _ in range(random.randrange(3))]
    return {random.choice(FIELDS): nonsense(random, depth - 1) for _ in range(random.randrange(4))}


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_is_survived_and_each_response_has_one_end(seed):
    random = Random(seed)
    reader = LiveReader()
    events = []
    for number in range(200):
        message = {random.choice(MEMBERS): nonsense(random, 4) for _ in range(random.randrange(3))}
        if random.random() < 0.4:
            message |= random.choice(SOUND)
        events += reader.read(message, number * 0.1)
        if random.random() < 0.1:
            events += reader.give_up(f"response-{random.randrange(9)}", number * 0.1)
    events += reader.expire(10_000.0)
    started, done = responses_of(events)
    assert started
    assert started == done
    assert reader.deadline is None


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", "[]", "7", "[" * 100_000, b'"x"', "nul"])
def test_what_is_no_message_is_none(raw):
    assert json_object(raw) is None


def test_what_is_long_is_bounded():
    reader = LiveReader()
    long = "x" * (LONGEST_TEXT + 1)
    assert list(reader.read({"serverContent": {"inputTranscription": {"text": long}}}, 0.0)) == []
    calls = [{"id": f"{number}", "name": "f", "args": {"a": 1}} for number in range(MOST_CALLS + 5)]
    events = list(reader.read({"toolCall": {"functionCalls": calls}}, 0.0))
    assert len([event for event in events if event.kind == "function_call"]) == MOST_CALLS
    list(reader.read({"sessionResumptionUpdate": {"newHandle": long, "resumable": True}}, 0.0))
    assert reader.handle == ""
    list(reader.read({"sessionResumptionUpdate": {"newHandle": "h", "resumable": False}}, 0.0))
    assert reader.handle == ""
    list(reader.read({"goAway": {"timeLeft": "1e300s"}}, 0.0))
    assert reader.leave_by == 600


@pytest.mark.parametrize(
    ("value", "expected"),
    [("9.5s", 9.5), ("0s", 0.0), ("-4s", 0.0), ("nans", 5.0), ("soon", 5.0), (7, 5.0), ("9" * 30 + "s", 5.0)],
)
def test_durations(value, expected):
    assert messages.seconds(value, 5.0) == expected


def test_either_alphabet_of_base64_is_read():
    for data in ("-_8A", "+/8A", "AAA"):
        assert messages.spoken({"mimeType": "audio/pcm;rate=24000", "data": data})
    assert messages.spoken({"mimeType": "audio/pcm;rate=24000", "data": "!"}) == b""
    assert messages.spoken({"mimeType": "video/mp4", "data": "AAAA"}) == b""
