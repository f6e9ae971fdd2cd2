"""Scripted dialogue from a YAML file, without a model."""

from __future__ import annotations

from collections.abc import Iterable

from patter import LLMRecord, hookimpl


@hookimpl
def patter_register_llm() -> Iterable[LLMRecord]:
    """The language model ``scripted``, which is none."""
    return [
        LLMRecord(
            "scripted",
            "patter_scripted.responder:ScriptedLLM",
            config="patter_scripted.config:ScriptedConfig",
            prices="free",
            description="Dialogue rules from a YAML file: intents, slots and tools, without a model",
        )
    ]
