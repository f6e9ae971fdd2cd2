"""Finds the agent that a command is told of as ``module:attribute``."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from patter.errors import ConfigError

if TYPE_CHECKING:
    from patter.agent import Agent

_TARGET = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<attribute>[^\W\d]\w*)")


def load_agent(target: str) -> Agent:
    """The agent named by ``module:attribute``, its module imported with the current directory in front.

    Raises:
        ConfigError: the target is malformed, its module cannot be imported, or what it names is no agent.
    """
    from patter.agent import Agent

    match = _TARGET.fullmatch(target)
    if match is None:
        raise ConfigError(
            f"{target!r} names no agent: write module:attribute, such as app:agent for `agent` in app.py"
        )
    module = import_from_here(match["module"], target)
    name = match["attribute"]
    found = getattr(module, name, None)
    if isinstance(found, Agent):
        return found
    agents = [key for key, value in vars(module).items() if isinstance(value, Agent)]
    known = f"; it has the agents {', '.join(agents)}" if agents else ""
    if hasattr(module, name):
        raise ConfigError(f"{target} is a {type(found).__name__}, not a patter.Agent{known}")
    near = get_close_matches(name, vars(module), n=1)
    known = known or (f"; did you mean {match['module']}:{near[0]}?" if near else "")
    raise ConfigError(f"{target}: the module {match['module']} has no {name!r}{known}")


def import_from_here(name: str, target: str) -> ModuleType:
    """The module of that name, imported with the current directory in front. Raises `ConfigError`; quotes `target`."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(
                f"{target}: there is no module {error.name!r} here ({folder}) or installed"
            ) from error
        raise _failed(target, error) from error
    except Exception as error:
        raise _failed(target, error) from error


def _failed(target: str, error: Exception) -> ConfigError:
    """The user's own line, for the last frame is often deep inside a library."""
    folder = str(Path.cwd())
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(folder) and "site-packages" not in frame.filename
    ]
    place = f" at {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return ConfigError(f"{target} cannot be imported{place}: {type(error).__name__}: {error}")
