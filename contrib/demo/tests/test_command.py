from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import patter_min_words
import patter_moonshine
import patter_scripted
import patter_silero
import patter_twilio
from patter.errors import ConfigError, ProviderNotFoundError
from patter.plugins import PluginManager
from patter_demo import command
from patter_demo.agents import agent_for, settings_file

HEAVY = ("numpy", "pydantic", "aiohttp", "yaml", "asyncio", "patter_twilio", "patter.agent")


def arguments(*words: str) -> argparse.Namespace:
    """The parsed command line, with every plugin that the demo requires and no other."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    plugins = (patter_min_words, patter_moonshine, patter_scripted, patter_silero, patter_twilio)
    manager = PluginManager(plugins, autoload=False, environ={})
    return parser.parse_args(words, argparse.Namespace(manager=manager))


def test_the_command_costs_other_commands_nothing() -> None:
    code = (
        "import argparse, json, sys, patter_demo\n"
        "patter_demo.patter_register_commands(argparse.ArgumentParser().add_subparsers())\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout) == []


def test_without_a_voice_it_says_what_to_install(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ProviderNotFoundError, match="pip install patter-espeak"):
        command.run(arguments("--json", "--out", str(tmp_path)))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--agent", "nowhere_at_all:agent"), "no module 'nowhere_at_all'"),
        (("--script", "nowhere.yaml"), "cannot be read"),
        (("--stt", "nowhere"), 'no STT "nowhere"'),
        (("--tts", "moonshine"), 'no TTS "moonshine"'),
        (("--caller-tts", "nowhere"), 'no TTS "nowhere"'),
    ],
)
def test_what_is_not_there_is_named(words: tuple[str, ...], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=complaint):
        command.run(arguments(*words, "--json", "--out", str(tmp_path)))


def test_a_folder_that_cannot_be_made_is_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")

    assert command.run(arguments("--json", "--out", str(tmp_path / "file" / "folder"))) == 2
    assert "cannot run here" in capsys.readouterr().err


def test_parts_of_an_agent_are_replaced_and_the_rest_stays() -> None:
    agent = agent_for(None, {"stt": None, "tts": "other?voice=x", "llm": None, "vad": None})

    assert (agent.stt, agent.llm, agent.tts, agent.vad) == (
        "moonshine",
        "scripted",
        "other?voice=x",
        "silero",
    )
    assert agent.effective_barge_in_mode == "confirm"
    assert "tts" in agent.model_fields_set


def test_the_settings_file_is_that_of_the_directory_unless_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings_file({}) is None
    (tmp_path / "patter.toml").write_text("")
    assert settings_file({}) == "patter.toml"
    assert settings_file({"PATTER_CONFIG": "other.toml"}) is None


@pytest.mark.realtime
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_cleans_up_and_ends_with_130(tmp_path: Path) -> None:
    words = ["-m", "patter", "demo", "--agent", "demo_tone_agent:agent", "--out", str(tmp_path)]
    # A shell starts what runs in its background with SIGINT ignored, and that is inherited: here it is not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, "-u", *words],
            cwd=Path(__file__).parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            seen, errors = _interrupted(process)
        finally:
            process.kill()

    assert process.returncode == 130, (seen, errors)
    assert "Traceback" not in errors
    assert "never awaited" not in errors
    assert "was destroyed" not in errors


def _interrupted(process: subprocess.Popen[str]) -> tuple[list[str], str]:
    """Press Ctrl-C once the caller has spoken; what was printed until then, and all errors."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if line.startswith("caller"):
            break
    process.send_signal(signal.SIGINT)
    return seen, process.communicate(timeout=20)[1]
