"""Language models of OpenAI, and of servers that speak its chat completions protocol."""

from __future__ import annotations

from collections.abc import Iterable

from patter import LLMRecord, hookimpl


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
        )
    ]
