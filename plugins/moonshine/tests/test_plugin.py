from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
from pydantic import ValidationError

import patter_moonshine
from patter.records import STTRecord
from patter_moonshine.config import MoonshineConfig


def test_registers_one_recogniser_that_does_not_endpoint():
    (record,) = patter_moonshine.patter_register_stt()
    assert isinstance(record, STTRecord)
    assert (record.name, record.endpoints, record.interims) == ("moonshine", False, True)
    for reference in (record.factory, record.config):
        module, _, attribute = reference.partition(":")
        assert hasattr(importlib.import_module(module), attribute)


@pytest.mark.behaviour("CF-08")
def test_importing_the_plugin_loads_no_engine():
    code = (
        "import sys, patter_moonshine; patter_moonshine.patter_register_stt(); "
        "print([m for m in ('moonshine_voice', 'sounddevice', 'asyncio', 'pydantic', 'numpy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_importing_the_recogniser_loads_no_engine_either():
    code = "import sys, patter_moonshine.recogniser; print('moonshine_voice' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize(
    "wrong",
    [
        {"padding_ms": -1},
        {"padding_ms": 1001},
        {"interim_interval_ms": 99},
        {"model": "base-en"},
        {"language": "de"},
    ],
)
def test_refuses_settings_that_cannot_work(wrong):
    with pytest.raises(ValidationError):
        MoonshineConfig(**wrong)
