"""What a response was billed, from the vendor's counts of tokens (CO-04). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from patter.providers.realtime import RealtimeUsage
from patter_google.live_messages import parts

_MOST_TOKENS: Final = 10**9


def usage_of(fields: Mapping[str, Any]) -> RealtimeUsage:
    """Tokens by kind; all that is no audio is text, thoughts too. Where no kinds are told, the tokens are audio."""
    heard_text, heard_audio = _by_kind(fields, "promptTokensDetails", "promptTokenCount")
    said_text, said_audio = _by_kind(fields, "responseTokensDetails", "responseTokenCount")
    cached = parts(fields, "cacheTokensDetails")
    cached_text, cached_audio = _split(cached)
    return RealtimeUsage(
        input_text=heard_text + _count(fields.get("toolUsePromptTokenCount")),
        input_audio=heard_audio,
        output_text=said_text + _count(fields.get("thoughtsTokenCount")),
        output_audio=said_audio,
        cached_text=cached_text if cached else None,
        cached_audio=cached_audio if cached else None,
        cached_total=0 if cached else _count(fields.get("cachedContentTokenCount")),
    )


def _by_kind(fields: Mapping[str, Any], details: str, total: str) -> tuple[int, int]:
    kinds = parts(fields, details)
    return _split(kinds) if kinds else (0, _count(fields.get(total)))


def _split(kinds: list[Mapping[str, Any]]) -> tuple[int, int]:
    audio = sum(_count(one.get("tokenCount")) for one in kinds if one.get("modality") == "AUDIO")
    return sum(_count(one.get("tokenCount")) for one in kinds) - audio, audio


def _count(value: object) -> int:
    counted = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS
    return value if counted and isinstance(value, int) else 0
