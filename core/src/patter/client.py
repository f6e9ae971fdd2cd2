"""`Patter`, the phone: serves incoming calls, places outgoing ones, ends them all when it disconnects."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from patter.call.call import Call
from patter.call.pacer import Pacer
from patter.call.plan import Planner
from patter.call.record import CallRegistry, MemoryCallRegistry
from patter.call.types import ProviderWarmed
from patter.call.vad_sources import VADSources
from patter.call_result import CallResult, result_of
from patter.callbacks import Callbacks
from patter.environment import Environment
from patter.errors import ConfigError, PatterError
from patter.metrics.cost_book import PriceBook
from patter.phone_settings import effective_agent, phone_settings, read_settings
from patter.plugins import HookDispatcher, PluginManager, SharedObjectPool
from patter.prewarm.warming import Warming
from patter.providers.carrier import CallStatus
from patter.providers.context import ProviderContext
from patter.server.address import PublicAddress
from patter.server.admission import Admission
from patter.server.billing import Billing
from patter.server.call_maker import PhoneCallMaker
from patter.server.dialling import DialOrder, dial
from patter.server.line import Trunk
from patter.server.serving import Serving
from patter.server.switchboard import Switchboard
from patter.server.tokens import MediaTokens
from patter.server.trunks import make_trunks
from patter.stall_monitor import StallMonitor
from patter.telemetry.phone import Telemetry

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.call.plan import CallPlan
    from patter.call.types import CallSummary
    from patter.plugins import HookFailure
    from patter.providers.carrier import Carrier
    from patter.records import CarrierRecord
    from patter.server.dialling import OnMachineDetection
    from patter.talk.conversation import ReadLine, WriteLine

logger = logging.getLogger(__name__)

#: shutdown ends within this, whatever hangs (LC-08), in s
SHUTDOWN_S = 10.0
#: listening takes no longer than this (LC-01), in s
START_S = 30.0
#: how long a media token holds, in s: a ring, and room for the connection
TOKEN_S = 65.0


class Patter:
    """One phone with its plugins, carriers and calls. Two phones in a process share nothing.

    Keywords are the options of `PhoneSettings` and the callbacks of `patter.callbacks.Callbacks`, such as
    `on_call_start`.
    Options that are not given come from `patter.toml` (`config`, or the file that PATTER_CONFIG names), then from the
    environment. Raises `UnknownOptionError` and `ConfigError`.
    """

    def __init__(
        self,
        carrier: Any = None,
        *,
        plugins: Sequence[object] = (),
        config: str | os.PathLike[str] | None = None,
        environment: Environment | None = None,
        manager: PluginManager | None = None,
        **options: Any,
    ) -> None:
        self.callbacks, options = Callbacks.taken_from(options)
        self.environment = environment or Environment()
        self.plugins = manager or PluginManager(plugins)
        environ = self.plugins.environ
        self._file = read_settings(config, environ)
        self.settings = phone_settings(options, self._file, environ)
        self._carrier_reference = carrier or self._file.phone.get("carrier") or environ.get("PATTER_CARRIER")
        if self._carrier_reference is not None and self.settings.phone_number is None:
            raise ConfigError("Patter: a carrier needs the number it gives you: set phone_number='+1555…'")
        self.calls: CallRegistry = MemoryCallRegistry()
        self.on_hook_failure: Any = None
        self.agent: Agent | None = None
        self._environ = environ
        self._address = PublicAddress(self.settings.webhook_url)
        self._planner = Planner(self.plugins, self._file, environ)
        self._shared = SharedObjectPool()
        personal_data = self.settings.trace_personal_data
        self.telemetry = Telemetry(environ, self.environment.clock, personal_data=personal_data)
        self.stall_monitor = StallMonitor(self.environment.clock)
        self._pacer = Pacer(self.environment.clock, self.stall_monitor)
        self._vads = VADSources(self.plugins, self._context(), self._pacer, self.environment.clock)
        self.warming = Warming(self.environment.clock, self._warmed)
        self.billing = Billing(PriceBook(self.settings.prices), self.calls, self.environment.clock)
        self._admission = Admission(self.settings.max_calls)
        self.switchboard = Switchboard(
            PhoneCallMaker(self),
            self.calls,
            self._admission,
            MediaTokens(self.environment, TOKEN_S),
            self._address,
            self.environment,
        )
        self.switchboard.unavailable_message = self.settings.unavailable_message
        self.switchboard.media_timeout_s = self.settings.media_timeout_s
        self.switchboard.recording = self.settings.recording
        self._serving = Serving()
        self._sweeper: asyncio.Task[None] | None = None
        self._disconnecting: asyncio.Task[None] | None = None
        self.plugins.hook.patter_configure.call_historic(kwargs={"phone": self})

    # -- parts that calls are made of

    @property
    def carrier_reference(self) -> Any:
        """The carrier that was named, in code, file or environment; None for none."""
        return self._carrier_reference

    @property
    def planner(self) -> Planner:
        """Makes the plans of calls."""
        return self._planner

    @property
    def pacer(self) -> Pacer:
        """The timer source of all calls."""
        return self._pacer

    @property
    def vads(self) -> VADSources:
        """The VADs of all calls."""
        return self._vads

    def _context(self) -> ProviderContext:
        return ProviderContext(environment=self.environment, shared=self._shared)

    def context_for(self, call: Call, carrier_format: Any, language: str) -> ProviderContext:
        """The surroundings of a call's providers."""
        return ProviderContext(self.environment, self._shared, call.id, carrier_format, language)

    def hooks(self, call: Call | None = None) -> HookDispatcher:
        """The A hooks of a call (its own, its agent's, the phone's), or of the phone itself."""
        if call is None:
            return HookDispatcher(
                [self.plugins], self.environment, arguments={"phone": self}, on_failure=self._hook_failed
            )
        scopes: list[Any] = [call.scope]
        if call.agent is not None and call.agent.plugins:
            scopes.append(call.agent.scope)
        scopes.append(self.plugins)
        return HookDispatcher(
            scopes, self.environment, arguments={"call": call}, on_failure=self._hook_failed, label=call.id
        )

    def _warmed(self, call_id: str, slot: str, took_ms: float) -> None:
        line = self.switchboard.line(call_id)
        if line is not None:
            line.call.events.emit("provider_warmed", ProviderWarmed(slot, took_ms))

    def _hook_failed(self, failure: HookFailure) -> None:
        if self.on_hook_failure is not None:
            self.on_hook_failure(failure)

    def register(self, plugin: Any, name: str | None = None) -> Any:
        """Add a plugin to this phone; returns it. Raises `PluginValidationError`."""
        return self.plugins.register(plugin, name)

    def complete(self, agent: Agent) -> Agent:
        """The agent with what it leaves open filled from file and environment."""
        return effective_agent(agent, self._file, self._environ)

    # -- serving

    @property
    def ready(self) -> asyncio.Future[str]:
        """Done when calls can come in; its result is the address on this machine (LC-01)."""
        return self._serving.ready

    async def serve(self, agent: Agent, *, port: int | None = None, host: str | None = None) -> None:
        """Answer calls with `agent` until cancelled or `disconnect()`. Raises `ConfigError`, `OSError`."""
        await self.start(agent, port=port, host=host)
        stopped = self._serving.stopped
        assert stopped is not None
        try:
            await stopped.wait()
        finally:
            if not stopped.is_set():  # else it is over, and perhaps serving again
                await self.disconnect()

    async def start(self, agent: Agent | None, *, port: int | None = None, host: str | None = None) -> None:
        """Listen and return; `serve()` without the waiting."""
        chosen = self.settings.port if port is None else port
        if isinstance(chosen, bool) or not 0 <= chosen <= 65535:
            raise ConfigError(f"port must be a number from 1 to 65535 (0 takes any free one), not {chosen!r}")
        if self._disconnecting is not None and not self._disconnecting.done():
            await asyncio.shield(self._disconnecting)
        self._serving.begin()
        try:
            async with asyncio.timeout(START_S):
                await self._start(agent, chosen, host or self.settings.host)
        except BaseException as error:
            self._serving.failed(error)
            await self.disconnect()
            raise

    async def _start(self, agent: Agent | None, port: int, host: str) -> None:
        from patter.server.application import build_application

        if agent is not None:
            self.agent = self.complete(agent)
            await self._preload(self.agent)
        if not self.switchboard.trunks and self._carrier_reference is not None:
            for trunk in make_trunks(self.plugins, self._planner, self._context(), self._carrier_reference):
                self.add_trunk(trunk.record, trunk.carrier)
        if self.agent is not None:
            self._open_detectors(self.agent)
        await self.hooks().notify("patter_startup")
        app = build_application(
            {name: trunk.carrier for name, trunk in self.switchboard.trunks.items()},
            self.switchboard,
            address=self._address,
            environment=self.environment,
            unavailable_message=self.settings.unavailable_message,
        )
        self.plugins.hook.patter_add_routes(app=app, phone=self)
        url = await self._serving.listen(app, port, host)
        if self.settings.webhook_url is None:  # also when serving again, perhaps on another port (LC-02)
            self._address.settle(url)
        self._sweeper = asyncio.ensure_future(self.switchboard.sweep())
        self.stall_monitor.start()
        self.switchboard.open()
        self._serving.announce()

    async def _preload(self, agent: Agent) -> None:
        """Import, validate and load what the default agent needs, before the first call (PW-20)."""
        plan = self._planner.plan(agent)
        for part in (*plan.parts.values(), *plan.llm_fallbacks):
            await self._planner.preload(part, self._context())

    def _open_detectors(self, agent: Agent) -> None:
        """Load the models of the VAD for the rates of the carriers' audio, and of audio that is cleaned (PW-20)."""
        from patter.call.input_stages import has_stages

        parts = self._planner.plan(agent).parts
        vad = parts.get("vad")
        if vad is None:
            return
        streams = [trunk.record.stream for trunk in self.switchboard.trunks.values()]
        rates = {8000 if stream is None else stream[1] for stream in streams or [None]}
        if has_stages(agent, parts.get("noise_filter")):
            rates.add(16_000)
        for rate in sorted(rates):
            self._vads.source(vad, rate)

    def add_trunk(self, record: CarrierRecord, carrier: Carrier) -> None:
        """Use a carrier object that is there already."""
        self.switchboard.trunks[record.name] = Trunk(record, carrier)

    @property
    def url(self) -> str:
        """The address on this machine. Raises `ConfigError` while not serving."""
        return self._serving.url

    def webhook_url(self, carrier: str, name: str) -> str:
        """The public address of a carrier's webhook, to be entered at the carrier."""
        return self._address.webhook(carrier, name)

    async def disconnect(self) -> None:
        """End all calls, stop listening, close everything; idempotent. `serve()` works again afterwards (LC-02)."""
        if self._disconnecting is None or self._disconnecting.done():
            self._disconnecting = asyncio.ensure_future(self._disconnect())
        # Who waits may be cancelled, or may be one of several; it is done once and to the end.
        await asyncio.shield(self._disconnecting)

    async def _disconnect(self) -> None:
        begun, listener = self._serving.end()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        try:
            async with asyncio.timeout(SHUTDOWN_S):
                await self.switchboard.drain(within_s=5.0)
                if begun:
                    await self.hooks().notify("patter_shutdown")
                if listener is not None:
                    await listener.stop()
                await self.switchboard.close_trunks()
        except TimeoutError:
            logger.error(
                "shutting down took over %.0f s; what still hangs is left to the process's end", SHUTDOWN_S
            )
        self.switchboard.trunks.clear()
        self.billing.close()
        await self.warming.close()
        await self.telemetry.close()
        self._pacer.close()
        self.stall_monitor.stop()
        self._vads.close()
        await self._shared.close()
        self._shared = SharedObjectPool()
        self._vads = VADSources(self.plugins, self._context(), self._pacer, self.environment.clock)
        self._serving.ended()

    async def test(
        self, agent: Agent, *, read: ReadLine | None = None, write: WriteLine = print
    ) -> CallSummary:
        """Hold a conversation with `agent` in writing, at the terminal or through `read` and `write` (CF-09).

        The engine is the real one; there is no carrier, and nothing is reached but what the agent itself talks to.
        `read` returns the next line, None at the end. Raises `ConfigError`, also while the phone is serving.
        """
        from patter.talk.conversation import talk, terminal_of

        return await talk(self, agent, terminal_of(read, write))

    # -- calling

    async def call(  # noqa: PLR0913 - each is one property of the call
        self,
        to: str,
        agent: Agent | None = None,
        *,
        first_message: str | None = None,
        from_number: str | None = None,
        machine_detection: bool = True,
        on_machine_detection: OnMachineDetection | None = None,
        voicemail_message: str | None = None,
        ring_timeout: float | None = 25.0,
        recording: bool | None = None,
        wait: bool = True,
    ) -> CallResult:
        """Place a call and, unless `wait` is false, return when it is over.

        Args:
            to: the number in E.164 form, or a SIP address where the carrier takes those.
            agent: who talks; the one that is served when None.
            first_message: what the agent says first, in place of its own.
            from_number: the number to call from; `phone_number` when None.
            machine_detection: let the carrier find out whether a machine answered.
            on_machine_detection: called with the call and a `MachineDetection`, also when a human answered.
            voicemail_message: what a machine is told after its greeting, before the call is hung up. The agent then
                waits until it is known who answered, and does not talk to a machine. Implies `machine_detection`.
            ring_timeout: in s; None leaves it to the carrier.
            recording: have the carrier record the call; the option of that name when None.
            wait: return at once if false, with a result that has only the id.

        Raises `InputError` for a number that is not E.164, `CallRefusedError` when there is no room, `ProviderError`
        when the carrier refuses, `ConfigError` when the phone is not serving.
        """
        if not self._serving.is_listening or not self.switchboard.trunks:
            raise ConfigError("call: the phone is not serving with a carrier; await phone.ready first")
        caller = from_number or self.settings.phone_number
        if caller is None:
            raise ConfigError("call: set phone_number or give from_number")
        order = DialOrder(
            to=to,
            from_number=caller,
            ring_timeout=ring_timeout,
            machine_detection=machine_detection,
            on_machine_detection=on_machine_detection,
            voicemail_message=voicemail_message,
            recording=self.settings.recording if recording is None else recording,
            max_call_s=self.settings.max_call_s,
        )
        plan = self._plan_of(agent, first_message)
        line = await dial(self.switchboard, self.environment, order, plan)
        if not wait:
            return CallResult(line.call.id, "", CallStatus.INITIATED, 0.0)
        return result_of(await asyncio.shield(line.done), line.call)

    def _plan_of(self, agent: Agent | None, first_message: str | None) -> CallPlan:
        """Who talks on a call that is placed (CC-02)."""
        chosen = self.complete(agent) if agent is not None else self.agent
        if chosen is None:
            raise ConfigError("call: there is no agent for this call")
        if first_message is None:
            return self._planner.plan(chosen)
        return self._planner.plan_once(chosen.changed(first_message=first_message))

    async def end_call(self, call_id: str) -> None:
        """Hang up a call; harmless for one that is unknown or over (CC-17)."""
        line = self.switchboard.line(call_id)
        if line is None:
            return
        try:
            if line.call.carrier_call_id:  # else it is being dialled, and hung up when the carrier has it
                await line.call.hangup()
        except PatterError as error:
            logger.warning("call %s: the carrier could not be told to hang up: %s", call_id, error)
        self.switchboard.end(line, CallStatus.COMPLETED, "hung up by the application")
        await asyncio.shield(line.done)
