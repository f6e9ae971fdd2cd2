"""A conversation as a call has it, from the metadata to the close."""

from __future__ import annotations

import asyncio
import itertools
import logging

import numpy as np
import pytest
from simulated_convai import HELLO, KEY, SESSION, agent, engine_of, virtually

from patter.audio.formats import MULAW_8K, PCM16_16K, PCM16_24K
from patter.audio.g711 import decode
from patter.errors import ProviderDisconnected
from patter.providers.hosted_agent import PAD_MS
from patter.providers.llm import Message, ToolSpec
from patter.providers.paced_audio import AHEAD_S
from patter.providers.realtime import RealtimeSession
from patter.testing.engine_listener import EngineListener, now, responses_of, say_to
from patter.testing.tones import pitch_of, speech_ms
from patter_elevenlabs.convai import CALL_END_S
from patter_elevenlabs.simulator import CLIENT_EVENTS, Faults, SimulatedTool, SimulatedTurn

END_CALL = ToolSpec("end_call", "Hangs up.")


def test_the_agent_says_the_first_message_by_itself_and_whole():
    async def body(engine, simulator):
        begun = now()
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await heard.until("response_done")
        assert heard.kinds == [
            "session_ready",
            "response_started",
            "transcript_output",
            "audio",
            "response_done",
        ]
        (said,) = heard.of("transcript_output")
        assert (said.text, said.final) == (HELLO, True)
        assert MULAW_8K.duration_ms(len(heard.audio)) == speech_ms(HELLO)
        (done,) = heard.of("response_done")
        assert done.status == "completed"
        assert heard.times[-1] - begun == pytest.approx(speech_ms(HELLO) / 1000, abs=0.01), (
            "when it was to be heard"
        )
        (conversation,) = simulator.conversations
        assert conversation.changed["agent.first_message"] == HELLO
        assert conversation.headers["xi-api-key"] == KEY

    virtually(body)


@pytest.mark.behaviour("RT-22")
def test_only_what_is_configured_is_sent_and_no_audio_before_the_metadata():
    async def body(engine, simulator):
        speaking = None

        async def speak():
            while True:
                try:
                    await engine.send_audio(b"\xff" * 160)
                except ProviderDisconnected:
                    await asyncio.sleep(0.02)
                else:
                    return

        speaking = asyncio.ensure_future(speak())
        await engine.connect(RealtimeSession("Be kind."))
        await speaking
        await asyncio.sleep(0.1)
        (conversation,) = simulator.conversations
        assert conversation.initiation == {
            "type": "conversation_initiation_client_data",
            "conversation_config_override": {"agent": {"prompt": {"prompt": "Be kind."}}},
        }
        assert conversation.early_audio == 0
        assert len(conversation.audio) == 160

        other = engine_of(simulator)
        await other.connect(RealtimeSession("", language="de"))
        override = simulator.conversations[1].initiation["conversation_config_override"]
        assert override == {"agent": {"language": "de"}}
        await other.close()

    virtually(body, faults=Faults(metadata_s=0.7))


@pytest.mark.parametrize("how", ["ignored", "not allowed"])
def test_a_first_message_that_was_not_applied_shows_as_a_ready_session_without_audio(how):
    allowed = frozenset({"agent.prompt.prompt"})
    server = agent(overrides=allowed) if how == "not allowed" else agent()
    faults = Faults(ignore_first_message=True) if how == "ignored" else Faults(disallowed="drop")

    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await asyncio.sleep(3.5)
        assert heard.kinds == ["session_ready"]
        await say_to(engine, then_s=1)
        assert heard.kinds[1:3] == ["transcript_input", "response_started"]
        assert "error" not in heard.kinds, "what it says then is no greeting of its own"

    virtually(body, server, faults)


def test_an_agent_that_greets_with_words_of_its_own_is_told(caplog):
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await heard.until("response_done")
        (error,) = heard.of("error")
        assert (error.detail, error.request) == ("first_message_not_applied", "session")

    with caplog.at_level(logging.WARNING):
        virtually(
            body, agent(overrides=frozenset(), first_message="I am the agent."), Faults(disallowed="drop")
        )
    assert "allow the override" in caplog.text


def test_a_first_message_told_with_other_punctuation_is_the_same():
    async def body(engine, simulator):
        await engine.connect(RealtimeSession("", first_message="Good morning -- THE bakery"))
        heard = EngineListener(engine)
        await heard.until("response_done")
        assert heard.of("error") == []

    virtually(
        body,
        agent(overrides=frozenset(), first_message="Good morning, the bakery."),
        Faults(disallowed="drop"),
    )


def test_a_turn_of_the_caller_is_answered():
    async def body(engine, simulator):
        await engine.connect(RealtimeSession("Be kind."))
        heard = EngineListener(engine)
        await say_to(engine)
        await heard.until("response_done")
        assert heard.kinds == [
            "session_ready",
            "transcript_input",
            "response_started",
            "transcript_output",
            "audio",
            "response_done",
        ]
        (said,) = heard.of("transcript_input")
        assert (said.text, said.final) == ("Hello?", True)
        assert said.item_id
        assert responses_of(heard.events)[0] == responses_of(heard.events)[1]

    virtually(body)


def test_the_callers_words_may_come_after_the_answer_has_begun():
    async def body(engine, simulator):
        await engine.connect(RealtimeSession("Be kind."))
        heard = EngineListener(engine)
        await say_to(engine)
        await heard.until("response_done")
        assert heard.kinds.index("transcript_input") > heard.kinds.index("audio")
        assert len(responses_of(heard.events)[0]) == 1

    virtually(body, faults=Faults(late_transcript=True))


def test_a_pause_that_is_shorter_than_the_audio_ahead_does_not_end_a_response():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await heard.until("response_done")
        assert MULAW_8K.duration_ms(len(heard.audio)) == speech_ms(HELLO)

    virtually(body, faults=Faults(stall_s=0.8))


@pytest.mark.parametrize("late_chunks", [0, 3])
def test_an_interruption_cancels_the_response_and_drops_what_comes_late(late_chunks):
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await heard.until("audio", 5)
        await asyncio.sleep(0.3)
        audio = len(heard.audio)
        await say_to(engine, 200)
        await heard.until("interrupted")
        await asyncio.sleep(0.1)
        assert heard.kinds[-2:] == ["interrupted", "response_done"]
        assert heard.of("response_done")[0].status == "cancelled"
        assert heard.of("interrupted")[0].detail == "interruption"
        assert len(heard.audio) == audio, "the late pieces are no audio of anything"
        await heard.until("response_done", 2)
        started, done = responses_of(heard.events)
        assert len(started) == 2
        assert started == done

    virtually(body, faults=Faults(late_chunks=late_chunks))


def test_an_interruption_while_the_audio_is_still_heard_comes_before_the_response_is_done():
    """Though all of its audio, and even the word that it is complete, came long before."""

    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await asyncio.sleep(speech_ms(HELLO) / 1000 - 0.5)
        assert MULAW_8K.duration_ms(len(heard.audio)) == speech_ms(HELLO)
        assert "response_done" not in heard.kinds
        sent = [one["type"] for one in simulator.conversations[0].sent]
        assert sent[-1] == "agent_response_complete"
        await say_to(engine, 200)
        assert heard.kinds[-2:] == ["interrupted", "response_done"]
        assert heard.of("response_done")[0].status == "cancelled"

    virtually(body, agent(client_events=CLIENT_EVENTS))


def test_a_complete_response_is_done_when_its_audio_is():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        begun = now()
        await heard.until("response_done")
        assert heard.times[-1] - begun == pytest.approx(speech_ms(HELLO) / 1000, abs=0.05)
        pieces = [event for event in heard.of("transcript_output") if not event.final]
        assert "".join(piece.text for piece in pieces) == HELLO

    virtually(body, agent(client_events=CLIENT_EVENTS))


@pytest.mark.parametrize(
    ("name", "audio_format"), [("ulaw_8000", MULAW_8K), ("pcm_16000", PCM16_16K), ("pcm_24000", PCM16_24K)]
)
def test_the_formats_are_those_of_the_agent(name, audio_format):
    async def body(engine, simulator):
        assert engine.audio_formats() == (MULAW_8K, MULAW_8K)
        await engine.connect(SESSION)
        assert engine.audio_formats() == (audio_format, audio_format)
        heard = EngineListener(engine)
        await heard.until("response_done")
        assert heard.of("session_ready")[0].echo is None, "there is no turn detection to tell of"
        pad_ms = 0 if audio_format.rate == 8000 else PAD_MS
        assert audio_format.duration_ms(len(heard.audio)) == speech_ms(HELLO) + pad_ms
        assert not any(heard.audio[len(heard.audio) - audio_format.bytes_for_ms(pad_ms) :])
        pcm = decode(heard.audio, audio_format.encoding)
        assert pitch_of(pcm[: audio_format.rate // 50], audio_format.rate) == 0
        await say_to(engine)
        await heard.until("transcript_input")

    virtually(body, agent(output_format=name, input_format=name))


def test_a_tool_is_called_and_answered():
    tool = SimulatedTool("opening_hours", {"day": "friday"})

    async def body(engine, simulator):
        await engine.connect(RealtimeSession("Be kind."))
        heard = EngineListener(engine)
        await say_to(engine)
        await heard.until("function_call")
        (event,) = heard.of("function_call")
        assert (event.call.name, event.call.arguments) == ("opening_hours", '{"day": "friday"}')
        await engine.send_tool_result(event.call.id, '{"opens": "8:00"}')
        await engine.send_tool_result(event.call.id, "again")
        await engine.send_tool_result("never asked for", "x")
        await heard.until("response_done", 2)
        started, done = responses_of(heard.events)
        assert len(started) == 2
        assert started == done
        assert event.response_id == started[0], "of its own, which is over at once"
        (conversation,) = simulator.conversations
        assert conversation.results == ['{"opens": "8:00"}']
        results = [one for one in conversation.received if one["type"] == "client_tool_result"]
        assert results == [
            {
                "type": "client_tool_result",
                "tool_call_id": event.call.id,
                "result": '{"opens": "8:00"}',
                "is_error": False,
            }
        ]

    virtually(body, agent(turns=(SimulatedTurn(tool=tool),)))


def test_a_tool_without_a_result_does_not_stop_the_conversation():
    tool = SimulatedTool("slow", timeout_s=3)

    async def body(engine, simulator):
        await engine.connect(RealtimeSession("Be kind."))
        heard = EngineListener(engine)
        await say_to(engine)
        await heard.until("response_done", 2)
        assert simulator.conversations[0].results == [None]

    virtually(body, agent(turns=(SimulatedTurn(tool=tool),)))


@pytest.mark.parametrize("tools", [(), (END_CALL,)])
def test_an_agent_that_ends_the_call_calls_the_tool_that_ends_it(tools):
    async def body(engine, simulator):
        await engine.connect(RealtimeSession("Be kind.", tools=tools))
        heard = EngineListener(engine)
        await say_to(engine)
        await heard.until("closed")
        assert [event.call.name for event in heard.of("function_call")] == [tool.name for tool in tools]
        assert heard.of("closed")[0].detail == "end_call"
        assert heard.of("response_done")[0].status == "completed"
        assert heard.events[-1].kind == "closed"
        done, closed = heard.time_of("response_done"), heard.time_of("closed")
        assert closed - done == pytest.approx(CALL_END_S if tools else 0.0, abs=0.1)

    virtually(body, agent(turns=(SimulatedTurn("Bye.", "Goodbye.", ends_call=True),)))


def test_a_call_that_the_agent_has_ended_ends_without_a_lost_session():
    async def body(engine, simulator):
        await engine.connect(RealtimeSession("Be kind.", tools=(END_CALL,)))
        heard = EngineListener(engine)
        await say_to(engine)
        await heard.until("function_call")
        (event,) = heard.of("function_call")
        assert event.response_id == heard.of("audio")[0].response_id, "its last words are heard first"
        await heard.until("response_done")
        assert simulator.conversations[0].close_code == 1000
        await engine.send_audio(b"\xff" * 160)
        await engine.send_tool_result(event.call.id, "done")
        await asyncio.sleep(5)
        await engine.close()
        await heard.task
        assert heard.kinds[-1] == "response_done"

    virtually(body, agent(turns=(SimulatedTurn("Bye.", "Goodbye.", ends_call=True),)))


def test_a_long_greeting_is_passed_on_as_it_is_heard():
    """A bridge takes an engine for silent that gives no audio for some seconds and has not ended its response."""
    text = "word " * 60

    async def body(engine, simulator):
        begun = now()
        await engine.connect(RealtimeSession("", first_message=text.strip()))
        heard = EngineListener(engine)
        await heard.until("response_done")
        times = [at for event, at in zip(heard.events, heard.times, strict=True) if event.kind == "audio"]
        assert MULAW_8K.duration_ms(len(heard.audio)) == speech_ms(text.strip())
        assert max(later - at for at, later in itertools.pairwise(times)) < 1
        assert heard.times[-1] - times[-1] < AHEAD_S + 1
        assert times[-1] - begun == pytest.approx(speech_ms(text) / 1000 - AHEAD_S, abs=1)

    virtually(body)


def test_pings_are_answered_all_call_long():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await asyncio.sleep(60)
        assert "closed" not in heard.kinds
        (conversation,) = simulator.conversations
        asked = [one["ping_event"]["event_id"] for one in conversation.sent if one["type"] == "ping"]
        answered = [one["event_id"] for one in conversation.received if one["type"] == "pong"]
        assert len(asked) >= 11
        assert answered == asked

    virtually(body)


def test_what_comes_before_the_metadata_is_kept():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await heard.until("response_done")
        assert heard.kinds[:2] == ["session_ready", "transcript_input"]
        assert [one["type"] for one in simulator.conversations[0].received[1:2]] == ["pong"]

    virtually(body, faults=Faults(events_before_metadata=True))


def test_what_was_said_before_is_told_to_an_agent_that_waits():
    history = (Message("system", "x"), Message("assistant", HELLO), Message("user", "A cake, please."))

    async def body(engine, simulator):
        await engine.connect(RealtimeSession("Be kind.", first_message=HELLO, history=history))
        await asyncio.sleep(0.1)
        (conversation,) = simulator.conversations
        assert conversation.changed["agent.first_message"] == ""
        (update,) = (one for one in conversation.received if one["type"] == "contextual_update")
        assert update["text"].endswith(f"You: {HELLO}\nCaller: A cake, please.")
        assert "x" not in update["text"].split("\n")[1:]

    virtually(body)


def test_hosted_settings_and_those_of_the_call():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        (conversation,) = simulator.conversations
        assert conversation.changed == {
            "agent.first_message": HELLO,
            "agent.prompt.llm": "gpt-x",
            "tts.voice_id": "v1",
        }
        assert conversation.initiation["dynamic_variables"] == {"name": "Ada", "age": 36}
        assert conversation.initiation["custom_llm_extra_body"] == {"seed": 1}
        assert conversation.initiation["user_id"] == "u1"

    virtually(
        body,
        agent(required_variables=("name",)),
        hosted_prompt=True,
        llm="gpt-x",
        voice_id="v1",
        user_id="u1",
        dynamic_variables={"name": "Ada", "age": 36},
        extra_body={"seed": 1},
    )


def test_silence_of_a_codec_is_no_speech():
    async def body(engine, simulator):
        await engine.connect(RealtimeSession(""))
        heard = EngineListener(engine)
        for _ in range(100):
            await engine.send_audio(b"\xff" * 160)
            await asyncio.sleep(0.02)
        assert heard.kinds == ["session_ready"]
        assert not np.any(decode(bytes(simulator.conversations[0].audio), MULAW_8K.encoding))

    virtually(body)
