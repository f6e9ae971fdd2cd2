"""What goes wrong, and what is told of it: typed errors, one `closed`, and no secrets."""

from __future__ import annotations

import asyncio
import logging

import pytest
from simulated_live import HELLO, KEY, SESSION, virtually

from patter.errors import (
    ConfigError,
    ProviderAuthError,
    ProviderDisconnected,
    ProviderError,
    ProviderTimeout,
    RateLimitedError,
)
from patter.testing.engine_listener import EngineListener, now, say_to
from patter_google.live_config import GeminiLiveConfig
from patter_google.simulator import Faults, SimulatedTurn


@pytest.mark.parametrize(
    ("faults", "kind", "code"),
    [
        (Faults(status=401), ProviderAuthError, "401"),
        (Faults(status=429), RateLimitedError, "429"),
        (Faults(status=503), ProviderDisconnected, "503"),
        (
            Faults(refusal=(1007, "API key not valid. Please pass a valid API key.")),
            ProviderAuthError,
            "1007",
        ),
        (Faults(refusal=(1011, "You exceeded your current quota.")), RateLimitedError, "1011"),
        (Faults(refusal=(1011, "Service unavailable.")), ProviderDisconnected, "1011"),
        (Faults(refusal=(1008, "models/x is not found for API version v1")), ProviderError, "1008"),
    ],
)
def test_a_session_that_is_refused_is_a_typed_error(faults, kind, code):
    async def body(engine, simulator):
        with pytest.raises(kind) as caught:
            await engine.connect(SESSION)
        assert type(caught.value) is kind
        assert caught.value.vendor_code == code
        assert KEY not in str(caught.value)
        simulator.faults = Faults()
        await engine.connect(SESSION)

    virtually(body, faults=faults)


def test_a_setting_that_the_vendor_does_not_know_is_named():
    async def body(engine, simulator):
        with pytest.raises(ProviderError, match="sorcery"):
            await engine.connect(SESSION)

    virtually(body, extra_setup={"sorcery": True})


def test_no_acknowledgement_is_a_time_out():
    async def body(engine, simulator):
        with pytest.raises(ProviderTimeout, match="connect_s=3"):
            await engine.connect(SESSION)
        assert round(now()) == 3

    virtually(body, faults=Faults(no_ack=True), connect_s=3)


def test_a_slow_acknowledgement_is_waited_for():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        assert now() >= 2
        await engine.send_audio(bytes(640))
        await asyncio.sleep(0.1)
        assert simulator.connections[0].close_code is None

    virtually(body, faults=Faults(ack_s=2))


@pytest.mark.parametrize("code", [1000, 1011, None])
def test_a_connection_that_is_lost_in_mid_answer_is_told_once(code):
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await say_to(engine)
        await heard.until("closed")
        await heard.task
        assert heard.events[-1].detail == (str(code) if code else "connection lost")
        assert "response_done" not in heard.kinds, "it was not over"
        assert heard.audio
        await engine.send_audio(bytes(640))
        await engine.request_response(HELLO)
        await engine.connect(SESSION)
        simulator.faults = Faults()

    virtually(body, faults=Faults(drop=0, drop_code=code))


def test_the_vendor_may_interrupt_a_text_that_was_asked_for():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await engine.request_response(HELLO)
        await heard.until("response_done")
        assert [event.detail for event in heard.of("interrupted")] == ["interrupted"]
        await engine.request_response(HELLO)
        await heard.until("response_done", 2)
        assert [event.status for event in heard.of("response_done")] == ["cancelled", "completed"]

    virtually(body, faults=Faults(cancels=1))


def test_late_pongs_lose_no_connection():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await asyncio.sleep(120)
        await say_to(engine)
        await heard.until("response_done")

    virtually(body, (SimulatedTurn("1", "One."),), faults=Faults(pong_s=30))


def test_closing_takes_no_longer_than_it_may_when_nobody_answers():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await asyncio.sleep(0.1)
        begun = now()
        await engine.close()
        await engine.close()
        assert now() - begun < 1
        await heard.task
        assert heard.kinds == ["session_ready"]
        await engine.send_audio(bytes(640))

    virtually(body, faults=Faults(no_close=True))


def test_closing_while_it_connects_leaves_no_session_open():
    async def body(engine, simulator):
        connecting = asyncio.ensure_future(engine.connect(SESSION))
        await asyncio.sleep(0.5)
        await engine.close()
        with pytest.raises(ProviderDisconnected):
            await connecting
        await asyncio.sleep(0.5)
        assert all(one.close_code is not None for one in simulator.connections)

    virtually(body, faults=Faults(ack_s=1))


def test_it_is_connected_before_it_is_used():
    async def body(engine, simulator):
        for use in (
            engine.send_audio(b"\0\0"),
            engine.request_response(),
            engine.send_tool_result("x", "y"),
            anext(aiter(engine.receive())),
        ):
            with pytest.raises(ProviderDisconnected, match="connect"):
                await use

    virtually(body)


def test_the_key_is_in_no_log_event_error_or_repr(caplog):
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await engine.request_response(HELLO)
        await heard.until("response_done")
        link = engine._link
        for shown in (
            repr(engine),
            repr(link),
            repr(engine._config),
            str(engine._config),
            repr(heard.events),
        ):
            assert KEY not in shown
        assert "key=" not in engine._config.socket_url
        simulator.key = "another"
        with pytest.raises(ProviderAuthError) as caught:
            await engine.connect(SESSION)
        assert KEY not in f"{caught.value}{caught.value!r}"
        assert "GEMINI_API_KEY" in str(caught.value)

    with caplog.at_level(logging.DEBUG):
        virtually(body)
    ours = [one.getMessage() for one in caplog.records if not one.name.startswith("aiohttp.access")]
    assert KEY not in "".join(ours)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"api_key": " "},
        {"api_key": "key_a\r\nb"},
        {"api_key": "key_é"},
        {"api_key": "key_a", "base_url": "wss://x.example"},
        {"api_key": "key_a", "base_url": "https://user:pass@x.example"},
        {"api_key": "key_a", "base_url": "https://x.example?key=key_a"},
        {"api_key": "key_a", "temperature": 3},
        {"api_key": "key_a", "silence_duration_ms": -1},
        {"api_key": "key_a", "start_sensitivity": "none"},
    ],
)
def test_settings_that_cannot_work_are_refused(settings):
    with pytest.raises(ConfigError) as caught:
        GeminiLiveConfig(**settings)
    assert "key_" not in str(caught.value).replace("api_key", "")
