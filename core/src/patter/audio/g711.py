"""G.711 and 16-bit PCM: bytes to samples and back (ITU-T G.711, by tables).

The mu-law encoder works on the 16-bit value. CPython's former `audioop` cut it to 14 bits first and gives another,
equally legal code for 381 of the negative values. `audioop` itself is gone in Python 3.13 and is not used.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from patter.audio.formats import Encoding

# Both from the recommendation's mu-law, in the 16-bit domain: the bias makes each segment begin at a power of two,
# and what lies beyond the clip level has no code of its own.
_MULAW_BIAS: Final = 132
_MULAW_CLIP: Final = 32635
_FULL_SCALE: Final = 32768


def _frozen(table: NDArray[Any]) -> NDArray[Any]:
    """The table, which every call of the process shares, made read-only."""
    table.setflags(write=False)
    return table


def _all_samples() -> NDArray[np.int32]:
    """Every int16 value, at the index that its bits are as a uint16."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.int16).astype(np.int32)


def _bit_length(values: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.frexp(values)[1].astype(np.int32)


def _mulaw_decode_table() -> NDArray[np.int16]:
    code = ~np.arange(256) & 0xFF
    exponent, mantissa = code >> 4 & 7, code & 0x0F
    magnitude = (((mantissa << 3) + _MULAW_BIAS) << exponent) - _MULAW_BIAS
    return _frozen(np.where(code & 0x80, -magnitude, magnitude).astype(np.int16))


def _mulaw_encode_table() -> NDArray[np.uint8]:
    sample = _all_samples()
    magnitude = np.minimum(np.abs(sample), _MULAW_CLIP) + _MULAW_BIAS
    exponent = _bit_length(magnitude) - 8
    mantissa = magnitude >> (exponent + 3) & 0x0F
    sign = np.where(sample < 0, 0x80, 0)
    return _frozen((~(sign | exponent << 4 | mantissa) & 0xFF).astype(np.uint8))


def _alaw_decode_table() -> NDArray[np.int16]:
    # Every second bit is inverted on the line.
    code = np.arange(256) ^ 0x55
    exponent, mantissa = code >> 4 & 7, code & 0x0F
    linear = (mantissa << 4) + 8
    magnitude = np.where(exponent > 0, (linear + 0x100) << np.maximum(exponent - 1, 0), linear)
    return _frozen(np.where(code & 0x80, magnitude, -magnitude).astype(np.int16))


def _alaw_encode_table() -> NDArray[np.uint8]:
    sample = _all_samples()
    magnitude = np.where(sample < 0, -sample - 1, sample)
    exponent = np.maximum(_bit_length(magnitude) - 8, 0)
    segmented = exponent << 4 | (magnitude >> (exponent + 3) & 0x0F)
    code = np.where(magnitude >= 256, segmented, magnitude >> 4)
    return _frozen((code ^ np.where(sample < 0, 0x55, 0xD5)).astype(np.uint8))


_MULAW_DECODE: Final = _mulaw_decode_table()
_MULAW_ENCODE: Final = _mulaw_encode_table()
_ALAW_DECODE: Final = _alaw_decode_table()
_ALAW_ENCODE: Final = _alaw_encode_table()
_MULAW_TO_ALAW: Final = _ALAW_ENCODE[_MULAW_DECODE.view(np.uint16)].tobytes()
_ALAW_TO_MULAW: Final = _MULAW_ENCODE[_ALAW_DECODE.view(np.uint16)].tobytes()

#: float32 samples of the 256 codes, scaled to ±1: what a batched VAD looks a whole batch of frames up in
MULAW_TO_FLOAT: Final[NDArray[np.float32]] = _frozen(
    _MULAW_DECODE.astype(np.float32) / np.float32(_FULL_SCALE)
)
ALAW_TO_FLOAT: Final[NDArray[np.float32]] = _frozen(_ALAW_DECODE.astype(np.float32) / np.float32(_FULL_SCALE))


def mulaw_decode(data: bytes) -> NDArray[np.int16]:
    """The samples of mu-law bytes; any number of bytes, none included."""
    return _MULAW_DECODE[np.frombuffer(data, np.uint8)]


def mulaw_encode(pcm: NDArray[np.int16]) -> bytes:
    """The mu-law bytes of int16 samples; zero becomes 0xFF.

    Raises:
        TypeError: the samples are not int16.
    """
    return _MULAW_ENCODE[_bits(pcm)].tobytes()


def alaw_decode(data: bytes) -> NDArray[np.int16]:
    """The samples of A-law bytes; any number of bytes, none included."""
    return _ALAW_DECODE[np.frombuffer(data, np.uint8)]


def alaw_encode(pcm: NDArray[np.int16]) -> bytes:
    """The A-law bytes of int16 samples; zero becomes 0xD5.

    Raises:
        TypeError: the samples are not int16.
    """
    return _ALAW_ENCODE[_bits(pcm)].tobytes()


def mulaw_to_alaw(data: bytes) -> bytes:
    """The A-law code nearest to each mu-law code."""
    return data.translate(_MULAW_TO_ALAW)


def alaw_to_mulaw(data: bytes) -> bytes:
    """The mu-law code nearest to each A-law code."""
    return data.translate(_ALAW_TO_MULAW)


def decode(data: bytes, encoding: Encoding) -> NDArray[np.int16]:
    """The samples of `data`. The array of PCM16 is a read-only view of the bytes where the machine allows it.

    Raises:
        ValueError: PCM16 that ends in the middle of a sample; `Converter` carries such a byte to the next chunk.
    """
    if encoding is Encoding.MULAW:
        return mulaw_decode(data)
    if encoding is Encoding.ALAW:
        return alaw_decode(data)
    if len(data) % 2:
        raise ValueError(f"{len(data)} bytes of PCM16 end in the middle of a sample")
    return np.frombuffer(data, "<i2").astype(np.int16, copy=False)


def encode(pcm: NDArray[np.int16], encoding: Encoding) -> bytes:
    """The bytes of int16 samples.

    Raises:
        TypeError: the samples are not int16.
    """
    if encoding is Encoding.MULAW:
        return mulaw_encode(pcm)
    if encoding is Encoding.ALAW:
        return alaw_encode(pcm)
    _bits(pcm)
    return pcm.astype("<i2", copy=False).tobytes()


def _bits(pcm: NDArray[np.int16]) -> NDArray[np.uint16]:
    """The samples as indices of an encoder table. Another type would be read as wrong indices, so it is refused."""
    if pcm.dtype != np.int16:
        raise TypeError(f"samples are int16, not {pcm.dtype}")
    return pcm.view(np.uint16)
