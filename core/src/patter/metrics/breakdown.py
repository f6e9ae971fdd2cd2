"""Where the time of one turn went: parts that follow each other and add up to the whole.

The whole begins with the caller's last sound, or, for what the agent says of its own account, with its decision to say
it; it ends with the first audio of the agent that was sent, or where the turn ended before that.

Each part ends with a moment. One that never came, or that lies outside (a model may be asked while a message already
sounds), takes no time; what is left of a turn that was given up belongs to the part in which it stood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from patter.metrics.turns import TurnTimes

PartName = Literal[
    "endpointing",
    "stt",
    "hooks",
    "tools",
    "llm_first_token",
    "first_sentence",
    "tts_first_byte",
    "conversion",
    "pacing",
]
#: the parts in the order in which they are shown
PARTS: tuple[PartName, ...] = get_args(PartName)

Moments = tuple[tuple[PartName, float | None], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One part: how long it took, who took it, and what moves it.

    Attributes:
        name: one of `PARTS`.
        ms: its length.
        provider: the reference of the provider whose time it is; "" where it is the agent's own or Patter's.
        setting: the option, or what else an application can change to make it shorter.
    """

    name: PartName
    ms: float
    provider: str = ""
    setting: str = ""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The parts of one turn, in `PARTS`' order; they add up to `total_ms`, give or take the rounding to 0.1 ms.

    `heard`: the turn came to sound. Otherwise the last part is the one in which it was given up.
    """

    parts: tuple[Part, ...] = ()
    total_ms: float = 0.0
    heard: bool = False

    def ms(self, name: PartName) -> float:
        """The length of one part."""
        return sum(part.ms for part in self.parts if part.name == name)

    @property
    def longest(self) -> Part | None:
        """The part that took most; None for a turn that took no time."""
        longest = max(self.parts, key=lambda part: part.ms, default=None)
        return longest if longest is not None and longest.ms else None

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "total_ms": self.total_ms,
            "heard": self.heard,
            "parts": [
                {"name": part.name, "ms": part.ms, "provider": part.provider, "setting": part.setting}
                for part in self.parts
            ],
        }


@dataclass(frozen=True, slots=True)
class Settings:
    """Of each part the provider's reference and the setting, as (reference, setting).

    `silence_s`: how long the VAD hears silence before it reports the end of speech.
    """

    parts: Mapping[PartName, tuple[str, str]] = field(default_factory=dict)
    silence_s: float = 0.0

    def of(self, name: PartName) -> tuple[str, str]:
        """Reference and setting of one part."""
        return self.parts.get(name, ("", ""))


def breakdown(times: TurnTimes, settings: Settings) -> Breakdown:
    """The breakdown of a turn that is over."""
    silence_s = settings.silence_s if times.caller is not None and _ended_by_vad(times) else 0.0
    began = times.base - silence_s
    ended = times.first_audio_sent if times.first_audio_sent is not None else times.ended
    lengths: dict[PartName, float] = dict.fromkeys(PARTS, 0.0)
    at = began
    for name, moment in _in_order(_moments(times), ended):
        lengths[name] += max(0.0, moment - at)
        at = max(at, moment)
    parts = tuple(Part(name, round(lengths[name] * 1000, 1), *settings.of(name)) for name in PARTS)
    return Breakdown(parts, round(max(0.0, ended - began) * 1000, 1), times.first_audio_sent is not None)


def _ended_by_vad(times: TurnTimes) -> bool:
    caller = times.caller
    return (
        caller is not None and caller.vad_stopped is not None and caller.end_of_speech == caller.vad_stopped
    )


def _in_order(moments: Moments, ended: float) -> list[tuple[PartName, float]]:
    """The moments that came, none after the next one, and the end of the part in which the turn was given up."""
    latest = ended
    found: list[tuple[PartName, float]] = []
    stood_in = moments[-1][0]
    for name, moment in reversed(moments):
        if moment is None:
            stood_in = name if not found else stood_in
            continue
        latest = min(latest, moment)
        found.append((name, latest))
    return [*reversed(found), (stood_in, ended)]


def _moments(times: TurnTimes) -> Moments:
    """The parts on the way to the first audio, each with the moment at which it ended; some parts come twice."""
    caller = times.caller
    return (
        ("endpointing", times.base),
        ("stt", None if caller is None else caller.stt_complete),
        ("endpointing", times.committed),
        ("hooks", times.llm_request),
        ("tools", times.answering_request),
        ("llm_first_token", times.first_token),
        ("first_sentence", times.first_sentence),
        ("hooks", times.tts_request),
        ("tts_first_byte", times.tts_first_byte),
        ("conversion", times.first_audio),
        ("pacing", times.first_audio_sent),
    )
