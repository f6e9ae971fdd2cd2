"""``patter doctor``: what keeps an agent, a provider reference or a plugin from working here."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator
from typing import TYPE_CHECKING

from patter.cli.diagnosis import Diagnosis, diagnose
from patter.cli.frame import EXIT_PROBLEM, manager_of
from patter.cli.output import print_json
from patter.cli.phone_arguments import SETTINGS_FILE, settings_path
from patter.plugins import PluginManager
from patter.plugins._metadata import own_version
from patter.records import ProviderKind

if TYPE_CHECKING:
    from patter.cli.setup_checks import Finding

HELP = "Say what keeps an agent, a provider reference or a plugin from working here, without making a connection."

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
    """Declare the options; those of references may be given more than once."""
    parser.add_argument(
        "target",
        metavar="MODULE:AGENT",
        nargs="?",
        help="check all that a call with this agent needs: settings, address, carrier, keys, providers, audio",
    )
    parser.add_argument(
        "--config", metavar="FILE", help=f"settings file; {SETTINGS_FILE} in this directory else"
    )
    parser.add_argument("--phone-number", metavar="NUMBER", help="the number the carrier gives you")
    parser.add_argument("--webhook-url", metavar="URL", help="public https address of this server")
    for option in OPTIONS:
        parser.add_argument(
            f"--{option}", metavar="REF", action="append", default=[], help=f"check a reference for {option}"
        )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; 1 when there is a problem."""
    manager = manager_of(arguments)
    findings = list(_setup(arguments, manager)) if arguments.target else []
    diagnoses = [
        diagnose(manager, option, kind, text)
        for option, kind in OPTIONS.items()
        for text in getattr(arguments, option.replace("-", "_"))
    ]
    reasons = [one.problem for one in diagnoses] + [one.problem for one in findings]
    problems = any(reasons) or manager.failures or manager.conflicts
    if arguments.json:
        setup = [{"area": one.area, "text": one.text, "problem": one.problem or None} for one in findings]
        print_json({**_as_json(manager, diagnoses, ok=not problems), "setup": setup})
    else:
        _print(manager, diagnoses)
        for one in findings:
            print(f"\n{one.area}: {one.text}: {'problem' if one.problem else 'ok'}")
            if one.problem:
                print(f"  {one.problem}")
        print("\nProblems were found." if problems else "\nNo problems found.")
    return EXIT_PROBLEM if problems else 0


def _setup(arguments: argparse.Namespace, manager: PluginManager) -> Iterator[Finding]:
    from patter.cli.agent_target import load_agent
    from patter.cli.setup_checks import PhoneOptions, check_setup

    carriers: list[str] = arguments.carrier
    options = PhoneOptions(
        settings_path(arguments.config, manager),
        carriers[0] if carriers else None,
        arguments.phone_number,
        arguments.webhook_url,
    )
    return check_setup(lambda: load_agent(arguments.target), options, manager)


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
