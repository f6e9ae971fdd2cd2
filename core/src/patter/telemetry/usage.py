"""What a call used of its providers, as attributes: each amount beside the name of who is owed it (OB-05)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from patter.telemetry import attributes as names

if TYPE_CHECKING:
    from patter.metrics.cost import BilledKind, CostLine

#: of each kind of provider, the attribute with its name
PROVIDERS: Final[Mapping[BilledKind, str]] = {
    "carrier": names.TELEPHONY_PROVIDER,
    "stt": names.STT_PROVIDER,
    "tts": names.TTS_PROVIDER,
    "llm": names.LLM_PROVIDER,
    "realtime": names.REALTIME_PROVIDER,
}


def usage_attributes(
    lines: Iterable[CostLine], providers: Mapping[BilledKind, str], media_s: float
) -> list[dict[str, names.Value]]:
    """The attributes of each provider, those of the providers of a call first.

    Args:
        lines: what was used, of each provider and model.
        providers: who took part, by kind; of one that was not used nothing is owed but the time of an engine.
        media_s: how long the media was up, in s: the time of an engine whose vendor counts tokens alone.
    """
    used: dict[tuple[BilledKind, str], dict[str, float]] = {
        (kind, name): {} for kind, name in providers.items() if name
    }
    for line in lines:
        units = used.setdefault((line.kind, line.provider), {})
        for part, quantity in line.units.items():
            units[part] = units.get(part, 0.0) + quantity
    return [
        {PROVIDERS[kind]: name, **_plain(_amounts(kind, units, media_s))}
        for (kind, name), units in used.items()
    ]


def _amounts(kind: BilledKind, units: Mapping[str, float], media_s: float) -> dict[str, float]:
    """Amounts by attribute; seconds, characters and tokens are those that are billed."""

    def of(*parts: str) -> float:
        return sum(units.get(part, 0.0) for part in parts)

    match kind:
        case "carrier":
            return {names.COST_TELEPHONY_MINUTES: of("call") / 60}
        case "stt":
            return {names.COST_STT_SECONDS: of("audio")}
        case "tts":
            return {names.COST_TTS_CHARS: of("characters")}
        case "llm":
            return {
                names.COST_LLM_INPUT_TOKENS: of("input", "cache_read", "cache_write"),
                names.COST_LLM_OUTPUT_TOKENS: of("output"),
            }
        case "realtime":
            return {names.COST_REALTIME_MINUTES: (of("session") or media_s) / 60}


def _plain(amounts: Mapping[str, float]) -> dict[str, names.Value]:
    """Characters and tokens are whole numbers."""
    whole = (names.COST_TTS_CHARS, names.COST_LLM_INPUT_TOKENS, names.COST_LLM_OUTPUT_TOKENS)
    return {key: round(amount) if key in whole else amount for key, amount in amounts.items()}
