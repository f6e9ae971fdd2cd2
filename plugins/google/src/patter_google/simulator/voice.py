"""The audio that the simulated model takes and gives."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from patter.audio.formats import PCM16_24K, AudioFormat, Encoding

#: format of what it says
GIVES: Final = PCM16_24K


class BadAudio(Exception):
    """Audio that cannot be read."""


def samples_of(blob: Any) -> tuple[bytes, AudioFormat]:
    """The PCM of a blob, and its format. Raises `BadAudio`."""
    kind = str(blob.get("mimeType", ""))
    name, _, rate = kind.partition(";rate=")
    if name != "audio/pcm" or not (rate or "16000").isdigit():
        raise BadAudio(f"unsupported mime type {kind!r}")
    try:
        pcm = base64.b64decode(str(blob.get("data", "")).replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise BadAudio("Base64 decoding failed") from None
    if len(pcm) % 2:
        raise BadAudio("half a sample")
    try:
        return pcm, AudioFormat(Encoding.PCM16, int(rate or 16_000))
    except ValueError:
        raise BadAudio(f"unsupported mime type {kind!r}") from None
