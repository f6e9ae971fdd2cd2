"""OpenTelemetry is off unless it is asked for and installed, and then it is not there at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from traces import exported, short_call

from patter.errors import ConfigError
from patter.telemetry import attach_span_exporter
from patter.telemetry.switch import is_on, otlp_target

#: a whole call, and every function of patter.telemetry; prints what of OpenTelemetry was loaded by it
WHOLE_CALL = """
import os
import sys
from patter import Patter
from patter.environment import Environment
from patter.plugins import PluginManager
from patter.telemetry import attach_span_exporter, patter_call_scope, record_patter_attrs
from patter.testing import fake_plugin
from patter.testing.pytest_phone import CallFactory
from patter.testing.virtual_loop import VirtualClock, VirtualTimeLoop, run_virtual

loop = VirtualTimeLoop()
phone = Patter(
    carrier="fake",
    phone_number="+15550001234",
    manager=PluginManager([fake_plugin], autoload=False, strict=True, environ=os.environ),
    environment=Environment.seeded(1, VirtualClock(loop)),
    on_agent_speech_started=lambda call, data: record_patter_attrs({"patter.cost.tts_chars": 1}),
)

async def main():
    attach_span_exporter(phone, object(), side="uut")
    attach_span_exporter(None, None)
    with patter_call_scope("call_1", "uut"):
        record_patter_attrs({"patter.cost.stt_seconds": 2.5})
    async with CallFactory(phone)(first_message="Hello there.", replies=["Nine."]) as call:
        await call.agent_says("there.")
        await call.caller_says("When do you open")
        await call.agent_says("Nine.")
    await phone.disconnect()
    print(call.summary.outcome.value, phone.telemetry.is_on)

run_virtual(main(), loop=loop)
loop.close()
print(*sorted(name for name in sys.modules if name.partition(".")[0] == "opentelemetry"))
"""


def run_call(path: str | None = None, **variables: str) -> list[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PATTER_", "OTEL_"))}
    options = [] if path is None else ["-S"]
    environ |= variables if path is None else {**variables, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, *options, "-W", "error", "-c", WHOLE_CALL],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.behaviour("OB-01")
@pytest.mark.parametrize("value", [None, "0", "on"])
def test_a_whole_call_loads_nothing_of_it_while_it_is_off(value: str | None) -> None:
    variables = {} if value is None else {"PATTER_OTEL_ENABLED": value}
    assert run_call(**variables) == ["completed False", ""]


@pytest.mark.behaviour("OB-01")
@pytest.mark.parametrize("value", ["", "0", "false", "no", "on", "2", "11"])
def test_nothing_else_turns_it_on(value: str) -> None:
    assert not is_on({"PATTER_OTEL_ENABLED": value})


def without_the_sdk(folder: Path) -> str:
    """This interpreter's path, with `folder` in the place of where OpenTelemetry is: the same but for its SDK."""
    (folder / "opentelemetry").mkdir()
    path = []
    for place in (Path(one) for one in sys.path if Path(one).is_dir()):
        if not (place / "opentelemetry").is_dir():
            path.append(str(place))
            continue
        path.append(str(folder))
        others = [file for file in place.iterdir() if file.name != "opentelemetry"]
        parts = [file for file in (place / "opentelemetry").iterdir() if file.name != "sdk"]
        for file in (*others, *parts):
            (folder / file.relative_to(place)).symlink_to(file)
    return os.pathsep.join(path)


@pytest.mark.behaviour("OB-01")
def test_it_is_off_where_the_sdk_is_not_installed(tmp_path: Path) -> None:
    assert run_call(without_the_sdk(tmp_path), PATTER_OTEL_ENABLED="1") == ["completed False", ""]


@pytest.mark.behaviour("OB-01")
@pytest.mark.parametrize("value", ["1", "true", "yes", "TRUE"])
async def test_it_is_on_when_it_is_asked_for(
    value: str, make_phone: Any, exporter: InMemorySpanExporter
) -> None:
    assert is_on({"PATTER_OTEL_ENABLED": value})
    phone = make_phone(value)
    attach_span_exporter(phone, exporter)
    await short_call(phone)
    assert phone.telemetry.is_on
    assert await exported(phone, exporter)


@pytest.mark.parametrize("endpoint", ["localhost:4317", "grpc://collector", "unix:/tmp/x"])
def test_an_endpoint_that_is_no_http_address_is_refused(endpoint: str, make_phone: Any) -> None:
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        make_phone(variables={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})


def test_without_an_endpoint_nothing_leaves_the_machine() -> None:
    assert otlp_target({}) is None
    assert otlp_target({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}) is None


def test_one_who_asks_for_traces_without_the_sdk_is_told(
    make_phone: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("patter.telemetry.switch.is_installed", lambda: False)
    caplog.set_level("INFO")
    assert not make_phone("1").telemetry.is_on
    assert "opentelemetry-sdk" in caplog.text
    caplog.clear()
    assert not make_phone("0").telemetry.is_on
    assert caplog.text == ""
