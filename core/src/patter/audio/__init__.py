"""Formats, G.711, streaming resampling, mixing, WAV files: numpy in, numpy out.

Everything is mono; samples are int16 unless a name says otherwise. `Converter` is what a stream of bytes needs.
"""

from __future__ import annotations

from patter.audio.convert import Converter
from patter.audio.formats import ALAW_8K, MULAW_8K, PCM16_8K, PCM16_16K, PCM16_24K, AudioFormat, Encoding
from patter.audio.g711 import (
    ALAW_TO_FLOAT,
    MULAW_TO_FLOAT,
    alaw_decode,
    alaw_encode,
    alaw_to_mulaw,
    decode,
    encode,
    mulaw_decode,
    mulaw_encode,
    mulaw_to_alaw,
)
from patter.audio.mixing import level_dbfs, mix
from patter.audio.resample import Resampler
from patter.audio.wav import read_mono, write_stereo

__all__ = [
    "ALAW_8K",
    "ALAW_TO_FLOAT",
    "MULAW_8K",
    "MULAW_TO_FLOAT",
    "PCM16_8K",
    "PCM16_16K",
    "PCM16_24K",
    "AudioFormat",
    "Converter",
    "Encoding",
    "Resampler",
    "alaw_decode",
    "alaw_encode",
    "alaw_to_mulaw",
    "decode",
    "encode",
    "level_dbfs",
    "mix",
    "mulaw_decode",
    "mulaw_encode",
    "mulaw_to_alaw",
    "read_mono",
    "write_stereo",
]
