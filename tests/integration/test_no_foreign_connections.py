"""A phone at work connects to what it was configured with and to nothing else: no telemetry, no update checks (SC-10).

The phone runs in a process of its own, with real plugins for everything that hears, thinks and speaks. Python's own
audit events tell what its code connects to, looks up and sends; the system's tables tell what the native libraries have
open.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

for plugin in ("patter_espeak", "patter_moonshine", "patter_openai", "patter_silero", "patter_twilio"):
    pytest.importorskip(plugin)

pytestmark = pytest.mark.realtime

SPOKEN = Path(__file__).parents[2] / "contrib" / "demo" / "src" / "patter_demo" / "voice" / "wants-table.ulaw"

CALLS = """
import json, sys

seen = []
WATCHED = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg",
           "urllib.Request", "http.client.connect", "subprocess.Popen", "os.posix_spawn", "os.system")


def watch(event, arguments):
    if event in WATCHED:
        seen.append([event, [repr(one) for one in arguments if type(one).__name__ != "socket"]])


sys.addaudithook(watch)

import asyncio, os
from pathlib import Path

import patter_openai.simulator, patter_twilio.simulator
from patter_openai.simulator import SimulatedCall, SimulatedReply
from patter import Agent, Patter, tool

SPOKEN = Path(sys.argv[1]).read_bytes()
FOREIGN = sys.argv[2] == "foreign"
NUMBER = "+15550001234"
ends = set()


def look():
    # remote ends of this process's own sockets, as the system lists them
    own = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            own.add(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            pass
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for row in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            address, _, port = fields[2].rpartition(":")
            if f"socket:[{fields[9]}]" in own and int(port, 16):
                ends.add(address)


@tool
async def reservation(name: str) -> str:
    "Make a reservation."
    if FOREIGN:
        import socket

        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex(("127.0.0.2", 443))
        connection.close()
    return "done"


def reply(body):
    if body["messages"][-1]["role"] == "tool":
        return SimulatedReply("Gladly, for how many?")
    return SimulatedReply("", (SimulatedCall("reservation", json.dumps({"name": "Ann"})),))


async def until(condition, seconds=30.0):
    async with asyncio.timeout(seconds):
        while not condition():
            look()
            await asyncio.sleep(0.02)


async def converse(phone, call):
    line = next(iter(phone.switchboard.lines()))
    await until(lambda: call.heard)
    await until(lambda: line.call.agent_state == "listening")
    saying = asyncio.ensure_future(call.say(SPOKEN))
    await until(lambda: any("Gladly" in entry.text for entry in line.call.transcript))
    await saying
    call.hangup()
    await call.wait_closed()
    await until(lambda: not phone.switchboard.lines())


async def main():
    async with patter_twilio.simulator.Simulator() as twilio, patter_openai.simulator.Simulator(reply) as openai:
        os.environ["TWILIO_ACCOUNT_SID"] = twilio.account.account_sid
        os.environ["TWILIO_AUTH_TOKEN"] = twilio.account.auth_token
        os.environ["OPENAI_API_KEY"] = "test-key"
        phone = Patter(carrier=f"twilio?base_url={twilio.base_url}", phone_number=NUMBER)
        agent = Agent(
            stt="moonshine",
            llm=f"openai/gpt-4.1-mini?base_url={openai.base_url}",
            tts="espeak",
            vad="silero",
            tools=[reservation],
            first_message="Good evening.",
        )
        await phone.start(agent, port=0)
        url = phone.webhook_url("twilio", "voice")
        for _ in range(2):
            call = await twilio.place_call(url, "+15550009876", NUMBER)
            await call.wait_started()
            await converse(phone, call)
        await phone.disconnect()
        look()
        bases = [twilio.base_url, openai.base_url, url]
        print(json.dumps({"seen": seen, "ends": sorted(ends), "asked": len(openai.completions), "bases": bases}))


asyncio.run(main())
"""

#: 127.0.0.1 as the system's tables write it, in IPv4 and mapped into IPv6
LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F")


def calls(kind: str) -> dict[str, Any]:
    """What a process with two calls reached."""
    done = subprocess.run(
        [sys.executable, "-c", CALLS, str(SPOKEN), kind],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def foreign(found: dict[str, Any]) -> list[Any]:
    """Everything that was reached and is not what the phone was configured with."""
    parts = [urlsplit(base) for base in found["bases"]]
    configured = {(part.hostname, part.port) for part in parts}
    reached = []
    for event, arguments in found["seen"]:
        if event == "socket.connect" and ast.literal_eval(arguments[0])[:2] in configured:
            continue
        # nothing but the configured hosts, and what the simulators and the phone listen on, is looked up
        if event == "socket.getaddrinfo" and ast.literal_eval(arguments[0]) in (
            "127.0.0.1",
            "localhost",
            None,
        ):
            continue
        reached.append([event, arguments])
    return reached + [end for end in found["ends"] if end not in LOOPBACK]


@pytest.mark.behaviour("SC-10")
@pytest.mark.skipif(sys.platform != "linux", reason="reads the system's tables of sockets")
def test_calls_reach_what_is_configured_and_nothing_else() -> None:
    found = calls("plain")
    assert foreign(found) == []
    # the guard saw the connections that there had to be: to the model and, of the carrier's end, to the phone
    connected = {
        ast.literal_eval(arguments[0])[1] for event, arguments in found["seen"] if event == "socket.connect"
    }
    ports = [urlsplit(base).port for base in found["bases"]]
    assert {ports[1], ports[2]} <= connected
    assert found["asked"] >= 4
    assert found["ends"]


@pytest.mark.behaviour("SC-10")
@pytest.mark.skipif(sys.platform != "linux", reason="reads the system's tables of sockets")
def test_a_connection_elsewhere_would_be_seen() -> None:
    """A tool tries an address of this machine that nothing was configured with."""
    assert ["socket.connect", ["('127.0.0.2', 443)"]] in foreign(calls("foreign"))
