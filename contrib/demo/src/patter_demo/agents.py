"""The agent of the demo, or the user's own with parts of it replaced."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from patter.agent import Agent
from patter.tools import tool

#: the settings file of the working directory, read when no other is named
SETTINGS_FILE = "patter.toml"


@tool
async def book_table(day: str, time: str, people: int, name: str) -> str:
    """Enter a booking into the book of the restaurant."""
    return f"booked: {people} {day} at {time}, {name}"


def demo_agent() -> Agent:
    """A restaurant's telephone: everything in it runs on this machine, without a key."""
    return Agent(
        system_prompt="You take the bookings of the Garden Restaurant.",
        first_message="Hello, this is the Garden Restaurant. How can I help you?",
        stt="moonshine",
        llm="scripted",
        tts="espeak",
        vad="silero",
        barge_in_strategies=("min-words?min_words=2",),
        barge_in_mode="confirm",
        tools=(book_table,),
    )


def agent_for(target: str | None, replaced: Mapping[str, str | None]) -> Agent:
    """The agent at ``module:attribute``, or the demo's, with the given references in place of its own.

    Raises `ConfigError` when there is no such agent.
    """
    if target is None:
        agent = demo_agent()
    else:
        from patter.cli.agent_target import load_agent

        agent = load_agent(target)
    update = {kind: reference for kind, reference in replaced.items() if reference is not None}
    return agent.model_copy(update=update) if update else agent


def settings_file(environ: Mapping[str, str]) -> str | None:
    """The file with the keys of an agent's providers; None where the environment names one, or there is none."""
    from patter.phone_settings import CONFIG_VARIABLE

    if environ.get(CONFIG_VARIABLE) or not Path(SETTINGS_FILE).is_file():
        return None
    return SETTINGS_FILE
