"""Requests and settings, held against the types of OpenAI's own SDK."""

from __future__ import annotations

import json

import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import TypeAdapter

from patter.errors import ConfigError
from patter.providers.llm import Message, ToolCall, ToolSpec
from patter_openai.config import OPENAI, OpenAIChatConfig
from patter_openai.request import request_body

KEY = "sk-test-0123456789abcdef"
MESSAGES = [
    Message("system", "You are a receptionist."),
    Message("user", "Book a table."),
    Message("assistant", "", (ToolCall("call_1", "book", '{"people": 4}'), ToolCall("call_2", "hours", ""))),
    Message("tool", '{"ok": true}', tool_call_id="call_1"),
    Message("tool", "9 to 5", tool_call_id="call_2"),
    Message("assistant", "It is booked."),
    Message("user", "Thanks."),
]
TOOLS = [
    ToolSpec("book", "Books a table.", {"type": "object", "properties": {"people": {"type": "integer"}}}),
    ToolSpec("hours", "Hours.", {}, strict=True),
]


def config(**values):
    return OpenAIChatConfig(**{"api_key": KEY, **values})


def test_messages_and_tools_are_those_of_the_sdk():
    body = request_body(config(), MESSAGES, TOOLS)
    messages = TypeAdapter(list[ChatCompletionMessageParam]).validate_python(body["messages"])
    assert len(messages) == len(MESSAGES)
    assert TypeAdapter(list[ChatCompletionToolParam]).validate_python(body["tools"])
    assert body["messages"][2] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "book", "arguments": '{"people": 4}'}},
            {"id": "call_2", "type": "function", "function": {"name": "hours", "arguments": "{}"}},
        ],
    }
    assert body["messages"][3] == {"role": "tool", "tool_call_id": "call_1", "content": '{"ok": true}'}
    assert body["tools"][1]["function"]["parameters"] == {"type": "object", "properties": {}}
    assert [tool["function"].get("strict") for tool in body["tools"]] == [None, True]
    json.dumps(body)


def test_what_is_not_set_is_not_sent():
    assert set(request_body(config(include_usage=False), MESSAGES, [])) == {"model", "messages", "stream"}
    body = request_body(config(temperature=0, max_tokens=300), MESSAGES, [])
    assert (body["temperature"], body["max_completion_tokens"]) == (0, 300)
    assert body["stream_options"] == {"include_usage": True}
    elsewhere = request_body(config(max_tokens=300, base_url="http://localhost:11434/v1/"), MESSAGES, [])
    assert elsewhere["max_tokens"] == 300
    assert "max_completion_tokens" not in elsewhere
    assert request_body(config(extra_body={"seed": 1, "stream": True}), MESSAGES, [])["seed"] == 1


@pytest.mark.behaviour("SP-21")
def test_a_missing_key_is_an_error_that_names_the_variable():
    for missing in ({}, {"api_key": ""}, {"api_key": "  "}, {"base_url": OPENAI}):
        with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
            OpenAIChatConfig(**missing)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        configured({})
    assert configured({"OPENAI_API_KEY": KEY}).key == KEY
    assert configured({"OPENAI_API_KEY": KEY}, api_key="sk-other-0123456789").key == "sk-other-0123456789"
    local = configured({"OPENAI_BASE_URL": "http://localhost:11434/v1"})
    assert (local.key, local.base_url) == ("", "http://localhost:11434/v1")


def configured(environ, **explicit):
    """The configuration as a call gets it, from every source."""
    from patter.plugins.configuration import load_config
    from patter_openai import patter_register_llm

    (record,) = patter_register_llm()
    return load_config(record, {"model": "gpt-4.1"}, explicit, environ=environ)


def test_no_key_in_any_text():
    one = config()
    assert KEY not in repr(one) + str(one)
    with pytest.raises(ConfigError) as caught:
        config(api_key=KEY + "\nX-Header: 1")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "base_url", ["", "localhost:11434", "ftp://x/v1", "http://", "https://user:secret@example.com/v1"]
)
def test_a_bad_address_is_refused(base_url):
    with pytest.raises(ConfigError, match="base_url") as caught:
        config(base_url=base_url)
    assert "secret" not in str(caught.value)


def test_the_model_comes_from_the_reference():
    assert configured({"OPENAI_API_KEY": KEY}).model == "gpt-4.1"
