"""The caller's lines in the voice of a TTS plugin, in place of the recorded files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from patter.audio import MULAW_8K, Converter
from patter.errors import ConfigError
from patter.plugins import SharedObjectPool, build
from patter.providers.context import ProviderContext
from patter_demo.script import LONGEST_LINE_S, Script

if TYPE_CHECKING:
    from patter.client import Patter
    from patter.providers.tts import TTS

#: ends every line, since engines end a sound as they please, in ms
SILENCE_AFTER_MS = 40


async def speak_script(phone: Patter, reference: str, script: Script) -> Script:
    """The script with the audio of every line. Raises `ConfigError` and `ProviderError`."""
    part = phone.planner.part("tts", reference)
    shared = SharedObjectPool()
    context = ProviderContext(phone.environment, shared, carrier_format=MULAW_8K)
    voice = cast("TTS", build(phone.plugins, part.resolved, context, sources=part.sources))
    try:
        lines = [replace(line, audio=await _spoken(voice, line.text)) for line in script.lines]
    finally:
        await voice.close()
        await shared.close()
    silent = [line.id for line in lines if not line.audio]
    if silent:
        raise ConfigError(f"--caller-tts {reference}: it spoke nothing for line {silent[0]}")
    return Script(tuple(lines))


async def _spoken(voice: TTS, text: str) -> bytes:
    converter = Converter(voice.output_format(), MULAW_8K)
    audio = bytearray()
    async for chunk in voice.synthesize(text):
        audio += converter.process(chunk)
        if len(audio) > MULAW_8K.bytes_for_ms(LONGEST_LINE_S * 1000):
            raise ConfigError(f"--caller-tts: a line is longer than {LONGEST_LINE_S} s: {text[:60]!r}")
    audio += converter.flush()
    if not audio:
        return b""
    return bytes(audio) + MULAW_8K.silence(MULAW_8K.bytes_for_ms(SILENCE_AFTER_MS))
