"""Sessions that outlive their connections, that are parked, and where Patter decides about turns."""

from __future__ import annotations

import asyncio
import json

import pytest
from simulated_live import HELLO, KEY, LED, SESSION, virtually

from patter.errors import ProviderDisconnected
from patter.prewarm.warming import Warmable
from patter.providers.llm import ToolSpec
from patter.providers.realtime import RealtimeSession
from patter.testing.engine_listener import EngineListener, now, responses_of, say_to
from patter_google.simulator import Faults, SimulatedTool, SimulatedTurn, Terms

SHORT = Terms(connection_s=20, notice_s=8)
BOOK = ToolSpec("book", "Books.", {"type": "object", "properties": {"people": {"type": "integer"}}})
TOOLS = (BOOK, ToolSpec("transfer_call", "Transfers."), ToolSpec("end_call", "Ends."))


# -- resumption


def test_a_connection_that_is_to_go_away_is_replaced_between_two_turns():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await say_to(engine)
        await heard.until("response_done")
        await asyncio.sleep(13 - now())
        await say_to(engine, 200)
        assert len(simulator.connections) == 2
        first, second = simulator.connections
        assert first.close_code == 1000
        handle = second.setup["sessionResumption"]["handle"]
        assert handle.startswith("handle-1-")
        assert "handle" not in first.setup["sessionResumption"]
        assert second.model is first.model
        assert second.setup | {"sessionResumption": {}} == first.setup
        await heard.until("response_done", 2)
        assert heard.texts("transcript_output") == ["One.", "Two."]
        assert not {"closed", "error"} & set(heard.kinds)
        assert [text for role, text in second.model.history if role == "model"] == ["One.", "Two."]

    virtually(body, (SimulatedTurn("1", "One."), SimulatedTurn("2", "Two.")), terms=SHORT)


def test_what_is_said_while_it_is_replaced_is_not_lost():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await say_to(engine, 100, then_s=2)  # for a handle
        simulator.faults = Faults(ack_s=0.5)
        await asyncio.sleep(12 - now())
        model = simulator.connections[0].model
        before = len(model.audio)
        await say_to(engine, 600)
        assert len(model.audio) - before == 600 * 32
        await heard.until("response_done", 2)

    virtually(body, (SimulatedTurn("1", "One."),), terms=SHORT)


def test_an_answer_under_way_is_heard_before_the_connection_is_replaced():
    reply = "That is a long story. " * 4

    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await asyncio.sleep(11.2 - now())
        await say_to(engine)
        await heard.until("response_done")
        assert len(simulator.connections) == 1
        await asyncio.sleep(0.5)
        assert len(simulator.connections) == 2
        assert heard.of("response_done")[0].status == "completed"
        assert "".join(heard.texts("transcript_output")) == reply.strip()

    virtually(body, (SimulatedTurn("1", reply),), terms=SHORT)


def test_a_connection_without_a_handle_is_used_up_to_its_end():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await heard.until("closed")
        assert round(now()) == 20
        assert heard.events[-1].detail == "1008"

    virtually(body, faults=Faults(not_resumable=True), terms=SHORT)


def test_a_session_that_cannot_be_resumed_is_lost():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await asyncio.sleep(1)
        simulator.handles.clear()
        await heard.until("closed")
        assert heard.events[-1].detail == "not resumed: ProviderError"
        await engine.send_audio(bytes(640))

    virtually(body, terms=SHORT)


@pytest.mark.parametrize("compression", [True, False])
def test_the_length_of_a_session_is_limited_only_without_compression(compression):
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await asyncio.sleep(1000)
        assert ("closed" in heard.kinds) is not compression

    virtually(body, terms=Terms(connection_s=2000), compression=compression)


# -- parking


@pytest.mark.parametrize(
    "session",
    [
        RealtimeSession("Be kind.", tools=TOOLS, language="de", first_message=HELLO),
        RealtimeSession("Be kind.", tools=TOOLS[1:], patter_decides=True),
    ],
)
def test_a_parked_session_is_set_up_byte_for_byte_as_a_live_one(session):
    async def body(engine, simulator):
        assert Warmable.of("gemini_live", engine, session).parks
        await engine.connect(session)
        handle = await engine.open_parked_connection(session)
        live, parked = simulator.connections
        assert live.raw_setup == parked.raw_setup
        await engine.adopt_websocket(handle)
        await engine.adopt_websocket(handle)
        assert live.close_code is not None or await _closes(live)
        assert parked.received == [{"setup": parked.setup}]
        heard = EngineListener(engine)
        await engine.request_response(HELLO)
        await heard.until("response_done")
        assert heard.kinds[0] == "session_ready"
        assert heard.texts("transcript_output") == [HELLO]
        assert len(simulator.connections) == 2

    virtually(body, voice="Puck")


async def _closes(connection):
    await asyncio.sleep(0.1)
    return connection.close_code == 1000


def test_what_comes_before_the_acknowledgement_is_kept():
    async def body(engine, simulator):
        handle = await engine.open_parked_connection(SESSION)
        await asyncio.sleep(15)
        await engine.adopt_websocket(handle)
        heard = EngineListener(engine)
        await asyncio.sleep(1)
        assert len(simulator.connections) == 2, "it was told to go away while nobody read"
        await say_to(engine)
        await heard.until("response_done")

    virtually(body, terms=SHORT)


def test_only_an_open_session_is_adopted():
    async def body(engine, simulator):
        handle = await engine.open_parked_connection(SESSION)
        simulator.connections[0].abort()
        await asyncio.sleep(0.1)
        with pytest.raises(ProviderDisconnected):
            await engine.adopt_websocket(handle)

    virtually(body)


# -- Patter decides


def test_where_patter_decides_nothing_is_answered_or_stopped_unasked():
    async def body(engine, simulator):
        await engine.connect(LED)
        (connection,) = simulator.connections
        detection = connection.setup["realtimeInputConfig"]["automaticActivityDetection"]
        assert detection == {"disabled": True}
        heard = EngineListener(engine)
        await say_to(engine, 400, then_s=3)
        assert heard.kinds == ["session_ready", "transcript_input"]
        await engine.request_response()
        await heard.until("audio")
        await say_to(engine, 400)
        await heard.until("response_done")
        assert heard.of("response_done")[0].status == "completed"
        assert "interrupted" not in heard.kinds
        members = [name for one in connection.received for name in one.get("realtimeInput", ())]
        assert members == ["activityStart", "activityEnd"]

    virtually(body)


def test_where_patter_decides_giving_up_a_response_stops_the_model_and_hands_over_what_was_said():
    async def body(engine, simulator):
        await engine.connect(LED)
        heard = EngineListener(engine)
        await say_to(engine, 200)
        await engine.request_response()
        await heard.until("audio")
        (connection,) = simulator.connections
        before = len(connection.model.audio)
        await say_to(engine, 400)
        assert len(connection.model.audio) == before
        await engine.cancel_response(heard.of("response_started")[0].response_id)
        await asyncio.sleep(0.1)
        assert len(connection.model.audio) - before == 400 * 32, "each frame once, in order"
        assert any(one.get("serverContent", {}).get("interrupted") for one in connection.sent)
        await say_to(engine, 200, then_s=0.5)
        await engine.request_response()
        await heard.until("response_done", 2)
        assert [one.status for one in heard.of("response_done")] == ["cancelled", "completed"]
        assert heard.texts("transcript_output")[-1] == "Two."
        assert "interrupted" not in heard.kinds, "that was Patter"
        responses_of(heard.events)
        members = [name for one in connection.received for name in one.get("realtimeInput", ())]
        assert members == ["activityStart", "activityEnd"] * 2

    virtually(body, (SimulatedTurn("1", "One, and then some more of it."), SimulatedTurn("2", "Two.")))


def test_where_patter_decides_it_goes_on_after_functions_without_being_asked():
    turn = SimulatedTurn("When?", "From 8 to 6.", SimulatedTool("hours"))

    async def body(engine, simulator):
        await engine.connect(LED)
        heard = EngineListener(engine)
        await say_to(engine, 200)
        await engine.request_response()
        await heard.until("response_done")
        await engine.send_tool_result("call-1", json.dumps({"from": 8}))
        await engine.request_response()
        await heard.until("response_done", 2)
        assert heard.texts("transcript_output") == [turn.reply]
        assert KEY not in repr(heard.events)

    virtually(body, (turn,))


def test_what_is_said_during_an_answer_is_kept_for_half_a_minute():
    reply = "That is a long story. " * 30

    async def body(engine, simulator):
        await engine.connect(LED)
        heard = EngineListener(engine)
        await say_to(engine, 100)
        await engine.request_response()
        await heard.until("audio")
        (connection,) = simulator.connections
        before = len(connection.model.audio)
        await say_to(engine, 35_000)
        await heard.until("response_done")
        await asyncio.sleep(0.2)
        await say_to(engine, 20)
        assert len(connection.model.audio) - before == 30_020 * 32

    virtually(body, (SimulatedTurn("1", reply),))
