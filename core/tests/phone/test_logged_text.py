"""What callers, vendors and user code say reaches no log, error or repr as they said it."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import SecretStr

from patter import Agent, Patter, STTRecord, TTSRecord, hookimpl, tool
from patter.environment import Environment
from patter.errors import ProviderError
from patter.log_lines import LONGEST_LINE
from patter.phone_settings import SettingsFile
from patter.plugins import PluginManager, SharedObjectPool, build, resolve
from patter.plugins.configuration import ProviderConfig
from patter.providers.carrier import Connect, WebhookRequest, WebhookResponse
from patter.providers.context import ProviderContext
from patter.testing import Reply
from patter.testing.scene import CallTool, VoiceFault

NUMBER = "+15550009876"
KEY = "sk-proj-Abc123Def456Ghi789"
#: a key that looks like nothing in particular
ODD_KEY = "correct.horse.battery"
TOKEN = "0123456789abcdef" * 4
SIGNATURE = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmE="
FORGED = "1999-01-01 ERROR patter forged: all is well"
HOSTILE = (
    f"Ann\r\n{FORGED}\u2028\x1b[31m\x00 of {NUMBER} with {KEY} and {ODD_KEY}, "
    f"wss://x.example/media/{TOKEN} X-Acme-Signature: {SIGNATURE} " + "y" * 600
)
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e]")


class KeptConfig(ProviderConfig):
    """A key that a vendor sends back."""

    api_key: SecretStr
    mood: str = "good"


class Vendors:
    """A voice with a key, and ears that cannot be made."""

    @hookimpl
    def patter_register_tts(self) -> list[TTSRecord]:
        """``kept``."""
        return [TTSRecord("kept", _fails, config=KeptConfig, env={"api_key": "KEPT_KEY"})]

    @hookimpl
    def patter_register_stt(self) -> list[STTRecord]:
        """``deaf``."""
        return [STTRecord("deaf", _fails)]


def _fails(*_: object) -> object:
    raise OSError(HOSTILE)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged, at any level, as a program with an ordinary handler writes it down."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("patter")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    logging.getLogger().addHandler(handler)
    yield written
    logging.getLogger().removeHandler(handler)
    logger.setLevel(before)


def check(text: str) -> None:
    """Nothing of what must not be written down is there."""
    for secret in (KEY, ODD_KEY, TOKEN, SIGNATURE, NUMBER, NUMBER[1:], NUMBER[2:]):
        assert secret not in text
    assert CONTROL.search(text) is None
    assert "y" * 201 not in text
    for line in text.splitlines():
        assert len(line) <= LONGEST_LINE + 100
        assert re.match(r"(DEBUG|INFO|WARNING|ERROR) patter|  ", line), line


@tool
async def broken() -> str:
    """Fail."""
    raise RuntimeError(HOSTILE)


def _shout(text: str) -> str:
    raise RuntimeError(HOSTILE)


def _starting(call: Any) -> Mapping[str, object]:
    call.events.on("transcript_final", _fails)
    call.events.on("call_started", _fails)
    raise RuntimeError(HOSTILE)


@pytest.mark.behaviour("SC-08")
@pytest.mark.patter_phone(on_call_start=_starting, on_call_end=_fails)
async def test_nothing_that_calls_say_reaches_a_log_as_it_is(
    phone: Patter, simcall: Any, log: io.StringIO
) -> None:
    KeptConfig(api_key=SecretStr(ODD_KEY))
    manager = PluginManager([Vendors()], autoload=False, environ={"KEPT_KEY": ODD_KEY})
    context = ProviderContext(Environment(), SharedObjectPool())
    with pytest.raises(ProviderError) as refused:
        build(manager, resolve(manager, "tts", "kept"), context)
    assert "could not be made: OSError: Ann" in str(refused.value)
    for text in (str(refused.value), repr(refused.value)):
        assert not any(one in text for one in (KEY, ODD_KEY, TOKEN, SIGNATURE, NUMBER[1:], "\x1b", "\r"))
    phone.register(Vendors())

    parameters = {"name": HOSTILE, HOSTILE: "x"}
    options: dict[str, Any] = {
        "tools": [broken],
        "text_transforms": [_shout],
        "first_message": "Hello {nobody}.",
    }
    replies = [
        Reply(tools=[CallTool("broken")]),
        Reply("Once more."),
        Reply(error=ProviderError(HOSTILE)),
        Reply(error=ProviderError(HOSTILE)),
        Reply(error=ProviderError(HOSTILE)),
    ]
    async with simcall(caller=NUMBER, parameters=parameters, replies=replies, **options) as call:
        call.line.send_raw(HOSTILE)
        call.line.send({"type": HOSTILE})
        await call.agent_says("Hello")
        await call.quiet(500)
        await call.caller_says("Use it.", understood=HOSTILE)
        await call.agent_says("Once more.")
        await call.caller_says("And now fail.")
        await call.agent_says("trouble answering")
        call.scene.recogniser.fail(ProviderError(HOSTILE))
        call.scene.voice.faults.append(VoiceFault(error=ProviderError(HOSTILE)))
        await call.caller_says("Are you there?")
        call.line.send({"type": "stop", "reason": HOSTILE})
        await call.ended()
    async with simcall(stt="deaf", caller=NUMBER) as call:
        await call.ended()

    text = log.getvalue()
    check(text)
    # it was quoted, so what was taken out of it was there: several parts failed in its words
    assert text.count("Ann") >= 8
    assert text.count("***9876") >= 8
    assert "Traceback" in text
    assert f"  RuntimeError: Ann {FORGED}" not in text  # it has lines of its own in a traceback, all indented


@pytest.mark.behaviour("SC-08")
def test_a_log_line_keeps_its_own_words_and_cuts_what_it_quotes(log: io.StringIO) -> None:
    logger = logging.getLogger("patter_acme.session")
    logger.setLevel(logging.DEBUG)
    logger.info("%d calls of %s took %.1f s: %r", 3, NUMBER, 1.25, "y" * 300)
    logger.warning("no %s for %s", "room")  # noqa: PLE1206 - as it goes wrong
    logger.error("mapped %(what)s", {"what": "y" * 300})
    logging.getLogger("of.a.program").error("%s", NUMBER)
    lines = log.getvalue().splitlines()
    assert lines[0].startswith("INFO patter_acme.session: 3 calls of ***9876 took 1.2 s: 'yyy")
    assert lines[0].count("y") <= 202
    assert "room" in lines[1]
    assert lines[2].count("y") <= 202
    assert lines[3] == f"ERROR of.a.program: {NUMBER}"  # what is not Patter's is left alone


@pytest.mark.behaviour("SC-08")
def test_no_repr_shows_a_key_a_token_or_a_signature() -> None:
    config = KeptConfig(api_key=SecretStr(ODD_KEY))
    url = f"wss://x.example/media/{TOKEN}"
    shown = [
        Agent(
            stt=f"ears?api_key={KEY}",
            llm=config,
            tts=lambda: KEY,
            llm_fallbacks=[f"other?api_key={KEY}"],
            variables={"caller": HOSTILE},
            system_prompt=HOSTILE,
        ),
        config,
        SettingsFile(providers={"stt": {"ears": {"api_key": KEY}}}),
        Connect("call_1", url),
        WebhookResponse(200, url),
        WebhookRequest("POST", "https://x.example/", {"x-acme-signature": SIGNATURE}, TOKEN.encode()),
        resolve(PluginManager([Vendors()], autoload=False, environ={}), "tts", "kept?mood=bad"),
    ]
    for one in shown:
        for text in (repr(one), str(one), f"{one}"):
            for secret in (KEY, ODD_KEY, TOKEN, SIGNATURE):
                assert secret not in text, type(one)
    assert NUMBER not in repr(shown[0])
