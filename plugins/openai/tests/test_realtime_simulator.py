"""The simulated engine keeps the vendor's rules: the checklist of the protocol, point by point."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from raw_realtime_client import BEARER, URL, opened, raw
from simulated_realtime import KEY, served
from websockets.exceptions import ConnectionClosed, InvalidStatus

from patter.audio.formats import MULAW_8K
from patter.testing.memory_network import MemoryNetwork
from patter.testing.tones import speech_ms
from patter.testing.virtual_loop import run_virtual
from patter_openai.realtime_simulator import FunctionCall, RealtimeFaults, Spoken

VAD = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}
TOOL = {"type": "function", "name": "book", "parameters": {"type": "object", "properties": {}}}
GREETING = "Hello, Acme here."
LONG = "A very long answer that nobody wants to hear to its end. " * 4


def alone(body, **options):
    async def main():
        async with served(host="engine.example", port=80, **options) as simulator:
            await body(simulator)

    run_virtual(main(), network=MemoryNetwork())


def detecting(**values):
    return {"input": {"turn_detection": {**VAD, **values}}}


# -- 1, 2: connecting


@pytest.mark.parametrize(
    ("headers", "url", "status"),
    [
        ({}, URL, 401),
        ({"Authorization": "Bearer wrong"}, URL, 401),
        (BEARER, URL.partition("?")[0], 400),
    ],
)
def test_an_upgrade_without_key_or_model_is_refused(headers, url, status):
    async def body(simulator):
        with pytest.raises(InvalidStatus) as raised:
            async with opened(headers, url):
                pass
        assert raised.value.response.status_code == status

    alone(body)


def test_the_retired_protocol_is_refused_after_the_upgrade():
    async def body(simulator):
        async with opened({**BEARER, "OpenAI-Beta": "realtime=v1"}) as client:
            assert (await client.error())["code"] == "beta_api_shape_disabled"
            with pytest.raises(ConnectionClosed):
                await client.next()
            assert client.socket.close_code == 4000

    alone(body)


def test_the_session_comes_first_and_unasked_with_the_vendors_defaults():
    async def body(simulator):
        async with opened() as client:
            event = await client.next()
            assert event["type"] == "session.created"
            session = event["session"]
            assert session["audio"]["input"]["turn_detection"] == {
                **VAD,
                "idle_timeout_ms": None,
                "create_response": True,
                "interrupt_response": True,
            }
            assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
            assert session["audio"]["input"]["transcription"] is None
            assert session["expires_at"] > 1_700_000_000

    alone(body)


# -- 3, 4, 5, 18, 21: settings


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({"instructions": "x"}, "missing_required_parameter", "session.type"),
        ({"type": "realtime", "turn_detection": None}, "unknown_parameter", "session.turn_detection"),
        ({"type": "realtime", "modalities": ["audio"]}, "unknown_parameter", "session.modalities"),
        ({"type": "realtime", "temperature": 0.8}, "unknown_parameter", "session.temperature"),
        (
            {"type": "realtime", "audio": {"input": {"vad": {}}}},
            "unknown_parameter",
            "session.audio.input.vad",
        ),
        (
            {"type": "realtime", "audio": {"input": {"turn_detection": {}}}},
            "missing_required_parameter",
            "session.audio.input.turn_detection.type",
        ),
        (
            {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "none"}}}},
            "invalid_value",
            "session.audio.input.turn_detection.type",
        ),
        (
            {"type": "realtime", "audio": {"input": {"format": "g711_ulaw"}}},
            "invalid_value",
            "session.audio.input.format",
        ),
        (
            {"type": "realtime", "audio": {"output": {"format": {"type": "audio/pcm", "rate": 16000}}}},
            "invalid_value",
            "session.audio.output.format.rate",
        ),
        ({"type": "realtime", "output_modalities": ["audio", "text"]}, "invalid_value", None),
        ({"type": "realtime", "model": "another"}, "invalid_value", "session.model"),
        ({"type": "transcription"}, "invalid_value", "session.type"),
    ],
)
def test_a_wrong_update_is_an_error_that_changes_nothing(session, code, param):
    async def body(client, simulator):
        before = dict(simulator.sessions[0].settings.values)
        session.setdefault("instructions", "not to be applied")
        await client.send("session.update", event_id="mine", session=session)
        error = await client.error()
        assert (error["code"], error["event_id"]) == (code, "mine")
        assert param in (None, error["param"])
        assert simulator.sessions[0].settings.values == before

    raw(body, judged=False)


def test_absent_null_and_an_object_are_three_things():
    async def body(client, simulator):
        await client.update(event_id="mine", audio=detecting(silence_duration_ms=900))
        updated = await client.until("session.updated")
        assert updated["event_id"] != "mine"
        detection = updated["session"]["audio"]["input"]["turn_detection"]
        assert (detection["silence_duration_ms"], detection["create_response"]) == (900, True)
        await client.update(instructions="Be kind.")
        session = (await client.until("session.updated"))["session"]
        assert session["audio"]["input"]["turn_detection"] == detection
        assert session["instructions"] == "Be kind."
        await client.update(audio={"input": {"turn_detection": None}}, instructions="", tools=[])
        session = (await client.until("session.updated"))["session"]
        assert session["audio"]["input"]["turn_detection"] is None
        assert session["instructions"] == ""

    raw(body)


def test_the_voice_cannot_change_once_it_was_heard():
    async def body(client, simulator):
        await client.update(audio={"output": {"voice": "cedar"}})
        await client.until("session.updated")
        await client.send("response.create")
        await client.until("response.done")
        await client.update(audio={"output": {"voice": "marin"}})
        assert (await client.error())["code"] == "cannot_update_voice"

    raw(body)


def test_what_a_response_asks_for_itself_is_not_kept():
    async def body(client, simulator):
        await client.update(instructions="Own.", tools=[TOOL])
        await client.send("response.create", response={"instructions": 'Say: "Hello."', "tools": []})
        await client.until("response.done")
        await client.send("response.create")
        await client.until("response.done")
        said = [
            e["transcript"] for e in client.events if e["type"] == "response.output_audio_transcript.done"
        ]
        assert said == ["Hello.", "instructions: Own., tools: book"]

    raw(body, lambda asked: f"instructions: {asked.instructions}, tools: {','.join(asked.tools)}")


# -- 6, 7, 8, 14: the caller


def test_speech_is_found_in_the_appended_audio_with_offsets_of_its_own_clock():
    async def body(client, simulator):
        await client.send("input_audio_buffer.append", audio=base64.b64encode(b"\xff" * 8000).decode())
        await client.say(3, 400, 700)
        started = await client.until("input_audio_buffer.speech_started")
        stopped = await client.until("input_audio_buffer.speech_stopped")
        committed = await client.until("input_audio_buffer.committed")
        assert started["audio_start_ms"] == 1000 - 300
        assert stopped["audio_end_ms"] == 1000 + 400 + 500
        assert started["item_id"] == stopped["item_id"] == committed["item_id"]
        await client.until("response.created")
        assert client.types()[-4:-1] == [
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
        ]
        assert "input_audio_buffer.append" not in client.types()

    raw(body)


@pytest.mark.parametrize("create_response", [True, False])
def test_a_turn_makes_a_response_only_where_that_is_set(create_response):
    async def body(client, simulator):
        await client.update(audio=detecting(create_response=create_response))
        await client.say(3)
        await client.rest()
        assert "input_audio_buffer.committed" in client.types()
        assert ("response.created" in client.types()) is create_response

    raw(body)


def test_without_turn_detection_there_are_no_turns_and_a_commit_is_the_clients():
    async def body(client, simulator):
        await client.update(audio={"input": {"turn_detection": None}})
        await client.send("input_audio_buffer.commit")
        assert (await client.error())["code"] == "input_audio_buffer_commit_empty"
        await client.say(3)
        await client.rest()
        assert not [kind for kind in client.types() if kind.startswith("input_audio_buffer")]
        await client.send("input_audio_buffer.commit")
        await client.until("input_audio_buffer.committed")
        await client.rest()
        assert "response.created" not in client.types()
        await client.send("input_audio_buffer.clear")
        await client.until("input_audio_buffer.cleared")

    raw(body)


def test_a_semantic_detection_has_settings_of_its_own():
    async def body(client, simulator):
        await client.update(
            audio={"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "high"}}}
        )
        await client.say(3, 400, 700)
        assert (await client.until("input_audio_buffer.speech_stopped"))["audio_end_ms"] == 800
        await client.update(audio={"input": {"turn_detection": {"type": "semantic_vad", "threshold": 0.5}}})
        assert (await client.error())["code"] == "unknown_parameter"

    raw(body, judged=False)


def test_silence_after_a_response_makes_the_model_ask():
    async def body(client, simulator):
        await client.update(audio=detecting(idle_timeout_ms=5000))
        await client.send("response.create", response={"instructions": 'Say: "Hello."'})
        await client.until("response.done")
        done = asyncio.get_running_loop().time()
        await client.until("input_audio_buffer.timeout_triggered")
        took = asyncio.get_running_loop().time() - done
        assert took == pytest.approx(5 + speech_ms("Hello.") / 1000, abs=0.01)
        await client.until("response.created")

    raw(body)


# -- 9, 10, 11, 12: responses


@pytest.mark.parametrize("interrupt_response", [True, False])
def test_speech_cancels_a_response_only_where_that_is_set(interrupt_response):
    async def body(client, simulator):
        await client.update(audio=detecting(interrupt_response=interrupt_response, create_response=False))
        await client.send("response.create", response={"instructions": f'Say: "{LONG}"'})
        await client.until("response.created")
        talking = asyncio.ensure_future(client.say(3, 400, 100))
        done = (await client.until("response.done"))["response"]
        await talking
        assert done["status"] == ("cancelled" if interrupt_response else "completed")
        if interrupt_response:
            assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
            assert done["usage"]["output_tokens"] > 0
            ends = [kind for kind in client.types() if kind.endswith(".done") and kind.startswith("response")]
            assert ends == [
                "response.output_audio.done",
                "response.output_audio_transcript.done",
                "response.content_part.done",
                "response.output_item.done",
                "response.done",
            ]

    raw(body, speed=2.0)


def test_late_audio_still_comes_after_a_cancellation():
    async def body(client, simulator):
        await client.send("response.create", response={"instructions": f'Say: "{LONG}"'})
        await client.until("response.output_audio.delta")
        await client.send("response.cancel")
        await client.until("response.done")
        kinds = client.types()
        last_text = max(i for i, kind in enumerate(kinds) if kind == "response.output_audio_transcript.delta")
        assert kinds[last_text:].count("response.output_audio.delta") == 1 + 2

    raw(body, speed=1.0)


def test_a_second_response_is_refused_and_one_beside_the_conversation_is_not():
    async def body(client, simulator):
        await client.send("response.create", response={"instructions": f'Say: "{LONG}"'})
        await client.until("response.created")
        await client.send("response.create", event_id="second")
        error = await client.error()
        assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", "second")
        await client.send(
            "response.create", response={"conversation": "none", "instructions": 'Say: "Aside."'}
        )
        aside = (await client.until("response.created"))["response"]
        assert aside["conversation_id"] is None
        first = (await client.until("response.done"))["response"]
        second = (await client.until("response.done"))["response"]
        assert (first["id"], first["status"], second["status"]) == (aside["id"], "completed", "completed")
        assert [item.text for item in simulator.sessions[0].conversation.items] == [LONG]

    raw(body)


def test_cancelling_what_is_not_there_or_not_yet_there_does_nothing():
    async def body(client, simulator):
        await client.send("response.cancel")
        assert (await client.error())["code"] == "response_cancel_not_active"
        await client.send("response.create", response={"instructions": 'Say: "Hello."'})
        await client.send("response.cancel")
        assert (await client.error())["code"] == "response_cancel_not_active"
        assert (await client.until("response.done"))["response"]["status"] == "completed"

    raw(body)


@pytest.mark.parametrize("speed", [1.0, 10.0])
def test_audio_is_made_faster_than_it_is_heard(speed):
    async def body(client, simulator):
        await client.send("response.create", response={"instructions": f'Say: "{LONG}"'})
        await client.until("response.created")
        began = asyncio.get_running_loop().time()
        await client.until("response.done")
        took = asyncio.get_running_loop().time() - began
        assert took == pytest.approx(speech_ms(LONG) / 1000 / speed, rel=0.02)
        deltas = [e["delta"] for e in client.events if e["type"] == "response.output_audio.delta"]
        assert MULAW_8K.duration_ms(sum(len(base64.b64decode(one)) for one in deltas)) == speech_ms(LONG)
        kinds = [kind for kind in client.types() if "delta" not in kind]
        assert kinds[kinds.index("response.created") :] == [
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
        ]

    raw(body, speed=speed)


# -- 13, 16, 17: the conversation


def test_truncating_needs_the_agents_audio_and_takes_the_transcript():
    async def body(client, simulator):
        await client.send("response.create", response={"instructions": 'Say: "Hello."'})
        (item,) = (await client.until("response.done"))["response"]["output"]
        cut = {"item_id": item["id"], "content_index": 0}
        await client.send("conversation.item.truncate", **cut, audio_end_ms=361)
        assert "already shorter" in (await client.error())["message"]
        await client.send("conversation.item.truncate", **cut, audio_end_ms=100)
        await client.until("conversation.item.truncated")
        await client.send("conversation.item.retrieve", item_id=item["id"])
        kept = (await client.until("conversation.item.retrieved"))["item"]
        assert "transcript" not in kept["content"][0]
        user = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
        await client.send("conversation.item.create", item=user)
        added = (await client.until("conversation.item.added"))["item"]
        await client.send("conversation.item.truncate", item_id=added["id"], content_index=0, audio_end_ms=0)
        assert (await client.error())["param"] == "item_id"
        await client.send("conversation.item.delete", item_id="item_that_is_not_there")
        assert (await client.error())["code"] == "item_not_found"

    raw(body)


def test_items_go_where_they_are_put_and_the_agents_audio_cannot_be_made_up():
    def text(words, role="user", kind="input_text"):
        return {"type": "message", "role": role, "content": [{"type": kind, "text": words}]}

    async def body(client, simulator):
        await client.send("conversation.item.create", item=text("second"))
        await client.send("conversation.item.create", item=text("first"), previous_item_id="root")
        await client.send("conversation.item.create", item=text("third", "assistant", "output_text"))
        for _ in range(3):
            await client.until("conversation.item.done")
        assert [i.text for i in simulator.sessions[0].conversation.items] == ["first", "second", "third"]
        await client.send("conversation.item.create", item=text("no", "assistant", "output_audio"))
        assert (await client.error())["param"] == "item.content[0].type"
        await client.send("conversation.item.create", item=text("no"), previous_item_id="nowhere")
        assert (await client.error())["code"] == "item_not_found"

    raw(body)


def test_a_call_is_answered_by_its_id_and_the_model_waits_to_be_asked():
    def model(asked):
        outputs = [words for role, words in asked.heard if role == "function_call_output"]
        return outputs[0] if outputs else Spoken("", (FunctionCall("book", '{"people": 4}'),))

    async def body(client, simulator):
        await client.update(tools=[TOOL])
        await client.send("response.create")
        done = await client.until("response.function_call_arguments.done")
        assert (done["name"], json.loads(done["arguments"])) == ("book", {"people": 4})
        await client.until("response.done")
        output = {"type": "function_call_output", "output": "Table 7."}
        await client.send("conversation.item.create", item={**output, "call_id": "call_of_nobody"})
        assert (await client.error())["code"] == "invalid_tool_call_id"
        await client.send("conversation.item.create", item={**output, "call_id": done["call_id"]})
        await client.rest(5)
        assert client.types().count("response.created") == 1
        await client.send("response.create")
        await client.until("response.done")
        assert client.events[-1]["response"]["output"][0]["content"][0]["transcript"] == "Table 7."

    raw(body, model)


def test_the_bill_grows_with_the_context_and_what_was_there_is_cached():
    async def body(client, simulator):
        bills = []
        for _ in range(3):
            await client.send("response.create", response={"instructions": 'Say: "Hello there."'})
            bills.append((await client.until("response.done"))["response"]["usage"])
        inputs = [bill["input_tokens"] for bill in bills]
        assert inputs == sorted(set(inputs))
        for before, bill in zip([None, *bills], bills, strict=False):
            details = bill["input_token_details"]
            assert bill["total_tokens"] == bill["input_tokens"] + bill["output_tokens"]
            assert details["cached_tokens"] == (before["input_tokens"] if before else 0)
            cached = details["cached_tokens_details"]
            assert cached["audio_tokens"] <= details["audio_tokens"]
            assert cached["text_tokens"] <= details["text_tokens"]

    raw(body)


# -- 15: transcription


@pytest.mark.parametrize("fails", [False, True])
def test_the_callers_words_come_when_they_come_or_fail(fails):
    async def body(client, simulator):
        await client.update(audio={"input": {"transcription": {"model": "gpt-transcribe"}}})
        await client.say(3)
        kind = f"conversation.item.input_audio_transcription.{'failed' if fails else 'completed'}"
        event = await client.until(kind)
        assert client.types().index("response.done") < client.types().index(kind)
        if fails:
            assert event["error"]["code"]
        else:
            assert (event["transcript"], event["usage"]["type"]) == ("tone 3", "duration")

    raw(body, faults=RealtimeFaults(transcription_failed=fails, transcription_delay_s=(2.0, 3.0)))


# -- 19, 20, 22: endings and nonsense


def test_a_session_expires():
    async def body(client, simulator):
        assert (await client.error())["code"] == "session_expired"
        with pytest.raises(ConnectionClosed):
            await client.next()
        assert client.socket.close_code == 1001

    raw(body, faults=RealtimeFaults(expire_after_s=30))


def test_a_connection_can_break_or_fall_silent_in_the_middle_of_a_response():
    async def broken(client, simulator):
        await client.send("response.create", response={"instructions": f'Say: "{LONG}"'})
        with pytest.raises(ConnectionClosed):
            await client.until("response.done")
        assert client.socket.close_code == 1011
        assert "response.output_audio.delta" in client.types()

    async def silent(client, simulator):
        await client.send("response.create", response={"instructions": f'Say: "{LONG}"'})
        await client.rest(30)
        assert client.types()[-1] == "response.output_audio.delta"

    raw(broken, faults=RealtimeFaults(drop="during", close_code=1011))
    raw(silent, faults=RealtimeFaults(stall="response"))


@pytest.mark.parametrize(
    ("message", "param"),
    [
        (b"\x00\x01", None),
        ("{", None),
        ("[]", None),
        ('{"type":"session.upgrade"}', "type"),
        ('{"type":["x"]}', "type"),
        ('{"type":"input_audio_buffer.append","audio":"%%%"}', "audio"),
        ('{"type":"input_audio_buffer.append","audio":7}', "audio"),
        ('{"type":"input_audio_buffer.append","audio":"","extra":1}', "extra"),
        ('{"type":"response.create","response":{"modalities":["audio"]}}', "response.modalities"),
        ('{"type":"conversation.item.create","item":7}', "item"),
        ('{"type":"session.update","session":7}', "session"),
        ('{"type":"output_audio_buffer.clear"}', "type"),
    ],
)
def test_nonsense_is_an_error_and_the_session_goes_on(message, param):
    async def body(client, simulator):
        await client.socket.send(message)
        assert (await client.error())["param"] == param
        await client.send("response.create", response={"instructions": 'Say: "Hello."'})
        await client.until("response.done")

    raw(body, judged=False)


def test_the_official_client_talks_to_it():
    openai = pytest.importorskip("openai")

    async def main():
        async with served() as simulator:
            client = openai.AsyncOpenAI(api_key=KEY, base_url=simulator.base_url)
            async with client, client.realtime.connect(model="gpt-realtime-2.1") as connection:
                assert (await connection.recv()).type == "session.created"
                await connection.session.update(
                    session={"type": "realtime", "audio": {"input": {"turn_detection": None}}}
                )
                updated = await connection.recv()
                assert updated.type == "session.updated"
                assert updated.session.audio.input.turn_detection is None
                await connection.response.create(response={"instructions": 'Say: "Hello there."'})
                audio, said = b"", ""
                async for event in connection:
                    if event.type == "response.output_audio.delta":
                        audio += base64.b64decode(event.delta)
                    elif event.type == "response.output_audio_transcript.done":
                        said = event.transcript
                    elif event.type == "response.done":
                        break
                assert event.response.status == "completed"
                assert said == "Hello there."
                assert len(audio) == speech_ms("Hello there.") * 48

    asyncio.run(main())
