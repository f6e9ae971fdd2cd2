"""Whole calls with OpenAI's engine in virtual time: what the ledger says of its greeting, audio and tools."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from openai_calls import GREETING, KEY, EngineCall, engine_call

from patter import tool
from patter.audio.formats import ALAW_8K, MULAW_8K, PCM16_24K
from patter.testing.tones import ToneReader, speech_ms, tone
from patter_openai.realtime_simulator import Asked, FunctionCall, RealtimeFaults, Spoken

pytestmark = pytest.mark.patter_plugins("openai", "min-words")

#: ten seconds of speech
LONG_GREETING = "Hello, this is the reception of Acme. " * 4 + "How can I help you?"
CUSTOM = {"silence_duration_ms": 900, "threshold": 0.3, "prefix_padding_ms": 120}
CONFIGURED = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 300,
    "create_response": True,
    "interrupt_response": True,
}
WAITS = {"greeting_ack": "wait"}


def slow_network(seconds: float) -> None:
    asyncio.get_running_loop().network.set_latency("engine.example", 80, seconds)  # type: ignore[attr-defined]


def check_by_the_vendors_models(made: EngineCall, *errors: str) -> None:
    """Every message that the engine got is one of the vendor's, without a key that it does not know."""
    realtime = pytest.importorskip("openai.types.realtime")
    from pydantic import BaseModel, TypeAdapter

    def extra(value: Any) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(extra, value)) if value else set()
        if not isinstance(value, BaseModel):
            return set()
        inner = (extra(getattr(value, name)) for name in type(value).model_fields)
        return set(value.model_extra or {}).union(*inner)

    adapter: TypeAdapter[Any] = TypeAdapter(realtime.RealtimeClientEvent)
    for session in made.sessions:
        for message in session.instructed:
            assert extra(adapter.validate_python(message)) == set(), message
        told = [event["error"]["code"] for _, event in session.sent if event["type"] == "error"]
        assert set(told) <= set(errors)


# -- the greeting


@pytest.mark.behaviour("RT-01")
async def test_the_greeting_is_requested_back_to_back_with_its_protection(simcall: Any) -> None:
    async with engine_call(simcall) as made:
        slow_network(0.1)
        await made.call.agent_says(GREETING)
        _, guarded, asked = made.sessions[0].received[:3]
        assert (guarded[1]["type"], asked[1]["type"]) == ("session.update", "response.create")
        assert guarded[0] == asked[0], "the echo takes 0.2 s and is not waited for"
        assert f'"{GREETING}"' in asked[1]["response"]["instructions"]
        assert not made.received("conversation.item.create")
        assert made.told("protection_not_applied") == []
        slow_network(0.0)

    # with greeting_ack="wait" the request waits for the echo, and no longer than the wait
    for faults, expected_s in (
        (RealtimeFaults(acknowledgement="late", acknowledgement_delay_s=0.4), 0.4),
        (RealtimeFaults(acknowledgement="never"), 1.5),
    ):
        async with engine_call(simcall, faults=faults, **WAITS) as made:
            await made.call.agent_says(GREETING)
            (asked_at,) = made.when("response.create")
            assert asked_at - made.when("session.update")[1] == pytest.approx(expected_s, abs=0.011)
            assert not made.received("conversation.item.create")


@pytest.mark.behaviour("RT-02")
@pytest.mark.parametrize(
    "settings",
    [{}, CUSTOM, {"turn_detection": "semantic_vad", "eagerness": "low"}, {"idle_timeout_ms": 20_000}],
)
async def test_the_protection_takes_both_powers_and_leaves_all_else(
    simcall: Any, settings: dict[str, Any]
) -> None:
    async with engine_call(simcall, settings=settings) as made:
        await made.call.agent_says(GREETING)
        configured, guard = made.detections()[:2]
        assert guard == {**configured, "create_response": False, "interrupt_response": False}
        assert {key: configured[key] for key in settings if key in configured} == {
            key: value for key, value in settings.items() if key != "turn_detection"
        }
        update = made.received("session.update")[1]["session"]
        assert update == {"type": "realtime", "audio": {"input": {"turn_detection": guard}}}
        check_by_the_vendors_models(made)


@pytest.mark.behaviour("RT-03")
async def test_only_an_echo_that_shows_both_flags_false_is_the_acknowledgement(simcall: Any) -> None:
    # the echo of the set-up is still under way when the guard is sent: it neither counts nor ends the wait
    late = RealtimeFaults(acknowledgement="late", acknowledgement_delay_s=1.0)
    async with engine_call(simcall, faults=late, protocol_trace=True, **WAITS) as made:
        slow_network(0.1)
        await made.call.agent_says(GREETING)
        steps = [(one.step, dict(one.values)) for one in made.told("protocol_trace")]
        sent = next(number for number, (step, _) in enumerate(steps) if step == "protection_sent")
        echoed = [values for step, values in steps[sent:] if step == "turn_detection"]
        assert [one["create_response"] for one in echoed[:2]] == [True, False]
        (asked_at,) = made.when("response.create")
        assert asked_at - made.when("session.update")[1] == pytest.approx(1.0 + 0.1 + 0.1, abs=0.011)
        assert made.told("protection_not_applied") == []
        slow_network(0.0)

    for timeout_ms in (1500, 700):
        options = {} if timeout_ms == 1500 else {"greeting_ack_timeout_ms": timeout_ms}
        async with engine_call(simcall, faults=RealtimeFaults(update="ignored"), **options) as made:
            await made.call.agent_says(GREETING)
            ((told_at, _, report),) = [one for one in made.events if one[1] == "protection_not_applied"]
            assert (told_at - made.when("session.update")[1]) * 1000 == pytest.approx(timeout_ms, abs=11)
            assert report.values["create_response"] is True


@pytest.mark.behaviour("RT-04")
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(
    "faults",
    [
        RealtimeFaults(acknowledgement="late", acknowledgement_delay_s=0.9),
        RealtimeFaults(acknowledgement="late", acknowledgement_delay_s=1.9),
        RealtimeFaults(acknowledgement="reordered"),
    ],
    ids=["late", "after the wait", "reordered"],
)
async def test_a_late_echo_is_accepted_and_there_is_one_greeting(
    simcall: Any, faults: RealtimeFaults, waits: bool
) -> None:
    async with engine_call(simcall, faults=faults, **(WAITS if waits else {})) as made:
        await asyncio.sleep(0.3)
        await made.call.caller_says("Hello?", wait=False)
        await made.call.agent_says(GREETING)
        if waits and faults.acknowledgement_delay_s != 0.9:
            (asked_at,) = [t for t, one in made.sessions[0].received if one.get("response")]
            assert asked_at - made.when("session.update")[1] == pytest.approx(1.5, abs=0.011)
        await made.call.agent_says("You said Hello?")
        await made.call.quiet(1000)
        greetings = [one for one in made.received("response.create") if "response" in one]
        assert len(greetings) == 1
        assert made.call.heard == f"{GREETING} You said Hello?"
        assert made.told("greeting_delivered")[0].attempts == 1
        reported = faults.acknowledgement_delay_s == 1.9 or (waits and faults.acknowledgement == "reordered")
        assert len(made.told("protection_not_applied")) == (1 if reported else 0)


@pytest.mark.behaviour("RT-05")
@pytest.mark.parametrize(
    ("faults", "values", "code"),
    [
        (RealtimeFaults(update="ignored"), True, ""),
        (RealtimeFaults(update="ignored", acknowledgement="never"), False, ""),
        (RealtimeFaults(acknowledgement="never"), False, ""),
        (RealtimeFaults(update="refused"), False, "invalid_value"),
    ],
    ids=["ignored", "ignored without an echo", "no echo", "refused"],
)
async def test_a_server_that_does_not_take_the_protection_cannot_cut_the_greeting(
    simcall: Any, faults: RealtimeFaults, values: bool, code: str
) -> None:
    async with engine_call(simcall, faults=faults) as made:
        await asyncio.sleep(0.25)
        await made.call.caller_says("Hello?", wait=False)
        await made.call.agent_says(GREETING)
        assert made.call.line.clears == []
        assert made.when("response.create")[0] == made.when("session.update")[1]
        await made.call.agent_says("You said Hello?")
        assert len(made.sessions) == 1
        assert made.sessions[0].close_code is None
        (report,) = made.told("protection_not_applied")
        assert report.code == code
        assert report.parameter == ("session.audio.input.turn_detection" if code else "")
        if values:
            assert dict(report.values) == {**CONFIGURED, "idle_timeout_ms": None}
        assert made.call.call is not None


@pytest.mark.behaviour("RT-12")
@pytest.mark.parametrize("mode", ["cancel", "confirm", "pause", "strategies"])
@pytest.mark.parametrize("way_out", ["delivered", "fallback", "failed"])
async def test_turn_detection_is_restored_once_on_every_way_out(
    simcall: Any, way_out: str, mode: str
) -> None:
    fails = RealtimeFaults(failing_responses=3) if way_out != "delivered" else None
    options: dict[str, Any] = {"tts": "fake"} if way_out == "fallback" else {}
    if mode == "strategies":
        options["barge_in_strategies"] = ["min-words?min_words=2"]
    elif mode != "cancel":
        options["barge_in_mode"] = mode
    decides = mode != "cancel"
    async with engine_call(simcall, faults=fails, settings=CUSTOM, **options) as made:
        await made.call.caller_says("Hello?", wait=False)
        if way_out != "failed":
            await made.call.agent_says(GREETING)
        await made.call.agent_says("You said Hello?")
        await made.call.caller_says("Are you open?")
        await made.call.agent_says("You said Are you open?")
        expected = "greeting_failed" if way_out == "failed" else f"greeting_{way_out}"
        assert len(made.told(expected)) == 1
        (restored,) = made.restores()
        assert len(made.received("session.update")) == 3, "set-up, guard, restore"
        assert restored == {
            **CONFIGURED,
            **CUSTOM,
            "create_response": not decides,
            "interrupt_response": not decides,
        }
        (session,) = made.sessions
        number = [one["event_id"].startswith("restore") for one in session.instructed].index(True)
        assert session.heard_before[number] == 0, "nothing of the caller comes before it"
        assert made.engine_heard() == [0, 1]

    # none before the caller has heard the greeting, however soon the engine has made it
    async with engine_call(simcall, first_message=LONG_GREETING, server={"speed": 20.0}) as made:
        await made.call.agent_says(LONG_GREETING)
        await made.call.quiet(300)
        done_at = next(t for t, one in made.sessions[0].sent if one["type"] == "response.done")
        began = made.call.timeline[0].start
        restored_at = made.when("session.update")[2]
        assert speech_ms(LONG_GREETING) >= 10_000
        assert done_at - began < 1.0
        assert restored_at - began >= speech_ms(LONG_GREETING) / 1000 - 1e-6
        assert len(made.restores()) == 1


# -- settings and audio


@pytest.mark.behaviour("RT-18")
async def test_the_set_up_has_the_defaults_of_the_ledger_and_nothing_that_is_refused(simcall: Any) -> None:
    async with engine_call(simcall) as made:
        await made.call.agent_says(GREETING)
        await made.call.caller_says("Are you open?")
        await made.call.agent_says("You said Are you open?")
        (session,) = made.sessions
        heard = session.instructed[0]["session"]["audio"]["input"]
        assert heard["turn_detection"] == CONFIGURED
        assert heard["transcription"]["model"]
        assert "temperature" not in json.dumps(session.instructed)
        assert session.headers["Authorization"] == f"Bearer {KEY}"
        assert not {name.lower() for name in session.headers} & {"openai-beta"}
        check_by_the_vendors_models(made)
        assert [entry.text for entry in made.call.transcript if entry.role == "user"] == ["Are you open?"]

    own = {**CUSTOM, "transcription_model": "whisper-1"}
    async with engine_call(simcall, settings=own) as made:
        await made.call.agent_says(GREETING)
        heard = made.sessions[0].instructed[0]["session"]["audio"]["input"]
        assert heard["turn_detection"] == {**CONFIGURED, **CUSTOM}
        assert heard["transcription"] == {"model": "whisper-1"}
    async with engine_call(simcall, settings={"transcription": False}) as made:
        await made.call.agent_says(GREETING)
        assert made.sessions[0].instructed[0]["session"]["audio"]["input"]["transcription"] is None


@pytest.mark.behaviour("RT-19")
async def test_audio_passes_unchanged_or_is_converted_to_what_the_server_says(
    simcall: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine_call(simcall, line={"limit_s": 60.0}) as made:
        played = bytearray()
        ear = made.call.line._listener
        listen = ear.plays

        def plays(audio: Any) -> None:
            played.extend(audio.audio)
            listen(audio)

        monkeypatch.setattr(ear, "plays", plays)
        await made.call.agent_says(GREETING)
        await made.call.caller_says("Are you open?")
        await made.call.agent_says("You said Are you open?")
        set_up = made.sessions[0].instructed[0]["session"]["audio"]
        assert set_up["input"]["format"] == set_up["output"]["format"] == {"type": "audio/pcmu"}
        assert bytes(played[: speech_ms(GREETING) * 8]) == tone(0, speech_ms(GREETING), MULAW_8K)
        said = tone(0, speech_ms("Are you open?"), MULAW_8K)
        assert bytes(made.sessions[0].heard).count(said) == 1

    for kind, audio_format in (("audio/pcm", PCM16_24K), ("audio/pcma", ALAW_8K)):
        echoed = {"type": kind, "rate": 24000} if kind == "audio/pcm" else {"type": kind}
        faults = RealtimeFaults(audio={"input": echoed, "output": echoed})
        async with engine_call(simcall, faults=faults) as made:
            scene = made.call.scene
            scene.voice.spoken.extend(["-"] * 12)  # number 12 is spoken at 1 kHz
            for _ in range(12):
                scene.recogniser.add("-")
            await made.call.agent_says(GREETING)
            await made.call.caller_says("Are you open?")
            await made.call.agent_says("You said Are you open?")
            greeting = made.call.timeline[0]
            assert greeting.text == GREETING
            assert (greeting.end - greeting.start) * 1000 == pytest.approx(speech_ms(GREETING), abs=21)
            pitches = ToneReader(audio_format).feed(bytes(made.sessions[0].heard))
            sounding = [pitch for pitch in pitches if pitch is not None]
            assert set(sounding) == {12}
            assert len(sounding) * 20 == pytest.approx(speech_ms("Are you open?"), abs=21)


# -- tools


@pytest.mark.behaviour("RT-20")
@pytest.mark.parametrize("lingers_s", [0.0, 0.8])
async def test_all_outputs_go_out_and_then_one_request(simcall: Any, lingers_s: float) -> None:
    @tool
    async def opening_hours(day: str) -> str:
        """Opening hours for a weekday."""
        await asyncio.sleep(0.3 if day == "Monday" else 0.0)
        return f"nine to five on {day}"

    calls = tuple(FunctionCall("opening_hours", json.dumps({"day": day})) for day in ("Monday", "Friday"))

    def model(asked: Asked) -> Spoken | str:
        outputs = [text for role, text in asked.heard if role == "function_call_output"]
        return f"They are {len(outputs)}" if outputs else Spoken("One moment.", calls, lingers_s)

    async with engine_call(simcall, tools=[opening_hours], server={"model": model}) as made:
        await made.call.agent_says(GREETING)
        await made.call.caller_says("When are you open?")
        await made.call.agent_says("One moment. They are 2")
        await made.call.quiet(1500)
        (session,) = made.sessions
        made_calls = [
            (t, one["item"]["call_id"])
            for t, one in session.sent
            if one["type"] == "response.output_item.done" and one["item"]["type"] == "function_call"
        ]
        done_at = [
            t
            for t, one in session.sent
            if one["type"] == "response.done"
            and any(item["type"] == "function_call" for item in one["response"]["output"])
        ]
        assert done_at[0] - made_calls[0][0] == pytest.approx(lingers_s, abs=0.001)
        after = [one for one in session.received if one[0] >= made_calls[0][0]]
        kinds = [one["type"] for _, one in after]
        assert kinds == ["conversation.item.create", "conversation.item.create", "response.create"]
        assert [one["item"]["call_id"] for _, one in after[:2]] == [call_id for _, call_id in made_calls]
        assert [one["item"]["output"] for _, one in after[:2]] == [
            "nine to five on Monday",
            "nine to five on Friday",
        ]
        assert after[2][0] >= done_at[0]
        check_by_the_vendors_models(made)


# -- interruptions, and a session that ends


@pytest.mark.parametrize("speed", [1.05, 10.0])
@pytest.mark.parametrize("mode", ["cancel", "confirm", "pause", "strategies"])
async def test_an_interrupted_answer_is_cut_at_both_ends_where_the_caller_stopped_hearing_it(
    simcall: Any, mode: str, speed: float
) -> None:
    answer = "We are open from nine to five on Monday, and from ten to four on all other days of the week."
    options: dict[str, Any] = {} if mode in ("cancel", "strategies") else {"barge_in_mode": mode}
    if mode == "strategies":
        options["barge_in_strategies"] = ["min-words?min_words=2"]

    def model(asked: Asked) -> str:
        said = [text for role, text in asked.heard if role == "user"]
        return answer if len(said) == 1 else f"You said {said[-1]}"

    async with engine_call(simcall, server={"model": model, "speed": speed}, **options) as made:
        slow_network(0.03)
        await made.call.agent_says(GREETING)
        await made.call.caller_says("When are you open?")
        await made.call.agent_says("We are open from nine")
        await made.call.caller_says("And what about the holidays?", wait=mode == "cancel")
        await made.call.agent_says("You said And what about the holidays?")
        await made.call.quiet(1000)
        assert made.call.line.clears
        (session,) = made.sessions
        cut = [one for one in session.instructed if one["type"] == "conversation.item.truncate"]
        assert len(cut) == 1
        told = [event["error"]["code"] for _, event in session.sent if event["type"] == "error"]
        races = ["response_cancel_not_active"] if mode == "cancel" else []  # both stop it in the same moment
        assert told in ([], races)
        entry = next(one for one in made.call.transcript if one.text.startswith("We are"))
        assert entry.interrupted
        heard = [one for one in made.agent_lines() if one.text and one.text in answer]
        heard_ms = sum(one.end - one.start for one in heard) * 1000
        if mode == "pause":  # what was paused is resumed a little before where it was
            assert 0 <= heard_ms - cut[0]["audio_end_ms"] <= 350
        else:
            assert cut[0]["audio_end_ms"] == pytest.approx(heard_ms, abs=21)
            assert entry.text.startswith(heard[0].text.rpartition(" ")[0])
        assert [one.text for one in made.call.transcript if one.role == "user"] == [
            "When are you open?",
            "And what about the holidays?",
        ]
        assert made.call.heard.count("You said") == 1


async def test_a_session_that_expires_is_made_anew_with_all_that_was_said(simcall: Any) -> None:
    @tool
    async def opening_hours(day: str) -> str:
        """Opening hours for a weekday."""
        return f"nine to five on {day}"

    call = FunctionCall("opening_hours", '{"day": "Monday"}')

    def model(asked: Asked) -> Spoken | str:
        role, text = asked.heard[-1]
        if role == "user" and "open" in text:
            return Spoken("", (call,))
        return f"It is {text}." if role == "function_call_output" else f"You said {text}"

    faults = RealtimeFaults(expire_after_s=8.0)
    async with engine_call(simcall, faults=faults, tools=[opening_hours], server={"model": model}) as made:
        await made.call.agent_says(GREETING)
        await made.call.caller_says("When are you open?")
        await made.call.agent_says("It is nine to five on Monday.")
        made.simulator.faults = RealtimeFaults()
        await asyncio.sleep(8.0)
        await made.call.caller_says("Thank you")
        await made.call.agent_says("You said Thank you")
        first, second = made.sessions
        assert [event["error"]["code"] for _, event in first.sent if event["type"] == "error"] == [
            "session_expired"
        ]
        assert not [event for _, event in second.sent if event["type"] == "error"]
        assert second.instructed[0] == first.instructed[0]
        kept = [(item.data["type"], item.text) for item in second.conversation.items]
        assert kept == [
            ("message", GREETING),
            ("message", "When are you open?"),
            ("function_call", ""),
            ("function_call_output", "nine to five on Monday"),
            ("message", "It is nine to five on Monday."),
            ("message", "Thank you"),
            ("message", "You said Thank you"),
        ]
        assert len(made.told("greeting_delivered")) == 1
        check_by_the_vendors_models(made, "session_expired")


# -- a session that is opened while the phone rings


@pytest.mark.behaviour("PW-10")
@pytest.mark.parametrize("own_tools", [False, True])
async def test_a_parked_session_is_the_one_that_a_live_call_would_open(simcall: Any, own_tools: bool) -> None:
    @tool
    async def opening_hours(day: str) -> str:
        """Opening hours for a weekday."""
        return f"nine to five on {day}"

    settings = {
        "model": "gpt-realtime-2.1-mini",
        "voice": "cedar",
        "reasoning_effort": "low",
        "transcription_model": "gpt-live-transcribe",
        "transcription_prompt": "Acme",
        **CUSTOM,
    }
    options = {
        "system_prompt": "You are at {place}.",
        "variables": {"place": "Acme"},
        "language": "de",
        "tools": [opening_hours] if own_tools else [],
    }
    set_ups = []
    for parked in (False, True):
        line = {"ring_s": 3.0} if parked else {}
        async with engine_call(simcall, settings=settings, line=line, prewarm=parked, **options) as made:
            answered = asyncio.get_running_loop().time()
            await made.call.agent_says(GREETING)
            await made.call.caller_says("Are you open?")
            await made.call.agent_says("You said Are you open?")
            (session,) = made.sessions  # one handshake
            opened_at, set_up = session.received[0]
            assert (opened_at < answered - 2.0) is parked
            assert session.query == {"model": "gpt-realtime-2.1-mini"}
            set_ups.append(json.dumps(set_up))
            assert [one["type"] for one in session.instructed].count("session.update") == 3
    assert set_ups[0] == set_ups[1], "byte for byte"
    body = json.loads(set_ups[1])["session"]
    names = {one["name"] for one in body["tools"]}
    assert names == {"transfer_call", "end_call"} | ({"opening_hours"} if own_tools else set())
    assert "You are at Acme." in body["instructions"]
    assert body["reasoning"] == {"effort": "low"}
    heard, spoken = body["audio"]["input"], body["audio"]["output"]
    assert heard["transcription"] == {"model": "gpt-live-transcribe", "languages": ["de"], "prompt": "Acme"}
    assert heard["format"] == spoken["format"] == {"type": "audio/pcmu"}
    assert spoken["voice"] == "cedar"
