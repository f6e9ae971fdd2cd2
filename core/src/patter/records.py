"""The records that plugins return from their registration hooks.

A record is data: a name, where to find the class (`"module:Attribute"`, imported when a call first needs it, or the
class itself), where to find its configuration class, and what the provider can do. Returning a record imports no
vendor SDK and opens nothing.

How core makes a provider from a record:

- with `config`: ``factory(config, context)``, `config` being a validated instance of that class and `context` a
  `patter.providers.context.ProviderContext`;
- without: ``factory(**parameters)``, the parameters of the reference (``stop-words?words=stop,wait``) coerced by the
  factory's own signature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal

ProviderKind = Literal["carrier", "stt", "tts", "llm", "realtime", "vad", "noise_filter", "barge_in"]
Factory = str | Callable[..., Any]
#: in the place of a price list: using the provider costs nothing, as on one's own machine
FREE: Final = "free"


@dataclass(frozen=True, slots=True)
class Record:
    """What every record has.

    `env` maps a field of the configuration to the environment variable that fills it when nothing else does. `prices`
    is the price list of a provider that is paid by use, as ``"package:prices.json"``, or `FREE`; it is read when a cost
    is computed. Without one its use is counted and costs 0 (CO-01). Its `name` is also the key that costs go by.
    """

    kind: ClassVar[ProviderKind]

    name: str
    factory: Factory
    config: str | type | None = field(default=None, kw_only=True)
    env: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    aliases: tuple[str, ...] = field(default=(), kw_only=True)
    description: str = field(default="", kw_only=True)
    prices: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class CarrierRecord(Record):
    """A telephone carrier. Core asks these flags and never the carrier's name (CC-18).

    `stream` is the encoding and rate (Hz) of its media where all calls have the same, such as ``("mulaw", 8000)``:
    with it a call's providers can be made and warmed while the phone rings. `dtmf_out` says that it presses keys itself;
    for the others core plays their tones into the media. `billing_increment_s`: calls are billed in whole steps of so
    many seconds (CO-03). `reports_bill`: what it billed for a call can be asked for (CO-08).
    """

    kind: ClassVar[ProviderKind] = "carrier"

    marks: bool = field(default=False, kw_only=True)
    clear: bool = field(default=False, kw_only=True)
    dtmf_out: bool = field(default=False, kw_only=True)
    transfers: tuple[Literal["cold", "warm"], ...] = field(default=(), kw_only=True)
    recording: bool = field(default=False, kw_only=True)
    machine_detection: bool = field(default=False, kw_only=True)
    sip: bool = field(default=False, kw_only=True)
    speaks: bool = field(default=False, kw_only=True)
    stream: tuple[str, int] | None = field(default=None, kw_only=True)
    default_ring_s: float = field(default=60.0, kw_only=True)
    billing_increment_s: int = field(default=1, kw_only=True)
    reports_bill: bool = field(default=False, kw_only=True)
    simulator: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class STTRecord(Record):
    """Speech recognition.

    `endpoints` says that it closes utterances by itself (TN-21), `reconnects` that it makes a lost connection anew by
    itself; for the others core does (SP-02). `reports_bill`: what it billed for a call can be asked for (CO-08).
    """

    kind: ClassVar[ProviderKind] = "stt"

    endpoints: bool = field(default=False, kw_only=True)
    interims: bool = field(default=False, kw_only=True)
    word_times: bool = field(default=False, kw_only=True)
    reconnects: bool = field(default=False, kw_only=True)
    reports_bill: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class TTSRecord(Record):
    """Speech synthesis."""

    kind: ClassVar[ProviderKind] = "tts"

    word_times: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class LLMRecord(Record):
    """A language model."""

    kind: ClassVar[ProviderKind] = "llm"

    tools: bool = field(default=True, kw_only=True)


@dataclass(frozen=True, slots=True)
class RealtimeRecord(Record):
    """A speech-to-speech engine (RT-15).

    `turn_events`: it tells when the caller's speech begins and ends. `client_interrupt`: responses can be asked for and
    cancelled. `native_greeting`: it protects its first message by itself (RT-23). `truncate`: its conversation can be
    cut to what was heard, and added to. `reconnect`: a lost session can be made anew with its history. `ack`: it
    acknowledges settings, so that its turn detection can be guarded and restored. `default`: chosen when an agent names
    no provider (CF-02). `simulator`: a server of the vendor's protocol on loopback which answers whoever speaks, as
    ``"module:function"``: called without arguments, it makes an asynchronous context manager of the settings that lead
    to it, such as `base_url` and a key, which is what the conformance kit calls a `server`.
    """

    kind: ClassVar[ProviderKind] = "realtime"

    turn_events: bool = field(default=False, kw_only=True)
    client_interrupt: bool = field(default=False, kw_only=True)
    native_greeting: bool = field(default=False, kw_only=True)
    truncate: bool = field(default=False, kw_only=True)
    reconnect: bool = field(default=False, kw_only=True)
    ack: bool = field(default=False, kw_only=True)
    default: bool = field(default=False, kw_only=True)
    simulator: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class VADRecord(Record):
    """Voice activity detection: simple, or batched with one model per process (SP-13).

    `phone_preset` holds configuration values used when the detector is chosen by core, not by the user (SP-16).
    """

    kind: ClassVar[ProviderKind] = "vad"

    batch: bool = field(default=False, kw_only=True)
    phone_preset: Mapping[str, Any] = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True, slots=True)
class NoiseFilterRecord(Record):
    """A filter on the caller's audio, before the VAD."""

    kind: ClassVar[ProviderKind] = "noise_filter"


@dataclass(frozen=True, slots=True)
class BargeInRecord(Record):
    """A strategy that decides whether the caller's speech interrupts the agent."""

    kind: ClassVar[ProviderKind] = "barge_in"


RECORD_TYPES: tuple[type[Record], ...] = (
    CarrierRecord,
    STTRecord,
    TTSRecord,
    LLMRecord,
    RealtimeRecord,
    VADRecord,
    NoiseFilterRecord,
    BargeInRecord,
)
PROVIDER_KINDS: tuple[ProviderKind, ...] = tuple(record.kind for record in RECORD_TYPES)
