from __future__ import annotations

import logging

import pytest

from patter import BargeInRecord, BargeInStrategy, STTRecord, hookimpl
from patter.errors import ConfigError, PluginConflictError, PluginValidationError, ProviderNotFoundError
from patter.plugins import PluginManager, resolve
from patter.plugins._metadata import entry_points

GOOD = """
    from patter import STTRecord, hookimpl

    @hookimpl
    def patter_register_stt():
        return [STTRecord("{name}", "nowhere:Nothing", env={{"api_key": "{name}_KEY"}})]
"""


def good(name):
    return GOOD.format(name=name)


def manager(installed, *, block=(), **options):
    """A manager of the distributions of this test and of no other."""
    names = [name for name in installed.names if name not in block]
    return PluginManager(environ={}, allow=names, **options)


def rows(found, installed):
    return {row.dist: row for row in found.plugins() if row.dist in installed.names}


def test_finds_what_is_installed_with_its_versions(installed):
    installed.install("patter-zeta", good("zeta"), version="2.5")
    installed.install("acme-alpha", good("alpha"), plugin="alpha")
    found = [one for one in entry_points() if one.dist in installed.names]
    assert [(one.dist, one.name, one.version) for one in found] == [
        ("acme-alpha", "alpha", "1.0"),
        ("patter-zeta", "zeta", "2.5"),
    ]


def test_a_loaded_plugin_is_listed_with_hooks_and_variables(installed):
    installed.install("patter-zeta", good("zeta"))
    row = rows(manager(installed), installed)["patter-zeta"]
    assert (row.name, row.version, row.status) == ("zeta", "1.0", "ok")
    assert row.hooks == ("patter_register_stt",)
    assert row.env == ("zeta_KEY",)


BROKEN = {
    "import": ("import", "import a_module_that_is_nowhere", "ModuleNotFoundError"),
    "exit": ("import", "raise SystemExit('no licence')", "no licence"),
    "hook": (
        "register",
        "from patter import hookimpl\n@hookimpl\ndef patter_register_tts(): raise OSError('no disk')",
        "no disk",
    ),
    "add-hooks": (
        "register",
        "from patter import hookimpl\n@hookimpl\ndef patter_add_hooks(manager): raise OSError('no disk')",
        "no disk",
    ),
    "version": ("validate", "PATTER_API = 99", "newer patter-core"),
    "misspelt": (
        "validate",
        "from patter import hookimpl\n@hookimpl\ndef patter_call_endet(call): pass",
        "patter_call_ended",
    ),
}


@pytest.mark.behaviour("CF-07")
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_reported_once_and_the_others_work(installed, caplog, case):
    stage, source, reason = BROKEN[case]
    installed.install("patter-good", good("good"))
    installed.install("patter-broken", source)
    installed.install("patter-zeta", good("zeta"))
    with caplog.at_level(logging.WARNING):
        found = manager(installed)
        found.plugins()
    assert [(one.dist, one.stage) for one in found.failures] == [("patter-broken", stage)]
    assert reason in found.failures[0].reason
    assert len([one for one in caplog.records if "patter-broken" in one.getMessage()]) == 1
    assert {name: row.status for name, row in rows(found, installed).items()} == {
        "patter-good": "ok",
        "patter-broken": "failed",
        "patter-zeta": "ok",
    }
    assert reason in rows(found, installed)["patter-broken"].problem
    assert set(found.records("stt")) == {"good", "zeta"}


def test_nothing_of_a_plugin_that_failed_to_register_stays(installed):
    source = """
        from patter import STTRecord, hookimpl

        @hookimpl
        def patter_register_stt():
            return [STTRecord("half", "nowhere:Nothing")]

        @hookimpl
        def patter_register_tts():
            raise RuntimeError("no")

        @hookimpl
        def patter_dtmf(digit):
            pass
    """
    installed.install("patter-half", source)
    found = manager(installed)
    assert found.records("stt") == {}
    assert found.implementations("patter_dtmf") == []


@pytest.mark.behaviour("CF-07")
def test_the_order_of_plugins_does_not_depend_on_the_order_of_installation(installed):
    source = "from patter import hookimpl\n@hookimpl\ndef patter_dtmf(digit): pass"
    for name in ("patter-mike", "patter-zeta", "patter-alpha", "acme-zulu"):
        installed.install(name, source)
    called = [impl.plugin_name for impl in manager(installed).implementations("patter_dtmf")]
    assert called == ["zeta", "mike", "alpha", "acme-zulu"]


def test_a_hook_specified_by_a_later_plugin_is_known(installed):
    installed.install("patter-a", "from patter import hookimpl\n@hookimpl\ndef patter_zz_tune(song): pass")
    installed.install(
        "patter-b",
        """
        import sys
        from patter import hookimpl
        from patter.markers import hookspec

        @hookspec
        def patter_zz_tune(song):
            "Called for a tune."

        @hookimpl
        def patter_add_hooks(manager):
            manager.add_hookspecs(sys.modules[__name__])
        """,
    )
    found = manager(installed)
    assert found.failures == ()
    assert [one.plugin_name for one in found.implementations("patter_zz_tune")] == ["a"]


def test_a_plugin_name_of_two_distributions_loads_neither(installed):
    installed.install("acme-deepgram", good("deepgram"), plugin="deepgram")
    installed.install("patter-deepgram", good("deepgram"), plugin="deepgram")
    installed.install("patter-zeta", good("zeta"))
    found = manager(installed)
    assert {row.status for name, row in rows(found, installed).items() if "deepgram" in name} == {"conflict"}
    assert set(found.records("stt")) == {"zeta"}
    with pytest.raises(
        PluginConflictError, match=r"acme-deepgram 1\.0 and by patter-deepgram 1\.0.*PATTER_DISABLE_PLUGINS"
    ):
        resolve(found, "stt", "deepgram/nova-3")


def test_disabling_or_preferring_one_distribution_settles_it(installed):
    installed.install("acme-deepgram", good("deepgram"), plugin="deepgram")
    installed.install("patter-deepgram", good("deepgram"), plugin="deepgram")
    environ = {"PATTER_PLUGINS": "deepgram", "PATTER_DISABLE_PLUGINS": "ACME_deepgram"}
    disabled = PluginManager(environ=environ)
    assert rows(disabled, installed)["acme-deepgram"].status == "blocked"
    assert disabled.failures == ()
    assert set(disabled.records("stt")) == {"deepgram"}

    preferred = manager(installed, prefer={"stt:deepgram": "acme-deepgram"})
    assert rows(preferred, installed)["acme-deepgram"].status == "ok"
    assert "acme-deepgram 1.0, which is preferred" in preferred.failures[0].reason


@pytest.mark.behaviour("CF-06")
def test_one_provider_name_of_two_plugins_is_refused_with_both_names(installed):
    installed.install("patter-one", good("ears"))
    installed.install("patter-two", good("ears"))
    found = manager(installed)
    assert {row.status for row in rows(found, installed).values()} == {"conflict"}
    assert found.records("stt") == {}
    with pytest.raises(PluginConflictError) as caught:
        resolve(found, "stt", "ears")
    assert "patter-one 1.0 and by patter-two 1.0" in str(caught.value)
    assert 'Patter(prefer={"stt:ears": "patter-one"})' in str(caught.value)

    settled = manager(installed, prefer={"stt:ears": "patter-two"})
    assert settled.conflicts == ()
    assert settled.owner("two").dist == "patter-two"
    assert resolve(settled, "stt", "ears").record is settled.records("stt")["ears"]


def test_an_alias_conflicts_with_a_name(installed):
    installed.install("patter-one", good("ears"))
    found = manager(installed)

    class Other:
        @hookimpl
        def patter_register_stt(self):
            return [STTRecord("other", "nowhere:Nothing", aliases=("ears",))]

    found.register(Other())
    assert [(one.kind, one.name) for one in found.conflicts] == [("stt", "ears")]
    assert set(found.records("stt")) == {"other"}


@pytest.mark.parametrize(
    ("environ", "loaded"),
    [
        ({"PATTER_PLUGINS": "one"}, {"patter-one"}),
        ({"PATTER_PLUGINS": "patter_one, Patter-Two"}, {"patter-one", "patter-two"}),
        ({"PATTER_PLUGINS": ""}, set()),
        ({"PATTER_PLUGINS": "one,two", "PATTER_DISABLE_PLUGINS": "two"}, {"patter-one"}),
        ({"PATTER_PLUGINS": "one,two", "PATTER_DISABLE_PLUGIN_AUTOLOAD": "1"}, set()),
    ],
)
def test_the_environment_decides_what_is_loaded(installed, environ, loaded):
    installed.install("patter-one", good("one"))
    installed.install("patter-two", good("two"))
    found = PluginManager(environ=environ)
    assert {name for name, row in rows(found, installed).items() if row.status == "ok"} == loaded


def test_a_plugin_that_is_kept_out_is_not_imported(installed):
    installed.install("patter-one", "raise AssertionError('imported')")
    found = PluginManager(environ={}, allow=[])
    assert found.failures == ()
    with pytest.raises(
        ProviderNotFoundError, match=r"patter-one provides the STT.*kept out: see PATTER_PLUGINS"
    ):
        resolve(found, "stt", "one")


def test_arguments_win_over_the_environment(installed):
    installed.install("patter-one", good("one"))
    environ = {"PATTER_DISABLE_PLUGIN_AUTOLOAD": "1", "PATTER_PLUGINS": "", "PATTER_DISABLE_PLUGINS": "one"}
    found = PluginManager(environ=environ, autoload=True, allow=["one"], block=[])
    assert set(found.records("stt")) == {"one"}


def test_an_allowed_name_that_is_not_installed_is_reported(installed, caplog):
    PluginManager(environ={"PATTER_PLUGINS": "deepgarm"})
    assert "'deepgarm'" in caplog.text


@pytest.mark.parametrize(
    "options",
    [{"allow": "deepgram"}, {"prefer": {"deepgram": "x"}}, {"prefer": {"sst:deepgram": "x"}}],
)
def test_settings_without_meaning_are_refused(options):
    with pytest.raises(ConfigError):
        PluginManager(environ={}, autoload=False, **options)


def test_a_flag_must_be_one_or_zero():
    with pytest.raises(ConfigError, match="PATTER_STRICT_PLUGINS"):
        PluginManager(environ={"PATTER_STRICT_PLUGINS": "maybe"}, autoload=False)


def test_strict_raises_the_first_failure_with_its_cause(installed):
    installed.install("patter-broken", "import a_module_that_is_nowhere")
    environ = {"PATTER_STRICT_PLUGINS": "1", "PATTER_PLUGINS": "broken"}
    with pytest.raises(ConfigError, match="plugin 'broken' of patter-broken") as caught:
        PluginManager(environ=environ)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_two_managers_share_nothing():
    class Plugin:
        @hookimpl
        def patter_dtmf(self, digit):
            pass

    one, two = (PluginManager(autoload=False, environ={}) for _ in range(2))
    one.register(Plugin())
    assert len(one.implementations("patter_dtmf")) == 1
    assert two.implementations("patter_dtmf") == []


class Always(BargeInStrategy):
    def evaluate(self, event):
        return True


class AlwaysPlugin:
    @hookimpl
    def patter_register_barge_in(self):
        return [BargeInRecord("always", Always)]


def test_registering_by_hand_returns_the_plugin_and_can_be_undone():
    found = PluginManager(autoload=False, environ={})
    plugin = AlwaysPlugin()
    assert found.register(plugin) is plugin
    assert found.register(plugin) is plugin
    assert set(found.records_of(BargeInRecord)) == {"always"}
    found.unregister(plugin)
    found.unregister(plugin)
    assert found.records_of(BargeInRecord) == {}
    assert [row.name for row in found.plugins()] == ["patter.core"]


def test_two_plugins_of_one_class_have_names_of_their_own():
    class Plugin:
        @hookimpl
        def patter_dtmf(self, digit):
            pass

    found = PluginManager([Plugin(), Plugin()], autoload=False, environ={})
    assert [row.name for row in found.plugins() if not row.builtin] == ["Plugin", "Plugin-2"]
    with pytest.raises(PluginConflictError, match="already registered as 'Plugin'"):
        found.register(Plugin(), name="Plugin")


def test_a_configure_hook_acts_on_plugins_that_come_later():
    seen = []

    class Plugin:
        @hookimpl
        def patter_configure(self, phone):
            seen.append(phone)

    found = PluginManager(autoload=False, environ={})
    found.hook.patter_configure.call_historic(kwargs={"phone": "the phone"})
    found.register(Plugin())
    assert seen == ["the phone"]


def test_a_broken_plugin_given_by_hand_is_raised():
    class Plugin:
        @hookimpl
        def patter_dtfm(self, digit):
            pass

    with pytest.raises(PluginValidationError, match="did you mean patter_dtmf"):
        PluginManager([Plugin()], autoload=False, environ={})
