"""What is known about each plugin: the rows of ``patter plugins``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Stage = Literal["import", "register", "validate", "conflict"]
Status = Literal["ok", "failed", "blocked", "conflict"]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a hook or a record belongs to. `dist` and `version` are empty for what was registered by hand."""

    name: str
    dist: str = ""
    version: str = ""
    builtin: bool = False

    def __str__(self) -> str:
        if self.dist:
            return f"{self.dist} {self.version}".rstrip()
        return f"the registered plugin {self.name!r}"


@dataclass(frozen=True, slots=True)
class PluginFailure:
    """A plugin that is disabled for this process, and why. `stage` says where it failed."""

    name: str
    dist: str
    version: str
    stage: Stage
    error: BaseException

    @property
    def reason(self) -> str:
        """The error in one line."""
        return f"{type(self.error).__name__}: {first_line(self.error)}"


@dataclass(frozen=True, slots=True)
class PluginRow:
    """One plugin as listed. `env` holds the environment variables its providers read, by name only."""

    name: str
    dist: str
    version: str
    status: Status
    hooks: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    problem: str = ""
    builtin: bool = False


def first_line(error: BaseException) -> str:
    """What an error says, cut to one line that fits a list."""
    text = str(error).strip()
    line = text.splitlines()[0] if text else "no message"
    return line if len(line) <= 300 else line[:297] + "..."
