"""The greeting's audio, made while the phone rings (PW-15)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from patter.audio.convert import Converter
from patter.call.sentences import SentenceChunker
from patter.prewarm.failures import without_text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from patter.audio.formats import AudioFormat
    from patter.providers.tts import TTS

logger = logging.getLogger(__name__)

#: the longest greeting that is made beforehand, in s; more of it is spoken live
LONGEST_S = 60


async def render_greeting(
    tts: TTS,
    text: str,
    carrier_format: AudioFormat,
    *,
    language: str = "en",
    transforms: Sequence[Callable[[str], str]] = (),
    rendered: Callable[[str], object] = len,
) -> dict[str, bytes]:
    """Audio in the carrier's format for each sentence of the text, by the sentence as the voice was given it.

    A sentence that a hook changes when the call starts has no audio here, and is spoken live; so is one that the voice
    fails to make. Raises what the voice raises when it makes none. `rendered` is told of each sentence that was made.
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
        try:
            audio = await _render(tts, said, carrier_format, room)
        except Exception as error:
            if not made:
                raise
            logger.debug("the greeting is made in part: %s", without_text(error))
            break
        if audio is None:
            break
        rendered(said)
        room -= len(audio)
        made[said] = audio
    return made


async def _render(tts: TTS, text: str, carrier_format: AudioFormat, room: int) -> bytes | None:
    """The audio of one sentence; None when it is longer than there is room for, in bytes."""
    converter = Converter(tts.output_format(), carrier_format)
    audio = bytearray()
    stream: AsyncIterator[bytes] = tts.synthesize(text)
    async with aclosing(cast("AsyncGenerator[bytes, None]", stream)) as chunks:
        async for chunk in chunks:
            audio += converter.process(chunk)
            if len(audio) > room:
                return None
    return bytes(audio + converter.flush())
