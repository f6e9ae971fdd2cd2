"""An agent whose voice is tones, for machines without a voice: ``patter demo --agent demo_tone_agent:agent``."""

from __future__ import annotations

from collections.abc import AsyncIterator

from demo_sounds import silence, tone

from patter import TTSRecord
from patter.audio import MULAW_8K, AudioFormat
from patter.providers.tts import TTS
from patter_demo.agents import demo_agent


class ToneVoice(TTS):
    """A tone for every word, about as long as the word takes to say."""

    def output_format(self) -> AudioFormat:
        return MULAW_8K

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        for word in text.split():
            yield tone(40 + 50 * len(word)) + silence(40)

    async def close(self) -> None:
        """Nothing is open."""


agent = demo_agent().model_copy(update={"tts": TTSRecord("tone", ToneVoice)})

#: answers nothing: it has no language model
mute = agent.model_copy(update={"llm": None})
