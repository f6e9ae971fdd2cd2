"""`disconnect()` and serving again (LC-02, but for what is prewarmed). In virtual time."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from call_watch import WATCHED, Watch

from patter import Agent, hookimpl
from patter.errors import ConfigError
from patter.net import session
from patter.plugins import HookFailure

pytestmark = pytest.mark.patter_phone(**WATCHED)

AGENT = Agent(stt="fake", llm="fake", tts="fake", vad="fake", first_message="Hello there.")


class Life:
    """Notes when a phone starts and stops; `starting_s` is how long it takes to start."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.starting_s = 0.0

    @hookimpl
    async def patter_startup(self, phone: Any) -> None:
        """Take a while."""
        self.events.append("startup")
        await asyncio.sleep(self.starting_s)

    @hookimpl
    async def patter_shutdown(self, phone: Any) -> None:
        """Note it."""
        self.events.append("shutdown")


@pytest.fixture
def life(phone: Any) -> Life:
    """What the phone does."""
    noted: Life = phone.register(Life())
    return noted


async def answers(url: str) -> int:
    """The status of the health page. Raises when nobody listens."""
    async with session() as http, http.get(f"{url}/health") as response:
        return int(response.status)


async def test_serving_ends_all_calls_and_stops_the_server_and_begins_again(
    watch: Watch, simcall: Any, life: Life
) -> None:
    phone = watch.phone
    before = asyncio.all_tasks()
    urls = []
    for round_ in (1, 2, 3):
        serving = asyncio.ensure_future(phone.serve(AGENT, port=0))
        urls.append(await phone.ready)
        assert (phone.url, await answers(urls[-1])) == (urls[-1], 200)
        calls = [simcall(), simcall()]
        for number, call in enumerate(calls):
            call.carrier_call_id = f"round {round_}, call {number}"  # a carrier's ids never come again
            await call.connect()
            await call.agent_says("Hello there.")
        ready = phone.ready
        await phone.disconnect()
        for call in calls:
            assert call.summary.reason == "the server is shutting down"
            assert (call.line.closed_with, call.ends) == (1001, 1)
            await call.__aexit__(None, None, None)
        await serving  # it returns
        with pytest.raises(ConfigError, match="not serving"):
            _ = phone.url
        with pytest.raises(OSError):
            await answers(urls[-1])
        assert ready.done()
        assert not phone.ready.done()
        assert phone.ready is not ready
        assert life.events == ["startup", "shutdown"] * round_
        watch.check(calls=2 * round_, connected=2 * round_)
    await asyncio.sleep(3)
    gc.collect()
    assert asyncio.all_tasks() <= before


async def test_it_is_idempotent_at_any_time_and_from_many_sides(
    watch: Watch, life: Life, simcall: Any
) -> None:
    phone = watch.phone
    await phone.disconnect()
    await phone.disconnect()
    assert life.events == []
    await phone.start(AGENT, port=0)
    call = simcall()
    await call.connect()
    await call.agent_says("Hello")
    await asyncio.gather(*(phone.disconnect() for _ in range(4)))
    await phone.disconnect()
    assert life.events == ["startup", "shutdown"]
    await call.__aexit__(None, None, None)
    watch.check(calls=1, connected=1)


async def test_serving_again_at_once_is_not_ended_by_the_end_before(watch: Watch, simcall: Any) -> None:
    phone = watch.phone
    first = asyncio.ensure_future(phone.serve(AGENT, port=0))
    await phone.ready
    disconnecting = asyncio.ensure_future(phone.disconnect())
    await asyncio.sleep(0)
    second = asyncio.ensure_future(phone.serve(AGENT, port=0))
    await first
    await disconnecting
    await asyncio.sleep(1)
    assert not second.done()
    async with simcall() as call:
        await call.agent_says("Hello there.")
    await phone.disconnect()
    await second


async def test_who_is_cancelled_while_it_disconnects_does_not_stop_that(watch: Watch, life: Life) -> None:
    phone = watch.phone
    serving = asyncio.ensure_future(phone.serve(AGENT, port=0))
    url = await phone.ready
    serving.cancel()
    await asyncio.sleep(0)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert serving.cancelled()
    await phone.disconnect()
    assert life.events == ["startup", "shutdown"]
    with pytest.raises(OSError):
        await answers(url)


async def test_disconnecting_while_it_starts_stops_the_start(watch: Watch, life: Life) -> None:
    phone = watch.phone
    failures: list[HookFailure] = []
    phone.on_hook_failure = failures.append
    life.starting_s = 0.5
    starting = asyncio.ensure_future(phone.serve(AGENT, port=0))
    ready = phone.ready
    await asyncio.sleep(0.1)
    await phone.disconnect()
    assert ready.cancelled()
    with pytest.raises(ConfigError, match="disconnected while it started"):
        await starting
    life.starting_s = 0.0
    await phone.start(AGENT, port=0)
    assert await answers(phone.url) == 200


async def test_a_phone_serves_once_at_a_time_and_a_start_that_fails_can_be_repeated(watch: Watch) -> None:
    phone = watch.phone
    await phone.start(AGENT, port=0)
    with pytest.raises(ConfigError, match="serving already"):
        await phone.start(AGENT, port=0)
    assert await answers(phone.url) == 200
    await phone.disconnect()
    ready = phone.ready
    with pytest.raises(ConfigError, match="needs an STT"):
        await phone.start(Agent(llm="fake"), port=0)
    assert isinstance(ready.exception(), ConfigError)
    await phone.start(AGENT, port=0)
    assert phone.ready.result() == phone.url
