"""Providers that exist but may not be installed, so that an error can say what to install.

Written by hand. A row is about a distribution's name and promises nothing about what is published.
"""

from __future__ import annotations

from patter.records import ProviderKind

#: what people call each kind
TITLES: dict[ProviderKind, str] = {
    "carrier": "carrier",
    "stt": "STT",
    "tts": "TTS",
    "llm": "LLM",
    "realtime": "engine",
    "vad": "VAD",
    "noise_filter": "noise filter",
    "barge_in": "barge-in strategy",
}

_KINDS_OF_DISTRIBUTIONS: dict[str, dict[str, tuple[ProviderKind, ...]]] = {
    "patter-aic": {"aic": ("noise_filter",)},
    "patter-anthropic": {"anthropic": ("llm",)},
    "patter-assemblyai": {"assemblyai": ("stt",)},
    "patter-cartesia": {"cartesia": ("stt", "tts")},
    "patter-deepfilternet": {"deepfilternet": ("noise_filter",)},
    "patter-deepgram": {"deepgram": ("stt", "tts")},
    "patter-elevenlabs": {"elevenlabs": ("stt", "tts"), "elevenlabs-convai": ("realtime",)},
    "patter-espeak": {"espeak": ("tts",)},
    "patter-google": {"google": ("llm",), "gemini-live": ("realtime",)},
    "patter-inworld": {"inworld": ("tts",)},
    "patter-koala": {"koala": ("noise_filter",)},
    "patter-krisp": {"krisp": ("noise_filter",)},
    "patter-lmnt": {"lmnt": ("tts",)},
    "patter-min-words": {"min-words": ("barge_in",)},
    "patter-moonshine": {"moonshine": ("stt",)},
    "patter-noise-gate": {"noise-gate": ("noise_filter",)},
    "patter-openai": {"openai": ("llm", "stt", "tts"), "openai-realtime": ("realtime",)},
    "patter-parrot": {"parrot": ("realtime",)},
    "patter-plivo": {"plivo": ("carrier",)},
    "patter-rime": {"rime": ("tts",)},
    "patter-rnnoise": {"rnnoise": ("noise_filter",)},
    "patter-scripted": {"scripted": ("llm",)},
    "patter-silero": {"silero": ("vad",)},
    "patter-sip": {"sip": ("carrier",)},
    "patter-soniox": {"soniox": ("stt", "tts")},
    "patter-speechmatics": {"speechmatics": ("stt",)},
    "patter-stop-words": {"stop-words": ("barge_in",)},
    "patter-telnyx": {"telnyx": ("carrier", "stt", "tts")},
    "patter-twilio": {"twilio": ("carrier",)},
    "patter-ultravox": {"ultravox": ("realtime",)},
    "patter-vonage": {"vonage": ("carrier",)},
}

#: (kind, provider) -> distribution
KNOWN: dict[tuple[ProviderKind, str], str] = {
    (kind, provider): dist
    for dist, providers in _KINDS_OF_DISTRIBUTIONS.items()
    for provider, kinds in providers.items()
    for kind in kinds
}


def known_names(kind: ProviderKind) -> tuple[str, ...]:
    """The provider names of a kind that this table knows, sorted."""
    return tuple(sorted(name for one, name in KNOWN if one == kind))


def other_kinds(name: str) -> tuple[ProviderKind, ...]:
    """The kinds in which this table knows a provider of that name."""
    return tuple(kind for kind, provider in KNOWN if provider == name)
