"""Calls that are dialled over Twilio with providers that open while it rings, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from patter import LLMRecord, STTRecord, TTSRecord, hookimpl
from patter.environment import Environment
from patter.errors import ProviderDisconnected
from patter.providers.carrier import CallStatus
from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import VirtualClock, VirtualTimeLoop, run_virtual
from patter_twilio.simulator import Callee, RestFault

TO = "+15550004444"
KINDS = ["llm", "stt", "tts"]
OPENS_S = 0.25


class Vendors:
    """The far ends of the three providers.

    Attributes:
        opened: each handshake: of which provider, and whether while it rang ("parked") or later ("connected").
        open: connections that are up.
        fails: providers that take no connection over; half of that is done when they say so.
        told: `ProviderConnected` of each provider.
    """

    def __init__(self) -> None:
        self.opened: list[tuple[str, str]] = []
        self.open: list[Connection] = []
        self.fails: set[str] = set()
        self.told: list = []

    async def handshake(self, kind: str, how: str) -> Connection:
        await asyncio.sleep(OPENS_S)
        self.opened.append((kind, how))
        return Connection(self)

    @hookimpl
    def patter_call_setup(self, call) -> None:
        call.on("provider_connected", self.told.append)


class Connection:
    def __init__(self, vendors: Vendors) -> None:
        self.vendors = vendors
        vendors.open.append(self)

    def close(self) -> None:
        if self in self.vendors.open:
            self.vendors.open.remove(self)


def parking(kind, base, vendors):
    """A provider like `base` that can be parked."""

    class Parking(base):
        def __init__(self) -> None:
            super().__init__()
            self.connection = None

        async def open_parked_connection(self, *_):
            return await vendors.handshake(kind, "parked")

        async def adopt_websocket(self, handle) -> None:
            assert self.connection is None
            self.connection = handle
            if kind in vendors.fails:
                raise ProviderDisconnected("lost half-way")

        async def need(self) -> None:
            if self.connection is None:
                self.connection = await vendors.handshake(kind, "connected")

        async def close(self) -> None:
            await super().close()
            if self.connection is not None:
                self.connection.close()

    return Parking


def agent_of(carrier, vendors, **options):
    stt, llm, tts = (parking(kind, getattr(carrier.parts, kind), vendors) for kind in ("stt", "llm", "tts"))

    class ParkingSTT(stt):
        async def connect(self, audio_format) -> None:
            await self.need()

    class ParkingLLM(llm):
        async def stream(self, *arguments, **named):
            await self.need()
            async for chunk in super().stream(*arguments, **named):
                yield chunk

    class ParkingTTS(tts):
        async def synthesize(self, text):
            await self.need()
            async for chunk in super().synthesize(text):
                yield chunk

    return carrier.agent(
        stt=STTRecord("parking", ParkingSTT, interims=True),
        llm=LLMRecord("parking", ParkingLLM),
        tts=TTSRecord("parking", ParkingTTS),
        **options,
    )


def virtually(carrier, scenario, **options):
    """Run `scenario(served, vendors)` with a phone in virtual time; afterwards nothing may be open or kept."""
    vendors = Vendors()
    loop = VirtualTimeLoop(network=MemoryNetwork())

    async def run():
        environment = Environment.seeded(1, VirtualClock(loop))
        served_agent = agent_of(carrier, vendors)
        async with carrier.loopback(
            served_agent, environment=environment, plugins=[vendors], **options
        ) as served:
            await scenario(served, vendors)
            warming = served.phone.warming
        assert (len(warming), vendors.open) == (0, [])
        assert len({kind for kind, how in vendors.opened if how == "parked"}) == sum(
            how == "parked" for _, how in vendors.opened
        )

    run_virtual(run(), loop=loop, timeout_s=600.0)
    loop.close()
    return vendors


@pytest.mark.behaviour("PW-02")
@pytest.mark.parametrize("rings_s", [OPENS_S, 1.0, 20.0])
def test_each_provider_is_connected_once_and_taken_over_in_no_time(carrier, rings_s):
    async def scenario(served, vendors):
        calling = asyncio.create_task(served.phone.call(TO))
        call = await served.simulator.next_dialled()
        await call.wait_started()
        await served.greeted(call)
        await served.talk(call, "yes this is me", "and that is all")
        call.hangup()
        result = await calling
        await served.ended(call, total=1)
        assert result.outcome == "answered"

    vendors = virtually(carrier, scenario, callee=Callee(rings_s=rings_s))
    assert sorted(vendors.opened) == [(kind, "parked") for kind in KINDS]
    assert sorted((one.kind, one.source, one.took_ms) for one in vendors.told) == [
        (kind, "adopted", 0.0) for kind in KINDS
    ]


@pytest.mark.behaviour("PW-07")
@pytest.mark.parametrize("rings_s", [0.1, 1.0])
@pytest.mark.parametrize("outcome", ["busy", "no-answer", "failed"])
def test_a_call_that_nobody_answers_leaves_nothing_open(carrier, outcome, rings_s):
    async def scenario(served, vendors):
        result = await served.phone.call(TO, ring_timeout=1)
        assert result.status.value == outcome
        await served.ended(await served.simulator.next_dialled(), total=1)
        await asyncio.sleep(1.0)
        assert (len(served.phone.warming), vendors.open) == (0, [])

    vendors = virtually(carrier, scenario, callee=Callee(outcome, rings_s=rings_s))
    assert all(how == "parked" for _, how in vendors.opened)


@pytest.mark.behaviour("PW-07")
@pytest.mark.parametrize("after_s", [0.0, 0.1, OPENS_S, 1.0])
@pytest.mark.parametrize("way", ["application", "carrier", "shutdown"])
def test_a_call_given_up_while_it_rings_leaves_nothing_open(carrier, way, after_s):
    async def scenario(served, vendors):
        result = await served.phone.call(TO, wait=False)
        call = await served.simulator.next_dialled()
        await asyncio.sleep(after_s)
        if way == "application":
            await served.phone.end_call(result.call_id)
        elif way == "carrier":
            call.redirect(None)
        else:
            await served.phone.disconnect()
        await served.ended(call, total=1)
        assert call.streams == []
        await asyncio.sleep(1.0)
        assert (len(served.phone.warming), vendors.open) == (0, [])

    virtually(carrier, scenario, callee=Callee(rings_s=60.0))


@pytest.mark.behaviour("PW-07")
def test_a_machine_gets_its_message_and_the_agents_connections_are_closed(carrier):
    async def scenario(served, vendors):
        result = await served.phone.call(TO, voicemail_message="Please ring back.")
        call = await served.simulator.next_dialled()
        assert (result.outcome, call.spoken) == ("voicemail", ["Please ring back."])
        await served.ended(call, total=1)
        assert (len(served.phone.warming), vendors.open) == (0, [])

    callee = Callee(rings_s=1.0, answered_by="machine_end_beep", detection_s=3.0)
    vendors = virtually(carrier, scenario, callee=callee)
    assert sorted(vendors.opened) == [(kind, "parked") for kind in KINDS]
    assert vendors.told == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_fails_to_be_taken_over_half_way_is_made_anew(carrier, kind):
    async def scenario(served, vendors):
        vendors.fails.add(kind)
        calling = asyncio.create_task(served.phone.call(TO))
        call = await served.simulator.next_dialled()
        await served.greeted(call)
        await served.talk(call, "yes this is me")
        call.hangup()
        await served.ended(call, total=1)
        assert (await calling).outcome == "answered"

    vendors = virtually(carrier, scenario, callee=Callee(rings_s=1.0))
    assert sorted(vendors.opened) == sorted([(one, "parked") for one in KINDS] + [(kind, "connected")])
    adopted = sorted(one.kind for one in vendors.told if one.source == "adopted")
    assert adopted == [one for one in KINDS if one != kind]


@pytest.mark.behaviour("PW-07")
def test_a_refused_dial_and_a_callee_who_hangs_up_at_once_leave_nothing_open(carrier):
    async def scenario(served, vendors):
        served.simulator.fail_next(RestFault(status=500))
        with pytest.raises(Exception, match="Twilio"):
            await served.phone.call(TO)
        await asyncio.sleep(1.0)
        assert (len(served.phone.warming), vendors.open) == (0, [])
        vendors.opened.clear()

        calling = asyncio.create_task(served.phone.call(TO))
        call = await served.simulator.next_dialled()
        await call.wait_started()
        call.hangup()
        await served.ended(call, total=2)
        assert (await calling).status is CallStatus.COMPLETED

    virtually(carrier, scenario, callee=Callee(rings_s=1.0))
