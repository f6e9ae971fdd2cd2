"""The command line of the demo: its options and its exit codes.

Nothing heavy is imported before `run`, since every ``patter`` command pays for the imports of this module.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from patter_demo.conversation import Setting
    from patter_demo.view import View

HELP = "hear an agent answer a phone call on this machine: no account, no key, no phone"
DESCRIPTION = """Place a call to an agent over a simulated carrier on loopback, with a synthetic caller that waits for
the agent and interrupts it once. With --engine the agent talks through a realtime engine: without --simulate that is
a live test with your key, against the vendor, who bills it. Exit code 0: the conversation worked; 1: it did not, and what is wrong is said;
2: it could not start."""

EXIT_WORKED = 0
EXIT_FAILED = 1
EXIT_COULD_NOT_START = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--agent", metavar="MODULE:AGENT", help="your own agent in place of the demo's")
    for kind, what in (
        ("stt", "speech recognition"),
        ("tts", "the agent's voice"),
        ("llm", "language model"),
        ("vad", "voice activity detection"),
    ):
        parser.add_argument(f"--{kind}", metavar="REF", help=f"{what}, in place of the agent's own")
    parser.add_argument(
        "--engine",
        metavar="REF",
        help="a realtime engine that hears and speaks, in place of stt, llm and tts",
    )
    parser.add_argument(
        "--simulate",
        action="store_true",
        help="talk to the simulator that the engine's plugin brings, without an account; it answers in tones",
    )
    parser.add_argument("--script", metavar="FILE", help="YAML file with the caller's lines")
    parser.add_argument("--caller-tts", metavar="REF", help="speak every line of the caller with this voice")
    parser.add_argument("--out", metavar="DIR", help="where to write; default: ./patter-demo/<time>")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(arguments: argparse.Namespace) -> int:
    """Hold the conversation and return the exit code. Raises `PatterError` when it could not start."""
    import asyncio

    from patter_demo.view import make_view

    view = make_view(sys.stderr if arguments.json else sys.stdout, brief=arguments.json)
    try:
        setting, folder = _prepared(arguments, view)
        from patter_demo.conversation import hold_conversation
        from patter_demo.output import write_all

        evidence = asyncio.run(hold_conversation(setting, view))
        report = write_all(evidence, folder)
    except OSError as error:
        view.close()
        print(f"patter: the demo cannot run here: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_START
    finally:
        view.close()
    if arguments.json:
        from patter.cli.output import print_json

        print_json(report.as_json())
        for problem in report.problems:
            print(f"patter: the conversation failed: {problem}", file=sys.stderr)
    else:
        view.summary(report)
    return EXIT_FAILED if report.problems else EXIT_WORKED


def _prepared(arguments: argparse.Namespace, view: View) -> tuple[Setting, Path]:
    """Everything that can be wrong before anything is started, and what takes time to import."""
    with view.progress("loading the agent, its ears and its voice (the first time takes longest)"):
        from patter.cli.frame import manager_of
        from patter_demo.agents import agent_for, settings_file
        from patter_demo.conversation import Setting
        from patter_demo.output import output_folder
        from patter_demo.script import load_script

        replaced = {kind: getattr(arguments, kind) for kind in ("stt", "tts", "llm", "vad")}
        agent = agent_for(arguments.agent, replaced, arguments.engine)
        script = load_script(arguments.script, needs_audio=arguments.caller_tts is None)
        folder = output_folder(arguments.out)
        manager = manager_of(arguments)
        config = settings_file(manager.environ)
        setting = Setting(manager, agent, script, arguments.caller_tts, config, simulate=arguments.simulate)
        return setting, folder
