"""The configuration of a provider: one model per provider, one function that fills it.

Precedence, the strongest first: explicit values, the reference, the file, the environment, the defaults.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, SecretBytes, SecretStr, ValidationError

from patter.errors import ConfigError
from patter.plugins.known import TITLES
from patter.plugins.resolving import secret_in_reference
from patter.plugins.signatures import sequence_type, unknown_option
from patter.records import Record
from patter.redaction import remember_secret

NO_VALUES: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a setting was refused, without its value. `missing` says that it has none at all."""

    setting: str
    text: str
    missing: bool


class InvalidConfigError(ConfigError):
    """A configuration object that could not be made; `problems` says why, one setting at a time."""

    def __init__(self, owner: str, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{owner}: {one.setting}: {one.text}" for one in problems))


class ProviderConfig(BaseModel):
    """Base of a provider's configuration: unknown settings are refused, instances do not change.

    Secrets are `SecretStr` fields; the record's `env` names the variables that fill them. The model of a reference such
    as ``"acme/large"`` is the setting `model`: declare it where there are models. Making one by hand with values that
    do not fit raises `ConfigError`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    if not TYPE_CHECKING:  # type checkers know the fields; a signature here would hide them

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise InvalidConfigError(type(self).__name__, _problems(error)) from None


@dataclass(frozen=True, slots=True)
class ConfigSources:
    """Where settings come from beside the reference.

    `explicit` are values given in code. `file` are the provider's values in the phone's file, such as those of
    ``[stt.deepgram]``. `extra_defaults` are a little stronger than the defaults of the model: the values with which
    core fills a provider that it chose itself. Without `environ` the variables are those of the plugin manager.
    """

    explicit: Mapping[str, Any] = field(default_factory=dict, repr=False)
    file: Mapping[str, Any] = field(default_factory=dict, repr=False)
    environ: Mapping[str, str] | None = field(default=None, repr=False)
    extra_defaults: Mapping[str, Any] = field(default_factory=dict)


def load_config(
    record: Record,
    reference_values: Mapping[str, str] = NO_VALUES,
    explicit: Mapping[str, Any] | BaseModel = NO_VALUES,
    file_values: Mapping[str, Any] = NO_VALUES,
    environ: Mapping[str, str] = NO_VALUES,
    extra_defaults: Mapping[str, Any] = NO_VALUES,
) -> BaseModel:
    """The configuration of a provider, from every source at once.

    Of a configuration object, the fields that were set are explicit values; the other sources fill the rest.

    Raises:
        UnknownOptionError: a source sets what the model does not have.
        ConfigError: a value does not fit, a needed one is missing (the text names the environment variable), or
            the reference holds a secret. No text holds the value of a setting.
    """
    model = config_class(record)
    fields = model.model_fields
    for name in reference_values:
        if name in fields and _is_secret(fields[name].annotation):
            raise secret_in_reference(record, name)
    if isinstance(explicit, BaseModel):
        explicit = {name: getattr(explicit, name) for name in explicit.model_fields_set}
    environment = {
        name: environ[variable] for name, variable in record.env.items() if environ.get(variable, "").strip()
    }
    layers: tuple[tuple[str, Mapping[str, Any], bool], ...] = (
        ("the plugin's preset", extra_defaults, False),
        ("the environment", environment, True),
        (f"[{record.kind}.{record.name}] of the file", file_values, False),
        ("the reference", reference_values, True),
        ("the code", explicit, False),
    )
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, layer, is_text in layers:
        for name, value in layer.items():
            if name not in fields:
                raise _unknown(record, name, tuple(fields), source)
            values[name] = _from_text(value, fields[name].annotation) if is_text else value
            sources[name] = f"from {record.env[name]}" if layer is environment else f"in {source}"
    return _made(model, values, sources, record)


def config_class(record: Record) -> type[BaseModel]:
    """The class of a record's configuration, imported now. Raises `ConfigError`."""
    from patter.plugins.building import import_attribute

    found = import_attribute(record.config) if isinstance(record.config, str) else record.config
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise ConfigError(
            f"{TITLES[record.kind]} {record.name}: its config {record.config!r} is no pydantic model"
        )
    return found


def _made(
    model: type[BaseModel], values: Mapping[str, Any], sources: Mapping[str, str], record: Record
) -> BaseModel:
    try:
        config = model(**values)
        _remember_secrets(config)
        return config
    except ValidationError as error:
        problems = _problems(error)
    except InvalidConfigError as error:
        problems = error.problems
    owner = f"{TITLES[record.kind]} {record.name}"
    raise ConfigError("; ".join(f"{owner}: {_explained(one, sources, record)}" for one in problems)) from None


def _remember_secrets(config: BaseModel) -> None:
    """No log line and no quoted error holds them from now on, whatever a vendor says back (SC-08)."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, SecretStr):
            remember_secret(value.get_secret_value())
        elif isinstance(value, SecretBytes):
            remember_secret(value.get_secret_value().decode("utf-8", "replace"))


def _explained(problem: Problem, sources: Mapping[str, str], record: Record) -> str:
    name = problem.setting.partition(".")[0]
    if problem.missing:
        variable = record.env.get(name)
        how = (
            f"set {variable}, or give it in the configuration"
            if variable
            else f"give it as ?{name}=... or in the file"
        )
        return f"{name} is missing: {how}"
    place = f" ({sources[name]})" if name in sources else ""
    return f"{problem.setting}{place}: {problem.text}"


def _problems(error: ValidationError) -> tuple[Problem, ...]:
    return tuple(
        Problem(
            setting=".".join(str(part) for part in one["loc"]) or "settings",
            text=one["msg"].removeprefix("Value error, "),
            missing=one["type"] == "missing",
        )
        for one in error.errors(include_url=False, include_context=False, include_input=False)
    )


def _unknown(record: Record, name: str, known: tuple[str, ...], source: str) -> ConfigError:
    owner = f"{TITLES[record.kind]} {record.name}"
    if name == "model" and source == "the reference":
        return unknown_option(
            name, [one for one in known if one != name], f"{owner} takes no model: it", source
        )
    return unknown_option(name, known, owner, source)


def _is_secret(annotation: Any) -> bool:
    if annotation in (SecretStr, SecretBytes):
        return True
    return any(_is_secret(one) for one in get_args(annotation))


def _from_text(text: str, annotation: Any) -> Any:
    """Text for what pydantic does not make from text: sequences with commas, mappings as a JSON object."""
    if sequence_type(annotation) is not None:
        return [part.strip() for part in text.split(",") if part.strip()]
    kinds = (annotation, *get_args(annotation))
    if any(
        isinstance(get_origin(one) or one, type) and issubclass(get_origin(one) or one, Mapping)
        for one in kinds
    ):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text
