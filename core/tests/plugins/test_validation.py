from __future__ import annotations

from types import SimpleNamespace

import pytest

from patter import BargeInRecord, BargeInStrategy, STTRecord, TTSRecord, hookimpl
from patter.errors import PluginConflictError, PluginValidationError
from patter.plugins import PluginManager
from patter.records import VADRecord


def register(plugin):
    manager = PluginManager(autoload=False, environ={})
    try:
        manager.register(plugin, name="mine")
    finally:
        left = [row.name for row in manager.plugins() if not row.builtin]
    return left


def plugin(function):
    return SimpleNamespace(**{function.__name__: hookimpl(function)})


def refused(given, match):
    manager = PluginManager(autoload=False, environ={})
    with pytest.raises(PluginValidationError, match=match):
        manager.register(given, name="mine")
    assert [row.name for row in manager.plugins()] == ["patter.core"]


def test_a_misspelt_hook_is_refused_with_the_nearest_names():
    def patter_call_endet(call):
        pass

    refused(plugin(patter_call_endet), "no hook 'patter_call_endet'; did you mean patter_call_ended")


def test_an_unknown_hook_may_be_optional():
    def patter_of_another_plugin(call):
        pass

    given = SimpleNamespace(patter_of_another_plugin=hookimpl(optionalhook=True)(patter_of_another_plugin))
    assert register(given) == ["mine"]


def test_a_coroutine_is_refused_where_a_hook_is_synchronous():
    async def patter_register_stt():
        return []

    refused(plugin(patter_register_stt), "patter_register_stt is called without a running loop")


def test_a_coroutine_is_welcome_where_a_hook_is_asynchronous():
    async def patter_call_ended(call):
        pass

    assert register(plugin(patter_call_ended)) == ["mine"]


@pytest.mark.parametrize("kind", ["wrapper", "hookwrapper"])
def test_a_wrapper_of_an_asynchronous_hook_is_refused(kind):
    def patter_call_ended(call):
        yield

    given = SimpleNamespace(patter_call_ended=hookimpl(**{kind: True})(patter_call_ended))
    refused(given, "patter_call_ended takes no wrappers")


def test_a_wrapper_of_build_is_welcome():
    def patter_build(record):
        return (yield)

    given = SimpleNamespace(patter_build=hookimpl(wrapper=True)(patter_build))
    assert register(given) == ["mine"]


def test_an_argument_that_the_hook_does_not_have_is_refused():
    def patter_dtmf(call, key):
        pass

    refused(plugin(patter_dtmf), "key")


def test_a_class_is_refused_with_a_question_about_parentheses():
    class Plugin:
        pass

    refused(Plugin, r"did you forget the parentheses, Plugin\(\)")


@pytest.mark.parametrize(
    ("version", "match"),
    [
        (0, "newer version of the plugin"),
        (2, "newer patter-core"),
        ("1", "whole number"),
        (True, "whole number"),
    ],
)
def test_a_version_of_the_hooks_out_of_range_is_refused_before_any_hook_is_called(version, match):
    def patter_add_hooks(manager):
        raise AssertionError("called")

    refused(SimpleNamespace(PATTER_API=version, patter_add_hooks=hookimpl(patter_add_hooks)), match)


def test_the_current_version_of_the_hooks_is_accepted():
    assert register(SimpleNamespace(PATTER_API=1)) == ["mine"]


class Asynchronous(BargeInStrategy):
    async def evaluate(self, event):
        return True


class NoEvaluate:
    pass


BAD_RECORDS = {
    "no list": (STTRecord("x", "a:B"), "must return a list of STTRecord"),
    "text": ("x", "must return a list of STTRecord"),
    "number": (7, "must return a list of STTRecord"),
    "other kind": ([TTSRecord("x", "a:B")], "must return STTRecord objects, not TTSRecord"),
    "name": ([STTRecord("Deep Gram", "a:B")], "'Deep Gram' must be lower-case"),
    "alias": ([STTRecord("x", "a:B", aliases=("a/b",))], "'a/b' must be lower-case"),
    "factory": ([STTRecord("x", "a.B")], "must be written 'module:Attribute'"),
    "factory of no use": ([STTRecord("x", 5)], "factory must be a class"),
    "config": ([STTRecord("x", "a:B", config="a.b.C")], "config 'a.b.C' must be written"),
    "config of no use": ([STTRecord("x", "a:B", config=5)], "config must be a class"),
    "variable": ([STTRecord("x", "a:B", env={"api_key": ""})], "env must map"),
}


@pytest.mark.parametrize("case", BAD_RECORDS)
def test_records_that_cannot_be_used_are_refused(case):
    result, match = BAD_RECORDS[case]

    def patter_register_stt():
        return result

    refused(plugin(patter_register_stt), match)


def test_records_may_come_from_a_generator_or_not_at_all():
    def patter_register_stt():
        yield STTRecord("x", "a:B")

    def patter_register_tts():
        return None

    given = SimpleNamespace(
        patter_register_stt=hookimpl(patter_register_stt), patter_register_tts=hookimpl(patter_register_tts)
    )
    manager = PluginManager([given], autoload=False, environ={})
    assert set(manager.records("stt")) == {"x"}
    assert manager.records("tts") == {}


def test_one_name_twice_in_one_plugin_is_refused():
    def patter_register_vad():
        return [VADRecord("x", "a:B"), VADRecord("y", "a:B", aliases=("x",))]

    with pytest.raises(PluginConflictError, match='claims vad "x" twice'):
        register(plugin(patter_register_vad))


@pytest.mark.parametrize(
    ("factory", "match"),
    [(Asynchronous, "evaluate must be a plain def"), (NoEvaluate, "needs a method evaluate")],
)
def test_a_strategy_that_cannot_be_asked_is_refused_at_registration(factory, match):
    def patter_register_barge_in():
        return [BargeInRecord("slow", factory)]

    refused(plugin(patter_register_barge_in), match)
