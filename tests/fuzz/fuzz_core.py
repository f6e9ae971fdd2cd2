"""The parsers of core that read from outside."""

from __future__ import annotations

import json
import math
import string
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from fuzz_inputs import Inputs
from fuzz_target import Target, require, require_text

from patter import Agent
from patter.audio.wav import read_mono
from patter.blocked_terms import TermSearch, blocked_terms
from patter.call.prompts import prompts_of
from patter.call.sentences import SentenceChunker
from patter.call.tool_results import LONGEST_RESULT, error_text, read_json_arguments, result_text
from patter.call.transfer_policy import TransferPolicy
from patter.cli.agent_target import load_agent
from patter.environment import Environment
from patter.errors import ConfigError, InputError
from patter.net import parse_retry_after
from patter.options import rows
from patter.phone_settings import (
    PhoneSettings,
    SettingsFile,
    effective_agent,
    phone_settings,
    read_settings,
)
from patter.plugins.references import parse_reference
from patter.plugins.settings import VARIABLES, PluginSettings
from patter.providers.carrier import (
    AudioReceived,
    DigitPressed,
    MarkReached,
    StreamStarted,
    StreamStopped,
    WebhookRequest,
)
from patter.redaction import LONGEST_QUOTE, redact
from patter.server.address import PublicAddress
from patter.server.application import LONGEST_BODY
from patter.server.tokens import MediaTokens
from patter.speech_text import filter_for_tts
from patter.testing.fake_carrier import FakeMediaProtocol
from patter.tool_schema import check_arguments, check_schema
from patter.tools import Tool

_FOLDER = tempfile.TemporaryDirectory(prefix="patter-fuzz-")
_PHONE_NUMBER = "+15550001234"


# -- media and webhooks

_MEDIA = (
    {"type": "start", "stream": "s1", "call": "c1", "encoding": "mulaw", "rate": 8000, "parameters": {"a": "b"}},
    {"type": "media", "audio": "/////////w=="},
    {"type": "mark", "name": "m-1"},
    {"type": "dtmf", "digit": "5"},
    {"type": "stop", "reason": "over"},
)  # fmt: skip
_MEDIA_TEXTS = tuple(json.dumps(one) for one in _MEDIA)


def _fake_media(text: str) -> None:
    event = FakeMediaProtocol().parse(text)
    if isinstance(event, StreamStarted):
        for one in (
            event.stream_id,
            event.carrier_call_id,
            *event.parameters,
            *event.parameters.values(),
        ):
            require_text(one)
    elif isinstance(event, MarkReached):
        require_text(event.name)
    elif isinstance(event, StreamStopped):
        require_text(event.reason)
    else:
        require(event is None or isinstance(event, AudioReceived | DigitPressed), "no media event")


_FORMS = (
    b"CallSid=CA00&From=%2B15550009876&To=%2B15550001234&CallStatus=ringing",
    b"a=1&b=&c=%F0%9F%98%80+x",
    b"&".join(b"f%d=1" % number for number in range(198)),
)


def _form(body: bytes) -> None:
    fields = WebhookRequest("POST", "https://voice.example.com/webhooks/x/y", {}, body).form()
    require(len(fields) <= 200, "too many fields")
    for name, value in fields:
        require_text(name)
        require_text(value)


# -- tools

_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "day": {"type": "string", "enum": ["monday", "friday"]},
        "people": {"type": "integer"},
        "where": {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False},
        "list": {"type": "array", "items": {"type": "number"}},
        "other": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/other"}]},
    },
    "required": ["day"],
    "additionalProperties": False,
    "$defs": {"other": {"type": "boolean"}},
}  # fmt: skip
_STRICT: dict[str, Any] = {
    "type": "object",
    "properties": {"day": {"type": ["string", "null"]}},
    "required": ["day"],
    "additionalProperties": False,
}
_ARGUMENTS = (
    {"day": "monday", "people": 4, "where": {"city": "Bonn"}, "list": [1, 2.5], "other": True},
    {"day": "friday"},
)
_ARGUMENT_TEXTS = tuple(json.dumps(one) for one in _ARGUMENTS)


def _book(
    day: Literal["monday", "friday"],
    people: int = 2,
    where: dict[str, str] | None = None,
    list: list[float] | None = None,  # noqa: A002 - the name of the other tool's parameter
    other: bool = False,
) -> None:
    """Book a table."""


_TOOLS = (Tool("typed", "", None, _book), Tool("by_hand", "", _PARAMETERS, _book))


def _arguments(text: str) -> None:
    arguments = read_json_arguments(text)
    require(isinstance(arguments, dict), "arguments that are no object")
    for tool in _TOOLS:
        try:
            values = tool.read_arguments(arguments)
        except ValueError as problem:
            told = error_text(problem)
            require(json.loads(told).keys() == {"error"} and len(told) < 2000, "an unfit error for the model")
        else:
            require("day" in values, "arguments without the needed one")


def _schema(schema: Any) -> None:
    for strict in (False, True):
        try:
            check_schema("fuzzed", schema, strict=strict)
        except ConfigError as problem:
            require(len(str(problem)) < 20_000, "an endless error text")
            continue
        json.loads(json.dumps(schema, allow_nan=False))
        for arguments in (*_ARGUMENTS, {"day": [], "where": {}, "a": {}}):
            try:
                check_arguments(schema, arguments)
            except ValueError as problem:
                error_text(problem)


def _result(value: Any) -> None:
    text = result_text(value)
    require_text(text)
    require(len(text.encode()) <= LONGEST_RESULT, "a result that is too long")


def _json_value(seeds: tuple[Any, ...]) -> Any:
    def make(inputs: Inputs) -> Any:
        return inputs.changed(inputs.pick(seeds)) if inputs.random.random() < 0.8 else inputs.value()

    return make


# -- settings

_TOML = (
    (
        b'[phone]\nphone_number = "+15550001234"\nport = 8000\nmax_call_s = 60.5\ncarrier = "twilio"\n'
        b'[agent]\nstt = "deepgram/nova-3"\nlanguage = "de"\nvariables = {name = "Ada"}\nmin_silence_ms = 300\n'
        b'[stt.deepgram]\nkeyterms = ["a", "b"]\nwhen = 2024-01-01T10:00:00Z\n'
    ),
    (
        b'[agent]\nsystem_prompt = """\nHi {name}\n"""\nidle_prompt_s = 10\nidle_hangup_s = 20\ngain_control = -20\n'
        b'transfer_allowed_numbers = ["+15550001234"]\nturn_end = "vad"\nprewarm = true\n[phone]\nmax_calls = 5\n'
    ),
    b"[agent]\nself = 1\n[phone]\nself = 1\n",
)


def _settings_file(content: bytes) -> None:
    path = Path(_FOLDER.name, "patter.toml")
    path.write_bytes(content)
    file = read_settings(path, {})
    problems = []
    for read in (
        lambda: phone_settings({}, file, {}),
        lambda: effective_agent(Agent(), file, {}),
        lambda: file.provider("stt", "deepgram"),
    ):
        try:
            read()
        except ConfigError as problem:
            problems.append(str(problem))
    require(all(len(problem) < 5_000_000 for problem in problems), "an endless error text")


_NAMES = tuple(
    [row.variable for model in (PhoneSettings, Agent) for row in rows(model, "") if row.variable]
    + [variable.name for variable in VARIABLES]
    + ["PATTER_CONFIG"]
)
_VALUES = ("8000", "+15550001234", "https://voice.example.com", "127.0.0.1", "60.5", "1", "true", "silero, twilio",
           "deepgram/nova-3", "patter.toml", "inf", "nan", "de")  # fmt: skip


def _environment(text: str) -> None:
    name = _NAMES[zlib.crc32(text.encode("utf-8", "surrogatepass")) % len(_NAMES)]
    environ = {name: text}
    if name == "PATTER_CONFIG":
        read_settings(None, environ)
    PluginSettings.read(environ)
    settings = phone_settings({}, SettingsFile(), environ)
    require(0 < settings.max_call_s < math.inf, "a duration that is no number")
    effective_agent(Agent(), SettingsFile(), environ)


_REFERENCES = (
    "deepgram",
    "deepgram/nova-3?keyterms=a%2Cb&language=de",
    "openai/gpt-4.1-mini?temperature=0.2&api_key=s3cr3t-value",
    "local/models/a:b/c?path=%2Fmodels%2Fx&a=%26",
)


def _reference(text: str) -> None:
    try:
        reference = parse_reference(text)
    except ConfigError as problem:
        before, _, settings = text.partition("?")
        hidden = "s3cr3t" in settings and "s3cr3t" not in before
        require(not (hidden and "s3cr3t" in str(problem)), "an error that quotes a setting")
        require(len(str(problem)) < 1000, "an endless error text")
        return
    require(len(str(reference)) <= 2048, "a reference that is too long")
    require("s3cr3t" not in repr(reference) or "s3cr3t" in str(reference), "a repr that quotes a setting")
    require(all(isinstance(value, str) for value in reference.values.values()), "a setting that is no text")


def _agent_target(text: str) -> None:
    load_agent(text)


# -- addresses and numbers

_URL_LETTERS = set(string.ascii_letters + string.digits + "._-~/%:[]")


def _public_address(text: str) -> None:
    address = PublicAddress(text)
    require(set(address.base) <= _URL_LETTERS, f"an address with {set(address.base) - _URL_LETTERS}")
    stream = urlsplit(address.stream("carrier", "t" * 64))
    require(stream.scheme in ("ws", "wss") and stream.hostname, "no stream address")
    require(stream.netloc == urlsplit(address.base).netloc, "another host than the configured one")


_TOKENS = MediaTokens(Environment(), 60.0)
_TOKEN = _TOKENS.mint("call_1", "carrier")


def _token(text: str) -> None:
    require(text == _TOKEN or _TOKENS.take(text, "carrier") is None, "a token that was never minted")
    require(_TOKENS.take(text, "other") is None, "a token of another carrier")


_POLICIES = (
    TransferPolicy(sip=True),
    TransferPolicy([_PHONE_NUMBER], ["+49", "sip:a@"], sip=True),
    TransferPolicy(),
)
_NUMBER_LETTERS = set(string.ascii_letters + string.digits + "+:@._!~*'()&=$,%-;")


def _transfer(text: str) -> None:
    refused: InputError | None = None
    for policy in _POLICIES:
        try:
            number = policy.check(text)
        except InputError as error:
            refused = error
        else:
            require(set(number) <= _NUMBER_LETTERS and len(number) < 400, f"a transfer to {number!r}")
    if refused is not None:
        raise refused


# -- texts of models and callers

_SPEECH = (
    "Hello, **this** is Dr. Smith. It costs $3.50 (about 3 EUR)... Really?! Yes. `code` [link](https://a.b/c) ~~x~~",
    "# Title\n\n* one\n* two\n1. three\n> quoted\n| a | b |\n|---|---|\n",
    "你好。今天怎么样？👨‍👩‍👧 ok :) 🇩🇪",
)
#: a reply reaches the speech token by token, and no model says more in one
_LONGEST_SPEECH = 256 * 1024
_TERMS = blocked_terms(("credit card", "pin"))


def _speech(text: str) -> None:
    require(isinstance(filter_for_tts(text), str), "no text")
    chunker = SentenceChunker("en", aggressive_first_flush=len(text) % 2 == 0)
    search = TermSearch(_TERMS)
    step = max(1, len(text) // 7)
    for start in range(0, len(text), step):
        for sentence in chunker.feed(text[start : start + step]):
            search.finds(sentence)
    for sentence in chunker.flush():
        search.finds(sentence)


def _redacted(text: str) -> None:
    line = redact(text, ["s3cr3t"])
    require_text(line, LONGEST_QUOTE)
    require("s3cr3t" not in line, "a secret")
    require(not any(ord(one) < 32 or one in "\u2028\u2029\x7f\x85" for one in line), "a control character")


_PROMPTED = Agent(system_prompt="You talk to {name} ({a}).", first_message="Hi {name}, {unknown}!")


def _prompted(parameters: Any) -> None:
    texts = (
        {str(name): str(value) for name, value in parameters.items()}
        if isinstance(parameters, Mapping)
        else {}
    )
    prompts = prompts_of(_PROMPTED, {"name": str(parameters), **texts})
    require_text(prompts.system, 5000)
    require_text(prompts.first_message, 2000)


_RETRY = ("1", "0.5", "Wed, 21 Oct 2015 07:28:00 GMT", "120")


def _retry_after(text: str) -> None:
    seconds = parse_retry_after(text)
    require(seconds is None or 0 <= seconds <= 86_400, f"{seconds} s")


def _shallow(inputs: Inputs) -> dict[str, str]:
    return {inputs.letters(4): inputs.text(_SPEECH) for _ in range(2)}


# -- sound files

_WAV = (
    (
        b"RIFF\x2c\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00"
        b"data\x08\x00\x00\x00\x01\x00\x02\x00\x03\x00\x04\x00"
    ),
)


def _sound(content: bytes) -> None:
    path = Path(_FOLDER.name, "sound.wav")
    path.write_bytes(content)
    samples, rate = read_mono(path)
    require(samples.dtype == "int16" and rate >= 0, "no samples")


TARGETS = (
    Target("fake-media", "text", lambda one: one.text(_MEDIA_TEXTS, _MEDIA), _fake_media, (InputError,), 6),
    Target("webhook-form", "bytes", lambda one: one.octets(_FORMS)[:LONGEST_BODY], _form, (ValueError,), 3, LONGEST_BODY),
    Target("tool-arguments", "text", lambda one: one.text(_ARGUMENT_TEXTS, _ARGUMENTS), _arguments, (ValueError,), 4),
    Target("tool-schema", "json", _json_value((_PARAMETERS, _STRICT)), _schema, (), 4),
    Target("tool-result", "json", _json_value((_PARAMETERS, *_ARGUMENTS)), _result, (TypeError, ValueError), 3),
    Target("settings-file", "bytes", lambda one: one.octets(_TOML), _settings_file, (ConfigError,), 1),
    Target("environment", "text", lambda one: one.text(_VALUES), _environment, (ConfigError,), 1),
    Target("reference", "text", lambda one: one.text(_REFERENCES), _reference, (), 4),
    Target("cli-target", "text", lambda one: one.text(("fuzz_no_app:agent", "a.b.c:d", "json:agent")), _agent_target, (ConfigError,), 0.5),
    Target("webhook-url", "text", lambda one: one.text(("https://voice.example.com/eu", "http://127.0.0.1:8000", "http://[::1]:80")), _public_address, (ConfigError,), 3),
    Target("media-token", "text", lambda one: one.text((_TOKEN,)), _token, (), 2),
    Target("transfer-number", "text", lambda one: one.text((_PHONE_NUMBER, "sip:desk@example.com:5060")), _transfer, (InputError,), 3),
    Target("spoken-text", "text", lambda one: one.text(_SPEECH)[:_LONGEST_SPEECH], _speech, (), 1, _LONGEST_SPEECH),
    Target("quoted-text", "text", lambda one: one.text((*_SPEECH, "Authorization: Bearer s3cr3t x +15550001234")), _redacted, (), 2),
    Target("call-parameters", "json", _shallow, _prompted, (), 1),
    Target("retry-after", "text", lambda one: one.text(_RETRY), _retry_after, (), 2),
    Target("sound-file", "bytes", lambda one: one.octets(_WAV), _sound, (ValueError, OSError), 0.5),
)  # fmt: skip
