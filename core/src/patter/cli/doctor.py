"""``patter doctor``: why a provider reference does not work here, and which plugins are broken."""

from __future__ import annotations

import argparse
import platform

from patter.cli.diagnosis import Diagnosis, diagnose
from patter.cli.frame import EXIT_PROBLEM, manager_of
from patter.cli.output import print_json
from patter.plugins import PluginManager
from patter.plugins._metadata import own_version
from patter.records import ProviderKind

HELP = "Say why a provider reference does not work here, and which plugins are broken."

#: option -> kind; the options have the names of `Agent` and `Patter`
OPTIONS: dict[str, ProviderKind] = {
    "carrier": "carrier",
    "stt": "stt",
    "tts": "tts",
    "llm": "llm",
    "engine": "realtime",
    "vad": "vad",
    "noise-filter": "noise_filter",
    "barge-in": "barge_in",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; each may be given more than once."""
    for option in OPTIONS:
        parser.add_argument(
            f"--{option}", metavar="REF", action="append", default=[], help=f"check a reference for {option}"
        )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; 1 when there is a problem."""
    manager = manager_of(arguments)
    diagnoses = [
        diagnose(manager, option, kind, text)
        for option, kind in OPTIONS.items()
        for text in getattr(arguments, option.replace("-", "_"))
    ]
    problems = [one for one in diagnoses if one.problem] or manager.failures or manager.conflicts
    if arguments.json:
        print_json(_as_json(manager, diagnoses, ok=not problems))
    else:
        _print(manager, diagnoses)
        print("\nProblems were found." if problems else "\nNo problems found.")
    return EXIT_PROBLEM if problems else 0


def _as_json(manager: PluginManager, diagnoses: list[Diagnosis], *, ok: bool) -> dict[str, object]:
    return {
        "ok": ok,
        "version": own_version(),
        "python": platform.python_version(),
        "references": [
            {
                "option": one.option,
                "reference": one.reference,
                "ok": not one.problem,
                "problem": one.problem or None,
                "dist": one.dist or None,
                "environment": [{"name": name, "set": is_set} for name, is_set in one.environment],
            }
            for one in diagnoses
        ],
        "failures": [
            {
                "name": one.name,
                "dist": one.dist,
                "version": one.version,
                "stage": one.stage,
                "reason": one.reason,
            }
            for one in manager.failures
        ],
        "conflicts": [
            {
                "kind": one.kind,
                "name": one.name,
                "dists": [owner.dist or owner.name for owner in one.owners],
                "reason": str(one.error()),
            }
            for one in manager.conflicts
        ],
    }


def _print(manager: PluginManager, diagnoses: list[Diagnosis]) -> None:
    print(f"patter {own_version()}, Python {platform.python_version()}")
    for one in diagnoses:
        print(f"\n{one.option} {one.reference}: {'problem' if one.problem else 'ok'}")
        if one.problem:
            print(f"  {one.problem}")
        elif one.dist:
            print(f"  provided by {one.dist}")
        for name, is_set in one.environment:
            print(f"  {name}: {'set' if is_set else 'not set'}")
    for failure in manager.failures:
        print(f"\nplugin {failure.name} of {failure.dist} {failure.version}: disabled ({failure.stage})")
        print(f"  {failure.reason}")
    for conflict in manager.conflicts:
        print(f"\nconflict: {conflict.error()}")
