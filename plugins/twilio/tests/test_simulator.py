"""The simulator against the conformance list of the protocol, with a server that knows nothing of the plugin."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import Connect, VoiceResponse

from patter.net import session
from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import run_virtual
from patter_twilio.simulated_playback import Playback
from patter_twilio.simulator import (
    CallbackFaults,
    Callee,
    Faults,
    RestFault,
    SimulatedAccount,
    SimulatedCall,
    Simulator,
    StreamFaults,
)

TOKEN = "a-token"
PUBLIC = "https://voice.example.com"
VOICE = PUBLIC + "/voice"
TIMEOUT_S = 5.0

Media = Callable[[web.WebSocketResponse], Awaitable[None]]


class StrictServer:
    """Answers `/voice` with `documents`, takes streams at `/media`, and checks every signature with Twilio's code."""

    def __init__(self, media: Media | None = None) -> None:
        self.documents: list[str | int] = [stream_document()]
        self.media = media
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.received: list[dict[str, Any]] = []
        self.started = asyncio.Event()
        self.socket: web.WebSocketResponse | None = None
        self.url = ""

    async def webhook(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        signature = request.headers["X-Twilio-Signature"]
        if not RequestValidator(TOKEN).validate(PUBLIC + request.path_qs, form, signature):
            return web.Response(status=403)
        self.forms.append((request.path, form))
        if request.path != "/voice":
            return web.Response(status=204)
        document = self.documents.pop(0) if len(self.documents) > 1 else self.documents[0]
        if isinstance(document, int):
            return web.Response(status=document)
        return web.Response(text=document, content_type="text/xml")

    async def stream(self, request: web.Request) -> web.StreamResponse:
        url = "wss://voice.example.com" + request.path_qs
        if not RequestValidator(TOKEN).validate(url, {}, request.headers["X-Twilio-Signature"]):
            return web.Response(status=403)
        assert "Sec-WebSocket-Extensions" not in request.headers
        self.socket = web.WebSocketResponse()
        await self.socket.prepare(request)
        reading = asyncio.create_task(self.read(self.socket))
        if self.media is not None:
            await self.started.wait()
            await self.media(self.socket)
        await reading
        return self.socket

    async def read(self, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                try:
                    self.received.append(json.loads(message.data))
                except ValueError:
                    self.received.append({"event": "broken"})
                if isinstance(self.received[-1], dict) and self.received[-1].get("event") == "start":
                    self.started.set()

    async def send(self, socket: web.WebSocketResponse, event: str, **body: str) -> None:
        message: dict[str, Any] = {"event": event, "streamSid": self.stream_sid}
        if body:
            message[event] = body
        await socket.send_str(json.dumps(message))

    async def play(self, socket: web.WebSocketResponse, audio: bytes) -> None:
        await self.send(socket, "media", payload=base64.b64encode(audio).decode())

    @property
    def stream_sid(self) -> str:
        return str(next(m["streamSid"] for m in self.received if m.get("event") == "start"))

    def events(self, name: str) -> list[dict[str, Any]]:
        return [
            message for message in self.received if isinstance(message, dict) and message.get("event") == name
        ]


def stream_document(url: str = "wss://voice.example.com/media", **parameters: str) -> str:
    response, connect = VoiceResponse(), Connect()
    stream = connect.stream(url=url)
    for name, value in parameters.items():
        stream.parameter(name=name, value=value)
    response.append(connect)
    return str(response)


@asynccontextmanager
async def simulated(
    server: StrictServer, faults: Faults | None = None, callee: Callee | None = None
) -> AsyncIterator[Simulator]:
    app = web.Application()
    app.router.add_post("/{path:.*}", server.webhook)
    app.router.add_get("/media", server.stream)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    account = SimulatedAccount(auth_token=TOKEN, public_url=PUBLIC, server_url=server.url)
    try:
        async with asyncio.timeout(TIMEOUT_S), Simulator(account, faults=faults, callee=callee) as twilio:
            yield twilio
    finally:
        await runner.cleanup()


async def inbound(twilio: Simulator, **options: Any) -> SimulatedCall:
    call = await twilio.place_call(VOICE, "+15550009876", "+15550001234", **options)
    await call.wait_started()
    return call


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


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


# -- calls that the server dials -------------------------------------------------------------------------------------

DIAL = [
    ("To", "+15550009876"),
    ("From", "+15550001234"),
    ("Url", VOICE),
    ("StatusCallback", PUBLIC + "/status"),
    *(("StatusCallbackEvent", event) for event in ("initiated", "ringing", "answered", "completed")),
    ("MachineDetection", "DetectMessageEnd"),
    ("AsyncAmd", "true"),
    ("AsyncAmdStatusCallback", PUBLIC + "/amd"),
]


async def dial(twilio: Simulator, form: list[tuple[str, str]]) -> SimulatedCall:
    await rest(twilio, "Calls.json", form, 201)
    return await twilio.next_dialled()


async def rest(twilio: Simulator, path: str, form: list[tuple[str, str]], status: int) -> dict[str, Any]:
    url = f"{twilio.base_url}/2010-04-01/Accounts/{twilio.account.account_sid}/{path}"
    user = base64.b64encode(f"{twilio.account.account_sid}:{TOKEN}".encode()).decode()
    async with (
        session(headers={"Authorization": f"Basic {user}"}) as http,
        http.post(url, data=form) as response,
    ):
        assert response.status == status
        return dict(await response.json())


def statuses(server: StrictServer) -> list[tuple[str, str]]:
    return [(form["SequenceNumber"], form["CallStatus"]) for path, form in server.forms if path == "/status"]


def test_a_dialled_call_reports_its_progress_in_order_and_who_answered() -> None:
    async def scenario() -> None:
        server = StrictServer()
        async with simulated(server, callee=Callee(answered_by="machine_end_beep")) as twilio:
            call = await dial(twilio, DIAL)
            await call.wait_started()
            await until(lambda: any(path == "/amd" for path, _ in server.forms))
            call.hangup()
            await call.wait_closed()
            assert statuses(server) == [
                ("0", "initiated"),
                ("1", "ringing"),
                ("2", "in-progress"),
                ("3", "completed"),
            ]
            (voice,) = [form for path, form in server.forms if path == "/voice"]
            assert (voice["Direction"], voice["CallStatus"]) == ("outbound-api", "in-progress")
            (amd,) = [form for path, form in server.forms if path == "/amd"]
            assert (amd["CallSid"], amd["AnsweredBy"]) == (call.sid, "machine_end_beep")

    run_virtual(scenario(), network=MemoryNetwork())


def test_without_a_callback_the_document_waits_for_machine_detection() -> None:
    async def scenario() -> None:
        server = StrictServer()
        form = [(name, value) for name, value in DIAL if not name.startswith("AsyncAmd")]
        async with simulated(server, callee=Callee(answered_by="human", detection_s=0.1)) as twilio:
            call = await dial(twilio, form)
            await call.wait_started()
            (voice,) = [form for path, form in server.forms if path == "/voice"]
            assert voice["AnsweredBy"] == "human"
            assert call.answered_t is not None

    run_virtual(scenario(), network=MemoryNetwork())


@pytest.mark.parametrize("outcome", ["busy", "no-answer", "failed"])
def test_a_call_that_nobody_answers_asks_for_no_document(outcome: Any) -> None:
    async def scenario() -> None:
        server = StrictServer()
        form = [*DIAL, ("Timeout", "0")]
        async with simulated(server, callee=Callee(outcome, rings_s=0)) as twilio:
            call = await dial(twilio, form)
            await call.wait_closed()
            assert (call.status, call.streams) == (outcome, [])
            assert [path for path, _ in server.forms] == ["/status"] * 3

    run_virtual(scenario(), network=MemoryNetwork())


def test_callbacks_can_be_reordered_and_doubled() -> None:
    async def scenario() -> None:
        server = StrictServer()
        faults = Faults(callbacks=CallbackFaults(reorder=True, duplicate=True))
        async with simulated(server, faults, Callee("busy")) as twilio:
            await (await dial(twilio, DIAL)).wait_closed()
            assert [number for number, _ in statuses(server)] == ["1", "1", "0", "0", "2", "2"]

    run_virtual(scenario(), network=MemoryNetwork())


def test_a_document_sent_during_a_stream_replaces_it() -> None:
    async def scenario() -> None:
        server = StrictServer()
        async with simulated(server) as twilio:
            call = await inbound(twilio)
            await until(lambda: server.events("media"))
            transfer = "<Response><Dial><Number>+15550001111</Number></Dial></Response>"
            await rest(twilio, f"Calls/{call.sid}.json", [("Twiml", transfer)], 200)
            await until(lambda: call.dialled)
            assert server.received[-1]["event"] == "stop"
            assert server.socket is not None
            await until(lambda: server.socket is not None and server.socket.closed)
            assert (call.dialled, call.status) == (["+15550001111"], "in-progress")
            await rest(twilio, f"Calls/{call.sid}.json", [("Status", "completed")], 200)
            await call.wait_closed()
            assert call.status == "completed"
            assert (await rest(twilio, f"Calls/{call.sid}.json", [("Status", "completed")], 400))[
                "code"
            ] == 21220
            assert (await rest(twilio, f"Calls/CA{'f' * 32}.json", [("Status", "completed")], 404))[
                "code"
            ] == 20404

    run_virtual(scenario(), network=MemoryNetwork())


@pytest.mark.parametrize("with_fallback", [False, True])
def test_a_failing_webhook_goes_to_the_fallback_or_fails_the_call(with_fallback: bool) -> None:
    async def scenario() -> None:
        server = StrictServer()
        server.documents = [500, "<Response><Say>Sorry</Say></Response>"]
        form = [*DIAL, ("FallbackUrl", VOICE + "?again=1")] if with_fallback else DIAL
        async with simulated(server) as twilio:
            call = await dial(twilio, form)
            await call.wait_closed()
            assert call.errors == [11200]
            assert call.spoken == (["Sorry"] if with_fallback else [])

    run_virtual(scenario(), network=MemoryNetwork())


def test_hanging_up_while_it_rings_cancels_the_call() -> None:
    async def scenario() -> None:
        server = StrictServer()
        async with simulated(server, callee=Callee(rings_s=4)) as twilio:
            call = await dial(twilio, DIAL)
            await until(lambda: call.status == "ringing")
            await rest(twilio, f"Calls/{call.sid}.json", [("Status", "completed")], 200)
            await call.wait_closed()
            assert call.status == "canceled"

    run_virtual(scenario(), network=MemoryNetwork())


def test_the_rest_side_takes_forms_only() -> None:
    async def scenario() -> None:
        async with simulated(StrictServer()) as twilio:
            url = f"{twilio.base_url}/2010-04-01/Accounts/{twilio.account.account_sid}/Calls.json"
            user = base64.b64encode(f"{twilio.account.account_sid}:{TOKEN}".encode()).decode()
            async with session() as http:
                async with http.post(url, json=dict(DIAL)) as response:
                    assert response.status == 401
                async with http.post(
                    url, json=dict(DIAL), headers={"Authorization": f"Basic {user}"}
                ) as response:
                    assert response.status == 400
            twilio.fail_next(RestFault(429, 20429))
            assert (await rest(twilio, "Calls.json", DIAL, 429))["code"] == 20429

    run_virtual(scenario(), network=MemoryNetwork())


# -- misbehaviour of the stream --------------------------------------------------------------------------------------


def faulty(
    faults: StreamFaults, media: Media | None, check: Callable[[StrictServer, SimulatedCall], Awaitable[None]]
) -> None:
    async def scenario() -> None:
        server = StrictServer(media)
        async with simulated(server, Faults(stream=faults)) as twilio:
            await check(server, await inbound(twilio))

    run_virtual(scenario(), network=MemoryNetwork())


def test_broken_messages_and_duplicates_are_mixed_in() -> None:
    async def check(server: StrictServer, call: SimulatedCall) -> None:
        await until(lambda: len(server.events("media")) >= 8)
        assert server.events("broken")
        assert server.events("surprise")
        chunks = [m["media"]["chunk"] for m in server.events("media")]
        assert chunks[:4] == ["1", "2", "3", "3"]

    faulty(StreamFaults(malformed_every=1, duplicate_every=3), None, check)


def test_frames_can_come_in_bunches_without_getting_slower() -> None:
    async def check(server: StrictServer, call: SimulatedCall) -> None:
        loop = asyncio.get_running_loop()
        await until(lambda: server.events("media"))
        assert len(server.events("media")) % 5 == 0
        before, count = loop.time(), len(server.events("media"))
        await until(lambda: len(server.events("media")) >= count + 10)
        assert 0.1 < loop.time() - before < 0.6

    faulty(StreamFaults(bunch=5), None, check)


@pytest.mark.parametrize("by_fault", [True, False])
def test_a_stream_can_break_off_without_stop_or_close(by_fault: bool) -> None:
    async def check(server: StrictServer, call: SimulatedCall) -> None:
        if not by_fault:
            await call.drop_media()
        await call.wait_closed()
        await until(lambda: server.socket is not None and server.socket.closed)
        assert not server.events("stop")
        assert 31921 not in call.errors

    faulty(StreamFaults(drop_after_s=0.1 if by_fault else None), None, check)


def test_marks_can_be_late_or_lost() -> None:
    async def scenario() -> None:
        async def media(socket: web.WebSocketResponse) -> None:
            for name in ("a", "b", "c"):
                await server.send(socket, "mark", name=name)

        server = StrictServer(media)
        faults = Faults(stream=StreamFaults(mark_delay_s=0.1, lose_marks_every=2))
        async with simulated(server, faults) as twilio:
            call = await inbound(twilio)
            await until(lambda: len(server.events("mark")) == 2)
            assert [m["mark"]["name"] for m in server.events("mark")] == ["a", "c"]
            stream = call.stream
            assert stream is not None
            assert stream.echoes[0][0] - call.marks[0][0] >= 0.099

    run_virtual(scenario(), network=MemoryNetwork())


# -- the playout buffer, pure ----------------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(st.sampled_from(["audio", "mark", "clear"]), st.integers(0, 4000), st.integers(0, 3000)),
    max_size=30,
)


@given(steps)
def test_playback_never_overlaps_and_ends_at_a_clear(steps: list[tuple[str, int, int]]) -> None:
    playback, now, names = Playback(), 0.0, itertools.count()
    pending: dict[str, float] = {}
    sent = 0
    for kind, wait_samples, size in steps:
        now += wait_samples / 8000
        for name, due_t in list(pending.items()):
            if due_t <= now:
                assert playback.reached(name, due_t)
                del pending[name]
        if kind == "audio":
            playback.queue(b"\x01" * size, now)
            sent += size
        elif kind == "mark":
            name = str(next(names))
            pending[name] = playback.mark(name, now)
            assert pending[name] >= now
        else:
            assert playback.clear(now) == list(pending)
            pending.clear()
            assert playback.ends_t <= now

    heard = playback.heard(1e9)
    assert sum(len(part.audio) for part in heard) <= sent
    for before, after in itertools.pairwise(heard):
        assert before.t + len(before.audio) / 8000 <= after.t + 1e-3
