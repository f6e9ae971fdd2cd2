from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import patter_demo.script
from patter.audio import level_dbfs

pytestmark = pytest.mark.realtime

#: the agent's voice: espeak where it is installed, which nothing requires, else tones
AGENT = [] if importlib.util.find_spec("patter_espeak") else ["--agent", "demo_tone_agent:agent"]
LIMIT_S = 180


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("demo")
    words = ["-m", "patter", "demo", "--json", "--out", str(folder), *AGENT]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done, folder


@pytest.fixture(scope="module")
def figures(conversation: tuple[subprocess.CompletedProcess[str], Path]) -> dict[str, Any]:
    done, _ = conversation
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_all_that_the_caller_said_is_understood(figures: dict[str, Any]) -> None:
    assert len(figures["caller_script"]) >= 8
    assert figures["word_error_rate"] <= 0.25
    assert sum(turn["role"] == "user" for turn in figures["turns"]) == len(figures["caller_script"])


def test_the_agent_stops_when_it_is_interrupted(figures: dict[str, Any]) -> None:
    assert figures["barge_in"]["confirmed"] is True
    assert 0 < figures["barge_in"]["stop_ms"] <= 1200
    assert [turn["role"] for turn in figures["turns"] if turn["interrupted"]] == ["assistant"]


def test_the_agent_answers_like_somebody_on_the_phone(figures: dict[str, Any]) -> None:
    assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p95"] < 3000


def test_no_audio_is_lost_and_nothing_is_left(figures: dict[str, Any]) -> None:
    assert figures["audio"]["lost_ms"] == 0
    assert figures["leaks"] == []


def test_both_are_heard_in_the_recording(
    figures: dict[str, Any], conversation: tuple[subprocess.CompletedProcess[str], Path]
) -> None:
    assert Path(figures["files"]["wav"]).parent == conversation[1]
    with wave.open(figures["files"]["wav"]) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 8000)
        assert file.getnframes() > 40 * 8000
        frames = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    assert level_dbfs(np.ascontiguousarray(frames[:, 0])) > -40
    assert level_dbfs(np.ascontiguousarray(frames[:, 1])) > -40
    lines = Path(figures["files"]["transcript"]).read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(figures["turns"])


def test_a_conversation_that_fails_says_so(tmp_path: Path) -> None:
    voice = Path(patter_demo.script.OWN_SCRIPT).parent / "party-size.ulaw"
    script = tmp_path / "script.yaml"
    script.write_text(f"lines: [{{id: four, text: There will be four people., file: {voice}}}]")
    words = [
        "--json",
        "--agent",
        "demo_tone_agent:mute",
        "--script",
        str(script),
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "patter", "demo", *words],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert done.returncode == 1, done.stderr
    assert "the line 'four' had no answer" in done.stderr
    figures = json.loads(done.stdout)
    assert figures["word_error_rate"] == 0.0
    assert figures["barge_in"] == {"stop_ms": None, "confirmed": False}
    assert figures["leaks"] == []
    assert json.loads((tmp_path / "out" / "call.json").read_text(encoding="utf-8"))["problems"] == [
        "the line 'four' had no answer"
    ]
