"""From a resolved provider to the object that a call uses."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar, cast

from patter.errors import ConfigError, InternalError, PatterError, ProviderError
from patter.plugins.core_hooks import build_context
from patter.plugins.known import TITLES
from patter.plugins.signatures import CONTEXT, coerce_parameters, takes_context
from patter.plugins.validation import check_strategy
from patter.records import Record
from patter.redaction import redact

if TYPE_CHECKING:
    from patter.call.call import Call
    from patter.plugins.configuration import ConfigSources
    from patter.plugins.manager import PluginManager
    from patter.plugins.resolving import ResolvedProvider
    from patter.providers.context import ProviderContext

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: closing one shared object may take this long, in s
CLOSE_S = 5.0


def import_attribute(location: str) -> object:
    """What ``"module:Attribute"`` names; the module is imported now.

    Raises:
        ConfigError: the module cannot be imported or has no such attribute; the cause is chained.
    """
    from importlib import import_module

    module, colon, attribute = location.partition(":")
    if not (module and colon and attribute):
        raise ConfigError(f"{location!r} must be written 'module:Attribute'")
    try:
        found: object = import_module(module)
    except Exception as error:
        raise ConfigError(f"{location}: the import failed: {type(error).__name__}: {error}") from error
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise ConfigError(f"{location}: {error}") from error
    return found


def configure(
    manager: PluginManager, resolved: ResolvedProvider, sources: ConfigSources | None = None
) -> object:
    """The validated configuration of a resolved provider; for a factory without one, its keyword arguments.

    Without `sources` the environment is the manager's. Imports the configuration class. Raises `ConfigError`.
    """
    record = resolved.record
    environ = sources.environ if sources and sources.environ is not None else manager.environ
    if record.config is None:
        owner = f"{TITLES[record.kind]} {record.name}"
        environment = {
            name: environ[variable] for name, variable in record.env.items() if environ.get(variable)
        }
        values = {**environment, **(sources.file if sources else {}), **resolved.config_values}
        return coerce_parameters(factory_of(record), values, owner, sources.explicit if sources else {})
    from patter.plugins.configuration import NO_VALUES, load_config

    explicit = sources.explicit if sources else NO_VALUES
    return load_config(
        record,
        resolved.config_values,
        explicit if resolved.given is None else resolved.given,
        sources.file if sources else NO_VALUES,
        environ,
        sources.extra_defaults if sources else NO_VALUES,
    )


def build(
    manager: PluginManager,
    resolved: ResolvedProvider,
    context: ProviderContext,
    call: Call | None = None,
    *,
    sources: ConfigSources | None = None,
) -> object:
    """Make the provider object, through the hook `patter_build`, without I/O.

    Raises:
        ConfigError: its configuration is not complete, its module cannot be imported, or no object came out.
        ProviderError: the factory or a plugin raised; the cause is chained.
    """
    record = resolved.record
    title = f"{TITLES[record.kind]} {record.name}"
    config = configure(manager, resolved, sources)
    token = build_context.set(context)
    try:
        provider: object = manager.hook.patter_build(record=record, config=config, call=call)
    except PatterError:
        raise
    except Exception as error:
        text = f"{title} could not be made: {type(error).__name__}: {redact(error)}"
        raise ProviderError(text, provider=resolved.origin) from error
    finally:
        build_context.reset(token)
    if inspect.iscoroutine(provider):
        provider.close()
        raise ConfigError(
            f"{title}: its factory is async def; make it plain, and connect in a method of the provider"
        )
    if provider is None:
        raise ConfigError(f"{title}: its factory returned nothing")
    if record.kind == "barge_in":
        check_strategy(provider, title)
    return provider


def factory_of(record: Record) -> Callable[..., object]:
    """The factory of a record, imported now when it was given as text. Raises `ConfigError`."""
    factory = import_attribute(record.factory) if isinstance(record.factory, str) else record.factory
    if not callable(factory):
        raise ConfigError(
            f"{TITLES[record.kind]} {record.name}: its factory {record.factory!r} cannot be called"
        )
    if record.kind == "barge_in" and isinstance(factory, type):
        check_strategy(factory, f"{TITLES[record.kind]} {record.name}")
    return cast("Callable[..., object]", factory)


def call_factory(record: Record, config: object, context: ProviderContext) -> object:
    """Core's own answer to `patter_build`: see `patter.records` for the two forms."""
    factory = factory_of(record)
    if record.config is not None:
        return factory(config, context)
    arguments = dict(cast("Mapping[str, object]", config))
    if takes_context(factory):
        arguments[CONTEXT] = context
    return factory(**arguments)


class SharedObjectPool:
    """The objects that live as long as the phone: the implementation of `patter.providers.context.SharedObjects`.

    For one thread, the one of the event loop.
    """

    def __init__(self) -> None:
        self._objects: dict[str, object] = {}
        self._making: list[str] = []
        self._closed = False

    def get(self, key: str, make: Callable[[], T]) -> T:
        """The object of that key, made now if it is not there yet. What `make` raises passes and leaves nothing.

        Raises:
            InternalError: the pool is closed, or `make` asks for its own key.
        """
        if self._closed:
            raise InternalError(f"the shared object {key!r} was asked for after the phone was disconnected")
        if key not in self._objects:
            if key in self._making:
                raise InternalError(
                    f"the shared object {key!r} needs itself: {' -> '.join([*self._making, key])}"
                )
            self._making.append(key)
            try:
                self._objects[key] = make()
            finally:
                self._making.pop()
        return cast(T, self._objects[key])

    async def close(self) -> tuple[Exception, ...]:
        """Close what has a `close()`, plain or async, the last made first; each within `CLOSE_S`.

        A failure is logged and does not keep the others open; all failures are returned. Idempotent.
        """
        self._closed = True
        failures: list[Exception] = []
        while self._objects:
            key, shared = self._objects.popitem()
            try:
                await _close(shared)
            except Exception as error:
                logger.warning("closing the shared object %r failed", key, exc_info=error)
                failures.append(error)
        return tuple(failures)


async def _close(shared: object) -> None:
    import asyncio

    close = getattr(shared, "close", None)
    if not callable(close):
        return
    async with asyncio.timeout(CLOSE_S):
        result = close()
        if inspect.isawaitable(result):
            await result
