from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from patter import BargeInRecord, BargeInStrategy, STTRecord, hookimpl
from patter.environment import Environment
from patter.errors import ConfigError, InternalError, PluginValidationError, ProviderError, UnknownOptionError
from patter.plugins import (
    ConfigSources,
    PluginManager,
    ProviderConfig,
    SharedObjectPool,
    build,
    configure,
    import_attribute,
    resolve,
)
from patter.providers.context import ProviderContext
from patter.testing.virtual_loop import run_virtual


class EarsConfig(ProviderConfig):
    model: str | None = None
    api_key: SecretStr
    rate: int = 8000


class Ears:
    def __init__(self, config, context):
        self.config = config
        self.context = context


class StopWords(BargeInStrategy):
    def __init__(self, words=("stop", "wait"), count: int | None = None, loud=False, patience: float = 1.0):
        self.words, self.count, self.loud, self.patience = words, count, loud, patience

    def evaluate(self, event):
        return False


class Plugin:
    @hookimpl
    def patter_register_stt(self):
        return [
            STTRecord(
                "ears", f"{__name__}:Ears", config=f"{__name__}:EarsConfig", env={"api_key": "EARS_API_KEY"}
            )
        ]

    @hookimpl
    def patter_register_barge_in(self):
        return [BargeInRecord("stop-words", StopWords, env={"count": "STOP_COUNT"})]


ENVIRON = {"EARS_API_KEY": "hunter2"}


@pytest.fixture
def manager():
    return PluginManager([Plugin()], autoload=False, environ=ENVIRON)


@pytest.fixture
def context():
    return ProviderContext(Environment(), SharedObjectPool(), call_id="call_1")


def test_a_provider_gets_its_configuration_and_the_context(manager, context):
    ears = build(manager, resolve(manager, "stt", "ears/big?rate=16000"), context)
    assert isinstance(ears, Ears)
    assert (ears.config.model, ears.config.rate, ears.config.api_key.get_secret_value()) == (
        "big",
        16000,
        "hunter2",
    )
    assert ears.context is context


def test_each_build_makes_an_object_of_its_own(manager, context):
    resolved = resolve(manager, "stt", "ears")
    assert build(manager, resolved, context) is not build(manager, resolved, context)


def test_sources_beside_the_reference_are_used(manager, context):
    resolved = resolve(manager, "stt", "ears")
    sources = ConfigSources(file={"rate": 11025}, explicit={"model": "m"}, extra_defaults={"rate": 1})
    config = configure(manager, resolved, sources)
    assert (config.rate, config.model, config.api_key.get_secret_value()) == (11025, "m", "hunter2")
    with pytest.raises(ConfigError, match="set EARS_API_KEY"):
        build(manager, resolved, context, sources=ConfigSources(environ={}))


def test_a_configuration_object_stands_for_its_provider(manager, context):
    ears = build(manager, resolve(manager, "stt", EarsConfig(api_key="mine", rate=5)), context)
    assert (ears.config.rate, ears.config.api_key.get_secret_value()) == (5, "mine")


def test_a_plugin_may_wrap_or_replace_the_object(manager, context):
    seen = []

    class Wrapper:
        @hookimpl(wrapper=True)
        def patter_build(self, record, config, call):
            made = yield
            seen.append((record.name, config.rate, call))
            return ("wrapped", made)

    manager.register(Wrapper())
    kind, ears = build(manager, resolve(manager, "stt", "ears"), context)
    assert (kind, type(ears).__name__) == ("wrapped", "Ears")
    assert seen == [("ears", 8000, None)]


def test_a_build_hook_may_build_another_provider_with_another_context(manager, context):
    inner = ProviderContext(Environment(), SharedObjectPool(), call_id="inner")

    class Nested:
        @hookimpl(wrapper=True)
        def patter_build(self, record):
            if record.name == "stop-words":
                self.ears = build(manager, resolve(manager, "stt", "ears"), inner)
            return (yield)

    nested = manager.register(Nested())
    build(manager, resolve(manager, "barge_in", "stop-words"), context)
    assert nested.ears.context is inner


def raising(config, context):
    raise OSError("no licence")


async def asynchronous():
    return StopWords()


@pytest.mark.parametrize(
    ("kind", "given", "error", "message"),
    [
        (
            "stt",
            STTRecord("x", "nowhere:X", config=EarsConfig),
            ConfigError,
            "nowhere:X: the import failed: Mod",
        ),
        ("stt", STTRecord("x", "json:Nothing"), ConfigError, "json:Nothing: .*no attribute 'Nothing'"),
        ("stt", STTRecord("x", "json:__doc__"), ConfigError, "cannot be called"),
        ("stt", lambda: None, ConfigError, "its factory returned nothing"),
        ("barge_in", asynchronous, ConfigError, "its factory is async def"),
        ("barge_in", object, PluginValidationError, "needs a method evaluate"),
    ],
)
def test_a_factory_that_gives_no_provider_is_an_error_of_that_provider(
    manager, context, kind, given, error, message
):
    sources = ConfigSources(explicit={"api_key": "k"} if getattr(given, "config", None) else {})
    with pytest.raises(error, match=message):
        build(manager, resolve(manager, kind, given), context, sources=sources)


def test_what_a_factory_raises_is_chained(manager, context):
    resolved = resolve(manager, "stt", STTRecord("x", raising, config=EarsConfig))
    with pytest.raises(ProviderError, match="STT x could not be made: OSError: no licence") as caught:
        build(manager, resolved, context, sources=ConfigSources(explicit={"api_key": "k"}))
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.provider == "STTRecord 'x'"


def strategy(manager, context, given):
    return build(manager, resolve(manager, "barge_in", given), context)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("stop-words", "words", ("stop", "wait")),
        ("stop-words?words=halt,hold on", "words", ("halt", "hold on")),
        ("stop-words?count=3", "count", 3),
        ("stop-words?loud=yes", "loud", True),
        ("stop-words?loud=0", "loud", False),
        ("stop-words?patience=0.5", "patience", 0.5),
    ],
)
def test_the_signature_of_a_factory_says_what_its_settings_are(manager, context, text, name, value):
    made = getattr(strategy(manager, context, text), name)
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            "stop-words?word=stop",
            UnknownOptionError,
            "has no setting 'word', which the reference sets; did you mean words",
        ),
        ("stop-words/big", UnknownOptionError, "has no setting 'model'"),
        ("stop-words?context=x", UnknownOptionError, "has no setting 'context'"),
        ("stop-words?count=x", ConfigError, "count must be a whole number"),
        ("stop-words?patience=nan", ConfigError, "patience must be a finite number"),
        ("stop-words?loud=perhaps", ConfigError, "loud must be true or false"),
    ],
)
def test_settings_that_a_factory_does_not_take_are_refused(manager, context, text, error, message):
    with pytest.raises(error, match=message):
        strategy(manager, context, text)


def test_settings_of_a_factory_have_the_same_precedence(manager):
    resolved = resolve(manager, "barge_in", "stop-words?loud=1")
    sources = ConfigSources(
        explicit={"words": ("x",)},
        file={"loud": False, "words": "y", "patience": 2.5},
        environ={"STOP_COUNT": "7"},
    )
    assert configure(manager, resolved, sources) == {
        "words": ("x",),
        "loud": True,
        "patience": 2.5,
        "count": 7,
    }


def test_annotations_say_what_a_sequence_holds(manager, context):
    class Typed(StopWords):
        def __init__(
            self,
            a: list[int],
            b: Sequence[float] = (),
            c: frozenset[str] | None = None,
            d: Iterable[str] = (),
        ):
            super().__init__()
            self.all = (a, b, c, d)

    record = BargeInRecord("typed", Typed)
    sources = ConfigSources(file={"a": "1,2", "b": "0.5", "c": "x", "d": "y,z"})
    made = build(manager, resolve(manager, "barge_in", record), context, sources=sources)
    assert made.all == ([1, 2], (0.5,), frozenset({"x"}), ("y", "z"))
    with pytest.raises(ConfigError, match=r"barge-in strategy typed: a must be set, as in \?a="):
        strategy(manager, context, record)


def test_a_factory_may_ask_for_the_context_and_take_any_setting(manager, context):
    def make(context, **settings):
        made = StopWords()
        made.seen = (context, settings)
        return made

    record = BargeInRecord("open", make)
    made = build(
        manager, resolve(manager, "barge_in", record), context, sources=ConfigSources(file={"any": "1"})
    )
    assert made.seen == (context, {"any": "1"})


def test_a_strategy_object_is_copied_for_each_call(manager, context):
    given = StopWords(words=["a"])
    resolved = resolve(manager, "barge_in", given)
    one, two = build(manager, resolved, context), build(manager, resolved, context)
    one.words.append("b")
    assert (given.words, one.words, two.words) == (["a"], ["a", "b"], ["a"])


def test_import_attribute_reaches_into_classes():
    assert import_attribute("pathlib:Path.home") == Path.home
    assert import_attribute("json:dumps") is json.dumps
    with pytest.raises(ConfigError, match="must be written 'module:Attribute'"):
        import_attribute("json.dumps")


class Closing:
    def __init__(self, name, log, *, error=None, hangs=False):
        self.name, self.log, self.error, self.hangs = name, log, error, hangs

    async def close(self):
        if self.hangs:
            await asyncio.Event().wait()
        self.log.append(self.name)
        if self.error:
            raise self.error


class PlainClosing(Closing):
    def close(self):
        self.log.append(self.name)


def test_a_shared_object_is_made_once():
    pool = SharedObjectPool()
    first = pool.get("x.model", object)
    assert pool.get("x.model", object) is first
    assert pool.get("y.model", object) is not first


def test_shared_objects_close_in_reverse_each_for_itself(caplog):
    log = []
    pool = SharedObjectPool()
    pool.get("client", lambda: Closing("client", log))
    pool.get("number", lambda: 5)
    pool.get("broken", lambda: Closing("broken", log, error=OSError("no")))
    pool.get("stuck", lambda: Closing("stuck", log, hangs=True))

    def outer():
        pool.get("inner", lambda: PlainClosing("inner", log))
        return Closing("outer", log)

    pool.get("outer", outer)

    async def close():
        return await pool.close(), await pool.close()

    failures, again = run_virtual(close())
    assert log == ["outer", "inner", "broken", "client"]
    assert [type(one) for one in failures] == [TimeoutError, OSError]
    assert again == ()
    assert "'stuck'" in caplog.text
    assert "'broken'" in caplog.text
    with pytest.raises(InternalError, match="after the phone was disconnected"):
        pool.get("late", object)


def test_an_object_that_could_not_be_made_is_made_the_next_time():
    pool = SharedObjectPool()
    with pytest.raises(ZeroDivisionError):
        pool.get("x", lambda: 1 / 0)
    assert pool.get("x", lambda: 5) == 5


def test_an_object_that_needs_itself_is_refused():
    pool = SharedObjectPool()
    with pytest.raises(InternalError, match="a -> b -> a"):
        pool.get("a", lambda: pool.get("b", lambda: pool.get("a", object)))
