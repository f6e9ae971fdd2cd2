"""What core hands to a provider's factory beside its configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.environment import Environment

T = TypeVar("T")


class SharedObjects(Protocol):
    """Objects that live as long as the `Patter` that made them: a model, a pooled client, a worker thread.

    They may hold no state of a call (LC-04). Each is made at most once per key and closed when the phone disconnects.
    """

    def get(self, key: str, make: Callable[[], T]) -> T:
        """The object of that key, made now if it is not there yet.

        An object with `close()` (plain or async) is closed at disconnect, in reverse order of making. Prefix the key
        with the plugin's name.
        """


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """The surroundings of one provider object.

    `call_id` is None for objects that belong to no call (a carrier, a process-wide model). `carrier_format` is the
    audio encoding of the call's carrier, so that a vendor that can speak it natively may choose it (SP-03).
    """

    environment: Environment
    shared: SharedObjects
    call_id: str | None = None
    carrier_format: AudioFormat | None = None
    language: str = "en"
