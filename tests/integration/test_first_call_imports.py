"""What the first call of a process needs is imported before it comes (PW-20).

Each phone serves in a process of its own, with the installed plugins and one real call over loopback.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("yaml")
for plugin in ("patter_espeak", "patter_moonshine", "patter_scripted", "patter_silero", "patter_twilio"):
    pytest.importorskip(plugin)

pytestmark = pytest.mark.realtime

SPOKEN = Path(__file__).parents[2] / "contrib" / "demo" / "src" / "patter_demo" / "voice" / "wants-table.ulaw"

CALL = """
import asyncio, json, os, sys
from pathlib import Path

import patter_twilio.far_end, patter_twilio.simulator  # the other end is no part of it
from patter import Agent, Patter

OPTIONS = json.loads(sys.argv[1])
SPOKEN = Path(sys.argv[2]).read_bytes()


async def until(condition, seconds=20.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def main():
    async with patter_twilio.simulator.Simulator() as simulator:
        os.environ["TWILIO_ACCOUNT_SID"] = simulator.account.account_sid
        os.environ["TWILIO_AUTH_TOKEN"] = simulator.account.auth_token
        phone = Patter(
            carrier=f"twilio?base_url={simulator.base_url}", phone_number="+15550001234"
        )
        agent = Agent(stt="moonshine", llm="scripted", tts="espeak", vad="silero", **OPTIONS)
        await phone.start(agent, port=0)
        before, detectors = set(sys.modules), set(phone.vads._sources)
        url = phone.webhook_url("twilio", "voice")
        call = await simulator.place_call(url, "+15550009876", "+15550001234")
        await call.wait_started()
        line = next(iter(phone.switchboard.lines()))
        await until(lambda: call.heard)
        await until(lambda: line.call.agent_state == "listening")
        saying = asyncio.ensure_future(call.say(SPOKEN))
        await until(lambda: len([entry for entry in line.call.transcript if entry.role == "assistant"]) > 1)
        await saying
        made = [repr(key[-1]) for key in set(phone.vads._sources) - detectors]
        print(json.dumps([sorted(set(sys.modules) - before), made]))
        call.hangup()
        await call.wait_closed()
        await phone.disconnect()


asyncio.run(main())
"""


@pytest.mark.behaviour("PW-20")
@pytest.mark.parametrize(
    "options",
    [
        {"first_message": "Hello, this is the Garden restaurant."},
        {"first_message": "Hello, this is the Garden restaurant.", "prewarm_first_message": True},
        {
            "first_message": "Hello.",
            "prewarm": False,
            "barge_in_strategies": ["min-words?min_words=2"],
            "echo_cancellation": True,
            "noise_filter": "noise-gate",
        },
    ],
    ids=["usual", "greeting beforehand", "cleaned input without prewarm"],
)
def test_the_first_call_imports_no_module_of_ours_or_of_a_library(options: dict[str, object]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CALL, json.dumps(options), str(SPOKEN)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    late, detectors = json.loads(done.stdout.splitlines()[-1])
    assert [name for name in late if name.partition(".")[0] not in sys.stdlib_module_names] == []
    assert detectors == [], "no detector's model is loaded while a caller waits"
