"""The voice of one reply: its sentences, one after the other, become audio in the playout.

The pipeline's `before_synthesize` has the last look at a text, and `after_synthesize` at the audio made of it.

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
        self._moments = parts.moments
        self._voice = parts.voice
        self._before = parts.voice.pipeline.before_synthesize
        self._after = parts.voice.pipeline.after_synthesize
        self._sentences: asyncio.Queue[tuple[str, int] | None] = asyncio.Queue(SENTENCES_AHEAD)

    async def say(self, text: str, tool_rounds: int = 0) -> None:
        """Speak a sentence after those before it; waits while too many are ahead.

        `tool_rounds` is how many rounds of tools the model had run when it wrote the sentence.
        """
        await self._sentences.put((text, tool_rounds))

    async def end(self) -> None:
        """No further sentence comes."""
        await self._sentences.put(None)

    async def run(self) -> None:
        """Speak until the end."""
        while (next_one := await self._sentences.get()) is not None:
            text, tool_rounds = next_one
            if self._before is not None:
                text = await self._before(text) or ""
            if text.strip():
                await self._speak(text, tool_rounds)

    async def _speak(self, text: str, tool_rounds: int) -> None:
        """Synthesise one sentence; once more if its voice failed and was healed before a sound of it was made."""
        if not self._mouth.open_sentence(self._reply, text, tool_rounds):
            return
        self._moments.synthesises()
        cut = True
        ready = self._voice.prerendered.of(text)
        if ready is not None:
            cut = not self._add(ready, [])
        else:
            await self._voice.ready("tts")
        while ready is None and self._voice.tts is not None:
            made: list[int] = []
            try:
                await self._synthesise(self._voice.tts, text, made)
                cut = not made  # a sentence without a sound was not said
                break
            except ProviderError as error:
                if not await self._mouth.failed("tts", error, spoken=bool(made)) or made:
                    break
        if not cut:
            self._moments.spoken()
        self._mouth.close_sentence(self._reply, cut=cut)

    async def _synthesise(self, tts: TTS, text: str, made: list[int]) -> None:
        converter = Converter(tts.output_format(), self._mouth.carrier_format)
        heard = False
        stream = tts.synthesize(text)
        async with aclosing(first_within(stream, FIRST_BYTE_S, "the voice")) as chunks:
            with self._voice.meter.speech(tts, text, made):
                async for chunk in chunks:
                    if chunk and not heard:
                        heard = True
                        self._moments.voiced()
                    audio = converter.process(chunk)
                    if audio and not self._add(audio, made):
                        return
                    await self._mouth.room(self._reply)
        tail = converter.flush()
        if tail:
            self._add(tail, made)

    def _add(self, audio: bytes, made: list[int]) -> bool:
        """Add a piece of the open sentence; False when the reply was cancelled."""
        if self._after is not None:
            audio = self._after(audio)
            if not audio:
                return True
        made.append(len(audio))
        if self._moments.audio_ready():
            self._mouth.emit("audio_out", self._reply)
        self._mouth.emit("tts_chunk", audio)
        return self._mouth.add_audio(self._reply, audio)
