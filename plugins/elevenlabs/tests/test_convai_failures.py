"""What goes wrong, and what is told of it."""

from __future__ import annotations

import asyncio
import base64
import logging

import pytest
from simulated_convai import HELLO, KEY, SESSION, agent, engine_of, virtually

from patter.errors import (
    ConfigError,
    ProviderAuthError,
    ProviderDisconnected,
    ProviderError,
    ProviderTimeout,
)
from patter.providers.realtime import RealtimeSession
from patter.testing.engine_listener import EngineListener, now
from patter.testing.tones import speech_ms
from patter_elevenlabs.convai import METADATA_S
from patter_elevenlabs.convai_config import ElevenLabsConvaiConfig
from patter_elevenlabs.simulator import Faults


@pytest.mark.parametrize("refusal", ["status", "close"])
@pytest.mark.parametrize("wrong", ["key", "agent"])
def test_who_has_no_rights_is_refused(refusal, wrong):
    settings = {"key": {"api_key": "sk_wrong_key_0815"}, "agent": {"agent_id": "agent_other"}}[wrong]

    async def body(engine, simulator):
        with pytest.raises(ProviderAuthError) as caught:
            await engine.connect(SESSION)
        assert "sk_wrong" not in str(caught.value)
        assert caught.value.provider == "elevenlabs-convai"

    virtually(body, faults=Faults(refusal=refusal), **settings)


def test_a_public_agent_needs_no_key():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        assert "xi-api-key" not in simulator.conversations[0].headers

    virtually(body, agent(private=False), api_key=None)


@pytest.mark.parametrize(
    ("server", "disallowed", "error", "code"),
    [
        ({"overrides": frozenset()}, "error", ProviderError, "override_error"),
        ({"overrides": frozenset()}, "close", ProviderAuthError, "1008"),
        ({"required_variables": ("name",)}, "error", ProviderError, "missing_dynamic_variable"),
    ],
)
def test_what_the_agent_does_not_allow_is_an_error_that_says_so(server, disallowed, error, code):
    async def body(engine, simulator):
        with pytest.raises(error) as caught:
            await engine.connect(SESSION)
        assert caught.value.vendor_code == code
        assert "agent" in str(caught.value) or "dynamic_variables" in str(caught.value)
        with pytest.raises(ProviderDisconnected):
            await engine.send_audio(b"\xff")

    virtually(body, agent(**server), Faults(disallowed=disallowed))


def test_no_metadata_is_a_time_out():
    async def body(engine, simulator):
        begun = now()
        with pytest.raises(ProviderTimeout):
            await engine.connect(SESSION)
        assert now() - begun == pytest.approx(METADATA_S, abs=1)
        await asyncio.sleep(0.1)
        assert simulator.conversations[0].close_code is not None

    virtually(body, faults=Faults(no_metadata=True))


def test_a_format_that_nobody_knows_is_refused():
    async def body(engine, simulator):
        simulator.agent = agent(output_format="pcm_16000")
        await engine.connect(SESSION)
        conversation = simulator.conversations[0]
        assert engine._format({"f": "pcm_16000"}, "f").rate == 16000
        for unknown in ({}, {"f": "opus_48000_32"}, {"f": None}, {"f": ["ulaw_8000"]}):
            with pytest.raises(ProviderError, match="ulaw_8000"):
                engine._format(unknown, "f")
        assert conversation.close_code is None

    virtually(body)


@pytest.mark.parametrize("code", [1011, 1000, None])
def test_what_came_before_a_connection_was_lost_is_passed_on(code):
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await heard.until("closed")
        sent = [one for one in simulator.conversations[0].sent if one["type"] == "audio"]
        assert heard.audio == b"".join(base64.b64decode(one["audio_event"]["audio_base_64"]) for one in sent)

    virtually(body, faults=Faults(drop="greeting", drop_code=code))


@pytest.mark.parametrize("code", [1011, None])
def test_a_connection_that_is_lost_before_the_metadata_is_an_error(code):
    async def body(engine, simulator):
        with pytest.raises(ProviderDisconnected) as caught:
            await engine.connect(SESSION)
        assert caught.value.vendor_code == ("connection lost" if code is None else "1011")

    virtually(body, faults=Faults(drop="metadata", drop_code=code))


def test_broken_messages_between_the_good_ones_change_nothing():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await heard.until("response_done")
        assert heard.of("transcript_output")[0].text == HELLO
        assert len(heard.audio) == speech_ms(HELLO) * 8
        assert "error" not in heard.kinds

    virtually(body, faults=Faults(malformed=True))


@pytest.mark.parametrize(
    ("server", "reason", "kinds"),
    [
        ({"max_duration_s": 5.0}, "max_duration_exceeded", ["session_ready", "error", "closed"]),
        ({"silence_end_call_s": 4.0}, "1000", ["session_ready", "closed"]),
    ],
)
def test_the_vendors_limits_end_the_session(server, reason, kinds):
    async def body(engine, simulator):
        await engine.connect(RealtimeSession(""))
        heard = EngineListener(engine)
        await heard.until("closed")
        assert heard.kinds == kinds
        assert heard.events[-1].detail == reason

    virtually(body, agent(**server))


def test_the_key_is_in_no_log_url_error_or_repr(caplog):
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await heard.until("response_done")
        config = engine._config
        for shown in (repr(engine), repr(config), str(config), config.socket_url, repr(heard.events)):
            assert KEY not in shown
        wrong = engine_of(simulator, api_key="sk_canary_0815_secret")
        with pytest.raises(ProviderAuthError) as caught:
            await wrong.connect(SESSION)
        assert "canary" not in repr(caught.value)
        await wrong.close()

    with caplog.at_level(logging.DEBUG):
        virtually(body)
    assert KEY not in caplog.text
    assert "canary" not in caplog.text


def test_a_key_that_the_vendor_repeats_is_masked():
    async def body(engine, simulator):
        message = {"type": "error", "error_event": {"error_type": "unknown", "message": f"bad {KEY}\n!"}}
        error = engine._failure(message)
        assert KEY not in str(error)
        assert "\n" not in str(error)
        assert error.vendor_code == "unknown"

    virtually(body)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"agent_id": ""},
        {"agent_id": "a b"},
        {"agent_id": "a", "base_url": "wss://x.example"},
        {"agent_id": "a", "base_url": "https://user:pass@x.example"},
        {"agent_id": "a", "base_url": "https://x.example?token=1"},
        {"agent_id": "a", "api_key": "sk_a\r\nb"},
        {"agent_id": "a", "api_key": "sk_é"},
    ],
)
def test_settings_that_cannot_work_are_refused(settings):
    with pytest.raises(ConfigError) as caught:
        ElevenLabsConvaiConfig(**settings)
    assert "sk_" not in str(caught.value)


def test_the_address_of_a_residency():
    config = ElevenLabsConvaiConfig(agent_id="agent_1", base_url="https://api.eu.residency.elevenlabs.io/")
    assert config.socket_url == (
        "wss://api.eu.residency.elevenlabs.io/v1/convai/conversation?agent_id=agent_1"
    )
    assert config.headers == {}
