"""One conversation in writing: the call of a phone that does not serve, what is typed into it and what comes back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from patter.call.call import Call
from patter.errors import ConfigError, PatterError
from patter.records import FREE, STTRecord, TTSRecord
from patter.server.desk import MediaClaim
from patter.talk.terminal import TerminalLines
from patter.talk.text_line import TEXT, TextCarrier, TextLine
from patter.talk.text_providers import TypedEars, WrittenTTS

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.call.types import CallFailure, CallSummary, TurnReport
    from patter.client import Patter

ReadLine = Callable[[], Awaitable[str | None]]
WriteLine = Callable[[str], None]

HELP: Final = "commands: /history, /transfer NUMBER, /hangup, /quit"
#: longer lines are cut, in characters
LONGEST_LINE: Final = 4000
#: an answer that takes longer is not waited for before the next line is read, in s
ANSWER_S: Final = 120.0
#: who is on the line
_CALLER: Final = "text"


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where lines come from and go to. `takes_turns`: the next line is read once the last one was answered."""

    read: ReadLine
    write: WriteLine
    takes_turns: bool


def terminal_of(read: ReadLine | None, write: WriteLine) -> Terminal:
    """The given ends; without a reader, standard input, at which a person may interrupt the agent."""
    if read is not None:
        return Terminal(read, write, takes_turns=True)
    return Terminal(TerminalLines().read, write, takes_turns=not sys.stdin.isatty())


async def talk(phone: Patter, agent: Agent, terminal: Terminal) -> CallSummary:
    """Hold a conversation until either side ends it. Raises `ConfigError` for an agent that cannot talk in writing."""
    if phone.switchboard.lines() or phone.switchboard.ready:
        raise ConfigError("test: this phone is serving; hold a conversation in writing with one that is not")
    conversation = Conversation(phone, in_writing(phone.complete(agent), ears := TypedEars()), ears, terminal)
    try:
        await phone.hooks().notify("patter_startup")
        return await conversation.run()
    finally:
        await phone.hooks().notify("patter_shutdown")
        await phone.disconnect()


def in_writing(agent: Agent, ears: TypedEars) -> Agent:
    """The agent with text in the place of everything that hears and speaks. Raises `ConfigError`."""
    if agent.engine is not None:
        raise ConfigError(
            "test: an engine hears and speaks by itself; a conversation in writing needs an llm"
        )
    if agent.llm is None and getattr(agent, "on_message", None) is None:
        raise ConfigError(
            "test: the agent has nothing to answer with: set llm, for example openai/gpt-4.1-mini"
        )
    return agent.changed(
        stt=STTRecord("typed", ears.make, endpoints=True, interims=True, prices=FREE),
        tts=TTSRecord("written", WrittenTTS, prices=FREE),
        vad=False,
        turn_end="auto",
        noise_filter=None,
        echo_cancellation=False,
        high_pass_hz=None,
        gain_control=False,
    )


class Conversation:
    """The call and its terminal."""

    def __init__(self, phone: Patter, agent: Agent, ears: TypedEars, terminal: Terminal) -> None:
        self._phone = phone
        self._agent = agent
        self._ears = ears
        self._terminal = terminal
        self._started = asyncio.Event()
        self._answered = asyncio.Event()
        self._carrier = TextCarrier(self._write)

    async def run(self) -> CallSummary:
        """From the first line to the last."""
        phone, switchboard = self._phone, self._phone.switchboard
        plan = phone.planner.plan_once(self._agent)
        phone.add_trunk(TextCarrier.record, self._carrier)
        switchboard.open()
        call = Call(
            phone.environment.new_id("call"),
            direction="inbound",
            carrier=TEXT,
            caller=_CALLER,
            callee=phone.settings.phone_number or _CALLER,
        )
        self._observe(call)
        line = switchboard.dial(call, TEXT, plan, 0.0)
        switchboard.dialled(line, call.id)
        self._carrier.line = TextLine(call.id)
        serving = asyncio.ensure_future(
            switchboard.serve_media(MediaClaim(call.id, TEXT), self._carrier.line)
        )
        reading = asyncio.ensure_future(self._read(call))
        try:
            await asyncio.wait({serving, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                self._carrier.line.stop("the input ended")
            await serving
        finally:
            for task in (reading, serving):
                task.cancel()
            await asyncio.gather(reading, serving, return_exceptions=True)
        if reading.done() and not reading.cancelled() and (error := reading.exception()) is not None:
            raise error
        summary = await line.done
        self._write(f"[call ended: {summary.outcome.value}, {summary.reason}]")
        return summary

    # -- what comes back

    def _observe(self, call: Call) -> None:
        call.on("call_started", lambda _: self._started.set())
        call.on("turn_ended", self._turn_ended)
        call.on("tool_call_started", lambda tool: self._write(f"[tool {tool.name}]"))
        call.on("failed", self._failed)

    def _turn_ended(self, report: TurnReport) -> None:
        if report.heard_text:
            self._write(f"agent: {report.heard_text}" + (" [interrupted]" if report.interrupted else ""))
        self._answered.set()

    def _failed(self, failure: CallFailure) -> None:
        self._write(f"[{failure.kind} {failure.reference} failed: {failure.error}]")

    def _write(self, text: str) -> None:
        """A line without what would act on a terminal: models say anything."""
        self._terminal.write("".join(one if one.isprintable() else " " for one in text))

    # -- what is typed

    async def _read(self, call: Call) -> None:
        """Lines and commands until the last one."""
        await self._started.wait()
        if self._agent.first_message:
            await self._answer()
        while (line := await self._terminal.read()) is not None:
            text = line.strip()[:LONGEST_LINE]
            if text.startswith("/"):
                if await self._command(call, text):
                    return
            elif text:
                self._answered.clear()
                self._ears.hear(text)
                await self._answer()

    async def _answer(self) -> None:
        if not self._terminal.takes_turns:
            return
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._answered.wait()
        except TimeoutError:
            self._write("[no answer so far]")

    async def _command(self, call: Call, text: str) -> bool:
        """Carry out a command; True when it ends the conversation."""
        name, _, rest = text.partition(" ")
        if name in ("/quit", "/hangup"):
            assert self._carrier.line is not None
            if name == "/quit":
                await call.hangup()
            else:
                self._carrier.line.stop("the caller hung up")
            return True
        if name == "/transfer":
            return await self._transfer(call, rest.strip())
        if name == "/history":
            for message in call.history:
                self._write(f"{message.role}: {_shown(message)}")
        else:
            self._write(HELP)
        return False

    async def _transfer(self, call: Call, number: str) -> bool:
        try:
            await call.transfer(number)
        except PatterError as error:
            self._write(f"[not transferred: {error}]")
        return call.is_transferred


def _shown(message: Any) -> str:
    calls = ", ".join(f"{one.name}({one.arguments})" for one in message.tool_calls)
    return " ".join(part for part in (message.content, f"[calls {calls}]" if calls else "") if part)
