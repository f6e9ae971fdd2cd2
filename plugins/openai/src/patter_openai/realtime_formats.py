"""Audio formats, in Patter's words and in those of the wire."""

from __future__ import annotations

from typing import Any, Final

from patter.audio.formats import ALAW_8K, MULAW_8K, PCM16_24K, AudioFormat

#: by the names of the setting `audio_format`
BY_SETTING: Final[dict[str, AudioFormat]] = {"pcmu": MULAW_8K, "pcma": ALAW_8K, "pcm": PCM16_24K}

_BY_TYPE: Final[dict[str, AudioFormat]] = {
    "audio/pcmu": MULAW_8K,
    "audio/pcma": ALAW_8K,
    "audio/pcm": PCM16_24K,
}


def chosen_format(setting: str, carrier: AudioFormat) -> AudioFormat:
    """The format to ask for: the carrier's own where the vendor has it, so that nothing is converted (RT-19)."""
    if setting in BY_SETTING:
        return BY_SETTING[setting]
    return carrier if carrier in (MULAW_8K, ALAW_8K) else PCM16_24K


def wire_format(audio_format: AudioFormat) -> dict[str, Any]:
    """A format as the session's settings spell it. G.711 has no rate there."""
    name = next(name for name, known in _BY_TYPE.items() if known == audio_format)
    return {"type": name, "rate": audio_format.rate} if audio_format == PCM16_24K else {"type": name}


def known_format(value: Any) -> AudioFormat | None:
    """The format that the server says it uses; None for one that nobody knows."""
    name = value.get("type") if isinstance(value, dict) else None
    return _BY_TYPE.get(name) if isinstance(name, str) else None
