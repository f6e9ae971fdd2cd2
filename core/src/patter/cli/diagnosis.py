"""One provider reference, checked as far as is possible without making a connection."""

from __future__ import annotations

from dataclasses import dataclass

from patter.errors import PatterError
from patter.plugins import PluginManager, configure, resolve
from patter.plugins.building import factory_of
from patter.plugins.listing import first_line
from patter.plugins.references import shown
from patter.plugins.registry import Claim
from patter.records import ProviderKind, Record


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is known about a reference. `problem` is empty when a call could use it.

    `reference` is without settings. `environment` has the variables it reads and whether they are set, never values.
    """

    option: str
    reference: str
    problem: str
    dist: str = ""
    environment: tuple[tuple[str, bool], ...] = ()


def diagnose(manager: PluginManager, option: str, kind: ProviderKind, text: str) -> Diagnosis:
    """Resolve a reference, fill its configuration and import its class; never raises for what it finds."""
    try:
        resolved = resolve(manager, kind, text)
    except PatterError as error:
        return Diagnosis(option, shown(text), first_line(error))
    record = resolved.record
    problem = ""
    try:
        configure(manager, resolved)
        factory_of(record)
    except PatterError as error:
        problem = first_line(error)
    except Exception as error:  # the plugin's own code: its configuration class may do anything
        problem = f"{type(error).__name__}: {first_line(error)}"
    environment = tuple(
        (name, bool(manager.environ.get(name, "").strip())) for name in sorted(record.env.values())
    )
    return Diagnosis(option, resolved.origin, problem, _provided_by(manager, record), environment)


def _provided_by(manager: PluginManager, record: Record) -> str:
    found = manager.find(record.kind, record.name)
    return str(found.owner) if isinstance(found, Claim) and found.record is record else ""
