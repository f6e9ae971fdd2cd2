"""onnxruntime keeps no usage database when the plugin loads it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LOAD = """
from patter.environment import Environment
from patter.plugins import SharedObjectPool
from patter.providers.context import ProviderContext
from patter_silero.config import SileroConfig
from patter_silero.model import SileroModel

SileroModel(SileroConfig(), ProviderContext(Environment(), SharedObjectPool()))
"""


def test_loading_the_model_writes_nothing_into_the_home_folder(tmp_path: Path) -> None:
    hidden = {"ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"}
    environ = {name: value for name, value in os.environ.items() if name not in hidden}
    subprocess.run(
        [sys.executable, "-c", LOAD], env={**environ, "HOME": str(tmp_path)}, check=True, timeout=60
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
