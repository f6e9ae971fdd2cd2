"""The agent of the demo, or the user's own with parts of it replaced."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from patter.agent import Agent
from patter.errors import ConfigError
from patter.tools import tool

PROMPT = "You take the bookings of the Garden Restaurant. Answer in one or two sentences."
GREETING = "Hello, this is the Garden Restaurant. How can I help you?"
#: the settings file of the working directory, read when no other is named
SETTINGS_FILE = "patter.toml"


@tool
async def book_table(day: str, time: str, people: int, name: str) -> str:
    """Enter a booking into the book of the restaurant."""
    return f"booked: {people} {day} at {time}, {name}"


def demo_agent() -> Agent:
    """A restaurant's telephone: everything in it runs on this machine, without a key."""
    return Agent(
        system_prompt=PROMPT,
        first_message=GREETING,
        stt="moonshine",
        llm="scripted",
        tts="espeak",
        vad="silero",
        barge_in_strategies=("min-words?min_words=2",),
        barge_in_mode="confirm",
        tools=(book_table,),
    )


def engine_agent(engine: str) -> Agent:
    """The same restaurant, with an engine that hears and speaks."""
    return Agent(system_prompt=PROMPT, first_message=GREETING, engine=engine, tools=(book_table,))


def agent_for(target: str | None, replaced: Mapping[str, str | None], engine: str | None = None) -> Agent:
    """The agent at ``module:attribute``, or the demo's, with the given references in place of its own.

    With `engine` that one hears and speaks in place of recogniser and model. Raises `ConfigError` when there is no such
    agent, or when both are given.
    """
    if engine is not None:
        for kind in ("stt", "llm"):
            if replaced.get(kind) is not None:
                raise ConfigError(
                    f"--engine and --{kind}: an engine hears and thinks by itself; give one of them"
                )
    if target is None and engine is not None:
        agent = engine_agent(engine)
    elif target is None:
        agent = demo_agent()
    else:
        from patter.cli.agent_target import load_agent

        agent = load_agent(target)
        if engine is not None:
            agent = agent.changed(engine=engine, stt=None, llm=None, on_message=None)
    update = {kind: reference for kind, reference in replaced.items() if reference is not None}
    return agent.model_copy(update=update) if update else agent


def settings_file(environ: Mapping[str, str]) -> str | None:
    """The file with the keys of an agent's providers; None where the environment names one, or there is none."""
    from patter.phone_settings import CONFIG_VARIABLE

    if environ.get(CONFIG_VARIABLE) or not Path(SETTINGS_FILE).is_file():
        return None
    return SETTINGS_FILE
