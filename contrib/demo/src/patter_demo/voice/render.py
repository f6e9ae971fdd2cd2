"""Render the caller's lines again: ``python render.py`` in this folder, with Debian's `flite` installed.

The demo never runs this; it plays the files. SOURCES.md says what made those that are here.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import wave
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from patter.audio.convert import Converter
from patter.audio.formats import MULAW_8K, AudioFormat, Encoding

FOLDER = Path(__file__).parent
FLITE_VOICES = {"cmu_us_rms": "rms"}
# Loud, with room above: 99.5 % of the samples stay below it.
LEVEL = 14_000
# What counts as sound: a 10 ms frame of at least 2 % of the loudest one's mean amplitude.
AUDIBLE = 0.02
KEPT_SILENCE_MS = 40


def speak(text: str, voice: str) -> tuple[NDArray[np.int16], int]:
    """What flite says, and its sampling rate."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "line.wav")
        subprocess.run(["flite", "-voice", FLITE_VOICES[voice], "-t", text, "-o", str(path)], check=True)
        with wave.open(str(path), "rb") as recording:
            return np.frombuffer(
                recording.readframes(recording.getnframes()), "<i2"
            ), recording.getframerate()


def trimmed(samples: NDArray[np.int16], rate: int, lead_ms: int) -> NDArray[np.int16]:
    """`samples` from `lead_ms` before the first sound to `KEPT_SILENCE_MS` after the last."""
    frame = rate // 100
    loudness = (
        np.abs(samples[: samples.size // frame * frame].astype(np.float64)).reshape(-1, frame).mean(axis=1)
    )
    heard = np.flatnonzero(loudness >= AUDIBLE * loudness.max())
    start = max(0, int(heard[0]) * frame - rate * lead_ms // 1000)
    return samples[start : (int(heard[-1]) + 1) * frame + rate * KEPT_SILENCE_MS // 1000]


def rendered(line: dict[str, Any]) -> bytes:
    """The line as raw mu-law; an interruption is audible from its first sample on."""
    samples, rate = speak(line["text"], line["voice"])
    samples = trimmed(samples, rate, 0 if line.get("interrupts") else KEPT_SILENCE_MS)
    scaled = samples * (LEVEL / np.percentile(np.abs(samples.astype(np.float64)), 99.5))
    pcm = np.clip(np.rint(scaled), -32768, 32767).astype("<i2").tobytes()
    converter = Converter(AudioFormat(Encoding.PCM16, rate), MULAW_8K)
    return converter.process(pcm) + converter.flush()


def main() -> None:
    """Write every file that script.yaml names."""
    for line in yaml.safe_load((FOLDER / "script.yaml").read_text(encoding="utf-8"))["lines"]:
        audio = rendered(line)
        (FOLDER / line["file"]).write_bytes(audio)
        sys.stdout.write(f"{line['file']}: {MULAW_8K.duration_ms(len(audio)) / 1000:.2f} s\n")


if __name__ == "__main__":
    main()
