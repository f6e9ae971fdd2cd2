"""Settings for a factory that has no configuration class: its own signature says what they are."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from math import isfinite
from typing import Any, Union, get_args, get_origin, get_type_hints

from patter.errors import ConfigError, UnknownOptionError

#: a parameter of this name gets the `ProviderContext`
CONTEXT = "context"

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


def coerce_parameters(
    factory: Callable[..., object],
    values: Mapping[str, object],
    owner: str,
    explicit: Mapping[str, object] = types.MappingProxyType({}),
) -> dict[str, object]:
    """The settings of a reference as arguments for `factory`; `explicit` values win and are taken as they are.

    Text becomes what the parameter's annotation says, else what its default is; a sequence is written with commas.

    Raises:
        UnknownOptionError: the factory has no such parameter.
        ConfigError: a value does not fit, or a parameter without default has none.
    """
    parameters = {one.name: one for one in _parameters(factory)}
    open_ended = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    named = [
        name
        for name, one in parameters.items()
        if one.kind is not inspect.Parameter.VAR_KEYWORD and name != CONTEXT
    ]
    hints = _hints(factory)
    result: dict[str, object] = {}
    for name, value in {**values, **explicit}.items():
        if name not in named and (not open_ended or name == CONTEXT):
            raise unknown_option(name, named, owner)
        if name in named and name not in explicit and isinstance(value, str):
            value = _coerce(value, _type_of(parameters[name], hints), f"{owner}: {name}")
        result[name] = value
    missing = [
        name for name in named if name not in result and parameters[name].default is inspect.Parameter.empty
    ]
    if missing:
        raise ConfigError(f"{owner}: {missing[0]} must be set, as in ?{missing[0]}=...")
    return result


def takes_context(factory: Callable[..., object]) -> bool:
    """Whether the factory asks for the `ProviderContext`."""
    return any(one.name == CONTEXT for one in _parameters(factory))


def unknown_option(
    name: str, known: Sequence[str], owner: str, source: str = "the reference"
) -> UnknownOptionError:
    """The error of a setting that does not exist, with the nearest that do."""
    if not known:
        return UnknownOptionError(f"{owner} has no settings, but {source} sets {name!r}")
    near = get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"its settings are {', '.join(sorted(known))}"
    return UnknownOptionError(f"{owner} has no setting {name!r}, which {source} sets; {hint}")


def _parameters(factory: Callable[..., object]) -> Iterator[inspect.Parameter]:
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # some classes written in C do not tell
        return
    for one in signature.parameters.values():
        if one.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL):
            continue
        yield one


def _hints(factory: Callable[..., object]) -> dict[str, Any]:
    function = factory.__init__ if isinstance(factory, type) else factory  # type: ignore[misc]  # only read
    try:
        return get_type_hints(function)
    except Exception:  # an annotation that only type checkers can resolve; the default still tells the type
        return {}


def _type_of(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Any:
    if parameter.name in hints:
        return hints[parameter.name]
    default = parameter.default
    return str if default is inspect.Parameter.empty or default is None else type(default)


def _coerce(text: str, wanted: Any, place: str) -> object:
    kind = _without_none(wanted)
    if kind is bool:
        return _boolean(text, place)
    if kind is int or kind is float:
        return _number(text, kind, place)
    container = sequence_type(kind)
    if container is not None:
        inner = next((one for one in get_args(kind) if one is not Ellipsis), str)
        return container(_coerce(part.strip(), inner, place) for part in text.split(",") if part.strip())
    return text


def _boolean(text: str, place: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ConfigError(f"{place} must be true or false")


def _number(text: str, kind: type[int | float], place: str) -> float:
    try:
        number = kind(text)
    except ValueError:
        raise ConfigError(f"{place} must be {'a whole number' if kind is int else 'a number'}") from None
    if not isfinite(number):
        raise ConfigError(f"{place} must be a finite number")
    return number


def _without_none(wanted: Any) -> Any:
    if get_origin(wanted) in (Union, types.UnionType):
        rest = [one for one in get_args(wanted) if one is not type(None)]
        if len(rest) == 1:
            return rest[0]
    return wanted


def sequence_type(wanted: Any) -> Callable[..., object] | None:
    """What makes the sequence that an annotation asks for; None when it asks for none."""
    kind = _without_none(wanted)
    kind = get_origin(kind) or kind
    if not isinstance(kind, type) or issubclass(kind, (str, bytes, Mapping)):
        return None
    if issubclass(kind, frozenset) or kind is AbstractSet:
        return frozenset
    for concrete in (set, list, tuple):
        if issubclass(kind, concrete):
            return concrete
    # Iterable, Collection and Sequence as annotations: a tuple is all of them.
    return tuple if kind.__module__ == "collections.abc" and issubclass(tuple, kind) else None
