"""The callbacks that an application gives a phone: keywords of `Patter(...)`, called for every call of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from patter.errors import ConfigError

if TYPE_CHECKING:
    from patter.call.call import Call
    from patter.call.types import CallSummary

#: `(call)`; what it returns, plain or awaited, is None or a mapping of options for this call
OnCallStart = Callable[["Call"], Any]
#: `(call, summary)`
OnCallEnd = Callable[["Call", "CallSummary"], Any]
#: `(call, data)`, the data being that of the event, None where it has none
OnEvent = Callable[["Call", Any], Any]

#: the event on which each callback that observes rests (MX-10)
OBSERVED = {
    "on_user_speech_started": "user_speech_started",
    "on_user_speech_ended": "user_speech_ended",
    "on_user_speech_eos": "user_speech_eos",
    "on_agent_speech_started": "agent_speech_started",
    "on_agent_speech_ended": "agent_speech_ended",
    "on_llm_token": "llm_token",
    "on_audio_out": "audio_out",
}


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What an application wants to be called for. Each may be a plain function or ``async def``.

    `on_call_start(call)` is called once when the media of a call is up, before its providers are built; a mapping
    that it returns changes the agent for this call (TN-19). `on_call_end(call, summary)` is called once for each call
    that had `on_call_start`, as the last callback of the call (LC-06). The others observe the call's event stream and
    get `(call, data)`.
    """

    on_call_start: OnCallStart | None = None
    on_call_end: OnCallEnd | None = None
    on_user_speech_started: OnEvent | None = None
    on_user_speech_ended: OnEvent | None = None
    on_user_speech_eos: OnEvent | None = None
    on_agent_speech_started: OnEvent | None = None
    on_agent_speech_ended: OnEvent | None = None
    on_llm_token: OnEvent | None = None
    on_audio_out: OnEvent | None = None

    @classmethod
    def taken_from(cls, options: Mapping[str, Any]) -> tuple[Self, dict[str, Any]]:
        """The callbacks among keywords, and the other keywords. Raises `ConfigError` for what cannot be called."""
        names = {field.name for field in fields(cls)}
        given = {name: value for name, value in options.items() if name in names}
        for name, value in given.items():
            if value is not None and not callable(value):
                raise ConfigError(f"Patter: {name} must be a function, not a {type(value).__name__}")
        return cls(**given), {name: value for name, value in options.items() if name not in names}

    def observers(self) -> Iterator[tuple[str, OnEvent]]:
        """The events that are to be observed, each with its callback."""
        for name, event in OBSERVED.items():
            callback = getattr(self, name)
            if callback is not None:
                yield event, callback

    def observe(self, call: Call) -> None:
        """Subscribe the observing callbacks to a call's events; before anything of the call is emitted."""
        for event, callback in self.observers():
            call.on(event, partial(callback, call))
