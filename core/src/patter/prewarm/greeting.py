"""The greeting's audio, made while the phone rings (PW-15)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from patter.audio.convert import Converter
from patter.call.sentences import SentenceChunker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from patter.audio.formats import AudioFormat
    from patter.providers.tts import TTS

#: the longest greeting that is made beforehand, in s; more of it is spoken live
LONGEST_S = 60


async def render_greeting(
    tts: TTS,
    text: str,
    carrier_format: AudioFormat,
    *,
    language: str = "en",
    transforms: Sequence[Callable[[str], str]] = (),
) -> dict[str, bytes]:
    """Audio in the carrier's format for each sentence of the text, by the sentence as the voice was given it.

    A sentence that a hook changes when the call starts has no audio here, and is spoken live. Raises `ProviderError`.
    """
    made: dict[str, bytes] = {}
    room = carrier_format.bytes_for_ms(LONGEST_S * 1000)
    chunker = SentenceChunker(language)
    for sentence in (*chunker.feed(text), *chunker.flush()):
        said = sentence
        for transform in transforms:
            said = transform(said)
        if not said.strip() or said in made:
            continue
        audio = await _render(tts, said, carrier_format)
        room -= len(audio)
        if room < 0:
            break
        made[said] = audio
    return made


async def _render(tts: TTS, text: str, carrier_format: AudioFormat) -> bytes:
    converter = Converter(tts.output_format(), carrier_format)
    audio = bytearray()
    stream: AsyncIterator[bytes] = tts.synthesize(text)
    async with aclosing(cast("AsyncGenerator[bytes, None]", stream)) as chunks:
        async for chunk in chunks:
            audio += converter.process(chunk)
    return bytes(audio + converter.flush())
