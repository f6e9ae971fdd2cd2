"""The phone that simulated calls ring on: one for many calls of a process, on a fresh loop for each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from patter.agent import Agent
from patter.audio.formats import MULAW_8K, AudioFormat
from patter.client import Patter
from patter.decisions import Accept
from patter.environment import Environment
from patter.errors import CallGoneError, ConfigError
from patter.markers import hookimpl
from patter.plugins import PluginManager, import_attribute
from patter.providers.carrier import (
    CallStatus,
    Carrier,
    DialRequest,
    MediaProtocol,
    StatusReport,
    WebhookHandler,
)
from patter.records import BargeInRecord, CarrierRecord, LLMRecord, STTRecord, TTSRecord, VADRecord
from patter.server.address import PublicAddress
from patter.server.host import DeskHost
from patter.testing.far_end import FakeFarEnd, FarEnd
from patter.testing.simulation.strategies import LINEUPS
from patter.testing.whole_call.parking import make_llm, make_stt, make_tts
from patter.testing.whole_call.placing import NUMBER
from patter.testing.whole_call.played_call import PlayedCall
from patter.testing.whole_call.providers import CURRENT_CALL, ScriptedVAD
from patter.testing.whole_call.user_code import TOOLS

if TYPE_CHECKING:
    from patter.call.call import Call
    from patter.call.types import CallSummary
    from patter.providers.context import ProviderContext
    from patter.testing.whole_call.script import WholeScript

logger = logging.getLogger(__name__)

URL = "https://phone.example"
FAKE = CarrierRecord(
    "fake",
    FakeFarEnd,
    marks=True,
    clear=True,
    transfers=("cold",),
    speaks=True,
    stream=("mulaw", 8000),
)


class LoopClock:
    """The clock of the loop that runs at the moment."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None

    def monotonic(self) -> float:
        """Seconds of the loop."""
        assert self.loop is not None
        return self.loop.time()

    def wall(self) -> float:
        """Seconds since 1970, from a fixed day on."""
        return 1_767_225_600.0 + self.monotonic()


def installed_far_ends() -> dict[str, tuple[CarrierRecord, type[FarEnd]]]:
    """The carriers that can be simulated: core's own, and those of installed plugins whose simulator has a far end."""
    found: dict[str, tuple[CarrierRecord, type[FarEnd]]] = {FAKE.name: (FAKE, FakeFarEnd)}
    for name, record in sorted(PluginManager().records_of(CarrierRecord).items()):
        if record.simulator is None:
            continue
        try:
            far_end = getattr(import_attribute(record.simulator), "far_end", None)
        except ConfigError as error:
            logger.warning("carrier %s is not simulated: %s", name, error)
            continue
        if isinstance(far_end, type) and issubclass(far_end, FarEnd):
            found[name] = (record, far_end)
    return found


class SimulatedCarrier(Carrier):
    """The carrier's account in memory: what REST would do, done at once. Its streams are those of a `FarEnd`."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def audio_format(self) -> AudioFormat:
        """µ-law at 8 kHz."""
        return MULAW_8K

    def media_protocol(self) -> MediaProtocol:
        """The plugin's."""
        return CURRENT_CALL.get().far_end.protocol()

    def webhooks(self) -> Mapping[str, WebhookHandler]:
        """None: the host is told directly."""
        return {}

    def attach(self, host: Any) -> None:
        """Nothing to learn."""

    async def dial(self, request: DialRequest) -> str:
        """Take the call."""
        await asyncio.sleep(0.1)
        return self._exchange.calls[request.call_id].far_end.carrier_call_id

    async def hangup(self, carrier_call_id: str) -> None:
        """End the call."""
        self._end(carrier_call_id)

    async def transfer(self, carrier_call_id: str, number: str) -> None:
        """End the stream. Raises `CallGoneError`."""
        if not self._end(carrier_call_id):
            raise CallGoneError("the call has ended")

    async def speak_and_hangup(self, carrier_call_id: str, message: str) -> bool:
        """Done, and the end of the call is reported."""
        if self._end(carrier_call_id):
            played = self._exchange.playing[carrier_call_id]
            report = StatusReport(carrier_call_id, CallStatus.COMPLETED)
            told = played.loop.call_later(0.1, self._exchange.hosts[played.carrier_name].call_status, report)
            played.timers.append(told)
        return True

    def _end(self, carrier_call_id: str) -> bool:
        call = self._exchange.playing.get(carrier_call_id)
        if call is None or call.line is None or not call.line.is_open:
            return False
        call.note(11, 0, "  the carrier ends the stream because it was asked to")
        call.line.stop()
        call.line.drop()
        return True

    async def close(self) -> None:
        """Nothing to release."""


class SimulationPlugin:
    """The providers and strategies of simulated calls, and who answers them."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @hookimpl
    def patter_register_stt(self) -> Iterable[STTRecord]:
        """``scripted``."""
        return [STTRecord("scripted", self._exchange.maker(make_stt), interims=True, reconnects=True)]

    @hookimpl
    def patter_register_llm(self) -> Iterable[LLMRecord]:
        """``scripted``."""
        return [LLMRecord("scripted", self._exchange.maker(make_llm))]

    @hookimpl
    def patter_register_tts(self) -> Iterable[TTSRecord]:
        """``scripted``."""
        return [TTSRecord("scripted", self._exchange.maker(make_tts), word_times=True)]

    @hookimpl
    def patter_register_vad(self) -> Iterable[VADRecord]:
        """``scripted``."""
        return [VADRecord("scripted", self._exchange.make_vad)]

    @hookimpl
    def patter_register_barge_in(self) -> Iterable[BargeInRecord]:
        """The strategies, by the names of their classes."""
        classes = {make.__name__: make for lineup in LINEUPS.values() for make in lineup}
        return [BargeInRecord(strategy_name(make), make) for make in classes.values()]

    @hookimpl
    def patter_incoming_call(self, call: Call) -> Accept:
        """Its agent."""
        return self._exchange.answer(call)

    @hookimpl
    def patter_call_ended(self, call: Call, summary: CallSummary) -> None:
        """Count it."""
        self._exchange.ended(call, summary)


def strategy_name(make: type[Any]) -> str:
    """How a strategy is referred to."""
    return f"simulated-{make.__name__.lower()}"


class Exchange:
    """A phone, the carriers that ring it, and the calls that are being played on it."""

    def __init__(self, far_ends: Mapping[str, tuple[CarrierRecord, type[FarEnd]]]) -> None:
        self.clock = LoopClock()
        self.environment = Environment.seeded(0, self.clock)
        self.far_ends = dict(far_ends)
        manager = PluginManager([SimulationPlugin(self)], autoload=False, environ={})
        self.phone = Patter(
            manager=manager,
            environment=self.environment,
            phone_number=NUMBER,
            webhook_url=URL,
            carrier=None,
        )
        self.calls: dict[str, PlayedCall] = {}
        self.carriers = {name: SimulatedCarrier(self) for name in self.far_ends}
        address = PublicAddress(URL)
        self.hosts = {
            name: DeskHost(name, self.phone.switchboard, address, self.environment, "")
            for name in self.carriers
        }
        for name, (record, _) in self.far_ends.items():
            self.phone.add_trunk(replace(record, dtmf_out=False), self.carriers[name])
        self.phone.switchboard.ready = True
        self.playing: dict[str, PlayedCall] = {}
        self._agents: dict[tuple[Any, ...], Agent] = {}

    def maker(self, make: Callable[[PlayedCall], object]) -> Callable[[ProviderContext], object]:
        """A factory of a provider for the call that it belongs to."""

        def of_call(context: ProviderContext) -> object:
            return make(self.calls[context.call_id or ""])

        return of_call

    def make_vad(self) -> ScriptedVAD:
        """A detector, which core makes without saying for which call."""
        return ScriptedVAD(CURRENT_CALL.get())

    def begin(self, calls: Sequence[PlayedCall], loop: asyncio.AbstractEventLoop) -> None:
        """Calls are about to be played, at the same time."""
        self.clock.loop = loop
        self.environment.random.seed(calls[0].script.seed)
        self.calls.clear()
        self.playing = {call.far_end.carrier_call_id: call for call in calls}

    @property
    def places(self) -> int:
        """Calls that hold a place."""
        return self.phone._admission.in_use

    @property
    def tokens(self) -> int:
        """Media tokens that were neither used nor revoked."""
        return len(self.phone.switchboard._tokens)

    def answer(self, call: Call) -> Accept:
        """Who answers the call."""
        played = self.playing[call.carrier_call_id]
        played.rings(call)
        return Accept(self.agent(played.script))

    def ended(self, call: Call, summary: CallSummary) -> None:
        """A call is over, says Patter."""
        played = self.calls.get(call.id)
        if played is not None:
            played.is_over(call, summary)

    def agent(self, script: WholeScript) -> Agent:
        """The agent of a script; equal ones are one."""
        settings, barge_in = script.settings, script.barge_in
        key = (
            settings.first_message,
            settings.turn_end,
            barge_in.mode,
            barge_in.confirm_s,
            barge_in.has_vad,
            script.lineup,
            script.prewarm is not None,
            script.prewarm is not None and script.prewarm.greeting,
        )
        agent = self._agents.get(key)
        if agent is None:
            agent = self._agents[key] = Agent(
                first_message=settings.first_message,
                stt="scripted",
                llm="scripted",
                tts="scripted",
                vad="scripted" if barge_in.has_vad else False,
                turn_end=settings.turn_end,
                barge_in_mode=barge_in.mode,
                barge_in_confirm_ms=int(barge_in.confirm_s * 1000),
                barge_in_strategies=tuple(strategy_name(make) for make in LINEUPS[script.lineup]),
                tools=TOOLS,
                prewarm=script.prewarm is not None,
                prewarm_first_message=script.prewarm is not None and script.prewarm.greeting,
            )
        return agent
