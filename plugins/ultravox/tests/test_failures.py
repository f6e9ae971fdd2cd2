"""What goes wrong, and what is told of it."""

from __future__ import annotations

import asyncio
import logging

import pytest
from simulated_ultravox import KEY, SESSION, engine_of, virtually

from patter.errors import (
    ConfigError,
    ProviderAuthError,
    ProviderDisconnected,
    ProviderError,
    ProviderTimeout,
    RateLimitedError,
)
from patter.providers.realtime import RealtimeSession
from patter.testing.engine_listener import EngineListener, now, say_to
from patter_ultravox.config import UltravoxConfig
from patter_ultravox.simulator import Faults, SimulatedTurn


def test_a_wrong_key_is_refused_and_shown_nowhere(caplog):
    async def body(engine, simulator):
        for doing in (engine.connect(SESSION), engine.warmup()):
            with pytest.raises(ProviderAuthError) as caught:
                await doing
            assert "canary" not in str(caught.value)
            assert "ULTRAVOX_API_KEY" in str(caught.value)
            assert caught.value.provider == "ultravox"

    with caplog.at_level(logging.DEBUG):
        virtually(body, api_key="canary-0815-secret-key")
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ProviderError),
        (402, ProviderError),
        (403, ProviderAuthError),
        (429, RateLimitedError),
        (500, ProviderError),
        (504, ProviderTimeout),
    ],
)
def test_a_call_that_is_not_made_is_a_typed_error(status, error):
    async def body(engine, simulator):
        with pytest.raises(error) as caught:
            await engine.connect(SESSION)
        assert caught.value.vendor_code == str(status)
        assert simulator.calls == []

    virtually(body, faults=Faults(create_status=status))


def test_a_setting_that_the_vendor_does_not_know_is_told():
    async def body(engine, simulator):
        with pytest.raises(ProviderError, match="unknown fields") as caught:
            await engine.connect(SESSION)
        assert caught.value.vendor_code == "400"

    virtually(body, extra_body={"noSuchField": 1})


def test_a_slow_answer_is_a_time_out():
    async def body(engine, simulator):
        begun = now()
        with pytest.raises(ProviderTimeout):
            await engine.connect(SESSION)
        assert now() - begun == pytest.approx(3, abs=0.1)

    virtually(body, faults=Faults(create_s=30), create_s=3)


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"joinUrl": None},
        {"joinUrl": ""},
        {"joinUrl": "http://uv.example/join"},
        {"joinUrl": "ws://"},
        {"joinUrl": "ws://[uv.example/"},
        {"joinUrl": "ws://uv.example/" + "a" * 5000},
        {"joinUrl": "ws://uv.example/\r\nX: y"},
    ],
)
def test_an_answer_that_names_no_place_to_join_is_an_error(answer):
    async def body(engine, simulator):
        with pytest.raises(ProviderError) as caught:
            await engine.connect(SESSION)
        assert caught.value.vendor_code == "no_join_url"

    virtually(body, faults=Faults(answer=answer))


def test_a_join_url_that_is_refused_is_an_error_that_does_not_show_it():
    async def body(engine, simulator):
        with pytest.raises(ProviderDisconnected) as caught:
            await engine.connect(SESSION)
        assert "join/" not in str(caught.value)
        assert simulator.calls[0].may_be_joined(), "nobody came"

    virtually(body, faults=Faults(join="refused"))


def test_a_socket_that_closes_at_once_is_a_session_that_is_closed():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await heard.until("closed")
        assert heard.kinds == ["session_ready", "closed"]
        assert heard.events[-1].detail == "1011"

    virtually(body, faults=Faults(join="closed"))


@pytest.mark.parametrize("how", ["the agent hangs up", "the longest call is over"])
def test_the_vendors_end_of_a_call_is_the_sessions(how):
    async def body(engine, simulator):
        await engine.connect(RealtimeSession(""))
        heard = EngineListener(engine)
        if how == "the agent hangs up":
            await say_to(engine)
        await heard.until("closed")
        assert heard.events[-1].detail == "1000"
        reason = "agent_hangup" if how == "the agent hangs up" else "timeout"
        assert simulator.calls[0].end_reason == reason
        assert all(event.status == "completed" for event in heard.of("response_done"))

    virtually(body, (SimulatedTurn("Bye.", "Goodbye.", ends_call=True),), max_duration_s=20)


def test_warming_fails_quietly_unless_it_was_closed_and_closing_hangs_up():
    async def body(engine, simulator):
        nobody = engine_of(simulator, engine._context, base_url="http://nobody.example/api")
        await nobody.warmup()
        await engine.connect(SESSION)
        await engine.close()
        with pytest.raises(ProviderDisconnected):
            await engine.warmup()
        await asyncio.sleep(0.1)
        assert simulator.calls[0].end_reason == "hangup"

    virtually(body)


def test_closing_while_it_connects_leaves_no_call_open():
    async def body(engine, simulator):
        connecting = asyncio.ensure_future(engine.connect(SESSION))
        await asyncio.sleep(0.5)
        await engine.close()
        with pytest.raises(ProviderDisconnected):
            await connecting
        await asyncio.sleep(0.5)
        assert [call.end_reason for call in simulator.calls] == ["hangup"]

    virtually(body, faults=Faults(create_s=1))


def test_neither_the_key_nor_the_join_url_is_in_a_log_an_event_or_a_repr(caplog):
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await heard.until("response_done")
        for shown in (repr(engine), repr(engine._config), str(engine._config), repr(heard.events)):
            assert KEY not in shown
            assert "join/" not in shown

    with caplog.at_level(logging.DEBUG, logger="patter"), caplog.at_level(logging.DEBUG, "websockets"):
        virtually(body)
    ours = [one.getMessage() for one in caplog.records if not one.name.startswith("aiohttp.access")]
    assert KEY not in "".join(ours)
    assert "join/" not in "".join(ours)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"api_key": " "},
        {"api_key": "key_a\r\nb"},
        {"api_key": "key_é"},
        {"api_key": "key_a", "base_url": "wss://x.example"},
        {"api_key": "key_a", "base_url": "https://user:pass@x.example"},
        {"api_key": "key_a", "base_url": "https://x.example?token=1"},
        {"api_key": "key_a", "input_rate": 8001},
        {"api_key": "key_a", "temperature": 3},
    ],
)
def test_settings_that_cannot_work_are_refused(settings):
    with pytest.raises(ConfigError) as caught:
        UltravoxConfig(**settings)
    assert "key_" not in str(caught.value).replace("api_key", "")
