"""The voice of one reply: its sentences, one after the other, become audio in the playout.

It has a task of its own, so that sentence n+1 is made while n plays (PL-10).
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from patter.audio.convert import Converter
from patter.call.provider_stream import first_within
from patter.errors import ProviderError

if TYPE_CHECKING:
    from patter.call.reply_parts import ReplyParts
    from patter.providers.tts import TTS

#: synthesis pauses while this much audio waits to be sent, in ms
ENOUGH_MS = 15_000.0
#: no audio for this long is a failure of the voice (SP-23), in s
FIRST_BYTE_S = 5.0
#: sentences that may wait for the voice
SENTENCES_AHEAD = 8


class Speaker:
    """Speaks one reply; `run()` is the body of its task."""

    def __init__(self, parts: ReplyParts) -> None:
        self._reply = parts.number
        self._mouth = parts.mouth
        self._voice = parts.voice
        self._sentences: asyncio.Queue[str | None] = asyncio.Queue(SENTENCES_AHEAD)

    async def say(self, text: str) -> None:
        """Speak a sentence after those before it; waits while too many are ahead."""
        await self._sentences.put(text)

    async def end(self) -> None:
        """No further sentence comes."""
        await self._sentences.put(None)

    async def run(self) -> None:
        """Speak until the end."""
        while (text := await self._sentences.get()) is not None:
            await self._speak(text)

    async def _speak(self, text: str) -> None:
        """Synthesise one sentence; once more if its voice failed and was healed before a sound of it was made."""
        if not self._mouth.open_sentence(self._reply, text):
            return
        cut = True
        while self._voice.tts is not None:
            made: list[int] = []
            try:
                await self._synthesise(self._voice.tts, text, made)
                cut = False
                break
            except ProviderError as error:
                if not await self._mouth.failed("tts", error, spoken=bool(made)) or made:
                    break
        self._mouth.close_sentence(self._reply, cut=cut)

    async def _synthesise(self, tts: TTS, text: str, made: list[int]) -> None:
        converter = Converter(tts.output_format(), self._mouth.carrier_format)
        self._mouth.timing(self._reply, "tts_request")
        stream = tts.synthesize(text)
        async with aclosing(first_within(stream, FIRST_BYTE_S, "the voice")) as chunks:
            async for chunk in chunks:
                audio = converter.process(chunk)
                if audio:
                    made.append(len(audio))
                    if self._mouth.timing(self._reply, "tts_first_byte"):
                        self._mouth.emit("audio_out", self._reply)
                    if not self._mouth.add_audio(self._reply, audio):
                        return
                await self._mouth.room(self._reply)
        tail = converter.flush()
        if tail:
            self._mouth.add_audio(self._reply, tail)
