"""``patter conformance``: whether an installed provider keeps to its interface."""

from __future__ import annotations

import argparse
from collections import Counter
from importlib.util import find_spec
from typing import TYPE_CHECKING

from patter.cli.frame import manager_of
from patter.cli.output import print_json, print_table
from patter.errors import ConfigError
from patter.records import PROVIDER_KINDS, ProviderKind

if TYPE_CHECKING:
    from patter.cli.suite_run import Check
    from patter.plugins import PluginManager
    from patter.testing.conformance import Conformance

HELP = "Run the conformance suite of an installed provider."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "reference", metavar="REF", help="the provider with its settings, such as espeak?voice=de"
    )
    parser.add_argument(
        "--kind", choices=PROVIDER_KINDS, metavar="KIND", help=f"only as one of {', '.join(PROVIDER_KINDS)}"
    )
    parser.add_argument(
        "--suite",
        metavar="MODULE:CLASS",
        help="a suite of your own, derived from one of patter.testing.conformance",
    )
    parser.add_argument(
        "--native-mulaw",
        action="store_true",
        help="what is behind the provider hears or speaks µ-law at 8 kHz, so the provider has to offer it",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Check it; 0 when it keeps to its interface, 1 when not. Raises `ConfigError` when it cannot be checked."""
    if find_spec("pytest") is None:
        raise ConfigError("the conformance suites run on pytest: pip install pytest")
    from patter.cli.suite_run import run_suite

    if arguments.suite is None:
        suites = _suites_for(manager_of(arguments), arguments.reference, arguments.kind)
    else:
        suites = [_own_suite(arguments.suite)]
    claims = {"native_mulaw": True} if arguments.native_mulaw else {}
    checks = [check for suite in suites for check in run_suite(suite, arguments.reference, claims)]
    if arguments.json:
        print_json(_as_json(arguments.reference, checks))
    else:
        _print(checks)
    return 1 if any(check.outcome == "failed" for check in checks) else 0


def _suites_for(manager: PluginManager, reference: str, kind: ProviderKind | None) -> list[type[Conformance]]:
    """The suites of core for a provider that is installed and has all the settings it needs."""
    from patter.plugins import configure, parse_reference, resolve
    from patter.testing import conformance

    # those of whole calls and of hosted agents need a simulator, and are for the tests of a plugin
    classes = (getattr(conformance, name) for name in conformance.__all__)
    known = {
        one.kind: one for one in classes if issubclass(one, conformance.Conformance) and hasattr(one, "kind")
    }
    name = parse_reference(reference).provider
    kinds = [kind] if kind else [one for one in PROVIDER_KINDS if manager.find(one, name) is not None]
    if not kinds:
        raise ConfigError(
            f"no installed plugin provides {name!r}: `patter providers` lists what there is, and "
            f"`patter doctor --stt {name}` says what to install for an STT of that name"
        )
    for one in kinds:
        if one not in known:
            raise ConfigError(f"there is no conformance suite for the kind {one} yet")
        configure(manager, resolve(manager, one, reference))
    return [known[one] for one in kinds]


def _own_suite(target: str) -> type[Conformance]:
    from patter.cli.agent_target import import_from_here
    from patter.testing.conformance import Conformance

    module_name, colon, name = target.partition(":")
    if not (colon and name.isidentifier() and all(part.isidentifier() for part in module_name.split("."))):
        raise ConfigError(f"{target!r} names no suite: write module:class, such as suites:AcmeConformance")
    found = getattr(import_from_here(module_name, target), name, None)
    if not (isinstance(found, type) and issubclass(found, Conformance) and hasattr(found, "kind")):
        raise ConfigError(f"{target} is no suite derived from one of patter.testing.conformance")
    return found


def _as_json(reference: str, checks: list[Check]) -> dict[str, object]:
    from patter.plugins import parse_reference

    rows = [
        {
            "kind": check.kind,
            "check": check.name,
            "outcome": check.outcome,
            "seconds": check.seconds,
            "reason": check.reason or None,
        }
        for check in checks
    ]
    return {"provider": str(parse_reference(reference)), **_counts(checks), "checks": rows}


def _counts(checks: list[Check]) -> dict[str, int]:
    found = Counter(check.outcome for check in checks)
    return {outcome: found[outcome] for outcome in ("passed", "failed", "skipped")}


def _print(checks: list[Check]) -> None:
    rows = [(check.kind, check.name.replace("_", " "), check.outcome, _first_line(check)) for check in checks]
    print_table(("kind", "check", "outcome", "why"), rows)
    for check in checks:
        if check.details:
            print(f"\n{check.name}\n{check.details}")
    print("\n" + ", ".join(f"{count} {outcome}" for outcome, count in _counts(checks).items()))


def _first_line(check: Check) -> str:
    return next(iter(check.reason.splitlines()), "")
