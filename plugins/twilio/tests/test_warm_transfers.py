"""Warm transfers: what Twilio is told, and what it hears when it asks for the words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from xml.etree import ElementTree

import pytest
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.voice_response import Dial, VoiceResponse

from patter.environment import Environment
from patter.errors import CallGoneError, ConfigError, InputError, WebhookVerificationError
from patter.providers.carrier import WebhookRequest, WebhookResponse
from patter.providers.context import ProviderContext
from patter_twilio.carrier import TwilioCarrier
from patter_twilio.config import TwilioConfig
from patter_twilio.simulator import Callee, SimulatedAccount, SimulatedCall, Simulator
from patter_twilio.transfers import MOST_TRANSFERS, WarmTransfer, WarmTransfers
from patter_twilio.webhooks import UNTAKEN

ACCOUNT, TOKEN = "AC" + "1" * 32, "t0ken-of-the-account"
PUBLIC = "https://voice.example.com/webhooks/twilio/"
DESK = "+15550001111"
SUMMARY, SORRY = "Ms <Lee> & order 5512.", "Nobody is free, sorry."


class Host:
    """What a carrier needs of core to transfer."""

    def __init__(self) -> None:
        self.environment = Environment()

    def webhook_url(self, name: str, **query: str) -> str:
        return PUBLIC + name + ("?" + urlencode(query) if query else "")


class ToSimulator(TwilioHttpClient):
    """Twilio's own client, led to the simulator."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._base_url = base_url

    def request(self, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        return super().request(
            method, url.replace("https://api.twilio.com", self._base_url), *arguments, **options
        )


def against(scenario: Callable[[Simulator, TwilioCarrier, SimulatedCall], Awaitable[None]]) -> None:
    """Run against a simulated account with one call that was answered."""

    async def run() -> None:
        async with Simulator(SimulatedAccount(ACCOUNT, TOKEN)) as twilio:
            config = TwilioConfig(account_sid=ACCOUNT, auth_token=TOKEN, base_url=twilio.base_url)
            plugin = TwilioCarrier(config, ProviderContext(Environment(), shared=None))  # type: ignore[arg-type]
            plugin.attach(Host())  # type: ignore[arg-type]
            twilio.callee = Callee(rings_s=0.0)
            client = Client(ACCOUNT, TOKEN, http_client=ToSimulator(twilio.base_url))
            made = await asyncio.to_thread(
                client.calls.create,
                to="+15550009876",
                from_="+15550001234",
                twiml='<Response><Pause length="30"/></Response>',
            )
            call = twilio.calls[str(made.sid)]
            async with asyncio.timeout(5):
                while call.status != "in-progress":
                    await asyncio.sleep(0.01)
            try:
                await scenario(twilio, plugin, call)
            finally:
                await plugin.close()

    asyncio.run(run())


def last_document(twilio: Simulator) -> ElementTree.Element:
    return ElementTree.fromstring(dict(twilio.requests[-1].form)["Twiml"])


async def ask(plugin: TwilioCarrier, url: str, token: str = TOKEN, **fields: str) -> WebhookResponse:
    """Ask one of the webhooks, signed by Twilio's own library's rules."""
    form = {"CallSid": "CA" + "3" * 32, "AccountSid": ACCOUNT, **fields}
    signature = RequestValidator(token).compute_signature(url, form)
    query = dict(parse_qsl(urlsplit(url).query))
    name = urlsplit(url).path.rpartition("/")[2]
    body = urlencode(form).encode()
    return await plugin.webhooks()[name](
        WebhookRequest("POST", url, {"x-twilio-signature": signature}, body, query)
    )


def said(response: WebhookResponse) -> list[tuple[str, str | None]]:
    assert (response.status, response.content_type) == (200, "text/xml")
    return [(verb.tag, verb.text) for verb in ElementTree.fromstring(response.body)]


@pytest.mark.behaviour("CC-12")
@pytest.mark.parametrize("number", [DESK, "sip:desk@pbx.example.com"])
def test_the_request_is_the_one_that_twilios_own_library_makes(number: str) -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier, call: SimulatedCall) -> None:
        await plugin.transfer_warm(call.sid, number, SUMMARY, SORRY)
        ours = twilio.requests[-1]
        dial = last_document(twilio)[0]
        whisper, after = dial[0].attrib["url"], dial.attrib["action"]
        assert whisper.startswith(PUBLIC + "whisper?transfer=")
        assert after.startswith(PUBLIC + "transferred?transfer=")
        # neither the summary nor the message leave the process before somebody is to hear them
        assert not any(word in str(ours.form) for word in ("Lee", "5512", "Nobody"))

        expected, element = VoiceResponse(), Dial(timeout=30, action=after, method="POST")
        noun = element.sip if number.startswith("sip:") else element.number
        noun(number, url=whisper, method="POST")
        expected.append(element)
        client = Client(ACCOUNT, TOKEN, http_client=ToSimulator(twilio.base_url))
        await asyncio.to_thread(client.calls(call.sid).update, twiml=expected)
        theirs = twilio.requests[-1]
        assert (ours.method, ours.path) == (theirs.method, theirs.path)
        assert [name for name, _ in ours.form] == [name for name, _ in theirs.form]
        canonical = [
            ElementTree.canonicalize(dict(one.form)["Twiml"], strip_text=True) for one in (ours, theirs)
        ]
        assert canonical[0] == canonical[1]

    against(scenario)


@pytest.mark.behaviour("CC-12")
@pytest.mark.parametrize(
    ("status", "bridged", "told"),
    [
        ("completed", "true", None),
        ("completed", None, None),
        ("completed", "false", SORRY),
        ("no-answer", "false", SORRY),
        ("busy", "false", SORRY),
        ("failed", "false", SORRY),
        ("canceled", None, SORRY),
        ("surprise", None, SORRY),
    ],
)
def test_the_human_hears_the_summary_and_the_caller_what_came_of_it(
    status: str, bridged: str | None, told: str | None
) -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier, call: SimulatedCall) -> None:
        await plugin.transfer_warm(call.sid, DESK, SUMMARY, SORRY)
        dial = last_document(twilio)[0]
        whisper, after = dial[0].attrib["url"], dial.attrib["action"]
        for _ in range(2):  # Twilio may ask again
            assert said(await ask(plugin, whisper)) == [("Say", SUMMARY)]
        fields = {"DialCallStatus": status} | ({} if bridged is None else {"DialBridged": bridged})
        expected = [("Hangup", None)] if told is None else [("Say", told), ("Hangup", None)]
        assert said(await ask(plugin, after, **fields)) == expected
        assert len(plugin._transfers) == 0
        assert said(await ask(plugin, whisper)) == []
        again = said(await ask(plugin, after, **fields))
        assert again == ([("Hangup", None)] if told is None else [("Say", UNTAKEN), ("Hangup", None)])

    against(scenario)


def test_what_is_not_signed_or_of_another_account_hears_nothing() -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier, call: SimulatedCall) -> None:
        await plugin.transfer_warm(call.sid, DESK, SUMMARY, SORRY)
        dial = last_document(twilio)[0]
        for url in (dial[0].attrib["url"], dial.attrib["action"]):
            with pytest.raises(WebhookVerificationError):
                await ask(plugin, url, token="another")
            with pytest.raises(InputError):
                await ask(plugin, url, AccountSid="AC" + "9" * 32)
        assert len(plugin._transfers) == 1
        assert said(await ask(plugin, PUBLIC + "whisper")) == []
        assert said(await ask(plugin, PUBLIC + "whisper?transfer=unknown")) == []

    against(scenario)


def test_a_transfer_that_twilio_does_not_make_is_forgotten() -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier, call: SimulatedCall) -> None:
        call.hangup()
        await call.wait_closed()
        with pytest.raises(CallGoneError):
            await plugin.transfer_warm(call.sid, DESK, SUMMARY, SORRY)
        before = len(twilio.requests)
        for number in ("5550001111", "the desk", "sip:", "+1555<Hangup/>"):
            with pytest.raises(InputError):
                await plugin.transfer_warm(call.sid, number, SUMMARY, SORRY)
        assert len(twilio.requests) == before
        assert len(plugin._transfers) == 0

    against(scenario)


def test_without_a_host_there_is_no_address_to_ask_at() -> None:
    config = TwilioConfig(account_sid=ACCOUNT, auth_token=TOKEN)
    plugin = TwilioCarrier(config, ProviderContext(Environment(), shared=None))  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        asyncio.run(plugin.transfer_warm("CA" + "2" * 32, DESK, SUMMARY, SORRY))


def test_transfers_are_bounded_and_expire() -> None:
    transfers = WarmTransfers()
    for number in range(MOST_TRANSFERS + 5):
        transfers.add(f"t{number}", WarmTransfer("", "", 100.0 + number), 0.0)
    assert len(transfers) == MOST_TRANSFERS
    assert transfers.get("t4") is None
    assert transfers.get("t5") is not None
    transfers.add("new", WarmTransfer("", "", 5000.0), 100.0 + MOST_TRANSFERS)
    assert len(transfers) == 5
    assert transfers.take("new") is not None
    assert transfers.take("new") is None
