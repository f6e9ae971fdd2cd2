"""Patter gives an AI agent a phone number.

The names below are the public surface; each is imported when it is first used, so that ``import patter`` costs
little more than pluggy does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from patter.agent import Agent as Agent
    from patter.call.call import Call as Call
    from patter.call_result import CallResult as CallResult
    from patter.client import Patter as Patter
    from patter.decisions import Accept as Accept
    from patter.decisions import Hangup as Hangup
    from patter.decisions import Reject as Reject
    from patter.decisions import Retry as Retry
    from patter.decisions import Switch as Switch
    from patter.errors import ConfigError as ConfigError
    from patter.errors import PatterError as PatterError
    from patter.errors import UnknownOptionError as UnknownOptionError
    from patter.markers import hookimpl as hookimpl
    from patter.providers.barge_in import BargeInEvent as BargeInEvent
    from patter.providers.barge_in import BargeInStrategy as BargeInStrategy
    from patter.providers.barge_in import Verdict as Verdict
    from patter.records import BargeInRecord as BargeInRecord
    from patter.records import CarrierRecord as CarrierRecord
    from patter.records import LLMRecord as LLMRecord
    from patter.records import NoiseFilterRecord as NoiseFilterRecord
    from patter.records import RealtimeRecord as RealtimeRecord
    from patter.records import STTRecord as STTRecord
    from patter.records import TTSRecord as TTSRecord
    from patter.records import VADRecord as VADRecord
    from patter.tools import Tool as Tool
    from patter.tools import tool as tool

_HOMES = {
    "Accept": "patter.decisions",
    "Agent": "patter.agent",
    "BargeInEvent": "patter.providers.barge_in",
    "BargeInRecord": "patter.records",
    "BargeInStrategy": "patter.providers.barge_in",
    "Call": "patter.call.call",
    "CallResult": "patter.call_result",
    "CarrierRecord": "patter.records",
    "ConfigError": "patter.errors",
    "Hangup": "patter.decisions",
    "LLMRecord": "patter.records",
    "NoiseFilterRecord": "patter.records",
    "Patter": "patter.client",
    "PatterError": "patter.errors",
    "RealtimeRecord": "patter.records",
    "Reject": "patter.decisions",
    "Retry": "patter.decisions",
    "STTRecord": "patter.records",
    "Switch": "patter.decisions",
    "TTSRecord": "patter.records",
    "Tool": "patter.tools",
    "UnknownOptionError": "patter.errors",
    "VADRecord": "patter.records",
    "Verdict": "patter.providers.barge_in",
    "hookimpl": "patter.markers",
    "tool": "patter.tools",
}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from patter.plugins._metadata import own_version

        return own_version()
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'patter' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
