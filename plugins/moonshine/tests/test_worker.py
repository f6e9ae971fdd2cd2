from __future__ import annotations

import asyncio
import threading

import pytest

from patter.audio.formats import MULAW_8K
from patter.environment import SystemClock
from patter.errors import ConfigError, InternalError, ProviderDisconnected, ProviderError, RateLimitedError
from patter_moonshine.worker import Job, Worker


class Scripted:
    """Says what it is given, and nothing before it may."""

    def __init__(self):
        self.may = threading.Event()
        self.started = threading.Event()
        self.heard = []
        self.threads = set()
        self.closed_in = None

    def text_of(self, audio, audio_format):
        self.threads.add(threading.get_ident())
        self.started.set()
        assert self.may.wait(10)
        self.heard.append(audio.decode())
        if audio.startswith(b"!"):
            raise ProviderError("bad segment", provider="moonshine")
        if audio.startswith(b"?"):
            raise ZeroDivisionError
        return audio.decode().upper()

    def close(self):
        self.closed_in = threading.get_ident()


class Bench:
    """A worker that is held in its first job, so that the queue behind it can be looked at."""

    def __init__(self, limit=100):
        self.model = Scripted()
        self.worker = Worker(SystemClock(), load=lambda: self.model, limit=limit)
        self.outcomes = {}
        self.left = 0
        self.idle = threading.Event()

    async def hold(self):
        await self.worker.ready()
        self.ask("hold", owner="holder")
        assert await asyncio.to_thread(self.model.started.wait, 10)

    def ask(self, audio, owner="a", segment=1, interim=False):
        def deliver(outcome):
            self.outcomes[audio] = outcome

        self.worker.submit(Job(owner, segment, audio.encode(), MULAW_8K, interim, deliver))

    async def run_out(self):
        """Let everything run, and wait for the end of it."""
        done = threading.Event()
        self.worker.submit(Job("last", 0, b"last", MULAW_8K, False, lambda _: None))
        self.worker.submit(Job("last", 0, b"end", MULAW_8K, True, lambda _: done.set()))
        self.model.may.set()
        assert await asyncio.to_thread(done.wait, 10)
        await self.worker.close()
        return [text for text in self.model.heard if text not in ("hold", "last", "end")]


def test_finals_go_before_interims_each_in_the_order_of_asking():
    async def scenario():
        bench = Bench()
        await bench.hold()
        bench.ask("interim of a", "a", interim=True)
        bench.ask("interim of b", "b", interim=True)
        bench.ask("final of c", "c")
        bench.ask("final of d", "d")
        assert await bench.run_out() == ["final of c", "final of d", "interim of a", "interim of b"]
        assert bench.outcomes["final of c"].text == "FINAL OF C"
        assert len(bench.model.threads) == 1
        assert threading.get_ident() not in bench.model.threads
        assert {bench.model.closed_in} == bench.model.threads

    asyncio.run(scenario())


def test_a_newer_interim_takes_the_place_of_the_waiting_one_and_a_final_ends_it():
    async def scenario():
        bench = Bench()
        await bench.hold()
        bench.ask("a 300", "a", interim=True)
        bench.ask("b 300", "b", interim=True)
        bench.ask("a 600", "a", interim=True)
        assert bench.worker.waiting == 2
        bench.ask("b final", "b")
        assert bench.worker.waiting == 2
        assert await bench.run_out() == ["b final", "a 600"]
        assert bench.worker.dropped_interims == 0

    asyncio.run(scenario())


def test_a_full_queue_drops_its_oldest_interim_and_counts_it_but_never_a_final():
    async def scenario():
        bench = Bench(limit=3)
        await bench.hold()
        bench.ask("interim of a", "a", interim=True)
        bench.ask("interim of b", "b", interim=True)
        bench.ask("final of c", "c")
        bench.ask("interim of d", "d", interim=True)  # drops a's
        bench.ask("final of e", "e")  # drops b's
        bench.ask("final of f", "f")  # drops d's
        bench.ask("interim of g", "g", interim=True)  # finds nothing to drop but itself
        assert bench.worker.waiting == 3
        assert bench.worker.dropped_interims == 4
        with pytest.raises(RateLimitedError, match="3 utterances wait"):
            bench.ask("final of h", "h")
        bench.worker.cancel("f")
        bench.worker.cancel("e")
        assert await bench.run_out() == ["final of c"]

    asyncio.run(scenario())


def test_cancelling_one_call_leaves_the_jobs_of_the_others():
    async def scenario():
        bench = Bench()
        await bench.hold()
        bench.ask("final of a", "a")
        bench.ask("final of b", "b")
        bench.ask("interim of a", "a", interim=True)
        bench.worker.cancel("a")
        assert await bench.run_out() == ["final of b"]

    asyncio.run(scenario())


def test_a_segment_that_fails_is_answered_with_the_error_and_the_next_one_is_recognised():
    async def scenario():
        bench = Bench()
        await bench.hold()
        bench.ask("!bad")
        bench.ask("?worse")
        bench.ask("good")
        await bench.run_out()
        assert isinstance(bench.outcomes["!bad"].error, ProviderError)
        assert isinstance(bench.outcomes["?worse"].error, InternalError)
        assert bench.outcomes["good"].text == "GOOD"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("failure", "seen"), [(ConfigError("no model"), ConfigError), (ZeroDivisionError(), InternalError)]
)
def test_everyone_who_waits_for_the_model_learns_why_it_does_not_load(failure, seen):
    def load():
        raise failure

    async def scenario():
        worker = Worker(SystemClock(), load=load)
        results = await asyncio.gather(worker.ready(), worker.ready(), return_exceptions=True)
        assert [type(result) for result in results] == [seen, seen]
        with pytest.raises(seen):
            await worker.ready()
        await worker.close()

    asyncio.run(scenario())


def test_a_waiter_that_is_cancelled_leaves_the_loading_to_the_others():
    may = threading.Event()

    def load():
        assert may.wait(10)
        return Scripted()

    async def scenario():
        worker = Worker(SystemClock(), load=load)
        first, second = asyncio.create_task(worker.ready()), asyncio.create_task(worker.ready())
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        may.set()
        await second
        await worker.close()

    asyncio.run(scenario())


def test_close_is_idempotent_ends_the_thread_and_is_allowed_before_start():
    async def scenario():
        await Worker(SystemClock(), load=Scripted).close()
        bench = Bench()
        await bench.hold()
        bench.ask("never")
        bench.model.may.set()
        await bench.worker.close()
        await bench.worker.close()
        assert [thread for thread in threading.enumerate() if thread.name == "patter-moonshine"] == []
        assert bench.model.heard == ["hold"]
        with pytest.raises(ProviderDisconnected):
            bench.ask("too late")
        with pytest.raises(ProviderDisconnected):
            await bench.worker.ready()

    asyncio.run(scenario())
