"""16-bit WAV files, on the standard library's `wave`."""

from __future__ import annotations

import os
import wave

import numpy as np
from numpy.typing import NDArray

_SAMPLE_WIDTH = 2


def write_stereo(
    path: str | os.PathLike[str], left: NDArray[np.int16], right: NDArray[np.int16], rate: int
) -> None:
    """Write two int16 streams as the sides of one file; the shorter is continued in silence.

    Raises:
        OSError: the file cannot be written.
    """
    frames = np.zeros((max(left.size, right.size), 2), "<i2")
    frames[: left.size, 0] = left
    frames[: right.size, 1] = right
    with wave.open(os.fspath(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(_SAMPLE_WIDTH)
        file.setframerate(rate)
        file.writeframes(frames.tobytes())


def read_mono(path: str | os.PathLike[str]) -> tuple[NDArray[np.int16], int]:
    """The int16 samples of a mono file and its rate in Hz.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no uncompressed WAV file with one channel of 16 bits.
    """
    try:
        with wave.open(os.fspath(path), "rb") as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            data = file.readframes(file.getnframes())
    # A chunk that ends beyond the file is a bare RuntimeError of `wave`.
    except (wave.Error, EOFError, RuntimeError) as error:
        raise ValueError(f"{os.fspath(path)} is no uncompressed WAV file: {error}") from error
    if channels != 1 or width != _SAMPLE_WIDTH:
        raise ValueError(
            f"{os.fspath(path)} has {channels} channels of {width * 8} bits; needed is one of 16 bits"
        )
    return np.frombuffer(data[: len(data) & ~1], "<i2").astype(np.int16, copy=False), rate
