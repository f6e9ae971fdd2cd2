"""Whether a plugin keeps the rules of the hook specs; asked before any of its hooks is called."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, cast

from patter.errors import PluginValidationError
from patter.plugins.hook_rules import ASYNC_HOOKS
from patter.records import FREE, RECORD_TYPES, BargeInRecord, Record

if TYPE_CHECKING:
    import pluggy

#: the versions of the hook specs that this core understands; a plugin may state its own as PATTER_API
OLDEST_API, NEWEST_API = 1, 1

PREFIX = "patter_"
REGISTRATION_HOOKS: dict[str, type[Record]] = {f"{PREFIX}register_{one.kind}": one for one in RECORD_TYPES}

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_REFERENCE_TO_FILE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:\w+(\.\w+)*")
_REFERENCE_TO_CODE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True)
class Implementation:
    """A function of a plugin that is marked as an implementation of `hook`."""

    hook: str
    function: object
    wrapper: bool
    optional: bool


def implementations(manager: pluggy.PluginManager, plugin: object) -> Iterator[Implementation]:
    """The marked functions of a plugin, without registering it."""
    for attribute in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, attribute)
        if options is None:
            continue
        yield Implementation(
            hook=options.get("specname") or attribute,
            function=getattr(plugin, attribute),
            wrapper=bool(options.get("wrapper") or options.get("hookwrapper")),
            optional=bool(options.get("optionalhook")),
        )


def check_plugin(plugin: object, name: str) -> None:
    """Refuse what cannot be a plugin of this core, before anything of it is called."""
    if inspect.isclass(plugin):
        raise PluginValidationError(
            f"plugin {name!r} is a class, not an object: did you forget the parentheses, {plugin.__name__}()?"
        )
    api = getattr(plugin, "PATTER_API", OLDEST_API)
    if not isinstance(api, int) or isinstance(api, bool):
        raise PluginValidationError(f"plugin {name!r}: PATTER_API must be a whole number, not {api!r}")
    if not OLDEST_API <= api <= NEWEST_API:
        newer = "a newer patter-core" if api > NEWEST_API else "a newer version of the plugin"
        raise PluginValidationError(
            f"plugin {name!r} is made for version {api} of the hooks, this core has "
            f"{OLDEST_API} to {NEWEST_API}: install {newer}"
        )


def check_implementations(found: Iterable[Implementation], name: str, core_hooks: Iterable[str]) -> None:
    """Refuse coroutines where hooks are synchronous, and wrappers where the dispatcher calls them."""
    synchronous = set(core_hooks) - set(ASYNC_HOOKS)
    for one in found:
        coroutine = inspect.iscoroutinefunction(one.function) or inspect.isasyncgenfunction(one.function)
        if coroutine and one.hook in synchronous:
            raise PluginValidationError(
                f"plugin {name!r}: {one.hook} is called without a running loop: make it a plain def, not async def"
            )
        if one.wrapper and (one.hook in ASYNC_HOOKS or one.hook in REGISTRATION_HOOKS):
            raise PluginValidationError(
                f"plugin {name!r}: {one.hook} takes no wrappers: implement it plainly"
            )


def check_known(found: Iterable[Implementation], name: str, known: Iterable[str], where: str = "") -> None:
    """Refuse a hook that nobody specified; most often its name is misspelt."""
    names = sorted(known)
    for one in found:
        if one.hook in names or one.optional:
            continue
        near = get_close_matches(one.hook, names, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "see the hook reference for the names"
        raise PluginValidationError(f"plugin {name!r}: there is no hook {one.hook!r}{where}; {hint}")


def check_records(result: object, hook: str, name: str) -> tuple[Record, ...]:
    """The records that a registration hook returned. Raises `PluginValidationError` for anything else."""
    expected = REGISTRATION_HOOKS[hook]
    if result is None:
        return ()
    if isinstance(result, (Record, str)) or not isinstance(result, Iterable):
        raise PluginValidationError(
            f"plugin {name!r}: {hook} must return a list of {expected.__name__} objects"
        )
    records = []
    for record in result:
        if not isinstance(record, expected):
            raise PluginValidationError(
                f"plugin {name!r}: {hook} must return {expected.__name__} objects, not {type(record).__name__}"
            )
        check_record(record, f"plugin {name!r}: {expected.__name__} {record.name!r}")
        records.append(record)
    return tuple(records)


def check_record(record: Record, where: str) -> None:
    """Refuse a record whose fields cannot be used."""
    names: tuple[object, ...] = (record.name, *record.aliases)
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise PluginValidationError(
                f"{where}: the name {name!r} must be lower-case letters, digits and dashes"
            )
    if isinstance(record.factory, str):
        _check_location(record.factory, f"{where}: factory")
    elif not callable(record.factory):
        raise PluginValidationError(f"{where}: the factory must be a class, a function or 'module:Attribute'")
    if isinstance(record.config, str):
        _check_location(record.config, f"{where}: config")
    elif record.config is not None and not isinstance(record.config, type):
        raise PluginValidationError(f"{where}: config must be a class or 'module:Attribute'")
    variables: Iterable[tuple[object, object]] = record.env.items()
    for setting, variable in variables:
        if not (isinstance(setting, str) and isinstance(variable, str) and variable):
            raise PluginValidationError(f"{where}: env must map settings to names of environment variables")
    prices: object = record.prices
    listed = isinstance(prices, str) and (prices == FREE or _REFERENCE_TO_FILE.fullmatch(prices))
    if prices is not None and not listed:
        raise PluginValidationError(f"{where}: prices must be 'package:file' or {FREE!r}, not {prices!r}")
    if isinstance(record, BargeInRecord) and isinstance(record.factory, type):
        check_strategy(record.factory, where)


def check_strategy(strategy: object, where: str) -> None:
    """Refuse a barge-in strategy, class or object, whose `evaluate` is missing or a coroutine (BI-14)."""
    evaluate = cast(object, getattr(strategy, "evaluate", None))
    if not callable(evaluate):
        raise PluginValidationError(f"{where}: a barge-in strategy needs a method evaluate(event)")
    if inspect.iscoroutinefunction(evaluate) or inspect.isasyncgenfunction(evaluate):
        raise PluginValidationError(
            f"{where}: evaluate must be a plain def; async def would hold up the interruption"
        )


def _check_location(text: str, where: str) -> None:
    if not _REFERENCE_TO_CODE.fullmatch(text):
        raise PluginValidationError(f"{where} {text!r} must be written 'module:Attribute'")
