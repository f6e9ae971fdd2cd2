"""What stands behind the fixtures of the pytest plugin: a loop, phones and calls for one test."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from patter.agent import Agent
from patter.client import Patter
from patter.environment import Environment
from patter.plugins import PluginManager
from patter.testing import fake_plugin
from patter.testing.memory_network import MemoryNetwork
from patter.testing.simulated_call import CARRIER, SimulatedCall
from patter.testing.virtual_loop import VirtualClock, VirtualTimeLoop, run_virtual

if TYPE_CHECKING:
    from patter.plugins import HookFailure

#: what an agent of a simulated call has unless it is given something else
FAKES = {"stt": "fake", "llm": "fake", "tts": "fake", "vad": "fake"}
PHONE_NUMBER = "+15550001234"
#: a test that takes longer hangs, in virtual s; the longest call lasts an hour
TIME_LIMIT_S = 7200.0


class PhoneTest:
    """One test in virtual time: its loop, its seed, its phones, and what their hooks did wrong."""

    def __init__(self, name: str, seed: int | None = None) -> None:
        digest = hashlib.blake2b(name.encode(), digest_size=6).digest()
        self.seed = int.from_bytes(digest) if seed is None else seed
        self.network = MemoryNetwork()
        self.loop = VirtualTimeLoop(network=self.network)
        self._phones: list[Patter] = []
        self._failures: list[HookFailure] = []

    def make_phone(self, plugins: Iterable[str] = (), **options: Any) -> Patter:
        """A phone with the fakes and with the installed plugins of these names, strictly.

        `options` are those of `Patter`. The variables of the process that set up Patter itself are not read.
        """
        names = list(plugins)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PATTER_")}
        manager = PluginManager(
            [fake_plugin], autoload=bool(names), allow=names or None, strict=True, environ=environ
        )
        environment = Environment.seeded(self.seed, VirtualClock(self.loop))
        settings = {"carrier": CARRIER, "phone_number": PHONE_NUMBER, **options}
        phone = Patter(manager=manager, environment=environment, **settings)
        phone.on_hook_failure = self._failures.append
        self._phones.append(phone)
        return phone

    def run_test(self, test: Coroutine[Any, Any, None]) -> None:
        """Run the test to its end and that of its phones. Raises what it raises, and what hooks raised."""
        __tracebackhide__ = True
        try:
            run_virtual(self._with_phones(test), loop=self.loop, timeout_s=TIME_LIMIT_S)
        except Exception as error:
            self._raise_failures(error)
            raise
        self._raise_failures()

    async def _with_phones(self, test: Coroutine[Any, Any, None]) -> None:
        __tracebackhide__ = True
        try:
            await test
        finally:
            for phone in self._phones:
                await phone.disconnect()

    def _raise_failures(self, *errors: Exception) -> None:
        __tracebackhide__ = True
        failures, self._failures[:] = self._failures[:], []
        if not failures:
            return
        for failure in failures:
            failure.error.add_note(f"raised in {failure.hook} of {failure.plugin}")
        raise ExceptionGroup("hooks failed during the test", [*errors, *(one.error for one in failures)])

    def end_phone(self, phone: Patter) -> None:
        """Disconnect a phone. Raises `ExceptionGroup` when its hooks failed since the test ended."""
        if not self.loop.is_closed():
            self.loop.run_until_complete(phone.disconnect())
        self._raise_failures()

    def close(self) -> None:
        """Close the loop, with all that is still connected."""
        self.network.close()
        self.loop.run_until_complete(self.loop.settle())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


class StartedCall(SimulatedCall):
    """A simulated call that starts its phone, if nobody has."""

    async def connect(self) -> None:
        """Ring, and open the media stream unless the call is refused."""
        if not self.phone.switchboard.ready:
            await self.phone.start(None, port=0)
        await super().connect()


class CallFactory:
    """Makes the calls of a test.

    Each call takes the options of `Agent`, with the fakes in the place of what is not given, and those of
    `SimulatedCall`.
    """

    def __init__(self, phone: Patter) -> None:
        self._phone = phone

    def __call__(self, agent: Agent | None = None, **options: Any) -> StartedCall:
        """A call to the phone; enter it with ``async with``.

        Without `agent` and without any option of an agent, the agent that the phone serves with answers, if it has
        one.
        """
        of_agent = {name: options.pop(name) for name in tuple(options) if name in Agent.model_fields}
        if agent is not None and of_agent:
            raise TypeError(f"simcall: give an agent or its options ({', '.join(of_agent)}), not both")
        if agent is None and (of_agent or self._phone.agent is None):
            agent = Agent(**{**FAKES, **of_agent})
        return StartedCall(self._phone, agent, **options)
