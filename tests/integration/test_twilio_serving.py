"""Starting to serve and stopping: when calls are safe, and what is wrong when it does not come to that."""

from __future__ import annotations

import asyncio
import socket

import pytest

from patter import Patter, STTRecord
from patter.environment import Environment
from patter.errors import ConfigError
from patter.testing.virtual_loop import VirtualClock, run_virtual

TO = "+15550004444"


@pytest.mark.behaviour("LC-01")
def test_once_ready_is_done_calls_can_come_and_be_placed(carrier):
    async def scenario():
        async with carrier.loopback() as served:
            phone = served.phone
            await phone.disconnect()
            serving = asyncio.create_task(phone.serve(carrier.agent(), port=0))
            await asyncio.sleep(0)
            assert not phone.ready.done()
            address = await asyncio.wait_for(asyncio.shield(phone.ready), 5)
            assert address == phone.url
            assert phone.webhook_url("twilio", "voice") == f"{address}/webhooks/twilio/voice"
            calling = asyncio.create_task(phone.call(TO))
            outbound = await asyncio.wait_for(served.simulator.next_dialled(), 5)
            inbound = await served.ring()
            for call in (inbound, outbound):
                await served.hears(call, "Hello.")
                call.hangup()
            await served.ended(inbound, outbound, total=2)
            assert (await calling).outcome == "answered"
            await phone.disconnect()
            await asyncio.wait_for(serving, 5)  # it returns when somebody disconnects
            assert not phone.ready.done()
            with pytest.raises(ConfigError, match="not serving"):
                await phone.call(TO)

    asyncio.run(scenario())


def test_cancelling_serve_ends_the_calls_and_stops(carrier):
    async def scenario():
        async with carrier.loopback() as served:
            await served.phone.disconnect()
            serving = asyncio.create_task(served.phone.serve(carrier.agent(), port=0))
            await asyncio.wait_for(asyncio.shield(served.phone.ready), 5)
            call = await served.ring()
            await served.hears(call, "Hello.")
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(serving, 5)
            await asyncio.wait_for(call.wait_closed(), 5)
            assert call.stream.close_code == 1001
            assert len(served.summaries) == 1

    asyncio.run(scenario())


@pytest.mark.behaviour("LC-01")
def test_a_port_that_is_taken_is_an_error_of_both_serve_and_ready(carrier):
    async def scenario():
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            async with carrier.loopback() as served:
                await served.phone.disconnect()
                ready = served.phone.ready
                with pytest.raises(OSError, match="in use"):
                    await served.phone.serve(carrier.agent(), port=taken.getsockname()[1])
                with pytest.raises(OSError, match="in use"):
                    await ready
                # Another port is all it takes.
                await served.phone.start(carrier.agent(), port=0)
                call = await served.ring()
                await served.hears(call, "Hello.")
                call.hangup()
                await served.ended(call, total=1)

    asyncio.run(scenario())


@pytest.mark.behaviour("LC-01")
def test_what_hangs_before_it_listens_is_an_error_after_thirty_seconds(carrier):
    class Hanging:
        @classmethod
        async def preload(cls, config, context):
            await asyncio.Event().wait()

    async def scenario():
        loop = asyncio.get_running_loop()
        phone = Patter(environment=Environment.seeded(1, VirtualClock(loop)))
        ready, began = phone.ready, loop.time()
        with pytest.raises(TimeoutError):
            await phone.start(carrier.agent(stt=STTRecord("hanging", Hanging)))
        assert loop.time() - began == pytest.approx(30.0)
        assert isinstance(ready.exception(), TimeoutError)
        with pytest.raises(ConfigError, match="not serving"):
            _ = phone.url

    run_virtual(scenario())


def test_two_phones_in_one_process_share_nothing(carrier):
    async def scenario():
        async with (
            carrier.loopback(carrier.agent(first_message="This is the first.")) as first,
            carrier.loopback(carrier.agent(first_message="This is the second."), max_calls=1) as second,
        ):
            calls = [await first.ring(), await first.ring()]
            other = await second.ring()
            for call in calls:
                await first.hears(call, "This is the first.")
            await second.hears(other, "This is the second.")
            await second.phone.disconnect()
            for call in calls:
                await first.listening(call)
                await first.talk(call, "still here")
                call.hangup()
            await first.ended(*calls, total=2)
            assert len(second.summaries) == 1

    asyncio.run(scenario())
