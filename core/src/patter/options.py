"""The table of options: the one source of docs, of checks and of what files and environment may set.

Each option is a field of `Agent` or of the phone's settings, declared with `option()`; its type and default stand
in the field, everything else here. `rows()` reads the table back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast, get_type_hints

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticUndefined

from patter.errors import ConfigError, UnknownOptionError


@dataclass(frozen=True, slots=True)
class OptionRow:
    """One option as the documentation shows it. `unit` and `variable` may be empty, `key` is its place in
    `patter.toml`.
    """

    name: str
    type: str
    default: Any
    unit: str
    variable: str
    key: str
    help: str


def option(
    default: Any = ...,
    *,
    help: str,  # noqa: A002 - the word people look for
    unit: str = "",
    variable: str = "",
    default_factory: Callable[[], Any] | None = None,
    **constraints: Any,
) -> Any:
    """Declare an option. `variable` is the environment variable that fills it when nothing else does."""
    extra: dict[str, Any] = {"unit": unit, "variable": variable}
    if default_factory is not None:
        return Field(
            default_factory=default_factory, description=help, json_schema_extra=extra, **constraints
        )
    return Field(default, description=help, json_schema_extra=extra, **constraints)


def rows(model: type[BaseModel], section: str) -> Iterator[OptionRow]:
    """The options of a model, in their order; `section` is their table in `patter.toml`."""
    hints = get_type_hints(model, include_extras=False)
    for name, info in model.model_fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        default = info.get_default(call_default_factory=True)
        yield OptionRow(
            name=name,
            type=_type_name(hints[name]),
            default=None if default is PydanticUndefined else default,
            unit=str(extra.get("unit", "")),
            variable=str(extra.get("variable", "")),
            key=f"{section}.{name}",
            help=info.description or "",
        )


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def from_environment(model: type[BaseModel], environ: Mapping[str, str]) -> dict[str, Any]:
    """Values of the options whose variable is set; raises `ConfigError` naming the variable that does not parse."""
    values: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        variable = str(extra.get("variable", ""))
        if not variable or variable not in environ:
            continue
        adapter: TypeAdapter[Any] = TypeAdapter(cast(Any, info.annotation))
        try:
            values[name] = adapter.validate_python(environ[variable], strict=False)
        except ValidationError as error:
            raise ConfigError(f"{variable}: {error.errors()[0]['msg']}") from None
    return values


def check_names(model: type[BaseModel], given: Mapping[str, Any], owner: str) -> None:
    """Refuse options that do not exist, with the nearest ones that do."""
    for name in given:
        if name not in model.model_fields:
            from difflib import get_close_matches

            near = get_close_matches(name, model.model_fields, n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise UnknownOptionError(f"{owner} has no option {name!r}{hint}")


def explain(error: ValidationError, owner: str) -> ConfigError:
    """A configuration error in our own words; the other library's never gets out (CF-05)."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "options"
    return ConfigError(f"{owner}: {place}: {first['msg']}")
