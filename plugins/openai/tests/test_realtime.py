"""The engine against its simulator, in virtual time; every message is judged by the vendor's own models."""

from __future__ import annotations

import asyncio
import logging

import pytest
from simulated_realtime import KEY, SESSION, collect, heard, make, of_kind, says, virtually

from patter.audio.convert import Converter
from patter.audio.formats import ALAW_8K, MULAW_8K, PCM16_8K, PCM16_24K
from patter.errors import (
    ProviderAuthError,
    ProviderDisconnected,
    ProviderError,
    ProviderTimeout,
    RateLimitedError,
)
from patter.plugins.manager import PluginManager
from patter.providers.llm import Message, ToolSpec
from patter.providers.realtime import RealtimeSession
from patter.records import RealtimeRecord
from patter.testing.memory_network import MemoryNetwork
from patter.testing.tones import speech_ms, tone
from patter_openai.realtime_simulator import FunctionCall, RealtimeFaults, Spoken

GREETING = "Hello, Acme here."
TOOL = ToolSpec("book", "Books a table.")


def kinds(events):
    return [event.kind for event in events]


def sent_types(simulator, connection=0):
    return [message["type"] for message in simulator.sessions[connection].instructed]


def detections(simulator, connection=0):
    return [
        message["session"]["audio"]["input"]["turn_detection"]
        for message in simulator.sessions[connection].instructed
        if message["type"] == "session.update"
    ]


def test_the_record_declares_what_the_engine_can_do():
    record = PluginManager(allow=["openai"]).records_of(RealtimeRecord)["openai-realtime"]
    flags = ("turn_events", "client_interrupt", "truncate", "reconnect", "ack", "native_greeting", "default")
    assert [getattr(record, flag) for flag in flags] == [True, True, True, True, True, False, False]


def test_the_upgrade_has_a_bearer_and_nothing_of_the_retired_protocol():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        (session,) = simulator.sessions
        assert session.headers["Authorization"] == f"Bearer {KEY}"
        assert not [name for name in session.headers if name.lower().startswith("openai")]
        assert session.query == {"model": "gpt-realtime-2.1"}
        assert KEY not in repr(engine) + repr(engine._link)

    virtually(body)


def test_a_greeting_is_asked_for_back_to_back_with_its_protection_and_heard_whole():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        sent = await engine.guard()
        await engine.request_response(GREETING)
        events = await collect(engine, of_kind("response_done"))
        assert events[-1].status == "completed"
        assert heard(events, MULAW_8K) == [(0, speech_ms(GREETING))]
        assert [e.text for e in events if e.kind == "transcript_output" and e.final] == [GREETING]
        assert sent_types(simulator) == ["session.update", "session.update", "response.create"]
        received = simulator.sessions[0].received
        assert received[1][0] == received[2][0]
        own, guarded = detections(simulator)
        assert guarded == {**own, "create_response": False, "interrupt_response": False} == sent
        echoes = [event.echo for event in events if event.kind == "session_ready"]
        assert [echo.guarded for echo in echoes] == [False, False, True]
        assert not any(item.data["role"] == "user" for item in simulator.sessions[0].conversation.items)

    virtually(body)


@pytest.mark.parametrize("patter_decides", [False, True])
def test_restoring_brings_back_the_settings_of_the_mode(patter_decides):
    async def body(engine, simulator):
        await engine.connect(RealtimeSession("", patter_decides=patter_decides))
        await engine.guard()
        restored = await engine.restore()
        await collect(engine, lambda event: event.kind == "session_ready" and len(detections(simulator)) == 3)
        first, guarded, last = detections(simulator)
        assert last == first == restored
        assert last["silence_duration_ms"] == guarded["silence_duration_ms"] == 900
        assert last["create_response"] is last["interrupt_response"] is (not patter_decides)

    virtually(body, settings={"silence_duration_ms": 900})


def test_a_turn_of_the_caller_is_answered_and_transcribed():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        talking = asyncio.ensure_future(says(engine, 3))
        events = await collect(engine, lambda event: event.kind == "transcript_input" and event.final)
        await talking
        told = kinds(events)
        assert told.index("speech_started") < told.index("speech_stopped") < told.index("response_started")
        assert told.index("response_done") < told.index("transcript_input")  # it may come after everything
        assert (events[-1].text, events[-1].item_id) == (
            "tone 3",
            next(event.item_id for event in events if event.kind == "speech_started"),
        )
        assert heard(events, MULAW_8K) == [(0, speech_ms("You said: tone 3"))]
        assert bytes(simulator.sessions[0].heard[:480]) == tone(3, 60, MULAW_8K)

    virtually(body, faults=RealtimeFaults(transcription_delay_s=(2.0, 2.0)))


def test_an_interruption_by_the_engine_is_told_before_the_response_ends():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        await engine.request_response("A very long answer that nobody wants to hear to its end. " * 5)
        await collect(engine, of_kind("audio"))
        talking = asyncio.ensure_future(says(engine, 3, silence_ms=0))
        events = await collect(engine, of_kind("response_done"))
        talking.cancel()
        assert kinds(events)[-3:] == ["usage", "interrupted", "response_done"]
        assert (events[-2].detail, events[-1].status) == ("turn_detected", "cancelled")
        assert kinds(events).index("speech_started") < kinds(events).index("interrupted")

    virtually(body, speed=1.0)


@pytest.mark.parametrize(
    "spelling",
    [
        ("response.done",),
        ("response.cancelled", "response.done"),
        ("response.canceled", "response.done"),
        ("response.cancelled", "response.canceled", "response.done"),
        ("response.canceled",),
    ],
)
def test_a_cancelled_greeting_ends_once_in_every_spelling(spelling):
    async def body(engine, simulator):
        await engine.connect(SESSION)
        await engine.request_response(GREETING)
        events = await collect(engine, of_kind("response_done"))
        await engine.request_response(GREETING)
        events += await collect(engine, of_kind("response_done"))
        assert kinds(events).count("interrupted") == 1
        assert [event.status for event in events if event.kind == "response_done"] == [
            "cancelled",
            "completed",
        ]
        first = next(event.response_id for event in events if event.kind == "response_started")
        cut = [event for event in events if event.response_id == first]
        assert kinds(cut)[-1] == "response_done"
        assert MULAW_8K.duration_ms(sum(len(event.audio) for event in cut)) < speech_ms(GREETING)

    virtually(body, faults=RealtimeFaults(cancels=1, cancel_events=spelling))


def test_a_response_that_we_cancel_falls_silent_at_once():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        await engine.request_response("A very long answer that nobody wants to hear to its end. " * 5)
        events = await collect(engine, of_kind("audio"))
        response_id = events[-1].response_id
        await engine.cancel_response(response_id)
        await engine.cancel_response(response_id)  # the second is a race, and no error
        rest = await collect(engine, of_kind("response_done"))
        assert not {"audio", "interrupted", "error"} & set(kinds(rest))
        assert (rest[-1].status, rest[-1].detail) == ("cancelled", "client_cancelled")
        await engine.request_response(GREETING)
        assert (await collect(engine, of_kind("response_done")))[-1].status == "completed"

    virtually(body, network=MemoryNetwork(latency_s=0.03))


@pytest.mark.parametrize(("heard_ms", "expected_ms"), [(200, 200), (5_000, 1020)])
def test_an_item_is_cut_to_what_was_heard_and_never_beyond_what_there_is(heard_ms, expected_ms):
    async def body(engine, simulator):
        await engine.connect(SESSION)
        await engine.request_response(GREETING)
        events = await collect(engine, of_kind("response_done"))
        await engine.truncate(events[-1].item_id, heard_ms)
        await engine.guard()
        assert kinds(await collect(engine, of_kind("error", "session_ready"))) == ["session_ready"]
        (item,) = simulator.sessions[0].conversation.items
        assert item.audio_ms == expected_ms
        assert item.text == ""
        await engine.truncate(events[-1].item_id, 0)
        await engine.guard()
        await collect(engine, of_kind("error", "session_ready"))
        assert simulator.sessions[0].conversation.items == []

    virtually(body)


def test_tools_are_called_and_their_results_make_no_response_by_themselves():
    calls = (FunctionCall("book", '{"people": 4}'), FunctionCall("book", '{"people": 5}'))

    def model(asked):
        outputs = [text for role, text in asked.heard if role == "function_call_output"]
        return f"Booked {' and '.join(outputs)}." if outputs else Spoken("One moment.", calls)

    async def body(engine, simulator):
        await engine.connect(RealtimeSession("", tools=(TOOL,)))
        await engine.request_response()
        events = await collect(engine, of_kind("response_done"))
        called = [event.call for event in events if event.kind == "function_call"]
        assert [(call.name, call.arguments) for call in called] == [
            (one.name, one.arguments) for one in calls
        ]
        for number, call in enumerate(called):
            await engine.send_tool_result(call.id, f"table {number}")
        await asyncio.sleep(5)
        assert sent_types(simulator).count("response.create") == 1
        await engine.request_response()
        events = await collect(engine, of_kind("response_done"))
        assert [e.text for e in events if e.kind == "transcript_output" and e.final] == [
            "Booked table 0 and table 1."
        ]

    virtually(body, model)


def test_the_greeting_is_said_without_tools():
    async def body(engine, simulator):
        await engine.connect(RealtimeSession("", tools=(TOOL,)))
        await engine.request_response(GREETING)
        events = await collect(engine, of_kind("response_done"))
        assert "function_call" not in kinds(events)

    virtually(body, lambda asked: Spoken("", (FunctionCall("book"),)))


# -- formats


@pytest.mark.parametrize("carrier", [MULAW_8K, ALAW_8K])
def test_the_carriers_bytes_pass_through_unchanged(carrier):
    async def body(engine, simulator):
        await engine.connect(RealtimeSession("", carrier_format=carrier))
        assert engine.audio_formats() == (carrier, carrier)
        await engine.request_response(GREETING)
        events = await collect(engine, of_kind("response_done"))
        spoken = b"".join(event.audio for event in events)
        assert spoken == tone(0, speech_ms(GREETING), carrier)
        await engine.send_audio(spoken)
        await engine.guard()
        await collect(engine, of_kind("session_ready"))
        assert bytes(simulator.sessions[0].heard) == spoken

    virtually(body, carrier_format=carrier)


@pytest.mark.parametrize(
    ("audio", "takes", "gives"),
    [
        ({"output": {"type": "audio/pcm", "rate": 24000}}, MULAW_8K, PCM16_24K),
        ({"input": {"type": "audio/pcm", "rate": 24000}}, PCM16_24K, MULAW_8K),
        ({"input": {"type": "audio/pcma"}, "output": {"type": "audio/pcma"}}, ALAW_8K, ALAW_8K),
    ],
)
def test_what_the_server_says_it_uses_is_what_the_audio_is_read_as(audio, takes, gives):
    async def body(engine, simulator):
        assert engine.audio_formats() == (MULAW_8K, MULAW_8K)
        await engine.connect(SESSION)
        await engine.request_response(GREETING)
        events = await collect(engine, of_kind("response_done"))
        assert engine.audio_formats() == (takes, gives)
        converter = Converter(gives, MULAW_8K)
        pcm = converter.process(b"".join(event.audio for event in events)) + converter.flush()
        assert abs(MULAW_8K.duration_ms(len(pcm)) - speech_ms(GREETING)) <= 1

    virtually(body, faults=RealtimeFaults(audio=audio))


def test_a_linear_carrier_gets_pcm():
    async def body(engine, simulator):
        assert engine.audio_formats() == (PCM16_24K, PCM16_24K)
        await engine.connect(RealtimeSession("", carrier_format=PCM16_8K))
        await engine.request_response(GREETING)
        events = await collect(engine, of_kind("response_done"))
        assert heard(events, PCM16_24K) == [(0, speech_ms(GREETING))]

    virtually(body, carrier_format=PCM16_8K)


# -- what goes wrong


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("invalid_api_key", ProviderAuthError),
        ("account_deactivated", ProviderAuthError),
        ("insufficient_quota", RateLimitedError),
        ("billing_hard_limit_reached", RateLimitedError),
        ("invalid_model", ProviderError),
    ],
)
def test_a_refusal_after_the_upgrade_is_an_exception_of_its_kind(code, kind):
    async def body(engine, simulator):
        with pytest.raises(ProviderError) as raised:
            await engine.connect(SESSION)
        assert type(raised.value) is kind
        assert raised.value.vendor_code == code

    virtually(body, faults=RealtimeFaults(opening_error=code))


def test_a_wrong_key_and_a_full_server_are_told_apart_without_quoting_anything(caplog):
    async def body(engine, simulator):
        stranger = make(simulator, api_key="sk-wrong-key-0123456789")
        with caplog.at_level(logging.DEBUG):
            with pytest.raises(ProviderAuthError) as raised:
                await stranger.connect(SESSION)
            with pytest.raises(ProviderAuthError):
                await stranger.open_parked_connection(SESSION)
        assert raised.value.vendor_code == "401"
        assert "wrong-key" not in f"{raised.value}{raised.value!r}{caplog.text}{stranger!r}"
        await stranger.close()
        with pytest.raises(ProviderDisconnected):
            await engine.connect(SESSION)
        assert simulator.refused == [401, 401, 503]

    virtually(body, faults=RealtimeFaults(connections=0))


def test_a_server_that_opens_no_session_is_given_up():
    async def body(engine, simulator):
        began = asyncio.get_running_loop().time()
        with pytest.raises(ProviderTimeout, match="connect_s=2"):
            await engine.connect(SESSION)
        assert asyncio.get_running_loop().time() - began == pytest.approx(2, abs=0.01)

    virtually(body, faults=RealtimeFaults(stall="opening"), settings={"connect_s": 2})


@pytest.mark.parametrize(
    ("faults", "detail"),
    [
        (RealtimeFaults(drop="during"), "connection lost"),
        (RealtimeFaults(drop="during", close_code=1011), "code 1011"),
        (RealtimeFaults(drop="before"), "connection lost"),
        (RealtimeFaults(drop="after", close_code=4000), "beta_api_shape_disabled"),
        (RealtimeFaults(drop="during", close_code=1001), "code 1001"),
        (RealtimeFaults(expire_after_s=0.06), "session_expired"),
    ],
)
def test_a_lost_session_is_told_and_can_be_made_anew_with_its_history(faults, detail):
    history = (Message("assistant", GREETING), Message("user", "Hello?"))

    async def body(engine, simulator):
        await engine.connect(SESSION)
        await engine.request_response(GREETING)
        events = await collect(engine, of_kind("closed"))
        assert kinds(events)[-1] == "closed"
        assert events[-1].detail == detail
        await engine.send_audio(b"\xff" * 160)  # into the void, without a complaint
        await engine.guard()
        simulator.faults = RealtimeFaults()
        await engine.connect(RealtimeSession("Be kind.", history=history))
        await engine.request_response("Where were we?")
        events = await collect(engine, of_kind("response_done"))
        assert heard(events, MULAW_8K)[-1][1] == speech_ms("Where were we?")
        assert [item.text for item in simulator.sessions[1].conversation.items] == [
            GREETING,
            "Hello?",
            "Where were we?",
        ]

    virtually(body, faults=faults)


def test_an_error_after_which_nothing_works_ends_the_session():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        simulator.sessions[0].error("insufficient_quota", "You exceeded your quota")
        events = await collect(engine, of_kind("closed"))
        assert [(event.kind, event.detail) for event in events[-2:]] == [
            ("error", "insufficient_quota"),
            ("closed", "insufficient_quota"),
        ]
        assert [event async for event in engine.receive()] == []

    virtually(body)


def test_a_response_that_fails_ends_with_the_vendors_code():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        await engine.request_response(GREETING)
        events = await collect(engine, of_kind("response_done"))
        assert "error" not in kinds(events)
        assert (events[-1].status, events[-1].detail) == ("failed", "insufficient_quota")

    virtually(body, faults=RealtimeFaults(failing_responses=1, failure="insufficient_quota"))


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        (RealtimeFaults(), ["session_ready True"]),
        (RealtimeFaults(update="ignored"), ["session_ready False"]),
        (RealtimeFaults(acknowledgement="never"), []),
        (RealtimeFaults(update="refused"), ["error guard invalid_value"]),
        (RealtimeFaults(acknowledgement="late", acknowledgement_delay_s=1.5), ["session_ready True"]),
    ],
)
def test_what_became_of_the_protection_is_told(faults, expected):
    async def body(engine, simulator):
        await engine.connect(SESSION)
        await collect(
            engine, lambda event: event.kind == "session_ready" and len(simulator.sessions[0].sent) == 2
        )
        began = asyncio.get_running_loop().time()
        await engine.guard()
        told = []
        try:
            async with asyncio.timeout(2):
                async for event in engine.receive():
                    if event.kind == "error":
                        told.append(f"error {event.request} {event.detail}")
                        assert event.parameter == "session.audio.input.turn_detection"
                    else:
                        told.append(f"{event.kind} {event.echo.guarded}")
                    took = asyncio.get_running_loop().time() - began
                    assert took == pytest.approx(faults.acknowledgement_delay_s, abs=0.01)
        except TimeoutError:
            pass
        assert told == expected

    virtually(body, faults=faults)


def test_an_echo_that_comes_after_the_response_began_is_still_told():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        await engine.guard()
        await engine.request_response(GREETING)
        events = await collect(engine, of_kind("response_done"))
        told = [event.kind if event.echo is None else f"guarded {event.echo.guarded}" for event in events]
        assert told.index("audio") < told.index("guarded True") < told.index("response_done")

    virtually(body, faults=RealtimeFaults(acknowledgement="reordered"))


# -- its life


def test_before_a_session_there_is_nothing_to_send_to():
    async def body(engine, simulator):
        with pytest.raises(ProviderDisconnected, match="not connected"):
            await engine.send_audio(b"\xff")
        for send in (engine.guard(), engine.request_response(), engine.truncate("i", 1), engine.restore()):
            with pytest.raises(ProviderDisconnected):
                await send
        await engine.close()
        await engine.send_audio(b"\xff")
        assert [event async for event in engine.receive()] == []
        with pytest.raises(ProviderDisconnected):
            await engine.connect(SESSION)

    virtually(body)


def test_closing_ends_the_events_quietly_and_in_time_even_when_the_server_is_gone():
    network = MemoryNetwork()

    async def body(engine, simulator):
        await engine.connect(SESSION)
        reading = asyncio.ensure_future(collect(engine, lambda event: False))
        await asyncio.sleep(0.1)
        for connection in network.connections:
            connection.stall()
        began = asyncio.get_running_loop().time()
        await engine.close()
        assert asyncio.get_running_loop().time() - began < 1.0
        assert set(kinds(await reading)) == {"session_ready"}
        await engine.close()

    virtually(body, network=network)
