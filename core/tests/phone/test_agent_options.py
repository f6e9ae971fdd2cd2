"""What an agent and a phone accept, refuse, and fill from file and environment."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from patter import Agent, ConfigError, Patter, PatterError, UnknownOptionError
from patter.errors import CallGoneError, PluginConflictError, ProviderAuthError, RateLimitedError
from patter.options import rows
from patter.phone_settings import PhoneSettings, SettingsFile, effective_agent, phone_settings, read_settings
from patter.plugins import PluginManager
from patter.testing import fake_plugin


def manager(**environ: str) -> PluginManager:
    """A manager without installed plugins and with an environment of its own."""
    return PluginManager(autoload=False, environ=environ)


def test_unknown_options_name_the_nearest_ones() -> None:
    with pytest.raises(UnknownOptionError, match="did you mean first_message"):
        Agent(first_mesage="Hello")
    with pytest.raises(UnknownOptionError, match="phone_number"):
        Patter(phone_numbr="+15550001234", manager=manager())


@pytest.mark.behaviour("CF-05")
def test_errors_have_a_code_and_one_tree() -> None:
    codes = {error.code for error in _tree(PatterError)}
    assert codes == {
        "CONFIG",
        "CONNECTION",
        "AUTH",
        "TIMEOUT",
        "RATE_LIMIT",
        "WEBHOOK_VERIFICATION",
        "INPUT_VALIDATION",
        "PROVIDER_ERROR",
        "PROVISION",
        "INTERNAL",
    }
    assert issubclass(ConfigError, ValueError)
    assert issubclass(UnknownOptionError, ConfigError)
    assert issubclass(UnknownOptionError, TypeError)
    assert ProviderAuthError("no", provider="x", vendor_code="401").vendor_code == "401"
    assert RateLimitedError("slow", retry_after_s=2.0).retry_after_s == 2.0
    assert {CallGoneError, PluginConflictError} <= set(_tree(PatterError))
    # no validation error of another library gets out of Agent(...)
    with pytest.raises(ConfigError, match="min_silence_ms"):
        Agent(stt="x", min_silence_ms="soon")
    with pytest.raises(ConfigError):
        Agent(stt="x", barge_in_mode="sometimes")


def _tree(error: type[PatterError]) -> list[type[PatterError]]:
    found = [error]
    for child in error.__subclasses__():
        found += _tree(child)
    return found


@pytest.mark.behaviour("BI-08")
def test_barge_in_strategies_and_modes() -> None:
    assert Agent(stt="x", barge_in_mode="pause").effective_barge_in_mode == "pause"
    assert Agent(stt="x").effective_barge_in_mode == "cancel"
    one = Agent(stt="x", barge_in_strategies="min-words?min_words=2")
    assert one.barge_in_strategies == ("min-words?min_words=2",)
    assert one.effective_barge_in_mode == "confirm"
    assert (
        Agent(stt="x", barge_in_strategies=["a", "b"], barge_in_mode="cancel").effective_barge_in_mode
        == "cancel"
    )
    with pytest.raises(ConfigError, match="barge_in_mode"):
        Agent(stt="x", barge_in_mode="shout")


def test_an_agent_does_not_change() -> None:
    agent = Agent(stt="x", first_message="Hello")
    with pytest.raises(Exception, match="frozen"):
        agent.first_message = "Bye"  # type: ignore[misc]


async def _serving(agent: Agent, phone: Patter) -> None:
    try:
        await phone.start(agent, port=0)
    finally:
        await phone.disconnect()


def test_a_pipeline_needs_an_stt_from_wherever_it_comes(tmp_path: Path) -> None:
    for agent in (Agent(tts="fake"), Agent(llm="fake")):
        with pytest.raises(ConfigError, match="needs an STT"):
            asyncio.run(_serving(agent, Patter(manager=manager())))
    asyncio.run(_serving(Agent(llm="fake"), Patter(plugins=[], manager=_faked(PATTER_STT="fake"))))
    file = tmp_path / "patter.toml"
    file.write_text('[agent]\nstt = "fake"\n', encoding="utf-8")
    asyncio.run(_serving(Agent(llm="fake"), Patter(config=file, manager=_faked())))


def _faked(**environ: str) -> PluginManager:
    return PluginManager([fake_plugin], autoload=False, environ=environ)


def test_a_changed_agent_shares_objects_and_plugins_with_the_one_it_was_made_of() -> None:
    class Live:
        pass

    live = Live()
    agent = Agent(stt=live, first_message="Hello", variables={"visits": 3})
    plugin = agent.register(Live())
    other = agent.changed(first_message="Bye", language="it")
    assert (agent.first_message, agent.language) == ("Hello", "en")
    assert (other.first_message, other.language, other.variables) == ("Bye", "it", {"visits": "3"})
    assert other.stt is live
    assert other.plugins == (plugin,)
    assert other.scope is agent.scope
    with pytest.raises(UnknownOptionError, match="did you mean language"):
        agent.changed(languge="it")


async def _serving_on(port: object) -> None:
    await Patter(manager=manager()).start(None, port=port)  # type: ignore[arg-type]


@pytest.mark.behaviour("CF-01")
def test_a_carrier_needs_a_number_and_the_port_is_a_port() -> None:
    with pytest.raises(ConfigError, match="phone_number"):
        Patter(carrier="twilio", manager=manager())
    for port in (True, -1, 65536):
        with pytest.raises(ConfigError, match="port"):
            asyncio.run(_serving_on(port))


def test_settings_come_from_code_then_file_then_environment(tmp_path: Path) -> None:
    path = tmp_path / "patter.toml"
    path.write_text(
        """
[phone]
port = 9000
max_calls = 7

[agent]
language = "it"
min_silence_ms = 600

[stt.deepgram]
endpointing = 150
""",
        encoding="utf-8",
    )
    environ = {
        "PATTER_PORT": "9100",
        "PATTER_MAX_CALLS": "9",
        "PATTER_BIND_HOST": "127.0.0.2",
        "PATTER_STT": "deepgram",
    }
    file = read_settings(path, environ)
    settings = phone_settings({"max_calls": 3}, file, environ)
    assert (settings.port, settings.max_calls, settings.host) == (9000, 3, "127.0.0.2")
    assert file.provider("stt", "deepgram") == {"endpointing": 150}
    agent = effective_agent(Agent(min_silence_ms=400), file, environ)
    assert (agent.language, agent.min_silence_ms, agent.stt) == ("it", 400, "deepgram")
    untouched = Agent(stt="x")
    assert effective_agent(untouched, SettingsFile(), {}) is untouched


def test_what_is_wrong_in_a_file_or_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PATTER_PORT"):
        phone_settings({}, SettingsFile(), {"PATTER_PORT": "many"})
    with pytest.raises(ConfigError, match="no settings file"):
        read_settings(tmp_path / "missing.toml", {})
    broken = tmp_path / "broken.toml"
    broken.write_text("[phone\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken\.toml"):
        read_settings(None, {"PATTER_CONFIG": str(broken)})
    with pytest.raises(UnknownOptionError, match="did you mean max_calls"):
        phone_settings({}, SettingsFile(phone={"max_cals": 3}), {})


def test_every_option_is_in_the_table_with_what_docs_need() -> None:
    for model, section in ((Agent, "agent"), (PhoneSettings, "phone")):
        table = {row.name: row for row in rows(model, section)}
        assert set(table) == set(model.model_fields)
        for row in table.values():
            assert row.help.endswith("."), row.name
            assert row.key == f"{section}.{row.name}"
            assert row.variable == "" or row.variable.startswith("PATTER_")
            if row.name.endswith("_ms"):
                assert row.unit == "ms"
            if row.name.endswith("_s"):
                assert row.unit == "s"
