"""Names of the attributes that spans carry, and which values they may have.

Those that begin with ``gen_ai.`` are the semantic conventions of OpenTelemetry for generative AI.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Value = str | bool | int | float

CALL_ID: Final = "patter.call_id"
SIDE: Final = "patter.side"
DIRECTION: Final = "patter.direction"
OUTCOME: Final = "patter.outcome"

COST_TELEPHONY_MINUTES: Final = "patter.cost.telephony_minutes"
COST_STT_SECONDS: Final = "patter.cost.stt_seconds"
COST_TTS_CHARS: Final = "patter.cost.tts_chars"
COST_LLM_INPUT_TOKENS: Final = "patter.cost.llm_input_tokens"
COST_LLM_OUTPUT_TOKENS: Final = "patter.cost.llm_output_tokens"
COST_REALTIME_MINUTES: Final = "patter.cost.realtime_minutes"

TELEPHONY_PROVIDER: Final = "patter.telephony.provider"
STT_PROVIDER: Final = "patter.stt.provider"
TTS_PROVIDER: Final = "patter.tts.provider"
LLM_PROVIDER: Final = "patter.llm.provider"
REALTIME_PROVIDER: Final = "patter.realtime.provider"

TURN: Final = "patter.turn.number"
TTFB_MS: Final = "patter.latency.ttfb_ms"
TURN_MS: Final = "patter.latency.turn_ms"

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
CONVERSATION: Final = "gen_ai.conversation.id"
MODEL: Final = "gen_ai.request.model"
STREAMED: Final = "gen_ai.request.stream"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
TOKEN_TYPE: Final = "gen_ai.token.type"
FIRST_CHUNK_S: Final = "gen_ai.response.time_to_first_chunk"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_TYPE: Final = "gen_ai.tool.type"

#: personal data stand only under keys with this segment
PERSONAL: Final = "pii"


def allowed(attributes: Mapping[str, object], *, personal_data: bool) -> dict[str, Value]:
    """The attributes that may be recorded: plain values that say something, personal ones only where they are wanted."""
    return {
        key: value
        for key, value in attributes.items()
        if isinstance(value, Value) and value != "" and (personal_data or PERSONAL not in key.split("."))
    }
