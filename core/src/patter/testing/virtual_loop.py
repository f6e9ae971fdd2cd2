"""An asyncio event loop whose clock jumps, so that a ten-minute call takes milliseconds.

`VirtualTimeLoop` is an ordinary asyncio loop with another idea of time. It runs whatever is ready; when nothing is,
it polls its selector once without waiting and then sets its clock to the next timer instead of sleeping until it.
`asyncio.sleep`, `timeout`, `wait_for`, `TaskGroup`, locks and queues work unchanged, because all of them ask the
loop for the time::

    async def two_minutes() -> float:
        await asyncio.sleep(120)
        return asyncio.get_running_loop().time()


    assert run_virtual(two_minutes(), timeout_s=300) == 120.0

The same program takes the same course every time: timers of equal deadline fire in the order in which they were
set, jobs for executors run inline, and tasks hash by their order of creation, so that sets of tasks (a `TaskGroup`
that cancels its children) are walked in one order. What remains are a program's own sources of chance: the hash
seed of strings, randomness that does not come from `patter.environment`, threads, real sockets.

Threads that nobody told the loop about (`VirtualTimeLoop.hold_clock` tells it) and real sockets do not belong in
virtual time: the clock jumps while they work. Let connections live in a `memory_network.MemoryNetwork` instead.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
import heapq
import itertools
import math
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple

from patter.testing.networked_loop import NetworkedLoop
from patter.testing.virtual_jobs import ExecutorMode, VirtualJobs, declared_duration_s
from patter.testing.virtual_selector import JumpingSelector
from patter.testing.virtual_tasks import NumberedTask, describe_tasks, in_order

if TYPE_CHECKING:
    from patter.testing.memory_network import MemoryNetwork

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: 2026-01-01T00:00:00Z in seconds since 1970: what the wall clock shows when virtual time is 0.
VIRTUAL_EPOCH_S: Final = 1_767_225_600.0

_PASSES_PER_INSTANT: Final = 1_000_000
_CANCELLED_TIMERS_KEPT: Final = 64
_CLEANUP_LIMIT_S: Final = 60.0


class VirtualTimeDeadlock(RuntimeError):
    """Nothing can happen any more, or time no longer passes; the text names the tasks that wait."""


class VirtualTimeLimitExceeded(TimeoutError):
    """The next timer lies past the limit of virtual time; the text names the tasks that were still pending."""


class LeakedTasksError(RuntimeError):
    """Tasks were left over when the coroutine given to `run_virtual` had returned; the text names them."""


class VirtualClock:
    """The two clocks of `patter.environment.Clock`, read from a loop.

    Args:
        loop: the loop to read, usually a `VirtualTimeLoop`.
        epoch_s: what `wall` shows at loop time 0, in seconds since 1970-01-01 UTC.
    """

    __slots__ = ("_epoch_s", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, epoch_s: float = VIRTUAL_EPOCH_S) -> None:
        self._loop = loop
        self._epoch_s = epoch_s

    def monotonic(self) -> float:
        """Seconds of the loop's clock."""
        return self._loop.time()

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC: the fixed epoch plus the loop's clock."""
        return self._epoch_s + self._loop.time()


class VirtualTimeLoop(NetworkedLoop):
    """A selector event loop that jumps to the next timer whenever nothing is ready.

    The clock stands still while a callback runs, while anything is ready, while a job is open in a thread and
    while `hold_clock` is held. Where nothing is ready, no timer is set and no real socket is registered, the loop
    raises `VirtualTimeDeadlock` out of `run_until_complete` or `run_forever`. With real sockets or a held clock it
    waits for them, at most `real_wait_s` seconds of real time at a stretch, and raises the same error after that.
    A million passes of the loop within one instant raise it too: that is a loop of ``sleep(0)``, not a long test.

    Args:
        start_s: what `time` shows at first, in seconds.
        network: carries every connection and server made through this loop. Hosts that nobody serves there are
            refused with `ConnectionRefusedError`, and so are real sockets. Without a network, both are real.
        executor: ``"inline"`` runs the jobs of `run_in_executor` at once on this thread and charges them virtual
            time; ``"threads"`` runs them in real threads while the clock stands still.
        real_wait_s: the bound on waiting for real sockets and threads, in seconds of real time.
    """

    #: Virtual seconds that an inline job takes unless its function declares `virtual_duration_s`.
    executor_duration_s: float = 0.0

    #: The clock does not pass this many seconds; instead the loop raises `VirtualTimeLimitExceeded`.
    time_limit_s: float = math.inf

    def __init__(
        self,
        *,
        start_s: float = 0.0,
        network: MemoryNetwork | None = None,
        executor: ExecutorMode = "inline",
        real_wait_s: float = 10.0,
    ) -> None:
        self._now = float(start_s)
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timer_numbers = itertools.count()
        self._cancelled_timers = 0
        self._settling: list[asyncio.Future[None]] = []
        self._holds = 0
        self._passes = 0
        self._tasks_made = 0
        self._jobs = VirtualJobs(self, executor)
        self._real_wait_s = real_wait_s
        self._poll = JumpingSelector(self._advance, self._give_up)
        super().__init__(self._poll, network)
        self._own_sockets = len(self._poll.get_map())
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """Virtual seconds; moves only when nothing is ready."""
        return self._now

    def create_task(self, coro: Any, *, name: object = None, **options: Any) -> asyncio.Task[Any]:
        """Make a task; one without a name is called ``Task-`` and its number, which counts from 1 in each loop."""
        self._tasks_made += 1
        return super().create_task(coro, name=name or f"Task-{self._tasks_made}", **options)

    def _make_task(self, loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return NumberedTask(coro, number=self._tasks_made, loop=self, **options)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer for `when`, in seconds of `time`. Timers of one deadline fire in the order they were set.

        A timer at infinity never fires, and does not count when the loop looks for a deadlock.
        """
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        if when < math.inf:
            heapq.heappush(self._timers, (when, next(self._timer_numbers), timer))
        return timer

    @property
    def timers_set(self) -> int:
        """How many timers are set and not cancelled."""
        return sum(not timer.cancelled() for _, _, timer in self._timers)

    def stand_still(self, seconds: float) -> None:
        """Let that much time pass in which nothing runs, as when a callback blocks the loop for so long.

        What was due meanwhile is late.
        """
        self._now += seconds

    async def settle(self) -> None:
        """Wait until everything else is blocked, without letting time pass.

        After it every task has gone as far as it can at this instant, and every byte that a memory network
        carries without latency has arrived.
        """
        waiter = self.create_future()
        self._settling.append(waiter)
        await waiter

    @contextlib.contextmanager
    def hold_clock(self) -> Generator[None]:
        """Keep the clock still, for as long as a thread of your own has work that will wake the loop."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1

    def run_in_executor(
        self, executor: concurrent.futures.Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run ``func(*args)`` inline, whatever the executor, and deliver its result after its virtual duration.

        The duration is the function's own attribute `virtual_duration_s` where it has one (seen through
        `functools.partial` and `asyncio.to_thread`), else `executor_duration_s`, in seconds. Jobs do not queue
        for one another. As in a worker thread, the function sees an empty context and no running loop. It must
        not wait for this loop, which could never end: such code needs ``executor="threads"``.

        Raises:
            ValueError: a negative or infinite duration was declared.
        """
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        duration_s = declared_duration_s(func, self.executor_duration_s)
        return self._jobs.run(executor, functools.partial(func, *args), duration_s)

    def set_default_executor(self, executor: concurrent.futures.Executor) -> None:
        """The threads for jobs that name no executor; they are of use with ``executor="threads"`` only."""
        self._jobs.use_threads(executor)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait in real time for the jobs of the default executor; `timeout` has no effect here."""
        self._jobs.shutdown(wait=True)

    def close(self) -> None:
        """Drop every timer and close the loop."""
        super().close()
        self._timers.clear()
        self._jobs.shutdown(wait=False)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        # A deadline that is set and cancelled with every audio frame must not pile up until it is due.
        self._cancelled_timers += 1
        if self._cancelled_timers > max(_CANCELLED_TIMERS_KEPT, len(self._timers) // 2):
            self._cancelled_timers = 0
            # asyncio reports a handle just before it is marked as cancelled
            self._timers = [
                timer for timer in self._timers if not timer[2].cancelled() and timer[2] is not handle
            ]
            heapq.heapify(self._timers)

    def _fire_due_timers(self) -> bool:
        fired = False
        while self._timers and self._timers[0][0] <= self._now:
            timer = heapq.heappop(self._timers)[2]
            if not timer.cancelled():
                self.call_soon(_run_timer, timer)
                fired = True
        return fired

    def _advance(self, busy: bool) -> float:
        """Move the clock if nothing else can happen; return the real seconds to wait for real events."""
        if self._fire_due_timers() or busy:
            self._passes += 1
            if self._passes > _PASSES_PER_INSTANT:
                self._passes = 0
                raise VirtualTimeDeadlock(
                    self._explain("the clock has not moved for a million passes of the loop")
                )
            return 0.0
        if self._settling:
            self._release_settled()
            return 0.0
        if self._holds or self._jobs.open:
            return self._real_wait_s
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if self._timers:
            self._jump(self._timers[0][0])
            return 0.0
        if len(self._poll.get_map()) > self._own_sockets:
            return self._real_wait_s
        raise VirtualTimeDeadlock(self._explain("nothing is ready, no timer is set and nothing can arrive"))

    def _give_up(self, real_wait_s: float) -> None:
        silence = f"sockets and threads were silent for {real_wait_s:g} s of real time"
        raise VirtualTimeDeadlock(self._explain(silence))

    def _jump(self, deadline: float) -> None:
        if deadline > self.time_limit_s:
            raise VirtualTimeLimitExceeded(self._explain(f"the limit of {self.time_limit_s:g} s is reached"))
        self._now = deadline
        self._passes = 0
        self._fire_due_timers()

    def _release_settled(self) -> None:
        waiters, self._settling = self._settling, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _explain(self, reason: str) -> str:
        tasks = describe_tasks(asyncio.all_tasks(self)) or "none"
        return f"virtual time stands at {self._now:.3f} s: {reason}. Pending tasks: {tasks}"


def _run_timer(timer: asyncio.TimerHandle) -> None:
    if not timer.cancelled():
        timer._run()


def run_virtual(
    coroutine: Coroutine[Any, Any, T],
    *,
    timeout_s: float = 3600.0,
    network: MemoryNetwork | None = None,
    loop: VirtualTimeLoop | None = None,
) -> T:
    """Run `coroutine` in virtual time and return its result.

    Args:
        coroutine: what to run.
        timeout_s: the limit, in virtual seconds from now.
        network: the memory network of the loop that is made for this run.
        loop: run on this loop, and leave it open, instead of on one made for this run. Tasks that it already had
            are not touched.

    Raises:
        LeakedTasksError: tasks that the coroutine started were still pending after it had returned and all that
            was ready had run. They have been cancelled.
        VirtualTimeLimitExceeded: the limit was reached.
        VirtualTimeDeadlock: nothing could happen any more.

    Whatever is raised, the tasks left over are cancelled; if it came out of the coroutine, a note names them.
    """
    if asyncio._get_running_loop() is not None:
        coroutine.close()
        raise RuntimeError("run_virtual cannot be called while an event loop is running")
    if loop is not None:
        return _run(loop, coroutine, timeout_s)
    loop = VirtualTimeLoop(network=network)
    try:
        return _run(loop, coroutine, timeout_s)
    except BaseException:
        if network is not None:  # nobody is left who would close its connections
            network.close()
            loop.run_until_complete(loop.settle())
        raise
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _run(loop: VirtualTimeLoop, coroutine: Coroutine[Any, Any, T], timeout_s: float) -> T:
    earlier = asyncio.all_tasks(loop)
    limit_before_s, loop.time_limit_s = loop.time_limit_s, loop.time() + timeout_s
    main: asyncio.Task[T] = loop.create_task(coroutine)
    try:
        result = loop.run_until_complete(main)
        loop.run_until_complete(loop.settle())
        leaked = asyncio.all_tasks(loop) - earlier
        names = describe_tasks(leaked)
    except BaseException as error:
        leaked = asyncio.all_tasks(loop) - earlier
        if names := describe_tasks(leaked - {main}):
            error.add_note(f"Tasks cancelled because of this: {names}")
        _cancel(loop, leaked)
        raise
    else:
        _cancel(loop, leaked)
    finally:
        loop.time_limit_s = limit_before_s
    if leaked:
        raise LeakedTasksError(f"left over at {loop.time():.3f} s of virtual time: {names}")
    return result


def _cancel(loop: VirtualTimeLoop, tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel `tasks` and let them end, in at most a minute of virtual time; report what goes wrong in them."""
    tasks = in_order(tasks)
    for task in tasks:
        task.cancel()
    if not tasks:
        return
    loop.time_limit_s = loop.time() + _CLEANUP_LIMIT_S
    with contextlib.suppress(VirtualTimeDeadlock, VirtualTimeLimitExceeded):
        loop.run_until_complete(asyncio.wait(tasks))
    for task in tasks:
        if not task.done():
            loop.call_exception_handler(
                {"message": f"task {describe_tasks([task])} ignores its cancellation", "task": task}
            )
        elif not task.cancelled() and (error := task.exception()) is not None:
            context = {
                "message": "unhandled exception while a task was cancelled",
                "exception": error,
                "task": task,
            }
            loop.call_exception_handler(context)
