"""The simulator against the conformance list of the protocol, with a server that knows nothing of the plugin."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from aiohttp import web
from strict_server import PUBLIC, StrictServer, inbound, simulated, stream_document, until

from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import run_virtual
from patter_twilio.simulator import (
    Faults,
)


def test_messages_come_in_order_with_string_counters_in_one_sequence() -> None:
    async def scenario() -> None:
        server = StrictServer()
        server.documents = [stream_document(k="v & <w>")]
        async with simulated(server) as twilio:
            call = await inbound(twilio)
            await call.say(bytes(range(200)))
            call.dtmf("5")
            await until(lambda: len(server.events("media")) >= 3)
            call.hangup()
            await call.wait_closed()

        assert [m["event"] for m in server.received[:3]] == ["connected", "start", "media"]
        assert server.received[-1]["event"] == "stop"
        start = server.events("start")[0]["start"]
        assert start["customParameters"] == {"k": "v & <w>"}
        assert start["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        numbers = [m["sequenceNumber"] for m in server.received[1:]]
        assert numbers == [str(number + 1) for number in range(len(numbers))]
        media = [m["media"] for m in server.events("media")]
        assert [m["chunk"] for m in media] == [str(number + 1) for number in range(len(media))]
        audio = [base64.b64decode(m["payload"]) for m in media]
        assert b"".join(audio[:2]) == bytes(range(200)) + b"\xff" * 120
        assert set(map(len, audio)) == {160}
        assert all(frame == b"\xff" * 160 for frame in audio[2:])
        assert [m["dtmf"]["digit"] for m in server.events("dtmf")] == ["5"]
        assert b"".join(part for _, part in call.said) == bytes(range(200))
        assert (call.status, call.errors, call.warnings) == ("completed", [], [])

    run_virtual(scenario(), network=MemoryNetwork())


def test_the_caller_speaks_in_real_time() -> None:
    async def scenario() -> None:
        async with simulated(StrictServer()) as twilio:
            call = await inbound(twilio)
            loop = asyncio.get_running_loop()
            before = loop.time()
            await call.say(b"\x10" * 1600)
            assert 0.15 < loop.time() - before < 0.5
            (first, _), *_, (last, _) = call.said
            assert last - first == pytest.approx(0.18)

    run_virtual(scenario(), network=MemoryNetwork())


def test_what_is_sent_ahead_is_heard_at_8000_bytes_a_second_and_marks_come_after_it() -> None:
    async def scenario() -> None:
        async def media(socket: web.WebSocketResponse) -> None:
            await server.send(socket, "mark", name="at once")
            await server.play(socket, b"\x01" * 801)
            await server.play(socket, b"\x02" * 799)
            await server.send(socket, "mark", name="after")

        server = StrictServer(media)
        async with simulated(server) as twilio:
            call = await inbound(twilio)
            await until(lambda: len(server.events("mark")) == 2)
            assert [m["mark"]["name"] for m in server.events("mark")] == ["at once", "after"]
            (first, audio), (second, more) = call.heard
            assert (audio, more) == (b"\x01" * 801, b"\x02" * 799)
            assert second - first == pytest.approx(801 / 8000)
            stream = call.stream
            assert stream is not None
            (early, _), (late, _) = stream.echoes
            assert early < first + 0.05
            assert late >= first + 0.2
            assert [name for _, name in call.marks] == ["at once", "after"]

    run_virtual(scenario(), network=MemoryNetwork())


def test_clear_empties_the_queue_and_echoes_every_pending_mark() -> None:
    async def scenario() -> None:
        async def media(socket: web.WebSocketResponse) -> None:
            await server.play(socket, b"\x01" * 80_000)
            for name in ("a", "b"):
                await server.send(socket, "mark", name=name)
            await asyncio.sleep(0.1)
            await server.send(socket, "clear")

        server = StrictServer(media)
        async with simulated(server) as twilio:
            call = await inbound(twilio)
            await until(lambda: len(server.events("mark")) == 2)
            assert len(call.clears) == 1
            heard = sum(len(audio) for _, audio in call.heard)
            assert 400 <= heard <= 4000
            await asyncio.sleep(0.05)
            assert sum(len(audio) for _, audio in call.heard) == heard

    run_virtual(scenario(), network=MemoryNetwork())


def test_messages_that_twilio_would_drop_are_warned_about() -> None:
    sid = "MZ" + "0" * 32
    bad = [
        '{"event":"clear"}',
        json.dumps({"event": "clear", "streamSid": sid}),
        '{"event":"media","stream_sid":1}',
        "not json",
        "[" * 5000,
    ]

    async def scenario() -> None:
        async def media(socket: web.WebSocketResponse) -> None:
            for text in bad:
                await socket.send_str(text)
            own = server.stream_sid
            for message in (
                {"event": "clear", "streamSid": own, "extra": 1},
                {"event": "media", "streamSid": own, "media": {"payload": "%%%"}},
                {"event": "mark", "streamSid": own, "mark": {}},
                {"event": "dtmf", "streamSid": own, "dtmf": {"digit": "1"}},
            ):
                await socket.send_str(json.dumps(message))
            await socket.send_bytes(b"\x00")

        async with simulated(server := StrictServer(media)) as twilio:
            call = await inbound(twilio)
            await until(lambda: 31950 in call.warnings)
            assert call.warnings == [31951] * 9 + [31950]
            assert (call.heard, call.clears, call.marks) == ([], [], [])
            assert call.status == "in-progress"

    run_virtual(scenario(), network=MemoryNetwork())


def test_when_the_server_closes_the_next_verb_runs_and_then_the_call_ends() -> None:
    async def scenario() -> None:
        async def media(socket: web.WebSocketResponse) -> None:
            await socket.close()

        server = StrictServer(media)
        server.documents = [stream_document().replace("</Response>", "<Say>Bye</Say></Response>")]
        async with simulated(server) as twilio:
            call = await inbound(twilio)
            await call.wait_closed()
            assert (call.status, call.errors, call.spoken) == ("completed", [31921], ["Bye"])

    run_virtual(scenario(), network=MemoryNetwork())


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("wss://voice.example.com/media?token=1", 31920),
        ("wss://voice.example.com/elsewhere", 31920),
        ("https://voice.example.com/media", 31923),
        ("wss://198.51.100.7/media", 31901),
    ],
)
def test_a_stream_that_cannot_be_opened_is_an_error_of_the_call(url: str, code: int) -> None:
    async def scenario() -> None:
        server = StrictServer()
        server.documents = [stream_document(url)]
        async with simulated(server) as twilio:
            call = await inbound(twilio)
            await call.wait_closed()
            assert (call.errors, call.streams, server.received) == ([code], [], [])

    run_virtual(scenario(), network=MemoryNetwork())


@pytest.mark.parametrize(("sign", "accepted"), [(True, True), (False, False)])
@pytest.mark.parametrize("port", [False, True])
def test_signatures_hold_with_and_without_the_port_and_can_be_wrong(
    sign: bool, accepted: bool, port: bool
) -> None:
    async def scenario() -> None:
        server = StrictServer()
        # Twilio's validator takes 80 for the default port of wss, so the upgrade is tried without an explicit one.
        server.documents = ["<Response><Pause length='0'/></Response>"]
        async with simulated(server, Faults(sign=sign, sign_port=port)) as twilio:
            call = await inbound(twilio)
            await call.wait_closed()
            assert bool(server.forms) is accepted
            assert call.errors == ([] if accepted else [11200])
            assert call.status == ("completed" if accepted else "failed")

    run_virtual(scenario(), network=MemoryNetwork())


@pytest.mark.parametrize(("reason", "status"), [("busy", "busy"), ("rejected", "no-answer")])
def test_a_rejected_call_never_opens_a_stream(reason: str, status: str) -> None:
    async def scenario() -> None:
        server = StrictServer()
        server.documents = [f'<Response><Reject reason="{reason}"/></Response>']
        async with simulated(server) as twilio:
            call = await inbound(twilio, status_callback=PUBLIC + "/status")
            await call.wait_closed()
            assert (call.status, call.streams, call.answered_t) == (status, [], None)
            assert [form["CallStatus"] for path, form in server.forms if path == "/status"] == [status]

    run_virtual(scenario(), network=MemoryNetwork())
