from __future__ import annotations

import traceback
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from patter import STTRecord
from patter.errors import ConfigError, PatterError, UnknownOptionError
from patter.plugins import ProviderConfig, load_config


class EarsConfig(ProviderConfig):
    model: str | None = None
    api_key: SecretStr
    rate: int = 8000
    threshold: float = Field(default=0.5, gt=0, lt=1)
    fast: bool = False
    words: tuple[str, ...] = ()
    levels: list[int] | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    mode: Literal["one", "two"] = "one"

    @field_validator("rate")
    @classmethod
    def _telephone(cls, value):
        if value > 48000:
            raise ValueError("no telephone is that good")
        return value


EARS = STTRecord(
    "ears", "nowhere:Ears", config=EarsConfig, env={"api_key": "EARS_API_KEY", "rate": "EARS_RATE"}
)
KEY = {"EARS_API_KEY": "hunter2"}


def load(reference=None, *, explicit=None, file=None, environ=KEY, defaults=None):
    return load_config(EARS, reference or {}, explicit or {}, file or {}, environ, defaults or {})


SOURCES = {
    "explicit": {"explicit": {"rate": 1}},
    "query": {"reference": {"rate": "2"}},
    "file": {"file": {"rate": 3}},
    "environment": {"environ": {**KEY, "EARS_RATE": "4"}},
    "preset": {"defaults": {"rate": 5}},
}


@pytest.mark.parametrize("strongest", range(len(SOURCES)))
def test_explicit_wins_over_query_over_file_over_environment_over_preset_over_default(strongest):
    options = {}
    for source in list(SOURCES.values())[strongest:]:
        options.update(source)
    assert load(**options).rate == strongest + 1
    assert load().rate == 8000


def test_each_source_fills_what_stronger_ones_leave():
    config = load({"fast": "true"}, explicit={"rate": 1}, file={"threshold": 0.9}, defaults={"mode": "two"})
    assert (config.rate, config.fast, config.threshold, config.mode) == (1, True, 0.9, "two")


def test_of_a_configuration_object_only_what_was_set_is_explicit():
    given = EarsConfig(api_key="k", fast=True)
    config = load({"rate": "9"}, explicit=given, file={"fast": False, "threshold": 0.25})
    assert (config.api_key.get_secret_value(), config.fast, config.rate, config.threshold) == (
        "k",
        True,
        9,
        0.25,
    )


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("rate", "16000", 16000),
        ("threshold", "0.7", 0.7),
        ("fast", "yes", True),
        ("words", "stop, hold on,", ("stop", "hold on")),
        ("levels", "1,2", [1, 2]),
        ("headers", '{"a": "b"}', {"a": "b"}),
        ("mode", "two", "two"),
        ("model", "nova-3", "nova-3"),
    ],
)
def test_text_becomes_what_the_field_is(name, text, value):
    assert getattr(load({name: text}), name) == value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference": {"rate": "x"}}, "STT ears: rate (in the reference): "),
        ({"file": {"rate": "x"}}, "STT ears: rate (in [stt.ears] of the file): "),
        ({"environ": {**KEY, "EARS_RATE": "x"}}, "STT ears: rate (from EARS_RATE): "),
        ({"explicit": {"rate": "x"}}, "STT ears: rate (in the code): "),
        ({"defaults": {"rate": "x"}}, "STT ears: rate (in the plugin's preset): "),
        ({"explicit": {"rate": 50000}}, "no telephone is that good"),
        ({"reference": {"headers": "{"}}, "STT ears: headers (in the reference): "),
    ],
)
def test_a_value_that_does_not_fit_is_reported_with_its_source(options, message):
    with pytest.raises(ConfigError) as caught:
        load(**options)
    assert message in str(caught.value)


def test_every_value_that_does_not_fit_is_reported():
    with pytest.raises(ConfigError, match=r"rate .*; STT ears: mode "):
        load({"rate": "x", "mode": "three"})


@pytest.mark.parametrize(
    ("options", "source"),
    [
        ({"reference": {"raet": "1"}}, "the reference"),
        ({"file": {"raet": 1}}, "[stt.ears] of the file"),
        ({"explicit": {"raet": 1}}, "the code"),
        ({"defaults": {"raet": 1}}, "the plugin's preset"),
    ],
)
def test_a_setting_that_does_not_exist_is_reported_with_the_nearest(options, source):
    with pytest.raises(UnknownOptionError) as caught:
        load(**options)
    assert str(caught.value).startswith(
        f"STT ears has no setting 'raet', which {source} sets; did you mean rate?"
    )


def test_a_provider_without_models_says_so():
    class Plain(BaseModel):
        rate: int = 1

    with pytest.raises(UnknownOptionError, match="STT plain takes no model"):
        load_config(STTRecord("plain", "a:B", config=Plain), {"model": "big"})


@pytest.mark.parametrize("environ", [{}, {"EARS_API_KEY": ""}, {"EARS_API_KEY": "  "}])
def test_a_missing_key_names_its_variable(environ):
    with pytest.raises(ConfigError, match="STT ears: api_key is missing: set EARS_API_KEY"):
        load(environ=environ)


@pytest.mark.parametrize("source", ["explicit", "file"])
def test_a_key_comes_from_the_constructor_or_a_file_before_the_environment(source):
    assert load(**{source: {"api_key": "mine"}}).api_key.get_secret_value() == "mine"
    assert load().api_key.get_secret_value() == "hunter2"


def test_a_secret_field_is_refused_in_a_reference_whatever_its_name():
    class Odd(ProviderConfig):
        pass_phrase: SecretStr | None = None

    with pytest.raises(ConfigError, match=r"pass_phrase is a secret .* configuration object") as caught:
        load_config(STTRecord("odd", "a:B", config=Odd), {"pass_phrase": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_no_key_is_in_an_error_its_traceback_or_a_repr():
    key = KEY["EARS_API_KEY"]
    with pytest.raises(ConfigError) as caught:
        load(explicit={"api_key": [key], "rate": key})
    assert key not in "".join(traceback.format_exception(caught.value))
    assert key not in repr(load())


def test_no_validation_error_of_another_library_gets_out():
    for make in (
        lambda: EarsConfig(api_key="k", rate="x"),
        EarsConfig,
        lambda: load({"rate": "x"}),
    ):
        with pytest.raises(ConfigError) as caught:
            make()
        assert caught.value.code == "CONFIG"
        assert type(caught.value).__module__.startswith("patter.")
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
    with pytest.raises(UnknownOptionError) as unknown:
        load({"raet": "1"})
    assert all(isinstance(unknown.value, base) for base in (ConfigError, PatterError, TypeError, ValueError))


def test_a_configuration_made_by_hand_says_what_is_wrong():
    with pytest.raises(ConfigError, match="EarsConfig: api_key: Field required"):
        EarsConfig()
    with pytest.raises(ConfigError, match="EarsConfig: raet: "):
        EarsConfig(api_key="k", raet=1)


def test_a_configuration_does_not_change():
    with pytest.raises(ValueError, match="frozen"):
        load().rate = 1


def test_a_plain_pydantic_model_will_do():
    class Plain(BaseModel):
        model_config = ConfigDict(frozen=True)
        rate: int

    record = STTRecord("plain", "a:B", config=Plain)
    assert load_config(record, {"rate": "5"}).rate == 5
    with pytest.raises(ConfigError, match=r"rate is missing: give it as \?rate="):
        load_config(record)


@pytest.mark.parametrize(
    "config", ["nowhere:Config", "patter.records:Record", "patter.records:Nothing", dict]
)
def test_a_configuration_class_that_is_none_is_an_error_of_its_provider(config):
    with pytest.raises(ConfigError):
        load_config(STTRecord("ears", "a:B", config=config))
