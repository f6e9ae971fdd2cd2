"""Requests to Twilio's REST API, against the simulator and the forms of Twilio's own client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from twilio.base import values
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client
from twilio_account import ACCOUNT, KEY, SECRETS

from patter.environment import Environment
from patter.errors import (
    CallGoneError,
    ConfigError,
    InputError,
    PatterError,
    ProviderAuthError,
    ProviderDisconnected,
    ProviderError,
    ProviderTimeout,
    RateLimitedError,
)
from patter.providers.carrier import DialRequest
from patter.providers.context import ProviderContext
from patter_twilio import twiml
from patter_twilio.carrier import TwilioCarrier
from patter_twilio.config import TwilioConfig
from patter_twilio.simulator import Callee, RestFault, SimulatedAccount, Simulator

PUBLIC = "https://voice.example.com/webhooks/twilio/"
RINGING = DialRequest("call_1", "+15550009876", "+15550001234", ring_timeout_s=25, machine_detection=True)


class Addresses:
    """The part of a host that dialling needs."""

    environment = Environment()

    def webhook_url(self, name: str, **query: str) -> str:
        return PUBLIC + name + "".join(f"?{key}={value}" for key, value in query.items())


class LocalClient(TwilioHttpClient):
    """Twilio's HTTP client, with its requests sent to the simulator."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._base_url = base_url

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        return super().request(method, url.replace("https://api.twilio.com", self._base_url), *args, **kwargs)


def simulator(callee: Callee | None = None) -> Simulator:
    account = SimulatedAccount(ACCOUNT, SECRETS[0], {KEY: SECRETS[1]})
    return Simulator(account, callee=callee or Callee("no-answer"))


def carrier(base_url: str, *, attach: bool = True, **settings: Any) -> TwilioCarrier:
    fields = {"account_sid": ACCOUNT, "auth_token": SECRETS[0], "base_url": base_url, **settings}
    twilio = TwilioCarrier(TwilioConfig(**fields), ProviderContext(Environment(), shared=None))  # type: ignore[arg-type]
    if attach:
        twilio.attach(Addresses())  # type: ignore[arg-type]
    return twilio


def against(scenario: Callable[[Simulator, TwilioCarrier], Awaitable[None]], **settings: Any) -> None:
    async def run() -> None:
        async with simulator() as twilio:
            plugin = carrier(twilio.base_url, **settings)
            try:
                await scenario(twilio, plugin)
            finally:
                await plugin.close()

    asyncio.run(run())


def official(base_url: str, token: str = SECRETS[0]) -> Client:
    return Client(ACCOUNT, token, http_client=LocalClient(base_url))


@pytest.mark.behaviour("CC-06")
def test_a_dial_has_the_form_that_twilios_own_client_sends() -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier) -> None:
        sid = await plugin.dial(RINGING)
        assert sid in twilio.calls
        await asyncio.to_thread(
            official(twilio.base_url).calls.create,
            to="+15550009876",
            from_="+15550001234",
            url=PUBLIC + "voice?call=call_1",
            method="POST",
            status_callback=PUBLIC + "status",
            status_callback_method="POST",
            status_callback_event=["initiated", "ringing", "answered", "completed"],
            timeout=25,
            machine_detection="DetectMessageEnd",
            async_amd="true",
            async_amd_status_callback=PUBLIC + "amd",
            async_amd_status_callback_method="POST",
        )

        ours, theirs = twilio.requests
        assert sorted(ours.form) == sorted(theirs.form)
        assert ours.path == theirs.path
        assert "Twiml" not in dict(ours.form)
        assert [value for name, value in ours.form if name == "StatusCallbackEvent"] == [
            "initiated",
            "ringing",
            "answered",
            "completed",
        ]

    against(scenario)


@pytest.mark.behaviour("CC-06")
@pytest.mark.parametrize(
    "sid", ["", "CA1", "AC" + "2" * 32, "CA" + "2" * 31 + "/", "CA" + "g" * 32, "../Calls"]
)
def test_an_id_that_is_none_is_refused_before_any_request(sid: str) -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier) -> None:
        for act in (
            plugin.hangup(sid),
            plugin.transfer(sid, "+15550001111"),
            plugin.speak_and_hangup(sid, "Bye"),
            plugin.start_recording(sid),
        ):
            with pytest.raises(InputError):
                await act
        assert twilio.requests == []

    against(scenario)


@pytest.mark.parametrize(
    ("ring_s", "limit_s", "detect", "expected"),
    [
        (None, None, False, {}),
        (25.4, 3600.0, False, {"Timeout": "25", "TimeLimit": "3600"}),
        (0.2, None, False, {"Timeout": "1"}),
        (1e4, None, False, {"Timeout": "600"}),
    ],
)
def test_what_was_not_asked_for_is_left_to_twilio(
    ring_s: float | None, limit_s: float | None, detect: bool, expected: dict[str, str]
) -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier) -> None:
        await plugin.dial(
            DialRequest("call_1", "sip:desk@pbx.example.com", "+15550001234", ring_s, detect, limit_s)
        )
        form = dict(twilio.requests[0].form)
        common = {
            "To",
            "From",
            "Url",
            "Method",
            "StatusCallback",
            "StatusCallbackMethod",
            "StatusCallbackEvent",
        }
        assert {name: value for name, value in form.items() if name not in common} == expected

    against(scenario)


@pytest.mark.parametrize(
    "number", ["", "5550001234", "+0123456", "+1555000123456789", "+1555x", "sip:", "tel:+1", "+1 555"]
)
def test_a_malformed_number_is_refused_before_any_request(number: str) -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier) -> None:
        with pytest.raises(InputError):
            await plugin.dial(DialRequest("call_1", number, "+15550001234"))
        with pytest.raises(InputError):
            await plugin.dial(DialRequest("call_1", "+15550009876", number))
        with pytest.raises(InputError):
            await plugin.transfer("CA" + "2" * 32, number)
        assert twilio.requests == []

    against(scenario)


def test_hanging_up_twice_or_an_unknown_call_is_fine() -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier) -> None:
        sid = await plugin.dial(RINGING)
        await plugin.hangup(sid)
        await twilio.calls[sid].wait_closed()
        assert twilio.calls[sid].status == "canceled"
        await plugin.hangup(sid)
        await plugin.hangup("CA" + "f" * 32)
        assert await plugin.speak_and_hangup(sid, "Goodbye.")
        assert twilio.requests[1].form == (("Status", "completed"),)

    against(scenario)


def test_transfer_of_an_ended_call_says_so() -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier) -> None:
        sid = await plugin.dial(RINGING)
        await plugin.hangup(sid)
        await twilio.calls[sid].wait_closed()
        with pytest.raises(CallGoneError) as caught:
            await plugin.transfer(sid, "+15550001111")
        assert caught.value.vendor_code == "21220"
        assert twilio.requests[-1].form == (("Twiml", twiml.dial("+15550001111", ring_timeout_s=30)),)

    against(scenario)


@pytest.mark.behaviour("CC-15")
def test_a_recording_has_the_form_that_twilios_own_client_sends() -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier) -> None:
        twilio.callee = Callee(rings_s=0.0)
        sid = (
            await asyncio.to_thread(
                official(twilio.base_url).calls.create,
                to="+15550009876",
                from_="+15550001234",
                twiml='<Response><Pause length="30"/></Response>',
            )
        ).sid
        call = twilio.calls[sid]
        async with asyncio.timeout(5):
            while call.status != "in-progress":
                await asyncio.sleep(0.01)
        await plugin.start_recording(sid)
        made = await asyncio.to_thread(
            official(twilio.base_url).calls(sid).recordings.create,
            recording_channels="dual",
            recording_track="both",
        )
        ours, theirs = twilio.requests[-2:]
        assert (ours.method, ours.path, sorted(ours.form)) == (
            theirs.method,
            theirs.path,
            sorted(theirs.form),
        )
        assert (made.call_sid, made.channels, made.track, made.status) == (sid, 2, "both", "in-progress")
        assert [(one.channels, one.track) for one in call.recordings] == [("dual", "both")] * 2
        assert call.recordings[1].sid == made.sid
        await plugin.hangup(sid)
        await call.wait_closed()
        with pytest.raises(CallGoneError):
            await plugin.start_recording(sid)
        with pytest.raises(CallGoneError):
            await plugin.start_recording("CA" + "f" * 32)
        with pytest.raises(TwilioRestException) as caught:
            await asyncio.to_thread(
                official(twilio.base_url).calls(sid).recordings.create, recording_channels="three"
            )
        assert caught.value.code == 20001

    against(scenario)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (RestFault(401, 20003), ProviderAuthError),
        (RestFault(401), ProviderAuthError),
        (RestFault(403, 21219), ProviderAuthError),
        (RestFault(400, 21210), ProviderAuthError),
        (RestFault(400, 21215), ProviderAuthError),
        (RestFault(400, 13227), ProviderAuthError),
        (RestFault(400, 21211), InputError),
        (RestFault(400, 21201), InputError),
        (RestFault(400, 21214), InputError),
        (RestFault(400, 21217), InputError),
        (RestFault(400, 21212), InputError),
        (RestFault(404, 20404), CallGoneError),
        (RestFault(404), CallGoneError),
        (RestFault(400, 21220), CallGoneError),
        (RestFault(429, 20429), RateLimitedError),
        (RestFault(429), RateLimitedError),
        (RestFault(400, 21205), ProviderError),
        (RestFault(500), ProviderError),
        (RestFault(301), ProviderError),
    ],
)
def test_each_error_has_its_type_and_shows_no_secret(fault: RestFault, expected: type[PatterError]) -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier) -> None:
        twilio.fail_next(fault)
        with pytest.raises(expected) as caught:
            await plugin.dial(RINGING)
        assert type(caught.value) is expected
        assert str(fault.code or fault.status) in str(caught.value)
        assert not any(secret in f"{caught.value!r}{vars(caught.value)}" for secret in SECRETS)
        assert "5550009876" not in str(caught.value)

    against(scenario)


def test_a_rate_limit_carries_twilios_own_figure() -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier) -> None:
        twilio.fail_next(RestFault(429, 20429, retry_after="7"), RestFault(429, 20429, retry_after="soon"))
        with pytest.raises(RateLimitedError) as caught:
            await plugin.dial(RINGING)
        assert caught.value.retry_after_s == 7.0
        with pytest.raises(RateLimitedError) as caught:
            await plugin.dial(RINGING)
        assert caught.value.retry_after_s is None

    against(scenario)


def test_silence_and_a_dead_address_are_told_apart() -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier) -> None:
        twilio.fail_next(RestFault(delay_s=5))
        with pytest.raises(ProviderTimeout):
            await plugin.dial(RINGING)
        nowhere = carrier("http://127.0.0.1:1")
        with pytest.raises(ProviderDisconnected) as caught:
            await nowhere.dial(RINGING)
        assert SECRETS[0] not in str(caught.value)
        await nowhere.close()

    against(scenario, request_timeout_s=0.1)


def test_an_api_key_is_used_where_there_is_one() -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier) -> None:
        await plugin.dial(RINGING)
        wrong = carrier(twilio.base_url, api_key_sid=KEY, api_key_secret="another")
        with pytest.raises(ProviderAuthError):
            await wrong.dial(RINGING)
        await wrong.close()

    against(scenario, api_key_sid=KEY, api_key_secret=SECRETS[1])


def test_without_a_key_or_before_serving_there_is_no_request() -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier) -> None:
        with pytest.raises(ConfigError, match="TWILIO_AUTH_TOKEN"):
            await plugin.hangup("CA" + "2" * 32)
        unattached = carrier(twilio.base_url, attach=False)
        with pytest.raises(ConfigError, match="serves"):
            await unattached.dial(RINGING)
        assert twilio.requests == []

    against(scenario, auth_token=None, require_signature=False)


def test_closing_is_idempotent_allowed_before_any_use_and_final() -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier) -> None:
        unused = carrier(twilio.base_url, attach=False)
        await unused.close()
        await plugin.dial(RINGING)
        await plugin.close()
        await plugin.close()
        with pytest.raises(ProviderDisconnected):
            await plugin.dial(RINGING)

    against(scenario)


def test_the_simulator_takes_twilios_own_client_and_its_rules() -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier) -> None:
        client = official(twilio.base_url)

        def create(**changes: Any) -> Any:
            fields = {"to": "+15550009876", "from_": "+15550001234", "url": PUBLIC + "voice", **changes}
            return client.calls.create(**fields)

        call = await asyncio.to_thread(create)
        assert (call.status, call.direction, call.to) == ("queued", "outbound-api", "+15550009876")
        fetched = await asyncio.to_thread(client.calls(call.sid).fetch)
        assert fetched.status == "ringing"
        ended = await asyncio.to_thread(client.calls(call.sid).update, status="completed")
        assert ended.sid == call.sid
        await twilio.calls[call.sid].wait_closed()

        for changes, code in (
            ({"to": "+1"}, 21211),
            ({"from_": "nobody"}, 21212),
            ({"url": "nowhere"}, 21205),
            ({"url": values.unset, "twiml": "<Response/>" + " " * 4000}, 20001),
        ):
            with pytest.raises(TwilioRestException) as caught:
                await asyncio.to_thread(create, **changes)
            assert (caught.value.status, caught.value.code) == (400, code)
        with pytest.raises(TwilioRestException) as caught:
            await asyncio.to_thread(client.calls(call.sid).update, status="completed")
        assert caught.value.code == 21220
        with pytest.raises(TwilioRestException) as caught:
            await asyncio.to_thread(official(twilio.base_url, "wrong").calls(call.sid).fetch)
        assert caught.value.code == 20003

    against(scenario)
