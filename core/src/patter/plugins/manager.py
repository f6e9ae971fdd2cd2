"""The plugin manager of one phone: it loads what is installed, isolates what fails and knows who provides what."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import TypeVar, cast

import pluggy

from patter import hookspecs
from patter.errors import ConfigError, PluginConflictError, PluginValidationError
from patter.markers import PROJECT
from patter.plugins._metadata import FoundPlugin, entry_points, normalized
from patter.plugins.core_hooks import CoreHooks
from patter.plugins.listing import Owner, PluginFailure, PluginRow, Stage, Status
from patter.plugins.registry import Claim, NameConflict, ProviderRegistry
from patter.plugins.settings import PluginSettings
from patter.plugins.validation import (
    REGISTRATION_HOOKS,
    Implementation,
    check_implementations,
    check_known,
    check_plugin,
    check_records,
    implementations,
)
from patter.records import ProviderKind, Record

logger = logging.getLogger(__name__)

PluginT = TypeVar("PluginT")
RecordT = TypeVar("RecordT", bound=Record)

#: the name under which core registers its own hooks; no entry point can be called so
BUILTIN = "patter.core"


class PluginManager:
    """All plugins of one `Patter`; two managers share nothing.

    Args:
        plugins: objects or modules to register after the installed plugins; a failure of one is raised.
        autoload: whether installed plugins are loaded; `PATTER_DISABLE_PLUGIN_AUTOLOAD` when None.
        allow: names of plugins or distributions to load and no other; `PATTER_PLUGINS` when None.
        block: names of plugins or distributions not to load; `PATTER_DISABLE_PLUGINS` when None.
        strict: raise the first failure of an installed plugin; `PATTER_STRICT_PLUGINS` when None.
        prefer: who provides a name that two plugins claim, as ``{"stt:deepgram": "patter-deepgram"}``.
        environ: where the variables are read from; the environment of the process when None.

    Raises:
        ConfigError: a setting has no meaning, or `strict` and a plugin failed.
        PluginValidationError: one of `plugins` breaks the rules of the hook specs.
    """

    def __init__(  # noqa: PLR0913 - each setting of a phone's plugins, spelt out
        self,
        plugins: Sequence[object] = (),
        *,
        autoload: bool | None = None,
        allow: Iterable[str] | None = None,
        block: Iterable[str] | None = None,
        strict: bool | None = None,
        prefer: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.environ: Mapping[str, str] = os.environ if environ is None else environ
        self.settings = PluginSettings.read(
            self.environ, autoload=autoload, allow=allow, block=block, strict=strict, prefer=prefer
        )
        self._pluggy = pluggy.PluginManager(PROJECT)
        self._pluggy.add_hookspecs(hookspecs)
        self._core_hooks = tuple(vars(self._pluggy.hook))
        self._owners: dict[str, Owner] = {}
        self._registry = ProviderRegistry(self.settings.prefer)
        self._failures: list[PluginFailure] = []
        self._blocked: list[Owner] = []
        self._pluggy.hook.patter_add_hooks.call_historic(kwargs={"manager": self})
        self._enter(CoreHooks(self), Owner(BUILTIN, builtin=True))
        if self.settings.autoload:
            self._load_installed()
        # A hook may be specified by a plugin that comes later, so that misspelt ones are looked for at the end.
        added = [self._enter(plugin, self._owner_by_hand(plugin, None)) for plugin in plugins]
        for owner in added:
            self._check_known(owner)

    @property
    def hook(self) -> pluggy.HookRelay:
        """Pluggy's callers, for synchronous hooks; asynchronous ones go through `HookDispatcher`."""
        return self._pluggy.hook

    @property
    def failures(self) -> tuple[PluginFailure, ...]:
        """The installed plugins that are disabled in this process, and why."""
        return tuple(self._failures)

    @property
    def conflicts(self) -> tuple[NameConflict, ...]:
        """The provider names that two plugins claim and that `prefer` does not settle."""
        return self._registry.conflicts

    # -- registering by hand

    def register(self, plugin: PluginT, name: str | None = None) -> PluginT:
        """Add a plugin, a module or an object with marked functions; returns it.

        Registering what is registered already changes nothing.

        Raises:
            PluginValidationError: it breaks the rules of the hook specs; nothing of it stays.
            PluginConflictError: `name` is taken.
        """
        if self._pluggy.get_name(plugin) is None:
            owner = self._owner_by_hand(plugin, name)
            self._enter(plugin, owner)
            self._check_known(owner)
        return plugin

    def unregister(self, plugin: object) -> None:
        """Take a plugin out again, with its hooks and its providers; harmless when it is not in."""
        name = self._pluggy.get_name(plugin)
        if name is not None:
            self._pluggy.unregister(name=name)
            self._registry.remove(self._owners.pop(name))

    def add_hookspecs(self, specs: ModuleType | type) -> None:
        """Add hook specs of a plugin's own, from its `patter_add_hooks`. Raises `PluginValidationError`."""
        try:
            self._pluggy.add_hookspecs(specs)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginValidationError(f"hook specs in {specs.__name__}: {error}") from error

    # -- asking

    def implementations(self, hook: str) -> list[pluggy.HookImpl]:
        """The implementations of a hook in the order in which they are called: the last registered first."""
        caller = getattr(self._pluggy.hook, hook, None)
        return [] if caller is None else cast("pluggy.HookCaller", caller).get_hookimpls()[::-1]

    def owner(self, plugin_name: str) -> Owner:
        """Whom a registered plugin belongs to, by the name that a `pluggy.HookImpl` gives."""
        return self._owners.get(plugin_name, Owner(plugin_name))

    def records(self, kind: ProviderKind) -> Mapping[str, Record]:
        """The providers of a kind that can be used, by name."""
        return self._registry.records(kind)

    def records_of(self, record_type: type[RecordT]) -> Mapping[str, RecordT]:
        """The same with its type: ``manager.records_of(STTRecord)``."""
        return cast("Mapping[str, RecordT]", self._registry.records(record_type.kind))

    def find(self, kind: ProviderKind, name: str) -> Claim | NameConflict | None:
        """Who provides a name or alias; None when no plugin does."""
        return self._registry.find(kind, name)

    def names(self, kind: ProviderKind) -> tuple[str, ...]:
        """Every name and alias of a kind that some plugin claims."""
        return self._registry.names(kind)

    def plugins(self) -> tuple[PluginRow, ...]:
        """One row for each plugin, sorted by distribution and name: loaded, failed, blocked or in conflict."""
        rows = [self._loaded_row(name, owner) for name, owner in self._owners.items()]
        for failure in self._failures:
            status: Status = "conflict" if failure.stage == "conflict" else "failed"
            problem = f"{failure.stage}: {failure.reason}"
            rows.append(PluginRow(failure.name, failure.dist, failure.version, status, problem=problem))
        rows.extend(PluginRow(owner.name, owner.dist, owner.version, "blocked") for owner in self._blocked)
        return tuple(sorted(rows, key=lambda row: (normalized(row.dist), row.name)))

    def _loaded_row(self, name: str, owner: Owner) -> PluginRow:
        callers = self._pluggy.get_hookcallers(self._pluggy.get_plugin(name)) or []
        records = self._registry.of(owner)
        conflicts = [one for one in self._registry.conflicts if owner in one.owners]
        return PluginRow(
            owner.name,
            owner.dist,
            owner.version,
            "conflict" if conflicts else "ok",
            hooks=tuple(sorted(caller.name for caller in callers)),
            env=tuple(sorted({variable for record in records for variable in record.env.values()})),
            problem="; ".join(str(one.error()) for one in conflicts),
            builtin=owner.builtin,
        )

    # -- entering

    def _owner_by_hand(self, plugin: object, name: str | None) -> Owner:
        given = name or getattr(plugin, "__name__", None) or type(plugin).__name__
        if given not in self._owners:
            return Owner(given)
        if name is not None:
            raise PluginConflictError(f"a plugin is already registered as {name!r}: choose another name")
        number = 2
        while f"{given}-{number}" in self._owners:
            number += 1
        return Owner(f"{given}-{number}")

    def _enter(self, plugin: object, owner: Owner) -> Owner:
        """Check and register a plugin and its records; on any failure nothing of it stays."""
        check_plugin(plugin, owner.name)
        check_implementations(self._implementations(plugin), owner.name, self._core_hooks)
        try:
            self._pluggy.register(plugin, owner.name)
            self._owners[owner.name] = owner
            self._registry.add(self._collect(plugin, owner), owner)
        except BaseException as error:
            self._leave(plugin, owner)
            if isinstance(error, pluggy.PluginValidationError):
                raise PluginValidationError(f"plugin {owner.name!r}: {_one_line(error)}") from error
            raise
        return owner

    def _leave(self, plugin: object, owner: Owner) -> None:
        if self._pluggy.get_name(plugin) == owner.name:
            self._pluggy.unregister(name=owner.name)
        self._owners.pop(owner.name, None)
        self._registry.remove(owner)

    def _implementations(self, plugin: object) -> list[Implementation]:
        return list(implementations(self._pluggy, plugin))

    def _collect(self, plugin: object, owner: Owner) -> list[Record]:
        """Call the registration hooks of one plugin."""
        records: list[Record] = []
        for one in self._implementations(plugin):
            if one.hook in REGISTRATION_HOOKS:
                register = cast("Callable[[], object]", one.function)
                records.extend(check_records(register(), one.hook, owner.name))
        return records

    def _check_known(self, owner: Owner) -> None:
        plugin = self._pluggy.get_plugin(owner.name)
        specified = [name for name, caller in vars(self._pluggy.hook).items() if caller.has_spec()]
        try:
            check_known(self._implementations(plugin), owner.name, specified)
        except PluginValidationError:
            self._leave(plugin, owner)
            raise

    # -- loading what is installed

    def _load_installed(self) -> None:
        wanted = []
        for found in entry_points():
            if self.settings.blocks(found.name, found.dist):
                self._blocked.append(_owner(found))
            else:
                wanted.append(found)
        self._warn_of_unknown_names(entry_points())
        loaded = [found for found in self._without_conflicts(wanted) if self._load(found)]
        for found in loaded:
            self._attempt(found, "validate", partial(self._check_known, _owner(found)))

    def _warn_of_unknown_names(self, found: Iterable[FoundPlugin]) -> None:
        """A misspelt allow-list would otherwise load nothing and say nothing."""
        known = {normalized(name) for plugin in found for name in (plugin.name, plugin.dist)}
        for name in sorted((self.settings.allow or frozenset()) - known):
            logger.warning(
                "no installed plugin or distribution is called %r, which the allow-list names", name
            )

    def _without_conflicts(self, wanted: Sequence[FoundPlugin]) -> list[FoundPlugin]:
        kept = []
        for found in wanted:
            rivals = [one for one in wanted if one.name == found.name]
            preferred = [one for one in rivals if self.settings.prefers(one.dist)]
            if len(rivals) == 1 or preferred == [found]:
                kept.append(found)
                continue
            self._fail(found, "conflict", _name_taken(found.name, rivals, preferred))
        return kept

    def _load(self, found: FoundPlugin) -> bool:
        loaded: list[object] = []
        if not self._attempt(found, "import", lambda: loaded.append(found.load())):
            return False
        plugin = loaded[0]
        if self._pluggy.get_name(plugin) is not None:
            # Two entry points of one module: its hooks act once.
            return False
        return self._attempt(found, "register", lambda: self._enter(plugin, _owner(found)))

    def _attempt(self, found: FoundPlugin, stage: Stage, step: Callable[[], object]) -> bool:
        try:
            step()
        except (PluginValidationError, PluginConflictError) as error:
            self._fail(found, "validate", error)
        except (Exception, SystemExit) as error:  # a module may call sys.exit() when something is missing
            self._fail(found, stage, error)
        else:
            return True
        return False

    def _fail(self, found: FoundPlugin, stage: Stage, error: BaseException) -> None:
        failure = PluginFailure(found.name, found.dist, found.version, stage, error)
        self._failures.append(failure)
        text = (
            f"plugin {found.name!r} of {found.dist} {found.version} is disabled ({stage}): {failure.reason}"
        )
        if self.settings.strict:
            raise ConfigError(text) from error
        logger.warning(text)


def _name_taken(
    name: str, rivals: Sequence[FoundPlugin], preferred: Sequence[FoundPlugin]
) -> PluginConflictError:
    if len(preferred) == 1:
        return PluginConflictError(
            f"plugin {name!r} is also provided by {_owner(preferred[0])}, which is preferred"
        )
    return PluginConflictError(
        f"plugin {name!r} is provided by {' and by '.join(str(_owner(one)) for one in rivals)}, so none is loaded: "
        f"set PATTER_DISABLE_PLUGINS={rivals[-1].dist} to use {rivals[0].dist}, or the other way round"
    )


def _owner(found: FoundPlugin) -> Owner:
    return Owner(found.name, found.dist, found.version)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
