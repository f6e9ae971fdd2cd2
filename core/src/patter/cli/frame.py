"""The frame of the command line: options of every command, plugin commands, errors as one clear line."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from patter.cli.commands import COMMANDS, command
from patter.errors import PatterError

if TYPE_CHECKING:
    from patter.plugins import PluginManager

logger = logging.getLogger(__name__)

EXIT_PROBLEM = 1
EXIT_COULD_NOT_START = 2
EXIT_INTERRUPTED = 130

_EPILOG = """examples:
  patter serve app:agent                  answer calls with `agent` of app.py
  patter plugins                          what is installed, and what is wrong with what
  patter providers stt                    which speech recognisers there are
  patter doctor --stt deepgram/nova-3     why a reference does not work here

Installed plugins may add commands. `patter COMMAND --help` explains one."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 2 when it could not start, 130 after Ctrl-C, else the command's own.

    `argv` is what follows the program's name; None takes it from the process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    # Read before the parser exists, since loading plugins can fail already.
    debug = "--debug" in words
    try:
        code = _run(words)
        # Here, where an absent reader is expected, and not when the interpreter ends.
        sys.stdout.flush()
        return code
    except PatterError as error:
        if debug:
            traceback.print_exc()
        else:
            print(f"patter: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_START
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone; without this the interpreter complains when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PROBLEM


def _run(words: list[str]) -> int:
    from patter.plugins import PluginManager

    # Never strict: the commands that say what is wrong must run where something is.
    manager = PluginManager(strict=False)
    parser = build_parser(manager)
    try:
        arguments = parser.parse_args(words, argparse.Namespace(manager=manager))
    except SystemExit as stop:  # argparse has said it all: a usage error, --help or --version
        return stop.code if isinstance(stop.code, int) else EXIT_COULD_NOT_START
    run = cast("Callable[[argparse.Namespace], int | None] | None", getattr(arguments, "run", None))
    if run is None:
        parser.print_help()
        return EXIT_COULD_NOT_START
    code = run(arguments)
    return 0 if code is None else code


def build_parser(manager: PluginManager) -> argparse.ArgumentParser:
    """The parser with core's commands and those of the plugins."""
    parser = argparse.ArgumentParser(
        prog="patter",
        description="Give an AI agent a phone number.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    parser.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name in COMMANDS:
        module = command(name)
        own = commands.add_parser(name, help=module.HELP, description=module.HELP)
        own.set_defaults(run=module.run)
        module.add_arguments(own)
    _add_plugin_commands(manager, commands)
    return parser


def manager_of(arguments: argparse.Namespace) -> PluginManager:
    """The plugin manager that `main` made, for the commands of core and of plugins."""
    return cast("PluginManager", arguments.manager)


def _add_plugin_commands(manager: PluginManager, commands: object) -> None:
    for impl in manager.implementations("patter_register_commands"):
        try:
            impl.function(*([commands] if "cli" in impl.argnames else []))
        except Exception as error:
            logger.warning("the commands of plugin %r are left out: %s", impl.plugin_name, error)


class _Version(argparse.Action):
    """Reads the version only when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: object) -> None:
        super().__init__(option_strings, dest, nargs=0, help=str(options.get("help")))

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from patter.plugins._metadata import own_version

        print(f"patter {own_version()}")
        parser.exit()
