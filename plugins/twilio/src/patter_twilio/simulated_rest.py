"""The REST side of the simulator: the calls resource of one account on loopback."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from aiohttp import web

from patter_twilio.simulated_call import TERMINAL, SimulatedCall
from patter_twilio.simulated_terms import CallPlan

LONGEST_DOCUMENT = 4000

_SID = re.compile(r"CA[0-9a-f]{32}")
_NUMBER = re.compile(r"\+[1-9][0-9]{1,14}|sips?:\S+|client:\S+")
_URL = re.compile(r"https?://[^\s/]+(/\S*)?")
_EVENTS = frozenset({"initiated", "ringing", "answered", "completed"})
_MESSAGES = {
    20001: "Bad request",
    20003: "Authenticate",
    20404: "The requested resource was not found",
    20429: "Too Many Requests",
    21201: "No 'To' number is specified",
    21205: "Url parameter is not valid",
    21211: "Invalid 'To' Phone Number",
    21212: "Invalid 'From' Phone Number",
    21220: "Call is not in-progress. Cannot redirect.",
}


@dataclass
class RestFault:
    """The next request fails with `status` and, where given, Twilio's `code`; or hangs for `delay_s` first."""

    status: int = 0
    code: int | None = None
    retry_after: str | None = None
    delay_s: float = 0.0


@dataclass(frozen=True)
class RestRequest:
    """A request as it arrived."""

    method: str
    path: str
    form: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class NewCall:
    """A valid request for a call."""

    caller: str
    callee: str
    plan: CallPlan
    ring_s: float
    machine_detection: bool


class RestError(Exception):
    """An answer with one of Twilio's error codes."""

    def __init__(self, status: int, code: int | None, retry_after: str | None = None) -> None:
        super().__init__(status, code)
        self.status = status
        self.code = code
        self.retry_after = retry_after

    def response(self) -> web.Response:
        """As Twilio writes it."""
        headers = {"Retry-After": self.retry_after} if self.retry_after else {}
        if self.code is None:
            return web.Response(status=self.status, text="<html>oops</html>", headers=headers)
        body = {
            "code": self.code,
            "message": _MESSAGES.get(self.code, "Error"),
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }
        return web.json_response(body, status=self.status, headers=headers)


class SimulatedRest:
    """Answers requests about calls; `dial` places one."""

    def __init__(
        self,
        account_sid: str,
        credentials: Mapping[str, str],
        calls: Mapping[str, SimulatedCall],
        dial: Callable[[NewCall], Awaitable[SimulatedCall]],
        wall: Callable[[], float],
    ) -> None:
        self._account = f"/2010-04-01/Accounts/{account_sid}"
        self._account_sid = account_sid
        self._credentials = credentials
        self._calls = calls
        self._dial = dial
        self._wall = wall
        self.requests: list[RestRequest] = []
        self.faults: list[RestFault] = []

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application()
        app.router.add_post("/{path:.*}", self._handle)
        app.router.add_get("/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            return await self._answer(request)
        except RestError as error:
            return error.response()

    async def _answer(self, request: web.Request) -> web.Response:
        self._authenticate(request.headers.get("Authorization", ""))
        if request.method == "POST" and request.content_type != "application/x-www-form-urlencoded":
            raise RestError(400, 20001)
        posted = await request.post()
        fields = tuple((name, value) for name, value in posted.items() if isinstance(value, str))
        self.requests.append(RestRequest(request.method, request.path, fields))
        if self.faults:
            await self._fail(self.faults.pop(0))
        if request.path == f"{self._account}/Calls.json" and request.method == "POST":
            call = await self._dial(new_call(fields))
            return web.json_response(self._resource(call), status=201)
        path = request.path.removeprefix(f"{self._account}/Calls/").removesuffix(".json")
        sid, _, part = path.partition("/")
        call_or_none = self._calls.get(sid) if _SID.fullmatch(sid) else None
        if call_or_none is None or part not in ("", "Recordings"):
            raise RestError(404, 20404)
        if part == "Recordings" and request.method == "POST":
            return web.json_response(self._record(call_or_none, dict(fields)), status=201)
        if request.method == "POST":
            await _update(call_or_none, dict(fields))
        return web.json_response(self._resource(call_or_none))

    def _record(self, call: SimulatedCall, form: Mapping[str, str]) -> dict[str, Any]:
        channels, track = form.get("RecordingChannels", "mono"), form.get("RecordingTrack", "both")
        if channels not in ("mono", "dual") or track not in ("inbound", "outbound", "both"):
            raise RestError(400, 20001)
        if call.status != "in-progress":
            raise RestError(400, 21220)
        recording = call.record(channels, track)
        return {
            "sid": recording.sid,
            "account_sid": self._account_sid,
            "call_sid": call.sid,
            "status": "in-progress",
            "channels": 2 if channels == "dual" else 1,
            "track": track,
            "source": "StartCallRecordingAPI",
            "date_created": formatdate(self._wall(), usegmt=True),
            "duration": None,
            "uri": f"{self._account}/Calls/{call.sid}/Recordings/{recording.sid}.json",
        }

    def _authenticate(self, header: str) -> None:
        scheme, _, encoded = header.partition(" ")
        try:
            user, _, password = base64.b64decode(encoded).decode().partition(":")
        except ValueError:
            user = password = ""
        if scheme.lower() != "basic" or not password or self._credentials.get(user) != password:
            raise RestError(401, 20003)

    async def _fail(self, fault: RestFault) -> None:
        await asyncio.sleep(fault.delay_s)
        if fault.status:
            raise RestError(fault.status, fault.code, fault.retry_after)

    def _resource(self, call: SimulatedCall) -> dict[str, Any]:
        path = f"{self._account}/Calls/{call.sid}"
        ended = call.status in TERMINAL
        return {
            "sid": call.sid,
            "account_sid": self._account_sid,
            "status": call.status,
            "direction": call.details.direction,
            "to": call.details.callee,
            "from": call.details.caller,
            "date_created": formatdate(self._wall(), usegmt=True),
            "start_time": None,
            "end_time": None,
            "duration": str(call.duration_s) if ended else None,
            "price": call.price,
            "price_unit": "USD",
            "answered_by": call.answered_by,
            "queue_time": "0",
            "subresource_uris": {"recordings": f"{path}/Recordings.json"},
            "uri": f"{path}.json",
        }


def new_call(fields: tuple[tuple[str, str], ...]) -> NewCall:
    """Read the form of a new call. Raises `RestError`."""
    form = dict(fields)
    if not form.get("To"):
        raise RestError(400, 21201)
    if not _NUMBER.fullmatch(form["To"]):
        raise RestError(400, 21211)
    if not _NUMBER.fullmatch(form.get("From", "")):
        raise RestError(400, 21212)
    urls = [
        form[name]
        for name in ("Url", "FallbackUrl", "StatusCallback", "AsyncAmdStatusCallback")
        if name in form
    ]
    if not ("Url" in form or "Twiml" in form) or not all(_URL.fullmatch(url) for url in urls):
        raise RestError(400, 21205)
    events = {value for name, value in fields if name == "StatusCallbackEvent"}
    ring = form.get("Timeout", "60")
    if not events <= _EVENTS or not re.fullmatch(r"[0-9]{1,3}", ring) or int(ring) > 600:
        raise RestError(400, 20001)
    plan = CallPlan(
        url=form.get("Url", ""),
        document="" if "Url" in form else _document(form["Twiml"]),
        fallback_url=form.get("FallbackUrl", ""),
        status_callback=form.get("StatusCallback", ""),
        events=frozenset(events),
        amd_callback=form.get("AsyncAmdStatusCallback", "") if form.get("AsyncAmd") == "true" else "",
    )
    return NewCall(form["From"], form["To"], plan, float(ring), form.get("MachineDetection", "") != "")


async def _update(call: SimulatedCall, form: Mapping[str, str]) -> None:
    if call.status in TERMINAL:
        raise RestError(400, 21220)
    if "Twiml" in form:
        if call.status != "in-progress":
            raise RestError(400, 21220)
        call.redirect(_document(form["Twiml"]))
    elif form.get("Status") in ("completed", "canceled"):
        if form["Status"] == "canceled" and call.status == "in-progress":
            raise RestError(400, 21220)
        call.redirect(None)
    else:
        raise RestError(400, 20001)


def _document(text: str) -> str:
    # The number of this error is not known; the protocol only promises HTTP 400.
    if not text or len(text) > LONGEST_DOCUMENT:
        raise RestError(400, 20001)
    return text
