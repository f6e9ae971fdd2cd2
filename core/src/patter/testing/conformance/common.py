"""What every provider must do; the base of the suites for the kinds."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

import pytest

from patter.errors import ConfigError, UnknownOptionError
from patter.plugins import ConfigSources, PluginManager, configure, resolve
from patter.plugins.building import factory_of
from patter.plugins.configuration import config_class
from patter.records import ProviderKind
from patter.testing.conformance.settings_read import unread_parameters, unread_settings
from patter.testing.conformance.subject import Server, Subject, closed, no_server, open_sockets

#: loop steps after which a piece of work is cancelled
CANCEL_AFTER = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55)

_CANARY = "conformance-canary-2f9d"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_KIT = "patter.testing.conformance"

_LOADED = """
import json, sys
connected = []
sys.addaudithook(lambda event, _: connected.append(event) if event in ("socket.connect", "socket.bind") else None)
from patter.plugins import PluginManager
manager = PluginManager(allow={allowed!r})
found = sorted(manager.records({kind!r}))
print(json.dumps([found, sorted({{name.partition(".")[0] for name in sys.modules}}), connected]))
"""


class Conformance:
    """Subclass one of the suites, name the provider, and give it a server if it needs one::

        class TestAcme(STTConformance):
            spec = "acme/nova"

            @pytest.fixture
            def server(self):
                return acme_simulator      # an async context manager function that yields settings

    A check that a provider cannot pass is overridden with ``@pytest.mark.xfail(reason=...)`` and no other way.

    Attributes:
        spec: the reference of the provider.
        plugins: plugins to register, for a provider that is not installed.
        native_mulaw: for what hears or speaks: whether what is behind it knows µ-law at 8 kHz, which it then has to
            take and give untouched (SP-03). None leaves that unchecked.
    """

    kind: ClassVar[ProviderKind]
    spec: ClassVar[str]
    plugins: ClassVar[Sequence[object]] = ()
    native_mulaw: ClassVar[bool | None] = None

    @pytest.fixture
    def server(self) -> Server:
        """What the provider talks to; nothing by default."""
        return no_server

    async def work(self, provider: Any) -> None:
        """One usual piece of work with a fresh provider."""
        raise NotImplementedError

    def run(self, server: Server, check: Callable[[Subject], Awaitable[None]]) -> None:
        """Run a check on an event loop of its own; tasks and sockets that it leaves fail it."""
        before = open_sockets()

        async def main() -> None:
            async with server() as settings:
                subject = Subject(self.kind, self.spec, self.plugins, settings)
                try:
                    await check(subject)
                finally:
                    await subject.close()
            for _ in range(10):
                await asyncio.sleep(0)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks were left: {sorted(str(task) for task in left)}"

        asyncio.run(main())
        assert not open_sockets() - before, "sockets were left open"

    # -- the suite itself

    def test_no_check_is_changed_without_a_reason(self) -> None:
        """A check may be expected to fail, with a reason; it may not be replaced or removed."""
        for name in sorted(
            {name for base in type(self).__mro__ for name in vars(base) if _is_kit_check(base, name)}
        ):
            check = getattr(type(self), name)
            if getattr(check, "__module__", "").startswith(_KIT):
                continue
            marks = getattr(check, "pytestmark", [])
            reasons = [mark.kwargs.get("reason") for mark in marks if mark.name == "xfail"]
            assert any(reasons), (
                f"{name} was changed without a written reason: use pytest.mark.xfail(reason=...)"
            )

    # -- plugin and record

    def test_the_record_can_be_found_and_is_well_formed(self) -> None:
        manager = PluginManager(self.plugins)
        record = resolve(manager, self.kind, self.spec).record

        assert record.kind == self.kind
        assert _NAME.fullmatch(record.name)
        for alias in record.aliases:
            assert _NAME.fullmatch(alias)
        for variable in record.env.values():
            assert re.fullmatch(r"[A-Z][A-Z0-9_]*", variable)
        rows = [row for row in manager.plugins() if row.status == "ok" and not row.builtin]
        owner = manager.find(self.kind, record.name)
        assert rows
        assert owner is not None

    @pytest.mark.behaviour("CF-08")
    def test_registering_the_plugin_imports_no_library_and_opens_nothing(self) -> None:
        if self.plugins:
            pytest.skip("only for an installed plugin")
        name = resolve(PluginManager(), self.kind, self.spec).record.name
        row = next(
            row
            for row in PluginManager().plugins()
            if name in PluginManager(allow=[row.name]).records(self.kind)
        )
        found, modules, connected = _loaded(self.kind, [row.name])
        _, bare, _ = _loaded(self.kind, [])

        assert name in found
        assert set(modules) - set(bare) - set(sys.stdlib_module_names) <= {row.dist.replace("-", "_")}
        assert connected == []

    # -- configuration

    def test_an_unknown_setting_is_refused(self) -> None:
        manager = PluginManager(self.plugins)
        provider = self.spec.partition("?")[0].partition("/")[0]
        resolved = resolve(manager, self.kind, f"{provider}?no_such_setting=1")

        with pytest.raises(UnknownOptionError, match="no_such_setting"):
            configure(manager, resolved)

    def test_secrets_come_from_the_documented_variables_and_show_nowhere(self) -> None:
        manager = PluginManager(self.plugins)
        resolved = resolve(manager, self.kind, self.spec)
        if resolved.record.config is None or not resolved.record.env:
            pytest.skip("has no configuration that reads the environment")
        fields = config_class(resolved.record).model_fields
        secrets = {
            name: one for name, one in resolved.record.env.items() if "Secret" in str(fields[name].annotation)
        }
        environ = {variable: f"{_CANARY}-{name}" for name, variable in secrets.items()}
        try:
            config: Any = configure(manager, resolved, ConfigSources(environ=environ))
        except ConfigError as error:
            text = str(error)
            if _CANARY in text:
                pytest.fail("the error of a configuration shows a secret")
            pytest.skip(f"needs more than its secrets: {text}")
        for name, variable in secrets.items():
            assert getattr(config, name).get_secret_value() == environ[variable]
        assert _CANARY not in repr(config) + str(config)

    def test_a_missing_setting_is_an_error_that_names_its_variable(self) -> None:
        manager = PluginManager(self.plugins, environ={})
        resolved = resolve(manager, self.kind, self.spec)
        variables = list(resolved.record.env.values())
        if not variables:
            pytest.skip("reads no variables")
        subject = Subject(self.kind, self.spec, self.plugins)
        subject.manager = manager
        try:
            subject.make()
        except ConfigError as error:
            text = str(error)
        else:
            pytest.skip("works without any")
        assert any(variable in text for variable in variables)

    @pytest.mark.behaviour("CF-04")
    def test_every_setting_that_it_accepts_is_read(self, server: Server) -> None:
        """While it is made, at work, or on a path of its code that a usual piece of work does not take."""

        async def check(subject: Subject) -> None:
            factory = factory_of(subject.record)
            if subject.record.config is None:
                unread = unread_parameters(factory)
            else:
                read: set[str] = set()
                provider = subject.make_recorded(read)
                await self.work(provider)
                if hasattr(provider, "close"):  # a strategy has none
                    await closed(provider)
                unread = unread_settings(config_class(subject.record), factory, read)
            assert not unread, f"accepted and never read, so without any effect: {', '.join(unread)}"

        self.run(server, check)

    # -- life

    def test_making_one_opens_nothing(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        async def check(subject: Subject) -> None:
            import socket

            def refuse(*_: Any) -> None:
                raise AssertionError("a socket was connected while the object was made")

            with monkeypatch.context() as patch:
                patch.setattr(socket.socket, "connect", refuse)
                patch.setattr(socket.socket, "connect_ex", refuse)
                tasks = asyncio.all_tasks()
                provider = subject.make()
                assert asyncio.all_tasks() == tasks
            await closed(provider)

        self.run(server, check)

    @pytest.mark.behaviour("LC-09")
    def test_close_is_idempotent_quick_and_allowed_at_any_time(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            unused = subject.make()
            await closed(unused)
            await closed(unused)
            used = subject.make()
            await self.work(used)
            await closed(used)
            await closed(used)

        self.run(server, check)

    @pytest.mark.behaviour("LC-09")
    def test_cancelling_at_any_point_leaves_nothing(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            for steps in CANCEL_AFTER:
                provider = subject.make()
                task = asyncio.ensure_future(self.work(provider))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                async with asyncio.timeout(2.0):
                    await asyncio.gather(task, return_exceptions=True)
                await closed(provider)

        self.run(server, check)

    def test_two_of_them_share_no_state(self, server: Server) -> None:
        """Closing one leaves the other at work (LC-04)."""

        async def check(subject: Subject) -> None:
            first, second = subject.make(), subject.make()
            assert first is not second
            await asyncio.gather(self.work(first), self.work(second))
            await closed(first)
            third = subject.make()
            await self.work(third)
            await closed(second)
            await closed(third)

        self.run(server, check)


def _loaded(kind: str, allowed: list[str]) -> list[list[str]]:
    """The providers, modules and connections of a fresh process that loads these plugins."""
    script = _LOADED.format(kind=kind, allowed=allowed)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found: list[list[str]] = json.loads(done.stdout)
    return found


def _is_kit_check(base: type, name: str) -> bool:
    return name.startswith("test_") and base.__module__.startswith(_KIT)
