from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
from pydantic import ValidationError

from patter_silero import patter_register_vad
from patter_silero.config import SileroConfig
from patter_silero.session import BUNDLED

HEAVY = ("numpy", "onnxruntime", "pydantic", "asyncio")


def test_registers_one_batched_vad_with_a_phone_preset():
    (record,) = patter_register_vad()
    assert (record.name, record.batch) == ("silero", True)
    preset = SileroConfig(**record.phone_preset)
    assert (preset.activation, preset.deactivation) == (0.8, 0.65)


def test_importing_the_plugin_imports_nothing_heavy():
    code = f"import sys, patter_silero; patter_silero.patter_register_vad(); print([m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_bundled_model_is_the_file_that_its_note_names():
    note = (BUNDLED.parent / "SOURCE.md").read_text(encoding="utf-8")
    digest = hashlib.sha256(BUNDLED.read_bytes()).hexdigest()
    assert digest == "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"
    assert digest in note
    assert "Permission is hereby granted" in (BUNDLED.parent / "LICENSE.silero-vad.txt").read_text(
        encoding="utf-8"
    )


def test_the_defaults():
    config = SileroConfig()
    assert (config.activation, config.min_speech_ms, config.min_silence_ms) == (0.5, 250, 400)
    assert config.end_threshold == pytest.approx(0.35)
    assert SileroConfig(activation=0.8).end_threshold == pytest.approx(0.65)
    assert SileroConfig(activation=0.1).end_threshold == 0.01


@pytest.mark.parametrize(
    "wrong",
    [
        {"activation": 0},
        {"activation": 1.0},
        {"activation": float("nan")},
        {"activation": 0.5, "deactivation": 0.6},
        {"min_speech_ms": -1},
        {"min_silence_ms": 60_000},
        {"threshold": 0.5},
    ],
    ids=str,
)
def test_a_setting_that_cannot_work_is_refused(wrong):
    with pytest.raises(ValidationError):
        SileroConfig(**wrong)
