"""The Moonshine model. It is loaded, used and released in one thread only, `patter_moonshine.worker`'s.

Measured: a `Transcriber` that two threads use returns text of freed memory. Nothing else may import this module's
vendor package, and nothing at all its parts that need a sound card (`mic_transcriber`, `tts`, `dialog_flow`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from patter.audio.formats import PCM16_16K, AudioFormat
from patter.audio.g711 import decode
from patter.audio.resample import Resampler
from patter.errors import ConfigError, ProviderError

INSTALL = "pip install moonshine-voice==0.1.0"
MODEL = "tiny-en"
MODEL_FILES = ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin")
_FULL_SCALE = np.float32(32768.0)

_OPTIONS = {
    # The segments come cut to the call's VAD. The library's own VAD would cut them again, and make a line of the
    # padding before the speech: measured, a leading "You" in every second utterance and twice the word errors.
    "vad_threshold": "0",
    # The library would copy the audio into a Python list with each line.
    "return_audio_data": "false",
}


class Model:
    """One `Transcriber`."""

    def __init__(self) -> None:
        """Import the library and load the model (0.6 s). Raises `ConfigError` if either is missing."""
        try:
            from moonshine_voice.transcriber import ModelArch, Transcriber
            from moonshine_voice.utils import get_model_path
        except (ImportError, OSError) as error:
            raise ConfigError(
                f"moonshine-voice is not installed or does not load ({error}): {INSTALL}"
            ) from error
        folder = Path(get_model_path(MODEL))
        missing = [name for name in MODEL_FILES if not (folder / name).is_file()]
        if missing:
            raise ConfigError(
                f"this moonshine-voice lacks its model ({', '.join(missing)}); 0.1.0 is the last one that carries it: "
                f"{INSTALL}"
            )
        try:
            self._transcriber: Any = Transcriber(str(folder), ModelArch.TINY, options=_OPTIONS)
        except Exception as error:  # the library raises types of its own
            raise ConfigError(f"the Moonshine model does not load ({error}): {INSTALL}") from error

    def text_of(self, audio: bytes, audio_format: AudioFormat) -> str:
        """What is said in `audio`, as the engine writes it. Blocks: about 40 ms per second of audio.

        A segment may come back as several lines, some with a leading space, some empty: they are stripped and joined.
        Raises `ProviderError`.
        """
        samples = decode(audio, audio_format.encoding)
        if audio_format.rate != PCM16_16K.rate:
            resampler = Resampler(audio_format.rate, PCM16_16K.rate)
            samples = np.concatenate((resampler.process(samples), resampler.flush()))
        if samples.size == 0:
            return ""
        try:
            # A list, because the library unpacks its argument: twice as fast as from an array.
            scaled = (samples.astype(np.float32) / _FULL_SCALE).tolist()
            transcript = self._transcriber.transcribe_without_streaming(scaled, PCM16_16K.rate)
        except Exception as error:
            raise ProviderError(f"Moonshine failed on a segment: {error}", provider="moonshine") from error
        # New strings, made before the next segment overwrites what the library points to.
        lines = [str(line.text).strip() for line in transcript.lines]
        return " ".join(line for line in lines if line)

    def close(self) -> None:
        """Free the model's memory. Idempotent."""
        self._transcriber.close()
