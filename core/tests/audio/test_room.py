"""What the room shows, and what it leans on."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import patter.audio

PROBE = """
import json, sys
sys.modules["audioop"] = None
import numpy, numpy.typing
import patter
before = set(sys.modules)
import patter.audio as audio
pcm = audio.Converter(audio.MULAW_8K, audio.PCM16_16K).process(bytes(160))
audio.write_stereo(sys.argv[1], *[audio.decode(pcm, audio.Encoding.PCM16)] * 2, 16000)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_public_names_exist_and_are_ordered():
    names = patter.audio.__all__
    assert len(set(names)) == len(names)
    assert all(hasattr(patter.audio, name) for name in names)
    public = {
        name for name in vars(patter.audio) if not name.startswith(("_", "@")) and name != "annotations"
    }
    used = {"dtmf", "echo_cancellation", "gain_control", "high_pass"}  # imported where they are first used
    modules = {"convert", "formats", "g711", "mixing", "resample", "wav"} | used
    assert public - modules == set(names)


def test_leans_on_numpy_and_the_standard_library_alone_and_not_on_audioop(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE, str(tmp_path / "a.wav")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = json.loads(ran.stdout)
    ours = [name for name in loaded if name.split(".")[0] == "patter"]
    assert ours
    assert [name for name in ours if name.split(".")[1] != "audio"] == []
    assert {name.split(".")[2] for name in ours if name.count(".") > 1} == {
        "convert",
        "formats",
        "g711",
        "mixing",
        "resample",
        "wav",
    }
    others = {name.split(".")[0] for name in loaded} - {"patter", "numpy"} - set(sys.stdlib_module_names)
    assert others == set()
    assert "asyncio" not in loaded
