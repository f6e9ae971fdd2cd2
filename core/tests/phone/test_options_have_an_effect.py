"""Every option of an agent and of a phone is read by core while it carries calls, so that none is accepted in vain."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import patter
from patter import Agent
from patter.phone_settings import PhoneSettings
from patter.testing import Reply

CORE = Path(patter.__file__).parent
#: functions that carry options from one object to another, whatever they are
COPYING = {"changed", "effective_agent"}


class Reads:
    """Which options core took of which model, and in which files."""

    def __init__(self) -> None:
        self.of: dict[type[BaseModel], dict[str, set[str]]] = {Agent: {}, PhoneSettings: {}}

    def note(self, model: type[BaseModel], name: str) -> None:
        """Called from the attribute's access, two frames above."""
        frame = sys._getframe(2)
        while frame.f_code.co_name.startswith("<") and frame.f_back is not None:  # a comprehension
            frame = frame.f_back
        code = frame.f_code
        path = Path(code.co_filename)
        if code.co_name in COPYING or not path.is_relative_to(CORE) or path.is_relative_to(CORE / "testing"):
            return
        self.of[model].setdefault(name, set()).add(path.name)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reads]:
    """What core reads from now on."""
    reads = Reads()
    for model in reads.of:
        fields = frozenset(model.model_fields)

        def access(
            self: Any, name: str, model: type[BaseModel] = model, fields: frozenset[str] = fields
        ) -> Any:
            if name in fields:
                reads.note(model, name)
            return object.__getattribute__(self, name)

        monkeypatch.setattr(model, "__getattribute__", access, raising=False)
    yield reads
    monkeypatch.undo()


@pytest.mark.behaviour("CF-04")
@pytest.mark.patter_phone(port=0)
async def test_core_reads_every_option_of_an_agent_and_of_a_phone_while_it_carries_calls(
    reads: Reads, phone: Any, simcall: Any
) -> None:
    # in this order: a phone takes settings while it is made
    agent = Agent(stt="fake", llm="fake", tts="fake", vad="fake", first_message="Hello.")
    await phone.start(agent, port=0)
    await phone.disconnect()
    await phone.start(agent)
    async with simcall(replies=[Reply("Certainly.")]) as call:
        await call.agent_says("Hello.")
        await call.caller_says("A table for two.")
        await call.agent_says("Certainly.")
    async with simcall(agent.changed(engine="fake", stt=None, llm=None)) as call:
        await call.agent_says("Hello.")
    for model, found in reads.of.items():
        assert set(model.model_fields) - found.keys() == set(), f"{model.__name__} has options without effect"


async def test_an_option_that_nothing_reads_is_found(reads: Reads, patter_loop: Any, phone: Any) -> None:
    """The reading that copies an agent does not count, and neither does that of a test."""
    agent = Agent(stt="fake", first_message="Hello.")
    assert agent.first_message == "Hello."
    agent.changed(language="it")
    assert reads.of[Agent].keys() == set()
