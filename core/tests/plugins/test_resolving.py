from __future__ import annotations

import sys

import pytest
from pydantic import BaseModel

from patter import BargeInRecord, BargeInStrategy, CarrierRecord, LLMRecord, STTRecord, hookimpl
from patter.errors import ConfigError, PluginConflictError, PluginValidationError, ProviderNotFoundError
from patter.plugins import PluginManager, resolve
from patter.plugins.known import KNOWN


class EarsConfig(BaseModel):
    model: str = "small"
    api_key: str = ""


class Ears:
    def __init__(self, config, context):
        self.config = config


EARS = STTRecord("ears", Ears, config=EarsConfig, env={"api_key": "EARS_API_KEY"}, aliases=("old-ears",))


class EarsPlugin:
    @hookimpl
    def patter_register_stt(self):
        return [EARS]


@pytest.fixture
def manager():
    return PluginManager([EarsPlugin()], autoload=False, environ={})


@pytest.mark.parametrize(("text", "values"), [("ears", {}), ("old-ears/big?x=1", {"model": "big", "x": "1"})])
def test_a_reference_resolves_by_name_and_alias(manager, text, values):
    resolved = resolve(manager, "stt", text)
    assert (resolved.kind, resolved.record, resolved.config_values) == ("stt", EARS, values)
    assert resolved.origin == text.partition("?")[0]


def test_a_record_is_its_own_answer(manager):
    record = STTRecord("mine", Ears)
    assert resolve(manager, "stt", record).record is record


def test_a_record_of_another_kind_is_refused(manager):
    with pytest.raises(ConfigError, match="LLMRecord 'mine' cannot serve as STT"):
        resolve(manager, "stt", LLMRecord("mine", Ears))


def test_a_configuration_finds_its_record(manager):
    config = EarsConfig(model="big")
    resolved = resolve(manager, "stt", config)
    assert resolved.record is EARS
    assert resolved.given is config
    assert resolved.origin == "ears"


def test_a_configuration_is_found_by_the_name_of_its_class(manager):
    class Plugin:
        @hookimpl
        def patter_register_tts(self):
            from patter import TTSRecord

            return [TTSRecord("mouth", "nowhere:Mouth", config=f"{__name__}:EarsConfig")]

    assert sys.modules[__name__].EarsConfig is EarsConfig
    manager.register(Plugin())
    assert resolve(manager, "tts", EarsConfig()).record.name == "mouth"


def test_a_configuration_of_nothing_installed_is_refused(manager):
    class OtherConfig(BaseModel):
        pass

    with pytest.raises(ProviderNotFoundError, match="OtherConfig"):
        resolve(manager, "stt", OtherConfig())


def test_a_class_and_a_function_are_factories(manager):
    assert resolve(manager, "stt", Ears).record == STTRecord("ears", Ears)

    def make_ears():
        return Ears(None, None)

    assert resolve(manager, "stt", make_ears).record == STTRecord("make-ears", make_ears)


class Strategy(BargeInStrategy):
    def evaluate(self, event):
        return True


class Asynchronous(BargeInStrategy):
    async def evaluate(self, event):
        return True


def test_a_strategy_object_is_accepted_for_barge_in_only(manager):
    assert resolve(manager, "barge_in", Strategy()).record.name == "strategy"
    with pytest.raises(ConfigError, match="would be shared by calls"):
        resolve(manager, "stt", Strategy())


@pytest.mark.parametrize("given", [Asynchronous, Asynchronous(), BargeInRecord("slow", Asynchronous)])
def test_a_strategy_with_a_coroutine_is_refused_in_any_form(manager, given):
    with pytest.raises(PluginValidationError, match="evaluate must be a plain def"):
        resolve(manager, "barge_in", given)


def test_a_ready_carrier_belongs_to_its_phone(manager):
    class Carrier:
        pass

    carrier = Carrier()
    record = resolve(manager, "carrier", carrier).record
    assert isinstance(record, CarrierRecord)
    assert record.factory() is carrier


@pytest.mark.parametrize("given", [None, 5, b"ears", ["ears"], {"ears": 1}])
def test_what_names_no_provider_is_refused(manager, given):
    with pytest.raises(ConfigError, match="give a reference such as"):
        resolve(manager, "stt", given)


def test_an_unknown_kind_is_refused(manager):
    with pytest.raises(ConfigError, match="no kind of provider 'ears'"):
        resolve(manager, "ears", "ears")


@pytest.mark.behaviour("CF-06")
@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (
            "stt",
            "deepgram/nova-3",
            'patter-deepgram provides the STT "deepgram": pip install patter-deepgram',
        ),
        ("carrier", "twilio", 'patter-twilio provides the carrier "twilio": pip install patter-twilio'),
        ("barge_in", "min-words?min_words=2", "pip install patter-min-words"),
        ("stt", "deepgarm", 'there is no STT "deepgarm"; did you mean deepgram?'),
        ("stt", "eers", 'there is no STT "eers"; did you mean ears'),
        ("stt", "zzz", 'there is no STT "zzz"; installed: ears, old-ears'),
        ("llm", "ears", "a plugin of that name provides STT only"),
        ("tts", "anthropic", "a plugin of that name provides LLM only"),
    ],
)
def test_a_name_that_nobody_provides_says_what_to_do(manager, kind, text, message):
    with pytest.raises(ProviderNotFoundError) as caught:
        resolve(manager, kind, text)
    assert message in str(caught.value)


def test_every_known_provider_says_what_to_install():
    manager = PluginManager(autoload=False, environ={})
    for (kind, name), dist in KNOWN.items():
        with pytest.raises(ProviderNotFoundError, match=f"pip install {dist}$"):
            resolve(manager, kind, name)


def test_the_cause_of_a_failed_plugin_is_chained(installed):
    installed.install("patter-deepgram", "import a_module_that_is_nowhere")
    found = PluginManager(environ={}, allow=["deepgram"])
    with pytest.raises(ProviderNotFoundError, match=r"patter-deepgram 1\.0 is disabled \(import\)") as caught:
        resolve(found, "stt", "deepgram/nova-3")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    with pytest.raises(ProviderNotFoundError, match="disabled plugins, see patter plugins: deepgram"):
        resolve(found, "stt", "zzz")


@pytest.mark.behaviour("CF-06")
def test_two_plugins_with_one_name_are_both_refused(manager):
    manager.register(EarsPlugin(), name="second")
    with pytest.raises(PluginConflictError, match="'EarsPlugin' and by the registered plugin 'second'"):
        resolve(manager, "stt", "ears")
    settled = PluginManager(
        [EarsPlugin(), EarsPlugin()], autoload=False, environ={}, prefer={"stt:ears": "EarsPlugin-2"}
    )
    assert resolve(settled, "stt", "ears").record is EARS


@pytest.mark.parametrize("text", ["ears?api_key=hunter2", "ears/big?x=1&api_key=hunter2"])
def test_a_secret_in_a_reference_is_refused_with_its_variable(manager, text):
    with pytest.raises(ConfigError, match="set EARS_API_KEY") as caught:
        resolve(manager, "stt", text)
    assert "hunter2" not in str(caught.value)


def test_a_plugin_may_answer_before_core(manager):
    other = STTRecord("other", Ears)

    class Plugin:
        @hookimpl
        def patter_resolve(self, kind, ref):
            return other if ref == "ears/special" else None

    manager.register(Plugin())
    assert resolve(manager, "stt", "ears/special").record is other
    assert resolve(manager, "stt", "ears").record is EARS


@pytest.mark.parametrize("answer", ["text", LLMRecord("x", Ears)])
def test_an_answer_that_is_no_record_of_the_kind_is_an_error_of_that_reference(manager, answer):
    class Plugin:
        @hookimpl
        def patter_resolve(self):
            return answer

    manager.register(Plugin())
    with pytest.raises(ConfigError, match="STT ears/x: a plugin resolved it to"):
        resolve(manager, "stt", "ears/x")


def test_an_exception_of_a_plugin_is_an_error_of_that_reference(manager):
    class Plugin:
        @hookimpl
        def patter_resolve(self):
            raise OSError("no disk")

    manager.register(Plugin())
    with pytest.raises(ConfigError, match="STT ears: a plugin failed to resolve it: no disk") as caught:
        resolve(manager, "stt", "ears")
    assert isinstance(caught.value.__cause__, OSError)
