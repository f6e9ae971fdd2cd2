"""Patter gives an AI agent a phone number.

The names below are the public surface; each is imported when it is first used, so that ``import patter`` costs
little more than pluggy does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from patter.lazy_exports import lazy_exports
from patter.log_lines import guard_log_records

if TYPE_CHECKING:
    from patter._version import __version__ as __version__
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
    from patter.guardrails import Guardrail as Guardrail
    from patter.markers import hookimpl as hookimpl
    from patter.mcp_servers import MCPServer as MCPServer
    from patter.messages import CallerMessage as CallerMessage
    from patter.messages import MessageWebhook as MessageWebhook
    from patter.metrics.cost import CallCost as CallCost
    from patter.metrics.cost import CostLine as CostLine
    from patter.pipeline_hooks import PipelineContext as PipelineContext
    from patter.pipeline_hooks import PipelineHooks as PipelineHooks
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
    from patter.speech_text import filter_emoji as filter_emoji
    from patter.speech_text import filter_for_tts as filter_for_tts
    from patter.speech_text import filter_markdown as filter_markdown
    from patter.tools import Tool as Tool
    from patter.tools import tool as tool

_HOMES = {
    "Accept": "patter.decisions",
    "Agent": "patter.agent",
    "BargeInEvent": "patter.providers.barge_in",
    "BargeInRecord": "patter.records",
    "BargeInStrategy": "patter.providers.barge_in",
    "Call": "patter.call.call",
    "CallCost": "patter.metrics.cost",
    "CallResult": "patter.call_result",
    "CallerMessage": "patter.messages",
    "CarrierRecord": "patter.records",
    "ConfigError": "patter.errors",
    "CostLine": "patter.metrics.cost",
    "Guardrail": "patter.guardrails",
    "Hangup": "patter.decisions",
    "LLMRecord": "patter.records",
    "MCPServer": "patter.mcp_servers",
    "MessageWebhook": "patter.messages",
    "NoiseFilterRecord": "patter.records",
    "Patter": "patter.client",
    "PatterError": "patter.errors",
    "PipelineContext": "patter.pipeline_hooks",
    "PipelineHooks": "patter.pipeline_hooks",
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
    "__version__": "patter._version",
    "filter_emoji": "patter.speech_text",
    "filter_for_tts": "patter.speech_text",
    "filter_markdown": "patter.speech_text",
    "hookimpl": "patter.markers",
    "tool": "patter.tools",
}

__all__ = sorted(_HOMES)

if not TYPE_CHECKING:  # so that a type checker still knows a wrong name
    __getattr__, __dir__ = lazy_exports(__name__, _HOMES)

guard_log_records()
