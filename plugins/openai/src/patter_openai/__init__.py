"""OpenAI: language models, also of servers that speak the same protocol, and the speech-to-speech engine."""

from __future__ import annotations

from collections.abc import Iterable

from patter import LLMRecord, RealtimeRecord, hookimpl


@hookimpl
def patter_register_llm() -> Iterable[LLMRecord]:
    """The language model ``openai``."""
    return [
        LLMRecord(
            "openai",
            "patter_openai.chat:OpenAIChat",
            config="patter_openai.config:OpenAIChatConfig",
            env={"api_key": "OPENAI_API_KEY", "base_url": "OPENAI_BASE_URL"},
            description="OpenAI and compatible servers: Groq, Cerebras, Ollama, vLLM",
            prices="patter_openai:prices.json",
        )
    ]


@hookimpl
def patter_register_realtime() -> Iterable[RealtimeRecord]:
    """The engine ``openai-realtime``."""
    return [
        RealtimeRecord(
            "openai-realtime",
            "patter_openai.realtime:OpenAIRealtime",
            config="patter_openai.realtime_config:OpenAIRealtimeConfig",
            env={"api_key": "OPENAI_API_KEY", "base_url": "OPENAI_BASE_URL"},
            description="OpenAI's Realtime API: one model hears and speaks",
            prices="patter_openai:prices.json",
            turn_events=True,
            client_interrupt=True,
            truncate=True,
            reconnect=True,
            ack=True,
            simulator="patter_openai.realtime_simulator.listener:listener",
        )
    ]
