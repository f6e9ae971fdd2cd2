"""Sessions opened while the phone rings (PW-03, PW-10, PW-14)."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from simulated_realtime import collect, heard, make, of_kind, virtually

from patter.audio.formats import MULAW_8K
from patter.errors import ProviderDisconnected, ProviderError
from patter.prewarm.warming import Warmable
from patter.providers.llm import ToolSpec
from patter.providers.realtime import RealtimeSession
from patter.testing.tones import speech_ms

TOOLS = tuple(ToolSpec(name, f"{name}.") for name in ("book", "transfer_call", "end_call"))
SESSIONS = [
    RealtimeSession("Be kind.", tools=TOOLS, language="de", first_message="Hello."),
    RealtimeSession("Be kind.", tools=TOOLS[1:], patter_decides=True),
]


@pytest.mark.parametrize("session", SESSIONS)
def test_a_parked_session_is_set_up_byte_for_byte_as_a_live_one(session):
    async def body(engine, simulator):
        live = make(simulator, reasoning_effort="low", voice="cedar")
        await live.connect(session)
        await live.close()
        parking = make(simulator, reasoning_effort="low", voice="cedar")
        assert Warmable.of("openai_realtime", parking, session).parks
        handle = await parking.open_parked_connection(session)
        await asyncio.sleep(0.01)  # it does not wait for the server to have read its settings
        before = len(simulator.sessions[1].received)
        await parking.adopt_websocket(handle)
        first, second = simulator.sessions
        assert [json.dumps(one) for one in second.instructed] == [json.dumps(one) for one in first.instructed]
        for one in (first, second):
            assert one.headers.pop("Sec-WebSocket-Key")  # which the handshake draws
        assert (second.headers, second.query) == (first.headers, first.query)
        set_up = second.instructed[0]["session"]
        assert [tool["name"] for tool in set_up["tools"]] == [tool.name for tool in session.tools]
        assert set_up["reasoning"] == {"effort": "low"}
        assert set_up["audio"]["output"]["voice"] == "cedar"
        await parking.request_response("Hello.")
        events = await collect(parking, of_kind("response_done"))
        assert events[0].kind == "session_ready"
        assert heard(events, MULAW_8K) == [(0, speech_ms("Hello."))]
        assert len(second.received) == before + 1, "adopting sent nothing"
        assert len(simulator.sessions) == 2
        await parking.close()

    virtually(body)


def test_only_an_open_session_is_adopted_and_the_same_one_only_once():
    async def body(engine, simulator):
        handle = await engine.open_parked_connection(SESSIONS[0])
        await handle.close()
        await handle.close()
        with pytest.raises(ProviderDisconnected):
            await engine.adopt_websocket(handle)
        first = await engine.open_parked_connection(SESSIONS[0])
        second = await engine.open_parked_connection(SESSIONS[1])
        await engine.adopt_websocket(first)
        await engine.adopt_websocket(first)
        assert first.is_open
        await engine.adopt_websocket(second)
        assert (first.is_open, second.is_open) == (False, True)
        assert (await engine.restore())["create_response"] is False  # as the adopted session has it

    virtually(body)


def test_a_session_that_the_server_ended_while_it_was_parked_is_not_adopted():
    async def body(engine, simulator):
        handle = await engine.open_parked_connection(SESSIONS[0])
        simulator.sessions[0]._expire()
        await asyncio.sleep(0.1)
        with pytest.raises(ProviderDisconnected):
            await engine.adopt_websocket(handle)

    virtually(body)


def test_a_refused_parking_quotes_neither_key_nor_address(caplog):
    async def body(engine, simulator):
        stranger = make(simulator, api_key="plain-word-9f81c6")
        with caplog.at_level(logging.DEBUG), pytest.raises(ProviderError) as raised:
            await stranger.open_parked_connection(SESSIONS[0])
        own = [record.getMessage() for record in caplog.records if record.name != "aiohttp.access"]
        text = f"{raised.value}{raised.value!r}{own}"
        assert "401" in str(raised.value)
        assert "plain-word" not in text
        assert "model=" not in text

    virtually(body)
