"""A conversation in writing, through the real engine."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from patter import Agent, ConfigError, Patter, hookimpl, tool
from patter.call.types import CallSummary
from patter.providers.carrier import CallStatus

pytestmark = pytest.mark.patter_phone(carrier=None)


@tool
async def opening_hours(day: str) -> str:
    """Opening hours of a day."""
    return f"9 to 5 on {day}"


class Keyboard:
    """Somebody who types these lines, and reads."""

    def __init__(self, *lines: str | Callable[[], Awaitable[None]]) -> None:
        self.lines = list(lines)
        self.seen: list[str] = []

    async def read(self) -> str | None:
        """The next line; a function in its place is waited for first."""
        while self.lines:
            line = self.lines.pop(0)
            if isinstance(line, str):
                return line + "\n"
            await line()
        return None

    async def talk(self, phone: Patter, agent: Agent) -> CallSummary:
        """Hold the conversation."""
        return await phone.test(agent, read=self.read, write=self.seen.append)


class Watching:
    """What hooks are told of the call."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @hookimpl
    def patter_startup(self) -> None:
        """Before everything."""
        self.told.append("startup")

    @hookimpl
    def patter_turn_ended(self, turn: Any) -> None:
        """A turn of the real engine."""
        self.told.append(f"turn {turn.user_text!r}")

    @hookimpl
    def patter_call_ended(self, summary: CallSummary) -> None:
        """The end."""
        self.told.append(f"ended {summary.outcome.value}")


@pytest.mark.behaviour("CF-09")
async def test_a_conversation_goes_through_the_turn_engine(phone: Patter) -> None:
    watching = phone.register(Watching())
    keyboard = Keyboard("Are you open?", "/history", "/what", "Thank you.")
    agent = Agent(llm="fake", stt="nowhere", first_message="Hello.", vad="nowhere", turn_end="manual")
    summary = await keyboard.talk(phone, agent)
    assert keyboard.seen == [
        "agent: Hello.",
        "agent: You said: Are you open?",
        "assistant: Hello.",
        "user: Are you open?",
        "assistant: You said: Are you open?",
        "commands: /history, /transfer NUMBER, /hangup, /quit",
        "agent: You said: Thank you.",
        "[call ended: completed, the caller or carrier hung up]",
    ]
    assert [(entry.role, entry.text) for entry in summary.transcript] == [
        ("assistant", "Hello."),
        ("user", "Are you open?"),
        ("assistant", "You said: Are you open?"),
        ("user", "Thank you."),
        ("assistant", "You said: Thank you."),
    ]
    assert watching.told[0] == "startup"
    assert watching.told[-1] == "ended completed"
    assert "turn 'Are you open?'" in watching.told
    assert phone.switchboard.lines() == ()
    assert summary.leaks == ()


@pytest.mark.behaviour("CF-09")
async def test_quit_and_hangup_end_it_from_either_side(phone: Patter) -> None:
    for command, reason in (("/quit", "hung up"), ("/hangup", "hung up")):
        keyboard = Keyboard("Hi.", command, "never read")
        summary = await keyboard.talk(phone, Agent(llm="fake"))
        assert summary.outcome is CallStatus.COMPLETED
        assert reason in summary.reason
        assert keyboard.lines == ["never read"]
        assert keyboard.seen[0] == "agent: You said: Hi."


@pytest.mark.behaviour("CF-09")
async def test_transfer_follows_the_rules_of_the_agent(phone: Patter) -> None:
    agent = Agent(llm="fake", transfer_allowed_numbers=("+15550002222",))
    keyboard = Keyboard("/transfer", "/transfer +15550009999", "/transfer +15550002222", "never read")
    summary = await keyboard.talk(phone, agent)
    assert [line[:16] for line in keyboard.seen] == [
        "[not transferred",
        "[not transferred",
        "[transferred to ",
        "[call ended: com",
    ]
    assert summary.outcome is CallStatus.COMPLETED
    assert keyboard.seen[2] == "[transferred to +15550002222]"
    assert keyboard.lines == ["never read"]


@pytest.mark.behaviour("CF-09")
async def test_tools_work_and_the_agent_may_hang_up(phone: Patter) -> None:
    from patter.testing.fake_llm import FakeLLM
    from patter.testing.scene import CallTool, ModelScript, Reply

    script = ModelScript()
    script.replies.extend(
        [
            Reply(tools=[CallTool("opening_hours", {"day": "Monday"})]),
            "We are open\x1b[2J 9 to 5.",
            Reply("Goodbye.", tools=[CallTool("end_call", {"reason": "done"})]),
        ]
    )

    def scripted(context: Any = None) -> FakeLLM:
        model = FakeLLM(context)
        model._script = script
        return model

    keyboard = Keyboard("When on Monday?", "Bye.", "never read", "never read")
    summary = await keyboard.talk(phone, Agent(llm=scripted, tools=[opening_hours]))
    assert keyboard.seen[0] == "[tool opening_hours]"
    assert any(re.fullmatch(r"agent: We are open.*9 to 5\.", line) for line in keyboard.seen)
    assert not any("\x1b" in line for line in keyboard.seen)
    assert "agent: Goodbye." in keyboard.seen
    assert summary.outcome is CallStatus.COMPLETED
    assert "never read" in keyboard.lines


@pytest.mark.behaviour("CF-09")
async def test_a_line_interrupts_an_agent_that_speaks(phone: Patter) -> None:
    from patter.talk.conversation import Terminal, talk

    keyboard = Keyboard(
        "Tell me " + "a long story " * 20,
        lambda: asyncio.sleep(1.0),
        "Stop.",
        lambda: asyncio.sleep(3.0),
        "/quit",
    )
    await talk(phone, Agent(llm="fake"), Terminal(keyboard.read, keyboard.seen.append, takes_turns=False))
    assert keyboard.seen[0].startswith("agent: You said: Tell me")
    assert keyboard.seen[0].endswith(" [interrupted]")
    assert len(keyboard.seen[0]) < 200
    assert keyboard.seen[1] == "agent: You said: Stop."


@pytest.mark.behaviour("CF-09")
async def test_what_cannot_talk_in_writing_says_why(phone: Patter) -> None:
    keyboard = Keyboard("Hi.")
    for agent, why in ((Agent(engine="x"), "an engine hears"), (Agent(tts="fake"), "set llm")):
        with pytest.raises(ConfigError, match=why):
            await keyboard.talk(phone, agent)
    await phone.start(Agent(stt="fake", llm="fake", tts="fake"), port=0)
    with pytest.raises(ConfigError, match="serving"):
        await keyboard.talk(phone, Agent(llm="fake"))
    await phone.disconnect()
    assert (await keyboard.talk(phone, Agent(llm="fake"))).outcome is CallStatus.COMPLETED


APP = """
    import sys

    def watch(event, arguments):
        if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
            print("NETWORK", event, arguments, flush=True)

    sys.addaudithook(watch)

    from patter import Agent, LLMRecord
    from patter.providers.llm import LLM, Done, Text

    class Echo(LLM):
        async def stream(self, messages, tools, *, cancel_event, call_id):
            yield Text("You said " + messages[-1].content)
            yield Done()

        async def close(self): ...

    agent = Agent(llm=Echo, first_message="Hello.")
"""


@pytest.mark.behaviour("CF-09")
@pytest.mark.realtime
def test_the_command_runs_the_same_conversation_without_any_network(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(textwrap.dedent(APP), encoding="utf-8")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "patter", "talk", "app:agent", *words],
            cwd=tmp_path,
            input="Good morning.\n/history\n/quit\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    done = run("--text")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "agent: Hello.",
        "agent: You said Good morning.",
        "assistant: Hello.",
        "user: Good morning.",
        "assistant: You said Good morning.",
        done.stdout.splitlines()[-1],
    ]
    assert done.stdout.splitlines()[-1].startswith("[call ended: completed")
    spoken = run()
    assert spoken.returncode == 2
    assert "add --text" in spoken.stderr
