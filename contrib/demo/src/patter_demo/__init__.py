"""The command ``patter demo``: a whole phone conversation on one machine."""

from __future__ import annotations

from typing import Any

from patter import hookimpl


@hookimpl
def patter_register_commands(cli: Any) -> None:
    """The command ``demo``."""
    from patter_demo import command

    parser = cli.add_parser("demo", help=command.HELP, description=command.DESCRIPTION)
    parser.set_defaults(run=command.run)
    command.add_arguments(parser)
