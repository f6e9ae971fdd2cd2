"""A session as Patter has it, where the model finds the caller's turns."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from simulated_live import HELLO, KEY, SESSION, virtually

from patter.audio.formats import PCM16_16K, PCM16_24K
from patter.audio.g711 import decode
from patter.providers.llm import Message
from patter.providers.realtime import RealtimeSession
from patter.testing.engine_listener import EngineListener, now, responses_of, say_to
from patter.testing.tones import pitch_of, speech_ms
from patter_google.simulator import Faults, SimulatedTool, SimulatedTurn, Terms


def test_it_says_a_text_when_it_is_asked_to():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await asyncio.sleep(1)
        assert heard.kinds == ["session_ready"], "nothing is said unasked"
        begun = now()
        await engine.request_response(HELLO)
        await heard.until("response_done")
        assert heard.kinds == [
            "session_ready",
            "response_started",
            "audio",
            "transcript_output",
            "response_done",
        ]
        assert heard.of("response_done")[0].status == "completed"
        assert PCM16_24K.duration_ms(len(heard.audio)) == speech_ms(HELLO)
        assert heard.times[-1] - begun >= speech_ms(HELLO) / 1000 - 0.2, "about when it was to be heard"
        assert heard.texts("transcript_output") == [HELLO]
        assert "".join(e.text for e in heard.of("transcript_output") if not e.final) == HELLO
        (connection,) = simulator.connections
        (asked,) = connection.received[1:]
        assert asked["realtimeInput"]["text"].endswith(f'"{HELLO}"')
        assert connection.model.spoken == [HELLO]

    virtually(body)


def test_models_of_the_second_generation_are_asked_with_a_turn_of_the_conversation():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await engine.request_response(HELLO)
        await heard.until("response_done")
        asked = simulator.connections[0].received[1]["clientContent"]
        assert asked["turnComplete"] is True
        assert asked["turns"][0]["role"] == "user"
        assert heard.texts("transcript_output") == [HELLO]

    virtually(body, model="gemini-2.5-flash-native-audio-latest", terms=Terms(content_in_calls=True))


def test_the_rates_are_the_vendors_and_what_is_said_at_them_is_understood():
    async def body(engine, simulator):
        assert engine.audio_formats() == (PCM16_16K, PCM16_24K)
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await say_to(engine, 400)
        await heard.until("response_done")
        received = bytes(simulator.connections[0].model.audio)
        assert PCM16_16K.duration_ms(len(received)) == 400
        assert pitch_of(decode(received, PCM16_16K.encoding)[:320], 16_000) == 40
        assert pitch_of(decode(heard.audio, PCM16_24K.encoding)[:480], 24_000) == 0

    virtually(body)


@pytest.mark.parametrize(
    "faults",
    [
        Faults(),
        Faults(finishes=True),
        Faults(malformed=True),
        Faults(stall_s=0.9),
        Faults(late_transcript=True),
        Faults(last_transcript=True),
        Faults(no_generation_complete=True),
    ],
)
@pytest.mark.parametrize("late_playback", [True, False])
def test_a_turn_of_the_caller_is_answered_in_one_response(faults, late_playback):
    turn = SimulatedTurn()

    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await say_to(engine)
        await heard.until("response_done")
        await asyncio.sleep(2)
        started, done = responses_of(heard.events)
        assert len(started) == 1
        assert started == done
        assert PCM16_24K.duration_ms(len(heard.audio)) == speech_ms(turn.reply)
        assert all(len(event.audio) % 2 == 0 for event in heard.events)
        assert set(heard.texts("transcript_input")) == {turn.heard}
        assert len({event.item_id for event in heard.of("transcript_input")}) == 1
        late = heard.kinds.index("transcript_input") > heard.kinds.index("response_started")
        assert late is faults.late_transcript
        if not faults.last_transcript:
            assert heard.texts("transcript_output") == [turn.reply]
        assert not {"error", "interrupted", "closed"} & set(heard.kinds)
        assert "The caller wants" not in repr(heard.events), "thoughts are nobody's business"

    virtually(body, (turn,), faults, Terms(late_playback=late_playback))


def test_a_long_answer_is_never_silent_and_never_far_ahead():
    reply = "Well, that is a long story. " * 20

    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await say_to(engine)
        await heard.until("response_done")
        begun, sent_s = None, 0.0
        for event, at in zip(heard.events, heard.times, strict=True):
            if event.kind == "audio":
                begun = at if begun is None else begun
                sent_s += PCM16_24K.duration_ms(len(event.audio)) / 1000
                assert sent_s - (at - begun) < 2.6
        times = [at for event, at in zip(heard.events, heard.times, strict=True) if event.kind == "audio"]
        assert max(later - sooner for sooner, later in pairwise(times)) < 1
        assert round(sent_s * 1000) == speech_ms(reply)

    virtually(body, (SimulatedTurn("Hello?", reply),))


def test_an_interruption_cancels_the_response_while_its_audio_is_still_to_be_heard():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await say_to(engine)
        await heard.until("audio")
        await asyncio.sleep(1.5)
        assert any(
            "generationComplete" in one.get("serverContent", {}) for one in simulator.connections[0].sent
        )
        await say_to(engine, 200)
        assert heard.kinds[-1] == "response_done"
        (cut,) = heard.of("interrupted")
        done = heard.of("response_done")[0]
        assert (done.status, done.response_id) == ("cancelled", cut.response_id)
        assert PCM16_24K.duration_ms(len(heard.audio)) < 4500, "what was not passed on is dropped"
        await heard.until("response_done", 2)
        started, ended = responses_of(heard.events)
        assert started == ended
        assert len(started) == 2

    virtually(body)


def test_a_response_that_is_given_up_is_over_at_once_and_nothing_more_of_it_comes():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await say_to(engine)
        await heard.until("audio")
        (started,) = heard.of("response_started")
        await engine.cancel_response("another")
        await engine.cancel_response(started.response_id)
        await asyncio.sleep(0.01)
        done = heard.events[-1]
        assert (done.kind, done.status, done.response_id) == (
            "response_done",
            "cancelled",
            started.response_id,
        )
        before = len(heard.events)
        await asyncio.sleep(5)
        assert {event.kind for event in heard.events[before:]} <= {"usage"}
        await say_to(engine)
        await heard.until("response_done", 2)
        assert [done.status for done in heard.of("response_done")] == ["cancelled", "completed"]
        assert "interrupted" not in heard.kinds

    virtually(body, (SimulatedTurn("One", "One, and then some more of it."), SimulatedTurn("Two", "Two.")))


def test_a_function_is_called_and_all_results_go_in_one_message():
    turn = SimulatedTurn("When?", "From 8 to 6.", SimulatedTool("hours", {"day": "friday"}, count=2))

    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await say_to(engine)
        await heard.until("response_done")
        first, second = heard.of("function_call")
        assert (first.call.name, first.call.arguments) == ("hours", '{"day": "friday"}')
        assert heard.of("response_done")[0].response_id == first.response_id == second.response_id
        await engine.send_tool_result(first.call.id, "8 to 6")
        await engine.send_tool_result("unknown", "nothing")
        await asyncio.sleep(1)
        connection = simulator.connections[0]
        assert connection.model.results == {}
        await engine.send_tool_result(second.call.id, "closed")
        await engine.request_response()
        await heard.until("response_done", 2)
        assert connection.model.results == {
            first.call.id: {"output": "8 to 6"},
            second.call.id: {"output": "closed"},
        }
        assert len([one for one in connection.received if "toolResponse" in one]) == 1
        assert len(connection.received) == 2, "it goes on without being asked"
        assert heard.texts("transcript_output") == [turn.reply]
        started, done = responses_of(heard.events)
        assert len(started) == len(done) == 2

    virtually(body, (turn,))


def test_while_a_function_runs_it_is_asked_for_nothing_else():
    turn = SimulatedTurn("When?", "From 8 to 6.", SimulatedTool("hours", says="One moment."))

    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await say_to(engine)
        await heard.until("function_call")
        assert heard.texts("transcript_output") == ["One moment."]
        await engine.request_response("It takes a while.")
        await heard.until("response_done", 2)
        assert heard.of("response_done")[1].status == "completed"
        await engine.send_tool_result("call-1", "8 to 6")
        await heard.until("response_done", 3)
        assert simulator.connections[0].model.spoken == ["One moment.", turn.reply]
        assert simulator.connections[0].model.cancelled == []

    virtually(body, (turn,))


def test_the_result_of_a_cancelled_call_is_not_sent():
    tool = SimulatedTool("hours", count=2)

    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await say_to(engine)
        await heard.until("response_done")
        await engine.send_tool_result("call-1", "8 to 6")
        await say_to(engine)
        await engine.send_tool_result("call-2", "8 to 6")
        await heard.until("response_done", 2)
        (connection,) = simulator.connections
        assert connection.model.cancelled == ["call-1", "call-2"]
        assert len(connection.received) == 1
        assert connection.close_code is None

    virtually(body, (SimulatedTurn("When?", "Now.", tool), SimulatedTurn("Stop.", "All right.")))


def test_what_a_turn_was_billed_is_told_by_kind():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        heard = EngineListener(engine)
        await say_to(engine, 1000)
        await heard.until("usage")
        (event,) = heard.of("usage")
        used = event.usage
        assert (used.input_audio, used.output_audio) == (32, speech_ms(SimulatedTurn().reply) * 25 // 1000)
        assert used.input_text > 0
        assert used.cached_text is None

    virtually(body)


def test_a_lost_session_is_made_anew_with_its_history():
    history = (
        Message("assistant", "Hello."),
        Message("user", "I want bread."),
        Message("assistant", ""),
        Message("tool", "8 to 6", tool_call_id="x"),
    )

    async def body(engine, simulator):
        await engine.connect(SESSION)
        simulator.connections[0].abort()
        heard = EngineListener(engine)
        await heard.until("closed")
        await engine.connect(RealtimeSession("Be kind.", history=history))
        again = simulator.connections[1]
        await asyncio.sleep(0.1)
        assert again.model.history == [("model", "Hello."), ("user", "I want bread.")]
        heard = EngineListener(engine)
        await asyncio.sleep(1)
        assert heard.kinds == ["session_ready"], "it waits for the caller"
        await say_to(engine)
        await heard.until("response_done")

    virtually(body)
    virtually(body, model="gemini-live-2.5-flash", terms=Terms(content_in_calls=True))


def test_neither_address_nor_query_holds_the_key():
    async def body(engine, simulator):
        await engine.connect(SESSION)
        (connection,) = simulator.connections
        assert connection.query == {}
        assert connection.headers["x-goog-api-key"] == KEY

    virtually(body)
