from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from patter_noise_gate import patter_register_noise_filter
from patter_noise_gate.config import NoiseGateConfig


def test_registers_one_noise_filter():
    (record,) = patter_register_noise_filter()
    assert record.name == "noise-gate"


def test_importing_the_plugin_imports_nothing_heavy():
    code = "import sys, patter_noise_gate as p; p.patter_register_noise_filter(); print('numpy' in sys.modules, 'pydantic' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"high_pass_hz": -1},
        {"high_pass_hz": 4000},
        {"threshold_db": 0},
        {"reduction_db": -3},
        {"release_ms": 0},
        {"x": 1},
    ],
    ids=str,
)
def test_a_setting_that_cannot_work_is_refused(wrong):
    with pytest.raises(ValidationError):
        NoiseGateConfig(**wrong)
