# SPDX-License-Identifier: GPL-3.0-or-later
"""Speech from espeak-ng, in process: no key, no network, no temporary file."""

from __future__ import annotations

from collections.abc import Iterable

from patter import TTSRecord, hookimpl


@hookimpl
def patter_register_tts() -> Iterable[TTSRecord]:
    """One voice engine for all calls; the engine is loaded when a call first needs it."""
    return [
        TTSRecord(
            "espeak",
            "patter_espeak.voice:EspeakTTS",
            config="patter_espeak.config:EspeakConfig",
            prices="free",
            description="espeak-ng in process: every language, no key, robotic",
        )
    ]
