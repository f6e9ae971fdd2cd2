"""The settings of a phone, and where they come from: explicit, then `patter.toml`, then the environment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from patter.errors import ConfigError
from patter.options import check_names, explain, from_environment, option

if TYPE_CHECKING:
    from patter.agent import Agent

#: the variable that names a settings file
CONFIG_VARIABLE = "PATTER_CONFIG"
#: longest settings file, in bytes; a reader of TOML can take the square of its size
LARGEST_FILE = 64 * 1024
UNAVAILABLE = "We are sorry, nobody can take your call at the moment. Please try again later."


class PhoneSettings(BaseModel):
    """What one `Patter` is set to."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    phone_number: str | None = option(
        None,
        help="The number this phone has, in E.164; calls go out from it.",
        variable="PATTER_PHONE_NUMBER",
    )
    webhook_url: str | None = option(
        None,
        help="Public https address under which the carrier reaches this server.",
        variable="PATTER_WEBHOOK_URL",
    )
    host: str = option("127.0.0.1", help="Address to listen on.", variable="PATTER_BIND_HOST")
    port: int = option(8000, help="Port to listen on.", variable="PATTER_PORT", ge=0, le=65535)
    max_calls: int = option(
        200,
        help="Calls at a time; further ones are refused.",
        unit="calls",
        variable="PATTER_MAX_CALLS",
        ge=1,
    )
    max_call_s: float = option(
        3600.0, help="A longer call is hung up.", unit="s", variable="PATTER_MAX_CALL_S", gt=0
    )
    media_timeout_s: float = option(
        10.0, help="An answered call without media for this long has failed.", unit="s", gt=0
    )
    recording: bool = option(
        False,
        help="Have the carrier record every answered call.",
        variable="PATTER_RECORDING",
    )
    trace_personal_data: bool = option(
        False,
        help="Have traces carry numbers, transcripts and what tools are given, in attributes with a pii segment.",
        variable="PATTER_OTEL_PII",
    )
    prices: Mapping[str, Any] = option(
        default_factory=dict,
        help="Your own prices in USD by kind and provider, such as {'llm': {'openai': {'models': {...}}}}; they are laid "
        "over those that the plugins ship.",
    )
    unavailable_message: str = option(
        UNAVAILABLE,
        help="Spoken when a call is refused or cannot be set up; empty to hang up without a word.",
    )

    def __init__(self, /, **values: Any) -> None:
        check_names(type(self), values, "Patter")
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise explain(error, "Patter") from None


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """A `patter.toml`: ``[phone]``, ``[agent]`` and one table per provider, such as ``[stt.deepgram]``."""

    phone: Mapping[str, Any] = field(default_factory=dict)
    agent: Mapping[str, Any] = field(default_factory=dict)
    providers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)  # holds keys

    def provider(self, kind: str, name: str) -> Mapping[str, Any]:
        """The settings of one provider."""
        table = self.providers.get(kind, {}).get(name, {})
        if not isinstance(table, Mapping):
            raise ConfigError(f"patter.toml: [{kind}.{name}] is not a table")
        return table


def read_settings(path: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> SettingsFile:
    """Read the settings file, if there is one: `path`, else what `PATTER_CONFIG` names.

    Raises `ConfigError` when a named file is missing, longer than `LARGEST_FILE` or no TOML.
    """
    chosen = path or environ.get(CONFIG_VARIABLE)
    if not chosen:
        return SettingsFile()
    try:
        with Path(chosen).open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ConfigError(f"settings file {chosen}: longer than {LARGEST_FILE} bytes")
        data = tomllib.loads(content.decode("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no settings file {chosen}") from None
    except ConfigError:
        raise
    # ValueError: no UTF-8, no TOML, a number of too many digits, or a name that no file can have.
    except (OSError, ValueError) as error:
        raise ConfigError(f"settings file {chosen}: {error}") from None
    except RecursionError:
        raise ConfigError(f"settings file {chosen}: nested too deep") from None
    phone, agent = data.pop("phone", {}), data.pop("agent", {})
    for section, table in (("phone", phone), ("agent", agent), *data.items()):
        if not isinstance(table, dict):
            raise ConfigError(f"settings file {chosen}: [{section}] is not a table")
    return SettingsFile(phone, agent, data)


def phone_settings(
    explicit: Mapping[str, Any], file: SettingsFile, environ: Mapping[str, str]
) -> PhoneSettings:
    """The settings in force: explicit before file before environment before default."""
    given = {name: value for name, value in explicit.items() if value is not None}
    carrier_less_file = {name: value for name, value in file.phone.items() if name != "carrier"}
    return PhoneSettings(**{**from_environment(PhoneSettings, environ), **carrier_less_file, **given})


def effective_agent(agent: Agent, file: SettingsFile, environ: Mapping[str, str]) -> Agent:
    """The agent with what it leaves open filled from file and environment; explicit values win (CF-03)."""
    from patter.agent import Agent as AgentModel

    explicit = {name: getattr(agent, name) for name in agent.model_fields_set}
    filled = _one_way_to_talk(from_environment(AgentModel, environ), file.agent, explicit)
    if filled.keys() == explicit.keys():
        return agent
    completed = AgentModel(**filled)
    for plugin in agent.plugins:
        completed.register(plugin)
    return completed


def _one_way_to_talk(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """The layers on top of each other, the weakest first. The strongest that names an engine or a part of a pipeline
    decides which of the two it is: what weaker ones say of the other is left out (CF-02).
    """
    from patter.agent import PIPELINE_OPTIONS

    filled: dict[str, Any] = {}
    for layer in layers:
        if layer.get("engine") is not None:
            for name in PIPELINE_OPTIONS:
                filled.pop(name, None)
        elif any(layer.get(name) is not None for name in PIPELINE_OPTIONS):
            filled.pop("engine", None)
        if layer.get("on_message") is not None:
            filled.pop("llm", None)
        elif layer.get("llm") is not None:
            filled.pop("on_message", None)
        filled.update(layer)
    return filled
