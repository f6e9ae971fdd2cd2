"""``patter talk --text``: a conversation with an agent in the terminal."""

from __future__ import annotations

import argparse

from patter.cli.phone_arguments import SETTINGS_FILE, settings_path
from patter.errors import ConfigError

HELP = "Talk with an agent in the terminal, in writing."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("target", metavar="MODULE:AGENT", help="the agent, such as app:agent")
    parser.add_argument("--text", action="store_true", help="in writing; so far there is no other way")
    parser.add_argument(
        "--config", metavar="FILE", help=f"settings file; {SETTINGS_FILE} in this directory is read by itself"
    )
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop, which must be installed")


def run(arguments: argparse.Namespace) -> int:
    """Talk until either side ends it; 0 after a conversation, 1 when the agent failed in it."""
    from patter.cli.agent_target import load_agent
    from patter.cli.running import run_on_loop
    from patter.client import Patter
    from patter.plugins import PluginManager
    from patter.providers.carrier import CallStatus

    if not arguments.text:
        raise ConfigError("patter talk is in writing: add --text (`patter serve` answers telephone calls)")
    agent = load_agent(arguments.target)
    manager = PluginManager()
    phone = Patter(config=settings_path(arguments.config, manager), manager=manager)

    async def talk() -> int:
        summary = await phone.test(agent)
        return 1 if summary.outcome is CallStatus.FAILED else 0

    return run_on_loop(talk, uvloop=arguments.uvloop)
