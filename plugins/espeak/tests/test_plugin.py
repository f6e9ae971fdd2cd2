# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from pydantic import ValidationError

import patter_espeak
from patter.errors import ConfigError
from patter.records import TTSRecord
from patter_espeak import library
from patter_espeak.config import EspeakConfig


def test_registers_one_voice_whose_classes_exist():
    (record,) = patter_espeak.patter_register_tts()
    assert isinstance(record, TTSRecord)
    assert record.name == "espeak"
    for reference in (record.factory, record.config):
        module, _, attribute = reference.partition(":")
        assert hasattr(importlib.import_module(module), attribute)


@pytest.mark.behaviour("CF-08")
def test_importing_the_plugin_loads_no_engine():
    code = (
        "import sys, patter_espeak; patter_espeak.patter_register_tts(); "
        "print([m for m in ('espeakng_loader', 'ctypes', 'asyncio', 'pydantic', 'numpy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 79},
        {"rate": 451},
        {"pitch": -1},
        {"pitch": 100},
        {"volume": 201},
        {"voice": ""},
        {"voice": "../../etc/passwd"},
        {"voice": "en\0us"},
        {"speed": 2},
    ],
)
def test_refuses_settings_that_the_engine_has_not(wrong):
    with pytest.raises(ValidationError):
        EspeakConfig(**wrong)


def test_a_missing_engine_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr(library, "_library", None)
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ConfigError, match="pip install espeakng-loader"):
        library.load()


def test_a_library_that_cannot_be_loaded_is_named_too(monkeypatch, tmp_path):
    loader = importlib.import_module("espeakng_loader")
    monkeypatch.setattr(library, "_library", None)
    monkeypatch.setattr(loader, "get_library_path", lambda: str(tmp_path / "gone.so"))
    with pytest.raises(ConfigError, match="pip install espeakng-loader"):
        library.load()
