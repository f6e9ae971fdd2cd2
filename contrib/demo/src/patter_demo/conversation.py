"""One conversation: the real server on loopback, the simulated carrier, and the caller between them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from patter.client import Patter
from patter_demo.caller import Caller, HangUp, Say
from patter_demo.engines import check_engine, simulated_engine
from patter_demo.evidence import Evidence, SpokenLine
from patter_demo.hearing import Ear
from patter_demo.leftovers import Inventory, left_over
from patter_demo.measures import audible_line
from patter_demo.observer import Observer
from patter_demo.recording import until
from patter_demo.voices import speak_script
from patter_twilio.config import TwilioConfig
from patter_twilio.simulator import Simulator

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.plugins import PluginManager
    from patter_demo.hearing import Part
    from patter_demo.script import Script
    from patter_demo.view import View
    from patter_twilio.simulator import SimulatedCall

HOST = "127.0.0.1"
PHONE_NUMBER = "+15550100200"
CALLER_NUMBER = "+15550100300"
#: how often the caller listens, in s
LISTEN_EVERY_S = 0.05
#: answering the call and connecting its media take at most this long, in s
CONNECT_S = 15.0
#: after hanging up, the carrier is done within this, in s
CLOSE_S = 5.0


@dataclass(frozen=True, slots=True)
class Setting:
    """Who talks to whom, and about what.

    `config` is the settings file with the keys of an agent's providers. `simulate`: the agent's engine talks to its
    plugin's simulator.
    """

    manager: PluginManager
    agent: Agent
    script: Script
    caller_tts: str | None = None
    config: str | None = None
    simulate: bool = False


async def hold_conversation(setting: Setting, view: View) -> Evidence:
    """Hold it and return what was seen and heard. Raises `PatterError` and `OSError` when it cannot start."""
    before = Inventory.take()
    evidence = Evidence(setting.script)
    async with AsyncExitStack() as stack, Simulator() as simulator:
        phone = _phone(setting, simulator)
        observer = Observer(evidence, view, asyncio.get_running_loop().time)
        phone.register(observer)
        try:
            with view.progress("starting the server and loading models"):
                if setting.caller_tts is not None:
                    evidence.script = await speak_script(phone, setting.caller_tts, setting.script)
                agent = await stack.enter_async_context(_agent_of(setting, phone, evidence))
                await phone.start(agent, host=HOST)
            await _call(simulator, phone, evidence, view)
            active = phone.calls.active()
        finally:
            await phone.disconnect()
            phone.plugins.unregister(observer)
    evidence.leaks = [
        *(evidence.summary.leaks if evidence.summary else ()),
        *(f"call {record.call_id}" for record in active),
        *await left_over(before),
    ]
    return evidence


@asynccontextmanager
async def _agent_of(setting: Setting, phone: Patter, evidence: Evidence) -> AsyncIterator[Agent]:
    """The agent as it answers, its engine's simulator running where it is to have one. Raises `ConfigError`."""
    completed = phone.complete(setting.agent)
    evidence.greets = bool(completed.first_message.strip())
    evidence.engine = completed.engine is not None
    evidence.simulated = setting.simulate
    if not setting.simulate:
        check_engine(phone, setting.agent)
        yield setting.agent
        return
    async with simulated_engine(phone, setting.agent) as agent:
        yield agent


def _phone(setting: Setting, simulator: Simulator) -> Patter:
    """A phone whose carrier is the simulator, whatever file and environment say about a real account."""
    account = simulator.account
    carrier = TwilioConfig(
        account_sid=account.account_sid,
        auth_token=SecretStr(account.auth_token),
        api_key_sid=None,
        api_key_secret=None,
        shared_key_id=None,
        shared_key_secret=None,
        require_signature=True,
        region=None,
        edge=None,
        base_url=simulator.base_url,
    )
    port = _free_port()
    return Patter(
        carrier=carrier,
        manager=setting.manager,
        config=setting.config,
        phone_number=PHONE_NUMBER,
        webhook_url=f"http://{HOST}:{port}",
        port=port,
    )


def _free_port() -> int:
    """A port nobody listens on now. The server's own address has to be known before it listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


async def _call(simulator: Simulator, phone: Patter, evidence: Evidence, view: View) -> None:
    call = await simulator.place_call(
        phone.webhook_url("twilio", "voice"),
        CALLER_NUMBER,
        PHONE_NUMBER,
        status_callback=phone.webhook_url("twilio", "status"),
    )
    try:
        async with asyncio.timeout(CONNECT_S):
            await call.wait_started()
    except TimeoutError:
        evidence.failures.append(f"no media within {CONNECT_S:.0f} s")
    if call.stream is None:
        evidence.failures.extend(f"the carrier reports error {code}" for code in call.errors)
        evidence.failures.extend(f"the caller heard: {text}" for text in call.spoken)
    else:
        evidence.started = call.stream.started_t
        view.connected()
        await _talk(call, evidence, view)
    evidence.heard = until(call.heard, _end_of(call))
    call.hangup()
    try:
        async with asyncio.timeout(CLOSE_S):
            await call.wait_closed()
    except TimeoutError:
        evidence.failures.append(f"the carrier was not done {CLOSE_S:.0f} s after the caller hung up")
    evidence.failures.extend(f"the carrier warns of a message: {code}" for code in call.warnings)


def _end_of(call: SimulatedCall) -> float:
    now = asyncio.get_running_loop().time()
    return now if call.ended_t is None else min(now, call.ended_t)


async def _talk(call: SimulatedCall, evidence: Evidence, view: View) -> None:
    """Go through the script until the caller or the agent hangs up."""
    now = asyncio.get_running_loop().time
    lines = evidence.script.lines
    caller = Caller([line.interrupts for line in lines])
    ear = Ear(caller.manners.pause_s)
    caller.picked_up(now())
    last_sound: float | None = None
    while call.ended_t is None:
        ear.hear(call.heard)
        agent = ear.utterance
        if last_sound is not None and agent is not None and agent.start > last_sound:
            view.latency((agent.start - last_sound) * 1000)
            last_sound = None
        decision = caller.decide(now(), agent)
        if isinstance(decision, HangUp):
            evidence.hung_up = decision.reason
            view.hung_up(decision.reason)
            return
        if isinstance(decision, Say):
            line = lines[decision.line]
            view.caller_speaks(line.text, line.interrupts)
            spoken = await _say(call, decision.line, line.audio)
            evidence.spoken.append(spoken)
            last_sound = audible_line(spoken).end
            caller.spoke(decision.line, last_sound)
            continue
        await asyncio.sleep(LISTEN_EVERY_S)
    evidence.hung_up = "the agent or the carrier hung up"
    view.hung_up(evidence.hung_up)


async def _say(call: SimulatedCall, index: int, audio: bytes) -> SpokenLine:
    already = len(call.said)
    began = asyncio.get_running_loop().time()
    await call.say(audio)
    parts: list[Part] = call.said[already:]
    return SpokenLine(index, began, parts)
