"""Requests to Twilio's REST API, and what its errors mean.

https://www.twilio.com/docs/voice/api/call-resource; error codes: https://www.twilio.com/docs/api/errors. Twilio's own
error texts are not passed on, since they quote numbers and settings.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from patter import net
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
from patter_twilio.config import TwilioConfig

if TYPE_CHECKING:
    import aiohttp

PROVIDER = "twilio"
#: Longest answer that is read, in bytes; a call resource has about 2000.
MAX_ANSWER = 256 * 1024

Form = Sequence[tuple[str, str]]

_CALL_SID = re.compile(r"CA[0-9a-fA-F]{32}")

_NUMBER_CODES = {
    21201: "no number to call was given",
    21211: "the number to call is not valid",
    21212: "the caller number is not valid",
    21214: "the number to call cannot be reached",
    21217: "the number to call is not valid",
}
_RIGHTS_CODES = {
    20003: "the account or its key is not accepted",
    21210: "the caller number does not belong to the account and is not verified",
    21215: "calls to this country are not enabled for the account",
    13227: "calls to this country are not enabled for the account",
    21219: "a trial account may call verified numbers only",
}
_GONE_CODES = {20404, 21220}


class TwilioRest:
    """The calls resource of one account. Makes no connection before its first request."""

    def __init__(self, config: TwilioConfig) -> None:
        self._config = config
        self._http: aiohttp.ClientSession | None = None
        self._closed = False

    async def create_call(self, form: Form) -> str:
        """Place a call; returns its SID. Raises `InputError`, `ProviderError`."""
        answer = await self._post("Calls.json", form)
        sid = answer.get("sid")
        if not isinstance(sid, str) or _CALL_SID.fullmatch(sid) is None:
            raise ProviderError("Twilio accepted a call without naming it", provider=PROVIDER)
        return sid

    async def update_call(self, call_sid: str, form: Form) -> None:
        """Change a call. Raises `InputError`, `CallGoneError` for one that has ended, and other `ProviderError`s."""
        await self._post(f"Calls/{_checked(call_sid)}.json", form)

    async def record_call(self, call_sid: str, form: Form) -> None:
        """Record a call that is up. Raises the same."""
        await self._post(f"Calls/{_checked(call_sid)}/Recordings.json", form)

    async def fetch_call(self, call_sid: str) -> dict[str, Any]:
        """The call resource as it is now. Raises the same."""
        return await self._request("GET", f"Calls/{_checked(call_sid)}.json")

    async def close(self) -> None:
        """Close the connections; idempotent."""
        self._closed = True
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    async def _post(self, resource: str, form: Form) -> dict[str, Any]:
        return await self._request("POST", resource, form)

    async def _request(self, method: str, resource: str, form: Form | None = None) -> dict[str, Any]:
        import aiohttp

        url = f"{self._config.api_url}/2010-04-01/Accounts/{self._config.account_sid}/{resource}"
        session = self._session()
        try:
            async with (
                asyncio.timeout(self._config.request_timeout_s),
                session.request(
                    method,
                    url,
                    data=None if form is None else urlencode(form),
                    headers=self._headers(has_form=form is not None),
                    allow_redirects=False,
                ) as response,
            ):
                body = await _body(response)
                if response.status in (200, 201):
                    return body
                raise _error(response.status, body, response.headers.get("Retry-After"))
        except TimeoutError:
            raise ProviderTimeout(
                f"Twilio gave no answer within {self._config.request_timeout_s:g} s", provider=PROVIDER
            ) from None
        except aiohttp.ClientError as error:
            # The text of the error can hold the URL and headers; its type says enough.
            raise ProviderDisconnected(
                f"no connection to Twilio's API ({type(error).__name__})", provider=PROVIDER
            ) from None

    def _headers(self, *, has_form: bool) -> dict[str, str]:
        credentials = self._config.credentials
        if credentials is None:
            raise ConfigError(
                "no key for Twilio's API: set TWILIO_AUTH_TOKEN, or TWILIO_API_KEY and TWILIO_API_SECRET"
            )
        encoded = base64.b64encode(":".join(credentials).encode()).decode("ascii")
        headers = {"Authorization": f"Basic {encoded}"}
        return {**headers, "Content-Type": "application/x-www-form-urlencoded"} if has_form else headers

    def _session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ProviderDisconnected("the connection to Twilio's API is closed", provider=PROVIDER)
        if self._http is None:
            self._http = net.session()
        return self._http


def _checked(call_sid: str) -> str:
    if _CALL_SID.fullmatch(call_sid) is None:
        raise InputError("not the id of a Twilio call: 'CA' and 32 hexadecimal digits are expected")
    return call_sid


async def _body(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The answer's JSON object; empty for anything else."""
    raw = bytearray()
    async for chunk in response.content.iter_chunked(16 * 1024):
        raw += chunk
        if len(raw) > MAX_ANSWER:
            raise ProviderError("Twilio's answer is too long", provider=PROVIDER)
    try:
        body = json.loads(bytes(raw))
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _error(status: int, body: dict[str, Any], retry_after: str | None) -> PatterError:
    """The error for an HTTP status and Twilio's own code."""
    given = body.get("code")
    code = given if type(given) is int else None
    where = f"Twilio error {code} (HTTP {status})" if code else f"Twilio error (HTTP {status})"
    vendor = str(code) if code else str(status)
    if code in _NUMBER_CODES:
        return InputError(f"{where}: {_NUMBER_CODES[code]}")
    if code in _GONE_CODES or (status == 404 and code is None):
        return CallGoneError(f"{where}: the call has ended", provider=PROVIDER, vendor_code=vendor)
    if status == 429 or code == 20429:
        return RateLimitedError(
            f"{where}: too many requests",
            provider=PROVIDER,
            vendor_code=vendor,
            retry_after_s=net.parse_retry_after(retry_after),
        )
    if code in _RIGHTS_CODES or status in (401, 403):
        text = _RIGHTS_CODES.get(code or 0, "the account or its key is not accepted")
        return ProviderAuthError(f"{where}: {text}", provider=PROVIDER, vendor_code=vendor)
    hint = f"; see https://www.twilio.com/docs/api/errors/{code}" if code else ""
    return ProviderError(f"{where}{hint}", provider=PROVIDER, vendor_code=vendor)
