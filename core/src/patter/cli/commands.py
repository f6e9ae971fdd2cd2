"""The table of core's own commands. A new one is a module with `HELP`, `add_arguments` and `run`, and a line here."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Protocol, cast

#: command -> its module, in the order of ``patter --help``
COMMANDS: dict[str, str] = {
    "serve": "patter.cli.serve",
    "call": "patter.cli.call",
    "talk": "patter.cli.talk",
    "plugins": "patter.cli.plugins",
    "providers": "patter.cli.providers",
    "doctor": "patter.cli.doctor",
    "conformance": "patter.cli.conformance",
    "simulate": "patter.cli.simulate",
}


class Command(Protocol):
    """What the module of a command has. Its top level imports nothing heavy: every command pays for it."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it and return the exit code."""


def command(name: str) -> Command:
    """The command of that name, imported now."""
    return cast(Command, import_module(COMMANDS[name]))
