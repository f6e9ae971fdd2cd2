"""``patter call``: place one call and print how it went."""

from __future__ import annotations

import argparse

from patter.cli.phone_arguments import add_phone_arguments, phone_from
from patter.errors import ConfigError

HELP = "Place one call, let an agent talk, and print how it went."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("to", metavar="NUMBER", help="whom to call, such as +15550009876")
    parser.add_argument("--agent", metavar="MODULE:AGENT", required=True, help="the agent, such as app:agent")
    parser.add_argument(
        "--ring-timeout", metavar="SECONDS", type=float, default=25.0, help="how long it may ring (25)"
    )
    parser.add_argument(
        "--no-machine-detection",
        action="store_true",
        help="do not ask the carrier whether a machine answered",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_phone_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Call; 0 when it was answered, 1 when it was not, 130 when it was stopped by a signal."""
    from patter.cli.agent_target import load_agent
    from patter.cli.calling import CallRequest, place
    from patter.cli.running import run_on_loop

    agent = load_agent(arguments.agent)
    phone = phone_from(arguments)
    if phone.settings.webhook_url is None:
        raise ConfigError(
            "a call needs a public https address, at which the carrier asks this server what to do when somebody "
            "answers: --webhook-url https://... (or PATTER_WEBHOOK_URL, or webhook_url under [phone] in patter.toml)"
        )
    request = CallRequest(arguments.to, arguments.ring_timeout, not arguments.no_machine_detection)
    return run_on_loop(lambda: place(phone, agent, request, as_json=arguments.json), uvloop=arguments.uvloop)
