"""A call as Patter has it, from its making to the close."""

from __future__ import annotations

import asyncio

import pytest
from simulated_ultravox import HELLO, SESSION, virtually

from patter.audio.formats import PCM16_8K, PCM16_16K, PCM16_24K
from patter.audio.g711 import decode
from patter.providers.hosted_agent import PAD_MS
from patter.providers.llm import Message, ToolSpec
from patter.providers.realtime import RealtimeSession
from patter.testing.engine_listener import EngineListener, now, responses_of, say_to
from patter.testing.tones import pitch_of, speech_ms
from patter_ultravox.simulator import Faults, SimulatedTool, SimulatedTurn

BOOK = ToolSpec(
    "book",
    "Books a table.",
    {
        "type": "object",
        "properties": {"people": {"type": "integer"}, "day": {"$ref": "#/$defs/Day"}},
        "required": ["people"],
        "$defs": {"Day": {"enum": ["friday", "saturday"]}},
    },
)


def test_the_first_message_is_spoken_by_the_vendor_and_cannot_be_interrupted():
    async def body(engine, simulator):
        begun = now()
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await say_to(engine, 400)
        await heard.until("response_done")
        assert heard.kinds[:2] == ["session_ready", "response_started"]
        assert heard.kinds[-1] == "response_done"
        assert "transcript_input" not in heard.kinds
        assert heard.of("response_done")[0].status == "completed"
        assert PCM16_8K.duration_ms(len(heard.audio)) == speech_ms(HELLO)
        assert heard.times[-1] - begun == pytest.approx(speech_ms(HELLO) / 1000, abs=0.01), (
            "when it was to be heard"
        )
        (final,) = (event for event in heard.of("transcript_output") if event.final)
        assert final.text == HELLO
        assert "".join(e.text for e in heard.of("transcript_output") if not e.final) == HELLO
        (call,) = simulator.calls
        assert call.request["firstSpeakerSettings"] == {"agent": {"uninterruptible": True, "text": HELLO}}

    virtually(body)


def test_a_call_without_a_first_message_waits_for_the_caller():
    async def body(engine, simulator):
        await engine.connect(RealtimeSession("Be kind."))
        heard = EngineListener(engine)
        await asyncio.sleep(3)
        assert heard.kinds == ["session_ready"]
        await say_to(engine)
        await heard.until("response_done")
        assert heard.kinds[1:3] == ["transcript_input", "response_started"]
        assert heard.kinds[-1] == "response_done"
        (said,) = heard.of("transcript_input")
        assert (said.text, said.final) == ("Hello?", True)
        assert simulator.calls[0].request["firstSpeakerSettings"] == {"user": {}}

    virtually(body)


def test_a_greeting_that_is_not_spoken_shows_as_a_ready_session_without_audio():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await asyncio.sleep(3.5)
        assert heard.kinds == ["session_ready"]

    virtually(body, faults=Faults(ignore_greeting=True))


def test_what_the_call_asks_for_is_what_is_configured():
    async def body(engine, simulator):
        await engine.connect(RealtimeSession("Be kind.", tools=(BOOK,), language="de"))
        (call,) = simulator.calls
        assert call.request == {
            "systemPrompt": "Be kind.",
            "model": "ultravox-v0.6",
            "maxDuration": "900s",
            "voice": "Mark",
            "temperature": 0.4,
            "languageHint": "de",
            "vadSettings": {"turnEndpointDelay": "0.5s"},
            "firstSpeakerSettings": {"user": {}},
            "medium": {
                "serverWebSocket": {
                    "inputSampleRate": 8000,
                    "outputSampleRate": 8000,
                    "clientBufferSizeMs": 30000,
                    "dataMessages": {
                        "state": True,
                        "transcript": True,
                        "clientToolInvocation": True,
                        "playbackClearBuffer": True,
                        "callStarted": True,
                        "debug": False,
                    },
                }
            },
            "selectedTools": [
                {
                    "temporaryTool": {
                        "modelToolName": "book",
                        "description": "Books a table.",
                        "dynamicParameters": [
                            {
                                "name": "people",
                                "location": "PARAMETER_LOCATION_BODY",
                                "schema": {"type": "integer"},
                                "required": True,
                            },
                            {
                                "name": "day",
                                "location": "PARAMETER_LOCATION_BODY",
                                "schema": {
                                    "$ref": "#/$defs/Day",
                                    "$defs": {"Day": {"enum": ["friday", "saturday"]}},
                                },
                                "required": False,
                            },
                        ],
                        "client": {},
                    }
                }
            ],
        }

    virtually(
        body,
        model="ultravox-v0.6",
        voice="Mark",
        temperature=0.4,
        max_duration_s=900,
        extra_body={"vadSettings": {"turnEndpointDelay": "0.5s"}, "systemPrompt": "not this one"},
    )


def test_what_nobody_configured_is_not_sent():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        assert not {"voice", "temperature", "languageHint", "initialMessages", "selectedTools"} & set(
            simulator.calls[0].request
        )

    virtually(body)


@pytest.mark.parametrize(
    ("carrier", "settings", "takes", "gives"),
    [
        (None, {}, PCM16_8K, PCM16_8K),
        (PCM16_16K, {}, PCM16_16K, PCM16_16K),
        (PCM16_8K, {"input_rate": 16000, "output_rate": 24000}, PCM16_16K, PCM16_24K),
    ],
)
def test_the_rates_are_the_carriers_or_those_that_are_configured(carrier, settings, takes, gives):
    async def body(engine, simulator):
        assert engine.audio_formats() == (takes, gives)
        await engine.connect(SESSION)
        assert engine.audio_formats() == (takes, gives)
        heard = EngineListener(engine)
        await heard.until("response_done")
        pad_ms = PAD_MS if carrier is not None and gives.rate != carrier.rate else 0
        assert gives.duration_ms(len(heard.audio)) == speech_ms(HELLO) + pad_ms
        assert not any(heard.audio[len(heard.audio) - gives.bytes_for_ms(pad_ms) :])
        assert pitch_of(decode(heard.audio, gives.encoding)[: gives.rate // 50], gives.rate) == 0
        await say_to(engine)
        await heard.until("transcript_input")

    virtually(body, carrier_format=carrier, **settings)


@pytest.mark.parametrize(
    "faults",
    [
        Faults(),
        Faults(no_deltas=True),
        Faults(late_transcript=True),
        Faults(malformed=True),
        Faults(split_audio=True),
        Faults(stall_s=0.8),
        Faults(stray_clears=True),
    ],
)
def test_a_turn_of_the_caller_is_answered_in_one_response(faults):
    turn = SimulatedTurn()

    async def body(engine, simulator):
        await engine.connect(RealtimeSession("Be kind."))
        heard = EngineListener(engine)
        await say_to(engine)
        await heard.until("response_done")
        await asyncio.sleep(1)
        started, done = responses_of(heard.events)
        assert len(started) == 1
        assert started == done
        assert [event.text for event in heard.of("transcript_output") if event.final] == [turn.reply]
        assert "".join(e.text for e in heard.of("transcript_output") if not e.final) == turn.reply
        assert PCM16_8K.duration_ms(len(heard.audio)) == speech_ms(turn.reply)
        assert all(len(event.audio) % 2 == 0 for event in heard.events)
        assert len(heard.of("transcript_input")) == 1
        assert not {"error", "interrupted"} & set(heard.kinds)
        late = heard.kinds.index("transcript_input") > heard.kinds.index("audio")
        assert late is faults.late_transcript

    virtually(body, (turn,), faults)


def test_an_interruption_cancels_the_response_while_its_audio_is_still_to_be_heard():
    async def body(engine, simulator):
        await engine.connect(RealtimeSession("Be kind."))
        heard = EngineListener(engine)
        await say_to(engine)
        await heard.until("audio", 10)
        await asyncio.sleep(0.8)
        await say_to(engine, 300)
        assert heard.kinds[-1] == "response_done"
        (cut,) = heard.of("interrupted")
        assert cut.detail == "playback_clear_buffer"
        assert heard.of("response_done")[0].status == "cancelled"
        (final,) = (event for event in heard.of("transcript_output") if event.final)
        assert final.response_id == cut.response_id
        await heard.until("response_done", 2)
        started, done = responses_of(heard.events)
        assert started == done
        assert started[0] == cut.response_id
        assert len(started) == 2

    virtually(body)


def test_a_tool_is_called_and_answered():
    tool = SimulatedTool("book", {"people": 4, "day": "friday"})

    async def body(engine, simulator):
        await engine.connect(RealtimeSession("Be kind.", tools=(BOOK,)))
        heard = EngineListener(engine)
        await say_to(engine)
        await heard.until("function_call")
        (event,) = heard.of("function_call")
        assert (event.call.name, event.call.arguments) == ("book", '{"people": 4, "day": "friday"}')
        await engine.send_tool_result(event.call.id, "booked")
        await engine.send_tool_result(event.call.id, "again")
        await engine.send_tool_result("never asked for", "x")
        await heard.until("response_done", 2)
        assert event.response_id == responses_of(heard.events)[0][0], "of its own, which is over at once"
        (call,) = simulator.calls
        assert call.results == ["booked"]
        assert call.received == [
            {
                "type": "client_tool_result",
                "invocationId": event.call.id,
                "result": "booked",
                "responseType": "tool-response",
                "agentReaction": "speaks",
            }
        ]

    virtually(body, (SimulatedTurn(tool=tool),))


def test_what_was_said_before_is_the_beginning_of_a_call():
    history = (
        Message("system", "x"),
        Message("assistant", HELLO),
        Message("user", "A cake, please."),
        Message("assistant", ""),
    )

    async def body(engine, simulator):
        await engine.connect(RealtimeSession("Be kind.", first_message=HELLO, history=history))
        assert simulator.calls[0].request["initialMessages"] == [
            {"role": "MESSAGE_ROLE_AGENT", "text": HELLO},
            {"role": "MESSAGE_ROLE_USER", "text": "A cake, please."},
        ]

    virtually(body)


def test_warming_opens_the_connection_over_which_the_call_is_made():
    async def body(engine, simulator):
        await engine.warmup()
        assert simulator.calls == []
        dialled = len(asyncio.get_running_loop().network.connections)
        await engine.connect(SESSION)
        assert simulator.paths == ["GET /api/models", "POST /api/calls", "GET /join/call-1"]
        assert len(asyncio.get_running_loop().network.connections) == dialled + 1, "the socket's own alone"

    virtually(body)
