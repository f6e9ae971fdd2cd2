"""What the virtual-time loop does about threads and real sockets."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from virtual_time import now, virtual_loop

from patter.testing.virtual_loop import (
    VirtualTimeDeadlock,
    VirtualTimeLoop,
    run_virtual,
)

# Executors


def test_a_job_runs_inline_and_is_charged_its_declared_time() -> None:
    threads: list[int] = []

    def job(value: int) -> int:
        threads.append(threading.get_ident())
        return value * 2

    async def main() -> tuple[int, float, int, float]:
        loop = virtual_loop()
        loop.executor_duration_s = 0.25
        first = await loop.run_in_executor(None, job, 21)
        after_first = now()
        slow = functools.partial(job, 4)
        slow.virtual_duration_s = 2.0  # type: ignore[attr-defined]
        return first, after_first, await asyncio.to_thread(slow), now()

    assert run_virtual(main()) == (42, 0.25, 8, 2.25)
    assert set(threads) == {threading.get_ident()}


def test_a_duration_is_seen_through_to_thread_and_partial() -> None:
    def decode() -> str:
        return "text"

    decode.virtual_duration_s = 0.125  # type: ignore[attr-defined]

    async def main() -> list[float]:
        marks = []
        await asyncio.to_thread(decode)
        marks.append(now())
        await asyncio.get_running_loop().run_in_executor(None, functools.partial(functools.partial(decode)))
        marks.append(now())
        return marks

    assert run_virtual(main()) == [0.125, 0.25]


def test_a_job_that_takes_no_time_is_still_not_done_at_once() -> None:
    async def main() -> tuple[bool, int]:
        future = asyncio.get_running_loop().run_in_executor(None, lambda: 1)
        return future.done(), await future

    assert run_virtual(main()) == (False, 1)


def raise_value_error() -> None:
    raise ValueError("from the job")


def raise_stop_iteration() -> None:
    raise StopIteration


@pytest.mark.parametrize(
    ("job", "expected"), [(raise_value_error, ValueError), (raise_stop_iteration, RuntimeError)]
)
def test_an_error_of_a_job_is_delivered_after_its_time(
    job: Callable[[], None], expected: type[Exception]
) -> None:
    async def main() -> float:
        virtual_loop().executor_duration_s = 3
        with pytest.raises(expected):
            await asyncio.get_running_loop().run_in_executor(None, job)
        return now()

    assert run_virtual(main()) == 3.0


def test_a_job_sees_what_a_worker_thread_would_see() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    def look() -> tuple[bool, str]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False, variable.get()
        return True, variable.get()

    async def main() -> list[tuple[bool, str]]:
        variable.set("caller's")
        bare = await asyncio.get_running_loop().run_in_executor(None, look)
        copied = await asyncio.to_thread(look)
        asyncio.get_running_loop()
        return [bare, copied]

    assert run_virtual(main()) == [(False, "unset"), (False, "caller's")]


def test_a_cancelled_job_delivers_nothing() -> None:
    async def main() -> float:
        virtual_loop().executor_duration_s = 10
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.to_thread(lambda: None)
        await asyncio.sleep(20)
        return now()

    assert run_virtual(main()) == 21.0


@pytest.mark.parametrize("duration_s", [-1.0, float("inf"), float("nan")])
def test_an_impossible_duration_is_refused(duration_s: float) -> None:
    async def main() -> None:
        virtual_loop().executor_duration_s = duration_s
        with pytest.raises(ValueError, match="virtual duration"):
            asyncio.get_running_loop().run_in_executor(None, lambda: None)

    run_virtual(main())


def test_the_clock_stands_still_while_a_job_is_open_in_a_thread() -> None:
    async def main() -> tuple[str, float]:
        def work() -> str:
            time.sleep(0.1)
            return threading.current_thread().name

        timer = asyncio.create_task(asyncio.sleep(0.001))
        with ThreadPoolExecutor(1, thread_name_prefix="worker") as pool:
            name = await asyncio.get_running_loop().run_in_executor(pool, work)
        at = now()
        await timer
        await asyncio.to_thread(lambda: None)
        await asyncio.get_running_loop().shutdown_default_executor()
        return name, at

    loop = VirtualTimeLoop(executor="threads")
    try:
        assert run_virtual(main(), loop=loop) == ("worker_0", 0.0)
        assert loop.time() == 0.001
    finally:
        loop.close()


def test_a_job_in_a_thread_may_wait_for_the_loop() -> None:
    async def answer() -> str:
        return "from the loop"

    async def main() -> str:
        loop = asyncio.get_running_loop()
        return await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(answer(), loop).result(5))

    loop = VirtualTimeLoop(executor="threads")
    try:
        assert run_virtual(main(), loop=loop) == "from the loop"
    finally:
        loop.close()


def test_a_held_clock_waits_for_a_thread_of_ones_own() -> None:
    async def main() -> float:
        loop = virtual_loop()
        arrived = asyncio.Event()
        thread = threading.Timer(0.05, loop.call_soon_threadsafe, [arrived.set])
        deadline = asyncio.create_task(asyncio.sleep(1))
        with loop.hold_clock():
            thread.start()
            await arrived.wait()
        at = now()
        thread.join()
        await deadline
        return at

    assert run_virtual(main()) == 0.0


def test_a_thread_that_never_reports_ends_the_wait() -> None:
    async def main() -> None:
        with virtual_loop().hold_clock():
            await asyncio.Event().wait()

    loop = VirtualTimeLoop(real_wait_s=0.05)
    try:
        with pytest.raises(VirtualTimeDeadlock, match=r"silent for 0\.05 s"):
            run_virtual(main(), loop=loop)
    finally:
        loop.close()


# Real sockets


def test_real_sockets_are_waited_for_and_not_jumped_over() -> None:
    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        left.setblocking(False)
        with left, right:
            sender = threading.Timer(0.05, right.send, [b"late"])
            sender.start()
            try:
                return await loop.sock_recv(left, 10)
            finally:
                sender.join()

    assert run_virtual(main()) == b"late"


def test_silence_of_real_sockets_is_bounded() -> None:
    async def main() -> None:
        left, right = socket.socketpair()
        left.setblocking(False)
        with left, right:
            await asyncio.get_running_loop().sock_recv(left, 10)

    loop = VirtualTimeLoop(real_wait_s=0.05)
    try:
        with pytest.raises(VirtualTimeDeadlock, match="silent"):
            run_virtual(main(), loop=loop)
    finally:
        loop.close()


def test_what_a_real_socket_holds_is_read_before_the_clock_jumps() -> None:
    async def main() -> list[str]:
        order: list[str] = []
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with left, right:
            loop.call_later(0.001, order.append, "timer")
            loop.add_reader(left, lambda: order.append(left.recv(10).decode()))
            right.send(b"bytes")
            await asyncio.sleep(1)
            loop.remove_reader(left)
        return order

    assert run_virtual(main()) == ["bytes", "timer"]


def test_without_a_network_connections_are_real() -> None:
    async def main() -> bytes:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(4))
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"ping")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        server.close()
        return answer

    assert run_virtual(main()) == b"ping"
