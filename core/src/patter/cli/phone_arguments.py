"""The arguments with which a command makes a phone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from patter.errors import ConfigError
from patter.plugins.known import KNOWN

if TYPE_CHECKING:
    from patter.client import Patter
    from patter.plugins import PluginManager

#: read from the current directory when no other settings file is named
SETTINGS_FILE = "patter.toml"


def add_phone_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them; each wins over the settings file, which wins over the environment."""
    parser.add_argument(
        "--carrier", metavar="REF", help="the carrier, by the name that `patter providers carrier` shows"
    )
    parser.add_argument(
        "--phone-number", metavar="NUMBER", help="the number the carrier gives you, such as +15550001234"
    )
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on (127.0.0.1)")
    parser.add_argument(
        "--port", metavar="PORT", type=int, help="port to listen on (8000), 0 for any free one"
    )
    parser.add_argument(
        "--webhook-url", metavar="URL", help="public https address at which the carrier reaches this server"
    )
    parser.add_argument(
        "--config", metavar="FILE", help=f"settings file; {SETTINGS_FILE} in this directory is read by itself"
    )
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop, which must be installed")


def settings_path(given: str | None, manager: PluginManager) -> str | None:
    """The settings file of a command: the one it was given, else the one in this directory unless a variable names one."""
    from patter.phone_settings import CONFIG_VARIABLE

    if given is None and not manager.environ.get(CONFIG_VARIABLE) and Path(SETTINGS_FILE).is_file():
        return SETTINGS_FILE
    return given


def phone_from(arguments: argparse.Namespace) -> Patter:
    """The phone that the arguments, the settings file and the environment describe. Raises `ConfigError`."""
    from patter.client import Patter
    from patter.phone_settings import read_settings
    from patter.plugins import PluginManager

    # Not the manager of the command line: that one is never strict, and a phone may be.
    manager = PluginManager()
    config = settings_path(arguments.config, manager)
    file = read_settings(config, manager.environ)
    configured = file.phone.get("carrier") or manager.environ.get("PATTER_CARRIER")
    return Patter(
        arguments.carrier or configured or _only_carrier(manager),
        config=config,
        manager=manager,
        phone_number=arguments.phone_number,
        host=arguments.host,
        port=arguments.port,
        webhook_url=arguments.webhook_url,
    )


def _only_carrier(manager: PluginManager) -> str:
    """The carrier that is installed, where there is no choice."""
    names = sorted(manager.names("carrier"))
    if len(names) == 1:
        return names[0]
    if names:
        raise ConfigError(f"several carriers are installed: choose one with --carrier ({', '.join(names)})")
    known = ", ".join(sorted({dist for (kind, _), dist in KNOWN.items() if kind == "carrier"}))
    raise ConfigError(f"no carrier is installed: pip install one of {known}")
