from __future__ import annotations

import contextlib

import pytest

from patter import hookimpl
from patter.errors import PluginConflictError, PluginValidationError
from patter.plugins import PluginManager, Scope


class Keys:
    @hookimpl
    def patter_dtmf(self, digit):
        pass


def names(scope, hook="patter_dtmf"):
    return [impl.plugin_name for impl in scope.implementations(hook)]


def test_a_scope_without_plugins_has_no_manager():
    scope = Scope()
    assert names(scope) == []
    scope.unregister(Keys())
    assert scope._manager is None


def test_register_returns_the_plugin_once():
    scope, plugin = Scope(), Keys()
    assert scope.register(plugin) is plugin
    assert scope.register(plugin) is plugin
    assert names(scope) == ["Keys"]
    scope.unregister(plugin)
    assert names(scope) == []


def test_the_last_registered_comes_first():
    scope = Scope()
    for name in ("a", "b", "c"):
        scope.register(Keys(), name)
    assert names(scope) == ["c", "b", "a"]
    with pytest.raises(PluginConflictError, match="already registered as 'b'"):
        scope.register(Keys(), "b")


def test_two_plugins_of_one_class_both_act():
    scope = Scope()
    scope.register(Keys())
    scope.register(Keys())
    assert len(names(scope)) == 2


def test_a_plugin_for_the_length_of_a_block():
    scope, inside, before = Scope(), Keys(), Keys()
    scope.register(before, "before")
    with scope.plugin(inside, "inside") as given, scope.plugin(before):
        assert given is inside
        assert names(scope) == ["inside", "before"]
    assert names(scope) == ["before"]
    with contextlib.suppress(ZeroDivisionError), scope.plugin(inside):
        raise ZeroDivisionError
    assert names(scope) == ["before"]


def test_scopes_share_nothing():
    one, two = Scope(), Scope()
    one.register(Keys())
    assert names(two) == []


def test_a_hook_of_the_phone_is_refused():
    class Plugin:
        @hookimpl
        def patter_register_stt(self):
            return []

    scope = Scope("agent")
    with pytest.raises(
        PluginValidationError,
        match=r"patter_register_stt acts on the whole phone.*one agent.*phone\.register",
    ):
        scope.register(Plugin())
    PluginManager([Plugin()], autoload=False, environ={})


@pytest.mark.parametrize(
    ("name", "match"), [("patter_dtfm", "did you mean patter_dtmf"), ("qqq_zzz", "see the hook reference")]
)
def test_a_hook_that_does_not_exist_is_refused(name, match):
    plugin = type("Plugin", (), {name: hookimpl(lambda self: None)})()
    with pytest.raises(PluginValidationError, match=match):
        Scope().register(plugin)


def test_a_class_a_wrapper_and_a_wrong_argument_are_refused():
    class Wrapper:
        @hookimpl(wrapper=True)
        def patter_dtmf(self):
            yield

    class WrongArgument:
        @hookimpl
        def patter_dtmf(self, key):
            pass

    scope = Scope()
    for plugin, match in ((Keys, "parentheses"), (Wrapper(), "no wrappers"), (WrongArgument(), "key")):
        with pytest.raises(PluginValidationError, match=match):
            scope.register(plugin)
    assert names(scope) == []
