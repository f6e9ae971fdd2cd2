"""Calls that a server places through the simulator."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from strict_server import PUBLIC, TOKEN, VOICE, StrictServer, inbound, simulated, until

from patter.net import session
from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import run_virtual
from patter_twilio.simulator import (
    CallbackFaults,
    Callee,
    Faults,
    RestFault,
    SimulatedCall,
    Simulator,
)

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
