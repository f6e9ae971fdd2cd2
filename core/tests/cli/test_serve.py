"""``patter serve`` and ``patter call``: in this process for what they refuse, in one of their own for the rest."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

HERE = Path(__file__).parent
NUMBER = "+15550001234"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current directory with an application, and the carrier "line" installed beside it."""
    (tmp_path / "line_app.py").write_text((HERE / "line_app.py").read_text("utf-8"), "utf-8")
    site = tmp_path / "line"
    info = site / "patter_line-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "line_carrier.py").write_text((HERE / "line_carrier.py").read_text("utf-8"), "utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: patter-line\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[patter]\nline = line_carrier\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    for name in [one for one in os.environ if one.startswith("PATTER_")]:
        monkeypatch.delenv(name)
    return tmp_path


def environment(folder, **more):
    path = os.pathsep.join([str(folder / "line"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "PATTER_PLUGINS": "patter-line", **more}


def start(folder, *words, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "patter", *words],
        cwd=folder,
        env=environment(folder, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def read_until(stream, text):
    lines = []
    while not lines or text not in lines[-1]:
        line = stream.readline()
        assert line, "".join(lines)
        lines.append(line)
    return "".join(lines)


@pytest.fixture
def served(folder):
    """Serves line_app:agent on loopback; gives the process, its address and what it said."""
    running = []

    def serve(*words, **more):
        url = f"http://127.0.0.1:{free_port()}"
        options = ("--phone-number", NUMBER, "--webhook-url", url, "--port", url.rpartition(":")[2], *words)
        process = start(folder, "serve", "line_app:agent", *options, **more)
        running.append(process)
        return process, url, read_until(process.stdout, "Ctrl-C stops.")

    yield serve
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


async def connect(http, url, id_="IN1"):
    """A call that is on: its media connection after the first audio."""
    async with http.post(f"{url}/webhooks/line/voice", data=id_) as answer:
        stream = await answer.text()
    media = await http.ws_connect(stream)
    await media.send_str(json.dumps({"start": id_}))
    assert "audio" in json.loads((await media.receive()).data)
    return media


async def closing(media):
    async with asyncio.timeout(15):
        while (await media.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
    return media.close_code


# -- what is refused


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("line_app", "write module:attribute, such as app:agent"),
        ("line_app.py:agent", "there is no module 'line_app.py'"),
        ("a b:agent", "write module:attribute"),
        ("nowhere:agent", "there is no module 'nowhere'"),
        ("line_app:agnet", "has no 'agnet'; it has the agents agent"),
        ("line_app:not_an_agent", "is a int, not a patter.Agent; it has the agents agent"),
        ("broken:agent", "broken:agent cannot be imported at broken.py, line 2: ZeroDivisionError"),
        ("lacking:agent", "cannot be imported at lacking.py, line 1: ModuleNotFoundError: No module named"),
    ],
)
def test_a_target_that_is_no_agent_is_explained(folder, patter, target, text):
    (folder / "broken.py").write_text("import json\n1 / 0\n")
    (folder / "lacking.py").write_text("import no_such_module_anywhere\n")
    assert patter("serve", target).code == 2
    assert text in patter.err
    assert patter.err.count("\n") == 1
    assert not patter.out


def test_without_a_carrier_it_says_what_to_install(folder, patter):
    assert patter("serve", "line_app:agent").code == 2
    assert "no carrier is installed: pip install one of" in patter.err
    assert "patter-twilio" in patter.err


def test_a_carrier_without_a_number_is_refused(folder, patter, monkeypatch):
    patter.install("patter-line", (HERE / "line_carrier.py").read_text("utf-8"))
    assert patter("serve", "line_app:agent").code == 2
    assert "phone_number" in patter.err


def test_one_of_several_carriers_must_be_chosen(folder, patter):
    source = (HERE / "line_carrier.py").read_text("utf-8")
    patter.install("patter-line", source)
    patter.install("patter-other", source.replace('"line"', '"other"'))
    assert patter("serve", "line_app:agent").code == 2
    assert "choose one with --carrier (line, other)" in patter.err


def test_a_call_without_a_public_address_is_not_placed(folder, patter):
    patter.install("patter-line", (HERE / "line_carrier.py").read_text("utf-8"))
    assert patter("call", "+15550000001", "--agent", "line_app:agent", "--phone-number", NUMBER).code == 2
    assert "--webhook-url" in patter.err


def test_uvloop_that_is_not_installed_is_an_error(folder, patter, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    patter.install("patter-line", (HERE / "line_carrier.py").read_text("utf-8"))
    assert patter("serve", "line_app:agent", "--phone-number", NUMBER, "--uvloop").code == 2
    assert "pip install uvloop" in patter.err


# -- serving


@pytest.mark.realtime
def test_it_says_what_to_enter_at_the_carrier_and_answers(served):
    process, url, said = served()
    assert (
        f"Enter at line, for calls that come in to {NUMBER}, as an HTTP POST:\n  {url}/webhooks/line/voice\n"
        in said
    )
    assert f"Health: {url}/health\n" in said

    async def look():
        async with aiohttp.ClientSession() as http, http.get(f"{url}/health") as answer:
            return answer.status

    assert asyncio.run(look()) == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


@pytest.mark.realtime
def test_without_a_public_address_it_says_how_to_get_one_and_which_setting(folder):
    (folder / "patter.toml").write_text(f'[phone]\ncarrier = "line"\nphone_number = "{NUMBER}"\nport = 0\n')
    process = start(folder, "serve", "line_app:agent")
    said = read_until(process.stdout, "Ctrl-C stops.")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    process.communicate()
    assert "no call will come in" in said
    assert "cloudflared" in said
    for setting in ("--webhook-url", "PATTER_WEBHOOK_URL", "webhook_url"):
        assert setting in said
    assert "https://.../webhooks/line/voice" in said
    # patter.toml of the current directory was read: the port is a free one, not the default.
    assert "Health: http://127.0.0.1:" in said
    assert ":8000" not in said


@pytest.mark.realtime
@pytest.mark.behaviour("LC-08")
def test_a_stop_refuses_new_calls_closes_media_and_tells_of_what_takes_long(served):
    process, url, _ = served(SLOW_END_S="2.5")

    async def scene():
        async with aiohttp.ClientSession() as http:
            media = await connect(http, url)
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            await asyncio.to_thread(read_until, process.stderr, "stopping 1 call")
            await asyncio.sleep(0.3)
            async with http.get(f"{url}/ready") as answer:
                ready = answer.status
            async with http.post(f"{url}/webhooks/line/voice", data="IN2") as answer:
                refused = await answer.text()
            code = await closing(media)
            await asyncio.to_thread(process.wait, 12)
            return ready, refused, code, time.monotonic() - began

    ready, refused, code, took_s = asyncio.run(scene())
    assert ready == 503
    assert refused.startswith("refused: We are sorry")
    assert code == 1001
    assert took_s < 10
    assert process.returncode == 0
    said = process.stderr.read()
    assert "still stopping: 1 call left ..." in said
    assert "stopped" in said.splitlines()[-1]


@pytest.mark.realtime
@pytest.mark.parametrize("hanging", ["SLOW_END_S", "SLOW_CLOSE_S"])
@pytest.mark.behaviour("LC-08")
def test_a_stop_ends_in_time_even_if_a_hook_or_a_provider_hangs(served, hanging):
    process, url, _ = served(**{hanging: "60"})

    async def scene():
        async with aiohttp.ClientSession() as http:
            media = await connect(http, url)
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            code = await closing(media)
            await asyncio.to_thread(process.wait, 20)
            return code, time.monotonic() - began

    code, took_s = asyncio.run(scene())
    assert code == 1001
    assert took_s < 10
    assert process.returncode == 0
    had_s = float(re.search(r"patter_call_ended had ([0-9.]+) s", process.stderr.read())[1])
    assert had_s <= 3.2


@pytest.mark.realtime
def test_a_second_ctrl_c_ends_it_at_once(served):
    process, url, _ = served(SLOW_END_S="4")

    async def scene():
        async with aiohttp.ClientSession() as http:
            media = await connect(http, url)
            process.send_signal(signal.SIGINT)
            await asyncio.to_thread(read_until, process.stderr, "stopping 1 call")
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            await asyncio.to_thread(process.wait, 5)
            await media.close()
            return time.monotonic() - began

    assert asyncio.run(scene()) < 1.5
    assert process.returncode == 130


@pytest.mark.realtime
def test_a_port_that_is_taken_is_one_clear_line(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        process = start(folder, "serve", "line_app:agent", "--phone-number", NUMBER, "--port", port)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    assert port in said.splitlines()[-1]
    assert "choose another one with --host or --port" in said
    assert "Traceback" not in said


# -- calling


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("to", "outcome", "code"), [("+15550000001", "answered", 0), ("+15550000002", "busy", 1)]
)
def test_a_call_is_placed_and_its_result_printed(folder, to, outcome, code):
    port = free_port()
    options = ("--phone-number", NUMBER, "--port", str(port), "--webhook-url", f"http://127.0.0.1:{port}")
    process = start(folder, "call", to, "--agent", "line_app:agent", "--json", *options)
    out, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    result = json.loads(out)
    assert result["outcome"] == outcome
    assert set(result) == {
        "call_id",
        "outcome",
        "status",
        "reason",
        "duration_seconds",
        "transcript",
        "cost",
        "metrics",
    }
    assert result["cost"]["total"] == 0
    assert all(not line["priced"] for line in result["cost"]["lines"]), "nobody here has a price"
    if outcome == "answered":
        assert [entry["role"] for entry in result["transcript"]] in ([], ["assistant"])
