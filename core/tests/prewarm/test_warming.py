"""Parking, adopting and releasing what was opened while the phone rang, in virtual time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from patter.prewarm.warming import Warmable, Warming
from patter.testing.virtual_loop import VirtualClock, run_virtual

TTL_S = 30.0


class Socket:
    """A parked connection."""

    def __init__(self) -> None:
        self.closed = 0

    async def close(self) -> None:
        self.closed += 1


class Parking:
    """A provider of no class of ours that can park and adopt."""

    def __init__(self, delay_s: float = 0.1, error: Exception | None = None) -> None:
        self.delay_s = delay_s
        self.error = error
        self.sockets: list[Socket] = []
        self.warmed = 0

    async def open_parked_connection(self) -> Socket:
        await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        self.sockets.append(Socket())
        return self.sockets[-1]

    async def adopt_websocket(self, handle: Socket) -> None:
        raise AssertionError("adopting is the call's business")

    async def warmup(self) -> None:
        self.warmed += 1


class WarmOnly:
    """A provider that can be warmed and nothing more."""

    def __init__(self) -> None:
        self.warmed = 0

    async def warmup(self) -> None:
        self.warmed += 1


@asynccontextmanager
async def warming() -> AsyncIterator[tuple[Warming, list[tuple[str, str, float]]]]:
    told: list[tuple[str, str, float]] = []
    one = Warming(VirtualClock(asyncio.get_running_loop()), lambda *what: told.append(what))
    try:
        yield one, told
    finally:
        await one.close()
        assert len(one) == 0
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others, "no task is left"


def slots(**providers: object) -> list[Warmable]:
    found = [Warmable.of(name, provider) for name, provider in providers.items()]
    return [warmable for warmable in found if warmable is not None]


def test_whether_it_parks_is_found_by_its_methods() -> None:
    assert [warmable.parks for warmable in slots(stt=Parking(), llm=WarmOnly())] == [True, False]
    assert Warmable.of("tts", object()) is None


def test_each_slot_is_taken_at_most_once_and_connected_once() -> None:
    async def scenario() -> None:
        stt, tts, llm = Parking(), Parking(0.3), WarmOnly()
        async with warming() as (lot, told):
            lot.begin("call-1", slots(stt=stt, tts=tts, llm=llm), TTL_S)
            lot.begin("call-1", slots(stt=stt), TTL_S)  # the carrier asks again
            await asyncio.sleep(1.0)
            assert await lot.take("call-1", "stt") is stt.sockets[0]
            assert await lot.take("call-1", "stt") is None
            assert await lot.take("call-2", "tts") is None
            assert await lot.take("call-1", "llm") is None
            assert (stt.warmed, llm.warmed) == (0, 1), "what parks gets no warm-up connection besides"
            assert [(slot, round(ms)) for _, slot, ms in told] == [("llm", 0), ("stt", 100), ("tts", 300)]
        assert (len(stt.sockets), len(tts.sockets)) == (1, 1)
        assert (stt.sockets[0].closed, tts.sockets[0].closed) == (0, 1), "the taken one is its taker's"

    run_virtual(scenario())


def test_a_call_that_is_answered_early_waits_for_the_one_handshake() -> None:
    async def scenario() -> None:
        stt, loop = Parking(0.4), asyncio.get_running_loop()
        async with warming() as (lot, _):
            lot.begin("call-1", slots(stt=stt), TTL_S)
            await asyncio.sleep(0.1)
            began = loop.time()
            assert await lot.take("call-1", "stt") is stt.sockets[0]
            assert loop.time() - began == pytest.approx(0.3)
            assert len(lot) == 0

    run_virtual(scenario())


def test_a_taker_that_is_cancelled_while_it_waits_leaves_nothing_open() -> None:
    async def scenario() -> None:
        stt = Parking(0.4)
        async with warming() as (lot, _):
            lot.begin("call-1", slots(stt=stt), TTL_S)
            await asyncio.sleep(0.1)
            taker = asyncio.create_task(lot.take("call-1", "stt"))
            await asyncio.sleep(0.3)  # open, and in the same step the call ends
            taker.cancel()
            await asyncio.gather(taker, return_exceptions=True)
            lot.end("call-1")
            await asyncio.sleep(0.1)
            assert [socket.closed for socket in stt.sockets] == [1]

    run_virtual(scenario())


def test_what_fails_ends_in_a_cold_connection_and_its_text_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        stt, tts = Parking(error=RuntimeError("wss://vendor.example?key=SECRET")), Parking()
        async with warming() as (lot, _):
            lot.begin("call-1", slots(stt=stt, tts=tts), TTL_S)
            await asyncio.sleep(1.0)
            assert await lot.take("call-1", "stt") is None
            assert await lot.take("call-1", "tts") is tts.sockets[0]

    with caplog.at_level(logging.DEBUG):
        run_virtual(scenario())
    assert "SECRET" not in caplog.text
    assert [record.levelname for record in caplog.records if "failed" in record.message] == ["DEBUG"]


def test_a_parked_connection_lives_as_long_as_the_ring() -> None:
    async def scenario() -> None:
        early, late = Parking(), Parking(60.0)
        async with warming() as (lot, _):
            lot.begin("call-1", slots(stt=early), TTL_S)
            await asyncio.sleep(10.0)
            lot.begin("call-2", slots(stt=late), TTL_S)
            await asyncio.sleep(TTL_S - 10.0 - 0.1)
            assert early.sockets[0].closed == 0
            await asyncio.sleep(0.2)
            assert early.sockets[0].closed == 1
            assert await lot.take("call-1", "stt") is None
            await asyncio.sleep(10.0)
            assert len(lot) == 0, "the opening is given up with the ring"
            assert late.sockets == []

    run_virtual(scenario())


def test_an_opening_that_ends_after_its_call_is_closed_at_once() -> None:
    class Stubborn(Parking):
        """Finishes although it is cancelled."""

        async def open_parked_connection(self) -> Socket:
            try:
                await asyncio.sleep(5.0)
            except asyncio.CancelledError:
                await asyncio.sleep(0.2)
            self.sockets.append(Socket())
            return self.sockets[-1]

    async def scenario() -> None:
        stt = Stubborn()
        async with warming() as (lot, _):
            lot.begin("call-1", slots(stt=stt), TTL_S)
            await asyncio.sleep(1.0)
            lot.end("call-1")
            await asyncio.sleep(0.5)
            assert [socket.closed for socket in stt.sockets] == [1]
            assert len(lot) == 0

    run_virtual(scenario())


def test_the_end_of_a_call_closes_its_own_and_no_other() -> None:
    async def scenario() -> None:
        one, other = Parking(), Parking()
        async with warming() as (lot, _):
            lot.begin("call-1", slots(stt=one), TTL_S)
            lot.begin("call-2", slots(stt=other), TTL_S)
            await asyncio.sleep(1.0)
            lot.end("call-1")
            lot.end("call-1")
            await asyncio.sleep(0.1)
            assert (one.sockets[0].closed, other.sockets[0].closed) == (1, 0)
            assert await lot.take("call-2", "stt") is other.sockets[0]

    run_virtual(scenario())


async def audio() -> dict[str, bytes]:
    await asyncio.sleep(0.5)
    return {"Hello.": b"\x7f" * 800}


def test_the_greetings_audio_is_taken_once() -> None:
    async def scenario() -> None:
        async with warming() as (lot, _):
            lot.begin("call-1", slots(tts=Parking()), TTL_S)
            lot.render("call-1", "Hello.", audio, TTL_S)
            await asyncio.sleep(1.0)
            assert lot.take_greeting("call-1") == {"Hello.": b"\x7f" * 800}
            assert lot.take_greeting("call-1") == {}

    run_virtual(scenario())


@pytest.mark.behaviour("PW-16")
@pytest.mark.parametrize("way_out", ["late", "ended", "ring", "shutdown"])
def test_audio_that_nobody_heard_is_reported_once(caplog: pytest.LogCaptureFixture, way_out: str) -> None:
    async def scenario() -> None:
        async with warming() as (lot, _):
            lot.begin("call-1", slots(tts=Parking()), TTL_S)
            lot.render("call-1", "Hello.", audio, TTL_S)
            if way_out == "late":
                await asyncio.sleep(0.4)
                assert lot.take_greeting("call-1") == {}
                await asyncio.sleep(0.4)
                assert lot.take_greeting("call-1") == {}, "what comes too late is not kept"
            elif way_out == "ended":
                await asyncio.sleep(1.0)
            elif way_out == "ring":
                await asyncio.sleep(TTL_S + 1)
            if way_out != "shutdown":
                lot.end("call-1")
                lot.end("call-1")

    run_virtual(scenario())
    reports = [record for record in caplog.records if "not heard" in record.message]
    assert [record.levelname for record in reports] == ["WARNING"]
    assert "call-1: 6 characters" in reports[0].message


def test_at_most_two_hundred_greetings_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with warming() as (lot, _):
            for number in range(201):
                lot.begin(f"call-{number}", slots(tts=Parking()), TTL_S)
                lot.render(f"call-{number}", "Hello.", audio, TTL_S)
            await asyncio.sleep(1.0)
            assert lot.take_greeting("call-200") == {}
            assert lot.take_greeting("call-199") != {}
            for number in range(200):
                lot.take_greeting(f"call-{number}")

    run_virtual(scenario())
    assert [record.message for record in caplog.records] == [
        "call call-200: its greeting is not made beforehand: too many are"
    ]


def test_ten_thousand_calls_leave_no_entry() -> None:
    async def scenario() -> None:
        async with warming() as (lot, _):
            for number in range(10_000):
                call = f"call-{number}"
                lot.begin(call, slots(stt=Parking(0.01), tts=Parking(0.02)), TTL_S)
                lot.render(call, "Hello.", audio, TTL_S)
                if number % 3 == 0:
                    await asyncio.sleep(0.6)
                    await lot.take(call, "stt")
                    lot.take_greeting(call)
                lot.end(call)
                if number % 100 == 0:
                    await asyncio.sleep(1.0)
            await asyncio.sleep(1.0)
            assert len(lot) == 0

    logging.getLogger("patter.prewarm").setLevel(logging.ERROR)
    try:
        run_virtual(scenario())
    finally:
        logging.getLogger("patter.prewarm").setLevel(logging.NOTSET)


class Deaf:
    """Takes no notice of being cancelled."""

    async def hang(self) -> None:
        ends = asyncio.get_running_loop().time() + 60.0
        while asyncio.get_running_loop().time() < ends:
            try:
                await asyncio.sleep(ends - asyncio.get_running_loop().time())
            except asyncio.CancelledError:
                continue

    async def warmup(self) -> None:
        await self.hang()

    async def close(self) -> None:
        await self.hang()


@pytest.mark.parametrize("what", ["a warm-up", "a close"])
def test_closing_does_not_wait_for_what_cannot_be_cancelled(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        lot = Warming(VirtualClock(loop), lambda *_: None)
        if what == "a close":
            lot.discard(Deaf())
        else:
            lot.begin("call-1", slots(llm=Deaf()), TTL_S)
        await asyncio.sleep(0.1)
        began = loop.time()
        await lot.close()
        assert loop.time() - began < 3.5
        await asyncio.sleep(100.0)
        assert len(lot) == 0

    run_virtual(scenario())
    assert [record.levelname for record in caplog.records if "given up" in record.message] == ["WARNING"]


def test_closing_closes_what_a_cancelled_taker_left() -> None:
    async def scenario() -> None:
        stt = Parking(0.4)
        async with warming() as (lot, _):
            lot.begin("call-1", slots(stt=stt), TTL_S)
            await asyncio.sleep(0.1)
            taker = asyncio.create_task(lot.take("call-1", "stt"))
            await asyncio.sleep(0.3)
            taker.cancel()
            await asyncio.gather(taker, return_exceptions=True)
        assert [socket.closed for socket in stt.sockets] == [1]

    run_virtual(scenario())


def test_what_opens_after_its_taker_has_waited_long_enough_is_closed_at_once() -> None:
    async def scenario() -> None:
        stt, loop = Parking(10.0), asyncio.get_running_loop()
        async with warming() as (lot, _):
            lot.begin("call-1", slots(stt=stt), TTL_S)
            began = loop.time()
            assert await lot.take("call-1", "stt") is None
            assert loop.time() - began == pytest.approx(3.0)
            await asyncio.sleep(8.0)
            assert [socket.closed for socket in stt.sockets] == [1]
            assert len(lot) == 0

    run_virtual(scenario())


def test_plain_functions_will_do() -> None:
    class Plain:
        def __init__(self) -> None:
            self.socket = Socket()

        def open_parked_connection(self) -> Socket:
            return self.socket

        def adopt_websocket(self, handle: Socket) -> None: ...

    async def scenario() -> None:
        plain, other = Plain(), Plain()
        async with warming() as (lot, _):
            lot.begin("call-1", slots(stt=plain, tts=other), TTL_S)
            await asyncio.sleep(0.1)
            assert await lot.take("call-1", "stt") is plain.socket
        assert (plain.socket.closed, other.socket.closed) == (0, 1)

    run_virtual(scenario())


@pytest.mark.behaviour("PW-06")
def test_a_parked_connection_keeps_itself_alive_until_its_ring_is_over() -> None:
    """30 s with the default `ring_timeout` of 25 s; see test_prewarm for where that is reckoned."""

    class KeptAlive(Socket):
        """Sends what its vendor wants every 4 s."""

        def __init__(self) -> None:
            super().__init__()
            self.frames = 0
            self.keeping = asyncio.ensure_future(self.keep())

        async def keep(self) -> None:
            while True:
                await asyncio.sleep(4.0)
                self.frames += 1

        async def close(self) -> None:
            self.keeping.cancel()
            await super().close()

    class Vendor(Parking):
        async def open_parked_connection(self) -> Socket:
            self.sockets.append(KeptAlive())
            return self.sockets[-1]

    async def scenario() -> None:
        stt, late = Vendor(), Parking(40.0)
        async with warming() as (lot, _):
            lot.begin("call-1", slots(stt=stt, tts=late), TTL_S)
            await asyncio.sleep(TTL_S - 0.5)
            assert (stt.sockets[0].closed, stt.sockets[0].frames) == (0, 7)
            await asyncio.sleep(1.0)
            assert (stt.sockets[0].closed, stt.sockets[0].frames) == (1, 7)
            await asyncio.sleep(20.0)
            assert stt.sockets[0].frames == 7
            assert await lot.take("call-1", "stt") is None

    run_virtual(scenario())
