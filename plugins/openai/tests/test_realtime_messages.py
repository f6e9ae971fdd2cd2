"""The messages of the engine: the vendor's GA shape to the letter."""

from __future__ import annotations

import base64
import json

import pytest
from simulated_realtime import check_client_message

from patter.audio.formats import ALAW_8K, MULAW_8K, PCM16_8K, PCM16_24K
from patter.errors import ConfigError
from patter.providers.llm import Message, ToolCall, ToolSpec
from patter.providers.realtime import RealtimeSession
from patter_openai import realtime_messages as messages
from patter_openai.realtime_config import OpenAIRealtimeConfig
from patter_openai.realtime_formats import chosen_format, known_format, wire_format

TOOL = ToolSpec("book", "Books a table.", {"type": "object", "properties": {"people": {"type": "integer"}}})
FULL = RealtimeSession("Be kind.", tools=(TOOL, ToolSpec("end_call", "Ends.")), language="pt-BR")


def config(**settings):
    return OpenAIRealtimeConfig(api_key="k", **settings)


def detection_of(message):
    return message["session"]["audio"]["input"]["turn_detection"]


def test_the_set_up_has_the_defaults_of_a_phone_call():
    message = messages.session_update(config(), RealtimeSession("Be kind."), MULAW_8K)
    check_client_message(message)
    assert message == {
        "type": "session.update",
        "session": {
            "type": "realtime",
            "instructions": "Be kind.",
            "output_modalities": ["audio"],
            "audio": {
                "input": {
                    "format": {"type": "audio/pcmu"},
                    "transcription": {"model": "gpt-transcribe"},
                    "turn_detection": {
                        "type": "server_vad",
                        "threshold": 0.5,
                        "prefix_padding_ms": 300,
                        "silence_duration_ms": 300,
                        "create_response": True,
                        "interrupt_response": True,
                    },
                },
                "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
            },
            "tools": [],
            "tool_choice": "auto",
        },
    }


def test_every_setting_reaches_the_set_up():
    settings = {
        "voice": "cedar",
        "speed": 1.25,
        "threshold": 0.7,
        "prefix_padding_ms": 200,
        "silence_duration_ms": 900,
        "idle_timeout_ms": 6000,
        "create_response": False,
        "transcription_model": "whisper-1",
        "transcription_prompt": "Acme",
        "noise_reduction": "near_field",
        "reasoning_effort": "low",
        "max_output_tokens": 700,
    }
    message = messages.session_update(config(**settings), FULL, PCM16_24K)
    check_client_message(message)
    session = message["session"]
    assert session["audio"] == {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": {"model": "whisper-1", "language": "pt", "prompt": "Acme"},
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.7,
                "prefix_padding_ms": 200,
                "silence_duration_ms": 900,
                "idle_timeout_ms": 6000,
                "create_response": False,
                "interrupt_response": True,
            },
            "noise_reduction": {"type": "near_field"},
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "cedar", "speed": 1.25},
    }
    assert (session["max_output_tokens"], session["reasoning"]) == (700, {"effort": "low"})
    assert session["tools"] == [
        {
            "type": "function",
            "name": "book",
            "description": "Books a table.",
            "parameters": {"type": "object", "properties": {"people": {"type": "integer"}}},
        },
        {
            "type": "function",
            "name": "end_call",
            "description": "Ends.",
            "parameters": {"type": "object", "properties": {}},
        },
    ]


def test_a_transcription_that_is_off_is_null_on_the_wire():
    message = messages.session_update(config(transcription=False), FULL, MULAW_8K)
    check_client_message(message)
    assert '"transcription":null' in messages.dumped(message)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"silence_duration_ms": 900, "threshold": 0.3, "prefix_padding_ms": 0, "idle_timeout_ms": 5000},
        {"turn_detection": "semantic_vad", "eagerness": "low"},
        {"create_response": False, "interrupt_response": False},
    ],
)
def test_guarding_takes_both_powers_and_changes_nothing_else(settings):
    made = config(**settings)
    own = messages.turn_detection(made, FULL)
    guard = messages.turn_detection_update(messages.turn_detection(made, FULL, guarded=True))
    check_client_message(guard)
    assert set(guard["session"]) == {"type", "audio"}
    assert set(guard["session"]["audio"]["input"]) == {"turn_detection"}
    assert detection_of(guard) == {**own, "create_response": False, "interrupt_response": False}


def test_where_patter_decides_the_server_neither_acts_nor_asks_after_a_silence():
    decided = RealtimeSession("", patter_decides=True)
    made = config(idle_timeout_ms=6000, threshold=0.7)
    detection = messages.turn_detection(made, decided)
    assert detection == messages.turn_detection(made, decided, guarded=True)
    assert detection == {
        "type": "server_vad",
        "threshold": 0.7,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 300,
        "create_response": False,
        "interrupt_response": False,
    }


def test_the_greeting_is_asked_for_by_its_exact_text_and_never_as_the_users_words():
    text = 'Hello — this is "Acme". How can I help?'
    message = messages.response_create(text)
    check_client_message(message)
    assert f'"{text}"' in message["response"]["instructions"]
    assert set(message["response"]) == {"instructions", "tool_choice"}
    assert messages.response_create() == {"type": "response.create"}


@pytest.mark.parametrize(
    ("entry", "items"),
    [
        (
            Message("user", "Hello?"),
            [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello?"}]}],
        ),
        (
            Message("assistant", "One moment.", (ToolCall("c1", "book", "{}"),)),
            [
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "One moment."}],
                },
                {"type": "function_call", "call_id": "c1", "name": "book", "arguments": "{}"},
            ],
        ),
        (
            Message("tool", "done", tool_call_id="c1"),
            [{"type": "function_call_output", "call_id": "c1", "output": "done"}],
        ),
        (
            Message("system", "Be brief."),
            [{"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be brief."}]}],
        ),
        (Message("assistant", ""), []),
    ],
)
def test_entries_of_a_conversation_become_items(entry, items):
    made = list(messages.conversation_items(entry))
    for message in made:
        check_client_message(message)
    assert [message["item"] for message in made] == items


def test_what_was_not_heard_at_all_is_deleted_and_the_rest_is_cut():
    cut, gone = messages.truncate("item_1", 1500), messages.truncate("item_1", 0)
    for message in (cut, gone, messages.response_cancel("resp_1")):
        check_client_message(message)
    assert cut == {
        "type": "conversation.item.truncate",
        "item_id": "item_1",
        "content_index": 0,
        "audio_end_ms": 1500,
    }
    assert gone == {"type": "conversation.item.delete", "item_id": "item_1"}


def test_audio_is_appended_as_it_is():
    audio = bytes(range(256))
    message = json.loads(messages.appended(audio))
    check_client_message(message)
    assert base64.b64decode(message["audio"]) == audio


# -- formats and settings


@pytest.mark.parametrize(
    ("setting", "carrier", "expected"),
    [
        ("auto", MULAW_8K, MULAW_8K),
        ("auto", ALAW_8K, ALAW_8K),
        ("auto", PCM16_8K, PCM16_24K),
        ("pcm", MULAW_8K, PCM16_24K),
        ("pcmu", PCM16_8K, MULAW_8K),
    ],
)
def test_the_carriers_own_format_is_asked_for(setting, carrier, expected):
    chosen = chosen_format(setting, carrier)
    assert chosen == expected
    assert known_format(wire_format(chosen)) == expected
    assert wire_format(MULAW_8K) == {"type": "audio/pcmu"}  # the vendor refuses a rate here


@pytest.mark.parametrize(
    "given", [None, "g711_ulaw", {}, {"type": 7}, {"type": "audio/opus"}, {"type": ["x"]}]
)
def test_an_unknown_format_is_none(given):
    assert known_format(given) is None


def test_the_address_has_the_model_and_nothing_else():
    assert config().socket_url == "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1"
    own = OpenAIRealtimeConfig(base_url="http://127.0.0.1:8000/v1/", model="a b&c")
    assert own.socket_url == "ws://127.0.0.1:8000/v1/realtime?model=a%20b%26c"


@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": None},
        {"threshold": 1.5},
        {"speed": 2.0},
        {"turn_detection": "none"},
        {"max_output_tokens": 5000},
        {"idle_timeout_ms": 100},
        {"audio_format": "opus"},
        {"temperature": 0.8},
    ],
)
def test_settings_that_the_vendor_refuses_are_refused_here(settings):
    with pytest.raises(ConfigError):
        OpenAIRealtimeConfig(**{"api_key": "k", **settings})
