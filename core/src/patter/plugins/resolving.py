"""From what an application wrote, such as ``"deepgram/nova-3"``, to the record that provides it."""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeGuard, cast

from patter.errors import ConfigError, PatterError, ProviderNotFoundError
from patter.plugins.known import KNOWN, TITLES, known_names, other_kinds
from patter.plugins.listing import PluginFailure
from patter.plugins.references import parse_reference
from patter.plugins.registry import Claim, NameConflict
from patter.plugins.validation import check_record, check_strategy
from patter.records import PROVIDER_KINDS, RECORD_TYPES, ProviderKind, Record
from patter.redaction import redact

if TYPE_CHECKING:
    from pydantic import BaseModel

    from patter.plugins.manager import PluginManager

_RECORD_TYPES: dict[ProviderKind, type[Record]] = {one.kind: one for one in RECORD_TYPES}
_SECRET_NAME = re.compile(r"(^|_)(key|apikey|token|secret|password|passwd|credentials?)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ResolvedProvider:
    """A record and what was said about it.

    `config_values` are the settings of the reference as written. `given` is a configuration object that stood in the
    place of a reference. `origin` says for people where this comes from and holds no setting.
    """

    kind: ProviderKind
    record: Record
    config_values: Mapping[str, str] = field(default_factory=dict, repr=False)
    origin: str = ""
    given: BaseModel | None = field(default=None, repr=False)


def resolve(manager: PluginManager, kind: ProviderKind, ref: object) -> ResolvedProvider:
    """Find the record behind a reference, a record, a configuration object, a factory or a strategy object.

    The answer comes from the hook `patter_resolve`, whose last implementation is core's own. Nothing of a provider
    is imported.

    Raises:
        ProviderNotFoundError: nothing installed answers; the text says what to install, or the nearest names.
        PluginConflictError: two plugins claim the name.
        ConfigError: the reference is malformed, or holds a secret.
    """
    if kind not in PROVIDER_KINDS:
        raise ConfigError(f"there is no kind of provider {kind!r}; the kinds are {', '.join(PROVIDER_KINDS)}")
    reference = parse_reference(ref) if isinstance(ref, str) else None
    origin = str(reference) if reference else _described(ref)
    try:
        record = manager.hook.patter_resolve(kind=kind, ref=ref)
    except PatterError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{TITLES[kind]} {origin}: a plugin failed to resolve it: {redact(error)}"
        ) from error
    if not isinstance(record, _RECORD_TYPES[kind]):
        raise ConfigError(
            f"{TITLES[kind]} {origin}: a plugin resolved it to {_described(record)}, which is no {kind}"
        )
    values = reference.values if reference else {}
    _refuse_secrets(record, values)
    if is_config(ref):
        return ResolvedProvider(kind, record, values, record.name, ref)
    return ResolvedProvider(kind, record, values, origin)


def find_record(manager: PluginManager, kind: ProviderKind, ref: object) -> Record:
    """Core's own answer to `patter_resolve`; raises as `resolve` does."""
    if isinstance(ref, str):
        return _by_name(manager, kind, parse_reference(ref).provider)
    if isinstance(ref, Record):
        if ref.kind != kind:
            raise ConfigError(f"{type(ref).__name__} {ref.name!r} cannot serve as {TITLES[kind]}")
        check_record(ref, f"{type(ref).__name__} {ref.name!r}")
        return ref
    if is_config(ref):
        return _by_config(manager, kind, ref)
    return _for_object(kind, ref)


def is_config(value: object) -> TypeGuard[BaseModel]:
    """Whether a value is a configuration object, without importing pydantic."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(value, pydantic.BaseModel)


def _by_name(manager: PluginManager, kind: ProviderKind, name: str) -> Record:
    found = manager.find(kind, name)
    if isinstance(found, Claim):
        return found.record
    if isinstance(found, NameConflict):
        raise found.error()
    failure = _failure_behind(manager, kind, name)
    if failure is not None:
        if failure.stage == "conflict":
            raise cast(PatterError, failure.error)
        raise ProviderNotFoundError(
            f'{TITLES[kind]} "{name}": the plugin {failure.name!r} of {failure.dist} {failure.version} is disabled '
            f"({failure.stage}): {failure.reason}"
        ) from failure.error
    raise ProviderNotFoundError(_not_found(manager, kind, name))


def _failure_behind(manager: PluginManager, kind: ProviderKind, name: str) -> PluginFailure | None:
    """The failed plugin that would have provided a name: as far as its own names tell, for its records do not."""
    dist = KNOWN.get((kind, name))
    return next(
        (one for one in manager.failures if one.name == name or (dist is not None and one.dist == dist)), None
    )


def _not_found(manager: PluginManager, kind: ProviderKind, name: str) -> str:
    title = TITLES[kind]
    dist = KNOWN.get((kind, name))
    blocked = [
        row for row in manager.plugins() if row.status == "blocked" and (row.dist == dist or row.name == name)
    ]
    if blocked:
        return (
            f'{blocked[0].dist} provides the {title} "{name}", but is kept out: see PATTER_PLUGINS and '
            "PATTER_DISABLE_PLUGINS, or allow= and block="
        )
    if dist is not None:
        return f'{dist} provides the {title} "{name}": pip install {dist}'
    others = [other for other in PROVIDER_KINDS if manager.find(other, name)] or other_kinds(name)
    if others:
        kinds = " and ".join(TITLES[other] for other in others)
        return f'there is no {title} "{name}": a plugin of that name provides {kinds} only'
    installed = manager.names(kind)
    near = get_close_matches(name, dict.fromkeys((*installed, *known_names(kind))), n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"installed: {', '.join(installed) or 'none'}"
    broken = ", ".join(one.name for one in manager.failures)
    note = f" (disabled plugins, see patter plugins: {broken})" if broken else ""
    return f'there is no {title} "{name}"; {hint}{note}'


def _by_config(manager: PluginManager, kind: ProviderKind, config: BaseModel) -> Record:
    kept = [record for record in manager.records(kind).values() if _is_config_of(record, config)]
    if len(kept) == 1:
        return kept[0]
    described = f"{type(config).__module__}.{type(config).__qualname__}"
    if kept:
        names = ", ".join(record.name for record in kept)
        raise ConfigError(
            f"{described} configures several {TITLES[kind]} providers ({names}): use a reference"
        )
    raise ProviderNotFoundError(f"no installed {TITLES[kind]} is configured by {described}")


def _is_config_of(record: Record, config: BaseModel) -> bool:
    if not isinstance(record.config, str):
        return record.config is not None and type(config) is record.config
    module, _, attribute = record.config.partition(":")
    # The class is loaded, for there is an instance; its plugin may know it by another module.
    found: object = sys.modules.get(module)
    for part in attribute.split("."):
        found = getattr(found, part, None)
    return found is type(config)


def _for_object(kind: ProviderKind, ref: object) -> Record:
    """A record for a class, a function that makes a provider, or a ready object where sharing one is safe."""
    record_type = _RECORD_TYPES[kind]
    if ref is None or isinstance(ref, (bytes, int, float, Mapping, list, tuple, set)):
        raise ConfigError(
            f"{_described(ref)} is no {TITLES[kind]}: give a reference such as {_example(kind)!r}"
        )
    if isinstance(ref, type):
        record = record_type(_record_name(ref), ref)
        check_record(record, f"class {ref.__name__}")
        return record
    if kind == "barge_in" and hasattr(ref, "evaluate"):
        check_strategy(ref, f"strategy {type(ref).__name__}")
        return record_type(_record_name(type(ref)), lambda: copy.deepcopy(ref))
    if callable(ref):
        return record_type(_record_name(ref), cast("Callable[..., object]", ref))
    if kind == "carrier":
        return record_type(_record_name(type(ref)), lambda: ref)
    raise ConfigError(
        f"{TITLES[kind]}: a {type(ref).__name__} object would be shared by calls: give the class, "
        "or a function that makes one for each call"
    )


def _record_name(named: object) -> str:
    text = getattr(named, "__name__", type(named).__name__)
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", text)
    return "-".join(word.lower() for word in words) or "given"


def _example(kind: ProviderKind) -> str:
    return known_names(kind)[0]


def _described(ref: object) -> str:
    if isinstance(ref, Record):
        return f"{type(ref).__name__} {ref.name!r}"
    return ref.__name__ if isinstance(ref, type) else f"a {type(ref).__name__} object"


def _refuse_secrets(record: Record, values: Mapping[str, str]) -> None:
    for name in values:
        if name in record.env and _SECRET_NAME.search(name):
            raise secret_in_reference(record, name)


def secret_in_reference(record: Record, name: str) -> ConfigError:
    """The error of a key that was written into a reference; it does not hold the key."""
    variable = record.env.get(name)
    instead = (
        f"set {variable}, or give it in a configuration object"
        if variable
        else "give it in a configuration object"
    )
    return ConfigError(
        f"{TITLES[record.kind]} {record.name}: {name} is a secret and has no place in a reference: {instead}"
    )
