"""``patter serve``: answer calls with an agent, and say what to enter at the carrier."""

from __future__ import annotations

import argparse

from patter.cli.phone_arguments import add_phone_arguments, phone_from

HELP = "Answer calls with an agent."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("target", metavar="MODULE:AGENT", help="the agent, such as app:agent")
    add_phone_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; 0 after an orderly end."""
    import logging

    from patter.cli.agent_target import load_agent
    from patter.cli.running import run_on_loop
    from patter.cli.serving import serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    agent = load_agent(arguments.target)
    phone = phone_from(arguments)
    return run_on_loop(lambda: serve(phone, agent), uvloop=arguments.uvloop)
