"""`patter demo --engine ... --simulate`: a conversation with an engine whose plugin brings a simulator, in real time."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import patter_demo.script
from patter import RealtimeRecord
from patter.plugins import PluginManager
from patter_openai.realtime_simulator import RealtimeSimulator

#: every engine whose plugin brings a simulator
ENGINES = sorted(
    name
    for name, record in PluginManager().records_of(RealtimeRecord).items()
    if record.name == name and record.simulator
)
#: a line, and one that interrupts its answer
LINES = (("time", False), ("interruption", True))
LIMIT_S = 180
#: the conversation with a server that asks for a key, and that key
KEYED, KEY = "with a key", "sk-of-the-test"


def demo(folder, *words, **variables):
    """Run the command, with no other key than those given; what it printed is one JSON object."""
    environ = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")} | variables
    return subprocess.run(
        [sys.executable, "-m", "patter", "demo", "--json", "--out", str(folder / "out"), *words],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def script(folder):
    voice = Path(patter_demo.script.OWN_SCRIPT).parent
    texts = {line.id: line.text for line in patter_demo.script.load_script().lines}
    lines = [
        {"id": name, "text": texts[name], "file": str(voice / f"{name}.ulaw"), "interrupts": interrupts}
        for name, interrupts in LINES
    ]
    file = folder / "script.yaml"
    file.write_text(json.dumps({"lines": lines}))
    return str(file)


def with_simulator(engine, folder):
    return demo(folder, "--engine", engine, "--simulate", "--script", script(folder))


def with_key(folder):
    """With a server that asks for a key and writes down what is said; also how many sessions it had."""
    texts = iter([line.text for line in patter_demo.script.load_script(script(folder)).lines])

    async def call():
        simulator = RealtimeSimulator(
            lambda asked: (
                "A table at seven, then. How many people will you be, and what is your name, please?"
            ),
            understand=lambda pitches: next(texts, "something else"),
            key=KEY,
        )
        async with simulator:
            words = ("--engine", "openai-realtime", "--script", str(folder / "script.yaml"))
            variables = {"OPENAI_API_KEY": simulator.key, "OPENAI_BASE_URL": simulator.base_url}
            done = await asyncio.to_thread(demo, folder, *words, **variables)
        return done, simulator.sessions

    return asyncio.run(call())


@pytest.fixture(scope="module")
def conversations(tmp_path_factory):
    """All of them at once, since whoever talks in real time mostly waits: what each is to return, by engine."""
    with ThreadPoolExecutor(len(ENGINES) + 1) as pool:
        held = {
            engine: pool.submit(with_simulator, engine, tmp_path_factory.mktemp(engine)) for engine in ENGINES
        }
        yield {**held, KEYED: pool.submit(with_key, tmp_path_factory.mktemp("keyed"))}


@pytest.mark.realtime
@pytest.mark.parametrize("engine", ENGINES)
def test_the_demo_talks_to_the_simulator_of_an_engine(engine, conversations):
    done = conversations[engine].result()

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["greeting_heard"] is True
    assert found["word_error_rate"] is None
    assert found["word_error_rate_reason"] == "the engine's simulator knows no words"
    assert [turn["role"] for turn in found["turns"]] == ["assistant", *["user", "assistant"] * len(LINES)]
    assert [turn["text"] for turn in found["turns"] if turn["interrupted"]] == [found["turns"][2]["text"]]
    for number in (1, 2):  # each answer belongs to what was said before it
        heard, answer = found["turns"][2 * number - 1 : 2 * number + 1]
        assert heard["text"] == f"(speech {number})"
        assert answer["text"].startswith(f"I heard (speech {number})")
    assert found["barge_in"]["confirmed"] is True
    assert 0 < found["barge_in"]["stop_ms"] <= 1200
    assert found["latency_ms"]["p50"] > 0
    assert found["audio"]["lost_ms"] == 0
    assert found["leaks"] == []


@pytest.mark.realtime
def test_with_a_key_it_talks_to_the_vendor_whose_transcripts_are_judged(conversations):
    done, sessions = conversations[KEYED].result()

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["word_error_rate"], found["word_error_rate_reason"]) == (0.0, None)
    assert [turn["text"] for turn in found["turns"] if turn["role"] == "user"] == found["caller_script"]
    assert found["barge_in"]["confirmed"] is True
    assert found["leaks"] == []
    assert len(sessions) == 1
    assert KEY not in done.stdout + done.stderr


def test_the_engines_of_this_repository_bring_simulators():
    assert {"openai-realtime", "elevenlabs-convai", "ultravox"} <= set(ENGINES)


def test_without_a_key_it_says_what_is_missing_and_how_to_go_on(tmp_path):
    done = demo(tmp_path, "--engine", "openai-realtime")

    assert (done.returncode, done.stdout) == (2, "")
    for part in ("engine openai-realtime", "api_key is missing", "OPENAI_API_KEY", "--simulate"):
        assert part in done.stderr
    assert "Traceback" not in done.stderr
