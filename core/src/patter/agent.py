"""The agent: who talks on a call, with which providers and under which rules. Immutable."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
)

from patter.errors import ConfigError
from patter.guardrails import Guardrail
from patter.mcp_servers import MCPServer, read_servers
from patter.messages import message_handler
from patter.options import check_names, explain, option
from patter.pipeline_hooks import PipelineHooks, check_pipeline_hooks
from patter.plugins import Scope
from patter.plugins.references import shown
from patter.redaction import redact
from patter.speech_text import check_transform
from patter.tools import Tool

logger = logging.getLogger(__name__)

#: options that say with whom the agent talks, rather than how
PROVIDER_OPTIONS: Final = frozenset(
    {"stt", "llm", "llm_fallbacks", "tts", "engine", "vad", "noise_filter", "barge_in_strategies"}
)
#: what an engine takes the place of
PIPELINE_OPTIONS: Final = ("stt", "llm", "on_message", "tts")

#: spoken when the language model failed and nothing else can answer (LM-04)
LLM_ERROR_MESSAGE = "I'm sorry, I'm having trouble answering right now. Could you say that again?"

#: asked of a caller who says nothing (TN-22)
IDLE_PROMPT = "Are you still there?"

PHONE_PREAMBLE = (
    "You are talking on the telephone. Answer in one to three short spoken sentences. "
    "Use no markdown, no lists and no emoji. Spell out numbers, dates and symbols as they are said."
)


class Agent(BaseModel):
    """One agent. Providers are references (``"deepgram/nova-3"``), records, configurations or ready factories.

    Raises `UnknownOptionError` for an option that does not exist and `ConfigError` for values that cannot work.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    system_prompt: str = option("You are a helpful assistant.", help="What the model is told about its role.")
    first_message: str = option(
        "", help="The greeting, spoken as soon as the call is connected; empty for none."
    )
    stt: Any = option(None, help="Speech recognition, for example deepgram/nova-3.", variable="PATTER_STT")
    llm: Any = option(None, help="Language model, for example openai/gpt-4.1-mini.", variable="PATTER_LLM")
    llm_fallbacks: tuple[Any, ...] = option(
        (), help="Language models that are asked, in this order, when llm fails before its first word."
    )
    on_message: Any = option(
        None,
        help="Answers the caller in place of llm: a function, or the http(s) or ws(s) URL of a server; see "
        "MessageWebhook.",
    )
    tts: Any = option(None, help="Voice, for example elevenlabs/eleven_flash_v2_5.", variable="PATTER_TTS")
    engine: Any = option(
        None,
        help="A realtime engine in place of stt and llm; a tts beside it greets when the engine does not.",
        variable="PATTER_ENGINE",
    )
    greeting_ack: Literal["proceed", "wait"] = option(
        "proceed",
        help="An engine is asked for first_message at once, or once it has acknowledged that nothing interrupts it.",
    )
    greeting_ack_timeout_ms: int = option(
        1500, help="That acknowledgement is waited for, and missed, after this.", unit="ms", ge=100, le=10_000
    )
    greeting_retries: int = option(
        2, help="How often an engine whose first_message failed is asked for it again.", ge=0, le=5
    )
    protocol_trace: bool = option(
        False, help="Tell each step of an engine's first_message as a protocol_trace event and in the log."
    )
    vad: Any = option(
        None,
        help="Voice activity detection; unset takes an installed one, False none.",
        variable="PATTER_VAD",
    )
    noise_filter: Any = option(None, help="A filter on the caller's audio, off by default.")
    language: str = option(
        "en", help="Language of the conversation, as a BCP 47 tag.", variable="PATTER_LANGUAGE"
    )
    tools: tuple[Tool, ...] = option((), help="Functions the model may call, made with @tool.")
    mcp_servers: tuple[MCPServer, ...] = option(
        (), help="MCP servers whose tools the model may call: URLs, or MCPServer for headers and limits."
    )
    prewarm: bool = option(True, help="Open and warm the providers while the phone rings, where they can be.")
    prewarm_first_message: bool = option(
        False, help="Make the greeting's audio while the phone rings; paid for also when nobody answers."
    )
    turn_end: Literal["auto", "stt", "vad", "manual"] = option(
        "auto", help="Who decides that the caller has finished: auto takes stt where the STT can, else vad."
    )
    min_silence_ms: int = option(
        400, help="Silence that ends the caller's turn when turn_end is vad.", unit="ms", ge=100, le=5000
    )
    barge_in_strategies: tuple[Any, ...] = option(
        (),
        help="Who decides whether the caller's speech interrupts: references, records or strategy objects.",
    )
    barge_in_mode: Literal["cancel", "confirm", "pause"] | None = option(
        None,
        help="cancel interrupts at the first speech; confirm once a strategy agrees; pause is silent until one does, "
        "and goes on if none does. Unset: confirm with strategies, else cancel.",
    )
    barge_in_confirm_ms: int = option(
        1500, help="An unconfirmed interruption is dropped after this.", unit="ms", ge=100, le=6000
    )
    echo_cancellation: bool = option(
        False,
        help="Takes the agent's own echo out of the caller's audio; it needs time to settle, so the barge-in gate "
        "opens after 1 s.",
    )
    high_pass_hz: float | None = option(
        None,
        help="Takes hum and rumble below this frequency out of the caller's audio; unset for none.",
        unit="Hz",
        ge=20,
        le=400,
    )
    gain_control: bool | float = option(
        False,
        help="Brings the caller's speech to one level: True to -26 dBFS, a number from -40 to -10 to that.",
        unit="dBFS",
    )
    disable_phone_preamble: bool = option(False, help="Leave out the rules for speaking on a telephone.")
    variables: Mapping[str, str] = option(
        default_factory=dict,
        validate_default=True,  # which makes it read-only
        help="Values for {placeholders} in system_prompt, first_message and idle_prompt.",
    )
    report_only_initial_ttfb: bool = option(
        False, help="llm_metrics and tts_metrics come once in a turn, not for each request and sentence."
    )
    max_history: int = option(
        200, help="Entries of the conversation that the model is sent.", unit="entries", ge=2
    )
    llm_error_message: str = option(
        LLM_ERROR_MESSAGE, help="Spoken once when no model can answer; empty for none."
    )
    long_turn_message: str = option(
        "", help="Spoken once in a turn whose answer takes long to begin; empty for none."
    )
    long_turn_message_after_s: float = option(
        4.0, help="So long without a word of the answer is long.", unit="s", gt=0, le=60
    )
    aggressive_first_flush: bool = option(
        False, help="The first chunk of a reply may end at a comma, for an earlier first word."
    )
    idle_prompt_s: float | None = option(
        None, help="Silence of both sides after which the agent says idle_prompt.", unit="s", ge=1, le=3600
    )
    idle_prompt: str = option(IDLE_PROMPT, help="What the agent asks a silent caller, once for each silence.")
    idle_hangup_s: float | None = option(
        None,
        help="Silence of both sides after which the call is hung up; idle_prompt does not interrupt its count.",
        unit="s",
        ge=1,
        le=3600,
    )
    pipeline: PipelineHooks | None = option(
        None, help="An object whose methods touch audio and text on their way through each call."
    )
    guardrails: tuple[Guardrail, ...] = option(
        (), help="What must not be said, and what is said instead; the first that blocks a sentence decides."
    )
    text_transforms: tuple[Callable[[str], str], ...] = option(
        (), help="Plain functions that each sentence passes before it is spoken, such as filter_for_tts."
    )
    transfer_allowed_numbers: tuple[str, ...] | None = option(
        None, help="Numbers the call may be transferred to; unset allows all, empty none."
    )
    transfer_allowed_prefixes: tuple[str, ...] | None = option(
        None, help="Number prefixes the call may be transferred to; unset allows all, empty none."
    )

    _plugins: list[Any] = PrivateAttr(default_factory=list)
    _scope: Scope = PrivateAttr(default_factory=lambda: Scope("agent"))

    def __init__(self, /, **options: Any) -> None:
        check_names(type(self), options, "Agent")
        if options.get("engine") is not None:
            _leave_out_the_pipeline(options)
        if options.get("llm") is not None and options.get("on_message") is not None:
            raise ConfigError(
                "Agent: llm and on_message would both answer the caller: set one of them (LM-05)"
            )
        try:
            super().__init__(**options)
        except ValidationError as error:
            raise explain(error, "Agent") from None

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """What was set, fit for a log: of references no settings, one of which may be a key by mistake (SC-08)."""
        for name in type(self).model_fields:
            if name in self.model_fields_set:
                yield name, _fit_to_show(getattr(self, name), is_provider=name in PROVIDER_OPTIONS)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in type(self).model_fields:
            raise ConfigError(
                f"Agent: {name} is frozen: an agent does not change; agent.changed({name}=...) makes another one"
            )
        super().__setattr__(name, value)

    @field_validator("idle_hangup_s")
    @classmethod
    def _asked_before_hung_up(cls, value: float | None, info: ValidationInfo) -> float | None:
        asked = info.data.get("idle_prompt_s")
        if value is not None and asked is not None and value <= asked:
            raise ValueError(f"must be more than idle_prompt_s, which is {asked:g} s")
        return value

    @field_validator("on_message")
    @classmethod
    def _can_answer(cls, value: Any) -> Any:
        return None if value is None else message_handler(value)

    @field_validator("gain_control")
    @classmethod
    def _level_of_speech(cls, value: bool | float) -> bool | float:
        if isinstance(value, bool) or -40 <= value <= -10:
            return value
        raise ValueError(f"a level is from -40 to -10 dBFS, not {value:g}")

    @field_validator("pipeline")
    @classmethod
    def _callable_where_it_stands(cls, value: PipelineHooks | None) -> PipelineHooks | None:
        if value is not None:
            check_pipeline_hooks(value)
        return value

    @field_validator("text_transforms")
    @classmethod
    def _plain_functions(cls, value: tuple[Callable[[str], str], ...]) -> tuple[Callable[[str], str], ...]:
        for transform in value:
            check_transform(transform)
        return value

    @field_validator("barge_in_strategies", "guardrails", "text_transforms", "llm_fallbacks", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        """One reference, record or object stands for a sequence of one (BI-08)."""
        if value is None:
            return ()
        return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)

    @field_validator("mcp_servers", mode="before")
    @classmethod
    def _servers_or_urls(cls, value: Any) -> Any:
        return read_servers(value)

    @field_validator("variables", mode="before")
    @classmethod
    def _numbers_are_texts(cls, value: Any) -> Any:
        """A number may stand for its text."""
        if not isinstance(value, Mapping):
            return value
        return {name: str(one) if isinstance(one, int | float) else one for name, one in value.items()}

    @field_validator("variables")
    @classmethod
    def _read_only(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        return MappingProxyType(dict(value))

    @field_serializer("variables")
    def _plain(self, value: Mapping[str, str]) -> dict[str, str]:
        return dict(value)

    def changed(self, **options: Any) -> Agent:
        """This agent with other options; objects among the options are shared, not copied, and so are its plugins.

        Raises `UnknownOptionError` and `ConfigError`.
        """
        explicit = {name: getattr(self, name) for name in self.model_fields_set}
        agent = Agent(**{**explicit, **options})
        agent._plugins, agent._scope = self._plugins, self._scope
        return agent

    @property
    def mode(self) -> Literal["pipeline", "realtime", "unset"]:
        """How this agent talks; "unset" leaves the choice to the installed engines (CF-02)."""
        if self.engine is not None:
            return "realtime"
        return "pipeline" if any(getattr(self, name) for name in PIPELINE_OPTIONS) else "unset"

    @property
    def effective_barge_in_mode(self) -> Literal["cancel", "confirm", "pause"]:
        """The mode in force: `confirm` with strategies, else `cancel`, unless one is set (BI-08); `pause` on request."""
        return self.barge_in_mode or ("confirm" if self.barge_in_strategies else "cancel")

    def register(self, plugin: Any) -> Any:
        """Add a plugin whose A hooks act in all calls of this agent; returns it. Raises `PluginValidationError`."""
        self._scope.register(plugin)
        self._plugins.append(plugin)
        return plugin

    @property
    def scope(self) -> Scope:
        """Where the hooks of its plugins are found."""
        return self._scope

    @property
    def plugins(self) -> tuple[Any, ...]:
        """What was registered."""
        return tuple(self._plugins)


def _fit_to_show(value: Any, *, is_provider: bool) -> Any:
    """A value as `repr` may have it; the `repr` of an object that stands for a provider may show anything."""
    if isinstance(value, str):
        return shown(value) if is_provider else redact(value)
    if isinstance(value, tuple):
        return tuple(_fit_to_show(one, is_provider=is_provider) for one in value)
    if isinstance(value, Mapping):
        return {name: redact(one) for name, one in value.items()}
    return value if value is None or isinstance(value, bool | int | float) else type(value).__name__


def _leave_out_the_pipeline(options: dict[str, Any]) -> None:
    """An engine hears, thinks and speaks by itself: what a pipeline would do it with is ignored, aloud (CF-02)."""
    ignored = [name for name in PIPELINE_OPTIONS if name != "tts" and options.get(name) is not None]
    for name in ignored:
        del options[name]
    if ignored:
        logger.warning(
            "Agent: %s is ignored, because engine is set", " and ".join(f"{name}=" for name in ignored)
        )
