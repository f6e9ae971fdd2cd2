"""Prewarming against the odds: vendors that hang, calls that begin, change or end while something is being opened."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from parking import GREETING, Log, SlowSocket, agent, nothing_is_kept

from patter import Agent, Patter, RealtimeRecord, Switch, TTSRecord, hookimpl
from patter.plugins import PluginManager
from patter.providers.carrier import CallOffer, CallStatus
from patter.providers.stt import Final
from patter.testing import fake_plugin
from patter.testing.fake_tts import FakeTTS
from patter.testing.scene import VoiceFault


def reports(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said of greetings that were paid for in vain."""
    return [message for message in caplog.messages if "were paid for and not heard" in message]


@pytest.mark.parametrize("kind", ["stt", "tts", "llm"])
async def test_a_parked_opening_that_hangs_holds_the_call_up_for_a_moment_alone(
    simcall: Any, phone: Any, log: Log, kind: str
) -> None:
    log.takes_s[f"park {kind}"] = 3600.0
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with simcall(agent(llm="parking"), ring_s=1.0) as call:
        await call.agent_says(GREETING)
        await call.caller_says("Hello?")
        await call.agent_says("You said: Hello?")
        assert loop.time() - began < 16.0
        assert (kind, "connect") in log.opened
    assert call.failures == []
    nothing_is_kept(phone, log)


async def test_a_model_that_is_not_ready_does_not_hold_up_the_greeting(
    simcall: Any, phone: Any, log: Log
) -> None:
    log.takes_s["park llm"] = 2.5
    loop = asyncio.get_running_loop()
    async with simcall(agent(llm="parking"), ring_s=0.5) as call:
        began = loop.time()
        while not call.scene.voice.spoken:
            await asyncio.sleep(0.01)
        assert loop.time() - began < 0.1, "the voice was ready"
        await call.caller_says("Hello?")
        await call.agent_says("You said: Hello?")
    assert log.opened.count(("llm", "park")) == 1
    assert ("llm", "connect") not in log.opened, "the model waited for its one handshake"
    nothing_is_kept(phone, log)


async def test_the_model_of_an_early_turn_waits_for_its_one_handshake(
    simcall: Any, phone: Any, log: Log
) -> None:
    log.takes_s["park llm"] = 2.5
    async with simcall(agent(llm="parking", first_message=""), ring_s=0.0) as call:
        await call.caller_says("Hi.")
        await call.agent_says("You said: Hi.")
    assert [how for kind, how in log.opened if kind == "llm"] == ["park"]
    nothing_is_kept(phone, log)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_voice_that_takes_time_to_adopt_speaks_once_it_has(
    simcall: Any, phone: Any, log: Log, fails: bool
) -> None:
    log.takes_s["adopt tts"] = 0.4
    log.fails |= {"adopt tts"} if fails else set()
    async with simcall(agent(), ring_s=1.0) as call:
        await call.agent_says(GREETING)
    assert [how for kind, how in log.opened if kind == "tts"] == (["park", "connect"] if fails else ["park"])
    nothing_is_kept(phone, log)


@pytest.mark.behaviour("PW-04")
@pytest.mark.parametrize("kind", ["stt", "tts"])
async def test_a_dead_connection_that_does_not_close_holds_nobody_up(
    simcall: Any, phone: Any, log: Log, kind: str
) -> None:
    log.socket = SlowSocket
    log.fails.add(f"adopt {kind}")
    loop = asyncio.get_running_loop()
    told: list[float] = []
    async with simcall(agent(), ring_s=1.0) as call:
        began = loop.time()
        while (kind, "connect") not in log.opened:
            await asyncio.sleep(0.01)
        told.append(loop.time() - began)
        await call.agent_says(GREETING)
    assert told[0] < 0.35, "the cold handshake alone"
    nothing_is_kept(phone, log)


class Switching:
    """Answers the failure of one provider with another one in the place of a second."""

    def __init__(self, failed: str, switched: str) -> None:
        self.failed = failed
        self.switched = switched

    @hookimpl
    def patter_call_error(self, call: Any, error: Any) -> Any:
        return Switch(self.switched, "fake") if error.kind == self.failed else None


@pytest.mark.parametrize("step", ["park", "adopt"])
async def test_a_voice_that_takes_the_place_of_another_does_not_get_its_connection(
    simcall: Any, phone: Any, log: Log, step: str
) -> None:
    phone.register(Switching("llm", "tts"))
    log.takes_s[f"{step} tts"] = 0.8
    ring_s = 0.0 if step == "park" else 1.0
    calling = simcall(agent(stt="fake-endpointing", first_message=""), ring_s=ring_s)
    calling.scene.model.replies.append(RuntimeError("broken"))
    async with calling as call:
        await asyncio.sleep(0.1)
        call.scene.recogniser.emit(Final("Hello?"))
        await asyncio.sleep(2.0)
        call.scene.recogniser.emit(Final("Are you there?"))
        await call.agent_says("You said: Are you there?")
    assert log.synthesised == []
    nothing_is_kept(phone, log)


@pytest.mark.parametrize("step", ["park", "adopt"])
async def test_a_recogniser_that_takes_the_place_of_another_is_connected(
    simcall: Any, phone: Any, log: Log, step: str
) -> None:
    phone.register(Switching("tts", "stt"))
    log.takes_s[f"{step} stt"] = 0.8
    calling = simcall(agent(tts="fake"), ring_s=0.0 if step == "park" else 1.0)
    calling.scene.voice.faults.append(VoiceFault(error=RuntimeError("broken")))
    async with calling as call:
        await asyncio.sleep(1.0)
        await call.caller_says("Hello?")
        await call.agent_says("You said: Hello?")
    nothing_is_kept(phone, log)


@pytest.mark.behaviour("PW-12")
async def test_of_models_that_stand_in_for_each_other_the_first_is_parked(
    simcall: Any, phone: Any, log: Log
) -> None:
    async with simcall(agent(llm="parking", llm_fallbacks=["fake"]), ring_s=1.0) as call:
        await call.agent_says(GREETING)
        await call.caller_says("Hello?")
        await call.agent_says("You said: Hello?")
    assert [how for kind, how in log.opened if kind == "llm"] == ["park"]
    nothing_is_kept(phone, log)


@pytest.mark.parametrize(
    "fails", ["park stt", "park tts", "park llm", "adopt stt", "adopt tts", "adopt llm", "connect stt"]
)
async def test_no_log_has_the_text_of_a_handshakes_failure(
    simcall: Any, phone: Any, log: Log, caplog: pytest.LogCaptureFixture, fails: str
) -> None:
    log.fails.add(fails)
    prewarm = not fails.startswith("connect")
    with caplog.at_level(1, "patter"):
        async with simcall(agent(llm="parking", prewarm=prewarm), ring_s=1.0) as call:
            await asyncio.sleep(3.0)
            assert bool(call.failures) == (not prewarm)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("patter")]
    assert [line for line in said if "ProviderDisconnected" in line]
    assert not [line for line in said if "vendor.example" in line]


# -- the greeting


async def test_the_live_greeting_begins_when_the_other_one_has_stopped(
    simcall: Any, phone: Any, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    log.takes_s["stop tts"] = 0.2
    log.takes_s["connect tts"] = 0.8
    async with simcall(agent(prewarm_first_message=True), ring_s=0.5) as call:
        await call.agent_says(GREETING)
    assert len(reports(caplog)) == 1
    nothing_is_kept(phone, log)


@pytest.mark.behaviour("PW-16")
@pytest.mark.parametrize("how", ["set-up fails", "hung up at once", "hung up while it is set up"])
async def test_a_greeting_that_was_taken_and_never_begun_is_reported(
    simcall: Any, phone: Any, log: Log, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    class Failing:
        @hookimpl
        async def patter_call_setup(self, call: Any) -> None:
            if how == "set-up fails":
                raise RuntimeError("no")
            if how == "hung up while it is set up":
                await asyncio.sleep(0.5)

    phone.register(Failing())
    phone.on_hook_failure = None
    async with simcall(agent(prewarm_first_message=True), ring_s=2.0) as call:
        if how == "hung up at once":
            await call.caller_hangs_up()
        elif how == "hung up while it is set up":
            await asyncio.sleep(0.1)
            phone.switchboard.end(phone.switchboard.line(call.call.id), CallStatus.COMPLETED, "given up")
            await call.ended()
        else:
            await asyncio.sleep(0.1)
            await call.caller_hangs_up()
    assert len(reports(caplog)) <= 1
    heard = "Acme" in call.heard
    assert len(reports(caplog)) == (0 if heard else 1)
    nothing_is_kept(phone, log)


# -- how long it is kept


@pytest.mark.behaviour("PW-06")
@pytest.mark.parametrize(("ring", "lives_s"), [({}, 30.0), ({"ring_timeout": None}, 65.0)])
async def test_what_is_parked_for_a_dial_lives_for_its_ring_and_five_seconds(
    phone: Any, log: Log, ring: dict[str, Any], lives_s: float
) -> None:
    await phone.start(agent(), port=0)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await phone.call("+15550002222", wait=False, **ring)
    await asyncio.sleep(lives_s - 0.1)
    assert (len(log.opened), log.closed) == (2, [])
    await asyncio.sleep(0.2)
    assert sorted(log.closed) == ["stt", "tts"]
    assert loop.time() - began < lives_s + 0.2
    nothing_is_kept(phone, log)
    await phone.disconnect()


@pytest.mark.behaviour("PW-06")
async def test_what_is_parked_for_a_caller_lives_no_longer_than_the_media_is_waited_for(
    phone: Any, log: Log
) -> None:
    await phone.start(agent(), port=0)
    host = phone.switchboard.trunks["fake"].carrier.host
    for _ in range(2):  # the carrier asks again
        await host.incoming_call(CallOffer("one", "+15550001111", "+15550001234"))
        await asyncio.sleep(8.0)
    assert (len(log.opened), log.closed) == (2, ["stt", "tts"])
    await phone.disconnect()
    nothing_is_kept(phone, log)


@pytest.mark.behaviour("PW-15")
async def test_with_an_engine_nothing_is_made_beforehand_and_a_warning_says_so(
    phone: Any, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    class Engines:
        @hookimpl
        def patter_register_realtime(self) -> list[RealtimeRecord]:
            return [RealtimeRecord("engine", object)]

    phone.register(Engines())
    phone.planner.plan(Agent(engine="engine", first_message=GREETING, prewarm_first_message=True))
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [warning for warning in warnings if "prewarm_first_message" in warning]
    assert (log.opened, len(phone.warming)) == ([], 0)


@pytest.mark.behaviour("PW-01")
def test_the_answer_is_sent_before_providers_are_made() -> None:
    """Over a real socket, with a provider whose making takes half a second of the loop."""
    made: list[float] = []

    class Slow:
        @hookimpl
        def patter_register_tts(self) -> list[TTSRecord]:
            return [TTSRecord("slow", self.make)]

        def make(self, context: Any) -> FakeTTS:
            made.append(time.perf_counter())
            time.sleep(0.5)
            return FakeTTS(context)

        @hookimpl
        def patter_add_routes(self, app: Any, phone: Any) -> None:
            async def offered(request: web.Request) -> web.Response:
                host = phone.switchboard.trunks["fake"].carrier.host
                answer = await host.incoming_call(CallOffer("one", "+15550001111", "+15550001234"))
                return web.Response(text=answer.stream_url)

            app.router.add_post("/ring", offered)

    async def scenario() -> float:
        manager = PluginManager([fake_plugin, Slow()], autoload=False, environ={})
        phone = Patter(manager=manager, carrier="fake", phone_number="+15550001234")
        await phone.start(agent(stt="fake", tts="slow"), port=0)
        url = urlsplit(phone.url)
        answered: list[float] = []

        def caller() -> None:  # in a thread of its own: its clock does not stand while the loop is busy
            with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
                connection.sendall(b"POST /ring HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
                assert connection.recv(4096).startswith(b"HTTP/1.1 200")
                answered.append(time.perf_counter())

        try:
            await asyncio.to_thread(caller)
            while not made:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0)
        finally:
            await phone.disconnect()
        return answered[0] - made[0]

    assert asyncio.run(scenario()) < 0.25
