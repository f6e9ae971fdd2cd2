"""Jobs for executors in virtual time: inline with a declared duration, or in threads while the clock stands still."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
import math
from collections.abc import Callable
from typing import Any, Literal, TypeVar

T = TypeVar("T")

#: How `VirtualTimeLoop.run_in_executor` runs its jobs.
ExecutorMode = Literal["inline", "threads"]


class VirtualJobs:
    """What a `VirtualTimeLoop` does with the jobs of `run_in_executor`.

    Args:
        loop: the loop that gets the results.
        mode: ``"inline"`` or ``"threads"``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, mode: ExecutorMode) -> None:
        self._loop = loop
        self._mode = mode
        self._threads: concurrent.futures.Executor | None = None
        #: Jobs that a thread has not finished yet; the clock stands still while there are any.
        self.open = 0

    def run(
        self,
        executor: concurrent.futures.Executor | None,
        job: Callable[[], T],
        duration_s: float,
    ) -> asyncio.Future[T]:
        """Run `job` in the way of this loop; `duration_s` is the virtual time of an inline job."""
        if self._mode == "inline":
            return self._run_inline(job, duration_s)
        if executor is None:
            executor = self._threads = self._threads or concurrent.futures.ThreadPoolExecutor()
        submitted = executor.submit(job)
        future = asyncio.wrap_future(submitted, loop=self._loop)
        self.open += 1
        # Counted by the job and not by the future: cancelling the future leaves the thread at work. Added after
        # wrap_future, so that the result is on its way before the clock may move.
        submitted.add_done_callback(self._report_finished)
        return future

    def use_threads(self, threads: concurrent.futures.Executor) -> None:
        """Run jobs without an executor of their own in `threads`."""
        self._threads = threads

    def shutdown(self, *, wait: bool) -> None:
        """Take no more jobs; `wait` for the open ones in real time."""
        if self._threads is not None:
            self._threads.shutdown(wait=wait)
            self._threads = None

    def _run_inline(self, job: Callable[[], T], duration_s: float) -> asyncio.Future[T]:
        if not 0.0 <= duration_s < math.inf:
            raise ValueError(
                f"the virtual duration of a job must be finite and not negative, not {duration_s!r}"
            )
        future: asyncio.Future[T] = self._loop.create_future()
        # A worker thread has no running loop and an empty context.
        asyncio._set_running_loop(None)
        try:
            result = contextvars.Context().run(job)
        except StopIteration as error:
            # A future cannot carry StopIteration; from 3.12 on asyncio wraps it the same way.
            stopped = RuntimeError("a job for an executor raised StopIteration")
            stopped.__cause__ = error
            self._loop.call_later(duration_s, _fail, future, stopped)
        except Exception as error:
            self._loop.call_later(duration_s, _fail, future, error)
        else:
            self._loop.call_later(duration_s, _deliver, future, result)
        finally:
            asyncio._set_running_loop(self._loop)
        return future

    def _report_finished(self, submitted: concurrent.futures.Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            self._loop.call_soon_threadsafe(self._count_finished)

    def _count_finished(self) -> None:
        self.open -= 1


def declared_duration_s(func: Callable[..., object], default_s: float) -> float:
    """Virtual seconds that `func` declares as its attribute `virtual_duration_s`, else `default_s`.

    Looks through `functools.partial` and through the ``Context.run`` that `asyncio.to_thread` wraps around it.
    """
    while not hasattr(func, "virtual_duration_s") and isinstance(func, functools.partial):
        inner = func.func
        if func.args and isinstance(getattr(inner, "__self__", None), contextvars.Context):
            inner = func.args[0]
        func = inner
    return float(getattr(func, "virtual_duration_s", default_s))


def _deliver(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
