"""Twilio on loopback: its REST API, its webhooks, and its end of the media stream.

For tests, for demonstrations, and for an agent's own rehearsal. Nothing of the plugin imports this module. It needs
no network beyond loopback and takes its time from the running loop, so it works in virtual time as well.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self
from urllib.parse import urlencode, urlsplit

import aiohttp
from aiohttp import web

from patter import net
from patter.environment import Environment
from patter_twilio.far_end import TwilioFarEnd
from patter_twilio.simulated_call import SimulatedCall
from patter_twilio.simulated_rest import NewCall, RestFault, RestRequest, SimulatedRest
from patter_twilio.simulated_stream import StreamFaults
from patter_twilio.simulated_terms import (
    CallbackFaults,
    CallDetails,
    Callee,
    CallPlan,
    Form,
    SimulatedPrices,
)

__all__ = [
    "CallbackFaults",
    "Callee",
    "Faults",
    "RestFault",
    "SimulatedAccount",
    "SimulatedCall",
    "SimulatedPrices",
    "Simulator",
    "StreamFaults",
]


@dataclass(frozen=True)
class SimulatedAccount:
    """The account that is simulated, and how its requests reach the server under test.

    The server believes that it is called at `public_url`; requests for it go to `server_url`, on loopback. Both are
    bases without a path. `public_url` empty means that they are the same.
    """

    account_sid: str = "AC" + "0" * 32
    auth_token: str = "simulated-auth-token"
    api_keys: Mapping[str, str] = field(default_factory=dict)
    public_url: str = ""
    server_url: str = ""


@dataclass(frozen=True)
class Faults:
    """How this Twilio misbehaves. `sign` False signs with another key; `sign_port` writes the default port."""

    stream: StreamFaults = field(default_factory=StreamFaults)
    callbacks: CallbackFaults = field(default_factory=CallbackFaults)
    rest: tuple[RestFault, ...] = ()
    sign: bool = True
    sign_port: bool = False


class Simulator:
    """One Twilio account on loopback; an async context manager.

    `http` may be a session of the caller's own; it is then not closed here.

    Attributes:
        far_end: Twilio's end of one media stream, for whole calls in memory.
        callee: who answers the calls that the server dials.
        transferee: who answers when a caller is transferred.
        prices: what its calls cost.
    """

    far_end: ClassVar[type[TwilioFarEnd]] = TwilioFarEnd

    def __init__(
        self,
        account: SimulatedAccount | None = None,
        *,
        faults: Faults | None = None,
        callee: Callee | None = None,
        http: aiohttp.ClientSession | None = None,
        environment: Environment | None = None,
    ) -> None:
        self.account = account or SimulatedAccount()
        self.faults = faults or Faults()
        self.callee = callee or Callee()
        self.transferee = Callee()
        self.calls: dict[str, SimulatedCall] = {}
        self.prices = SimulatedPrices()
        self._http = http
        self._own_http: aiohttp.ClientSession | None = None
        self._environment = environment or Environment()
        self._dialled: asyncio.Queue[SimulatedCall] = asyncio.Queue()
        self._background: set[asyncio.Task[None]] = set()
        keys = {self.account.account_sid: self.account.auth_token, **self.account.api_keys}
        self._rest = SimulatedRest(self.account.account_sid, keys, self.calls, self._dial, self.wall)
        self._rest.faults.extend(self.faults.rest)
        self._runner = web.AppRunner(self._rest.application(), access_log=None, shutdown_timeout=1.0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Serve the REST side; it is not needed for inbound calls alone."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()

    async def close(self) -> None:
        """End all calls and stop."""
        for call in self.calls.values():
            await call.abandon()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._runner.cleanup()
        if self._own_http is not None:
            await self._own_http.close()

    @property
    def base_url(self) -> str:
        """Where the REST side is: the `base_url` of the configuration."""
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    @property
    def requests(self) -> list[RestRequest]:
        """The REST requests so far."""
        return self._rest.requests

    def fail_next(self, *faults: RestFault) -> None:
        """Let the next REST requests fail, one fault each."""
        self._rest.faults.extend(faults)

    async def place_call(
        self,
        webhook_url: str,
        caller: str,
        callee: str,
        *,
        status_callback: str = "",
        fields: Mapping[str, str] | None = None,
    ) -> SimulatedCall:
        """Ring the server: `caller` dials `callee`, whose voice URL is `webhook_url`, a public one.

        Returns at once; `fields` are further fields of the webhooks.
        """
        details = CallDetails(
            self.new_sid("CA"), self.account.account_sid, caller, callee, "inbound", dict(fields or {})
        )
        call = self._new(details, CallPlan(url=webhook_url, status_callback=status_callback))
        call.begin(SimulatedCall.answer)
        return call

    async def next_dialled(self) -> SimulatedCall:
        """The next call that the server places over the REST side."""
        return await self._dialled.get()

    # -- what calls need (`Line`)

    def new_sid(self, prefix: str) -> str:
        """A fresh SID."""
        return f"{prefix}{self._environment.random.getrandbits(128):032x}"

    def wall(self) -> float:
        """Seconds since 1970."""
        return self._environment.clock.wall()

    async def post(self, url: str, form: Form) -> tuple[int, str]:
        """Post a signed form to a public URL."""
        headers = {
            **self._signed(url, form),
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        }
        session = self._session()
        async with session.post(
            self._reachable(url), data=urlencode(form), headers=headers, allow_redirects=False
        ) as response:
            return response.status, await response.text()

    async def connect(self, url: str) -> aiohttp.ClientWebSocketResponse:
        """Open a signed media connection to a public URL."""
        return await self._session().ws_connect(
            self._reachable(url), headers=self._signed(url, ()), max_msg_size=0, compress=0
        )

    # -- inside

    def _new(self, details: CallDetails, plan: CallPlan) -> SimulatedCall:
        call = SimulatedCall(
            details, plan, self, stream_faults=self.faults.stream, callback_faults=self.faults.callbacks
        )
        call.prices = self.prices
        self.calls[call.sid] = call
        return call

    async def _dial(self, request: NewCall) -> SimulatedCall:
        details = CallDetails(
            self.new_sid("CA"), self.account.account_sid, request.caller, request.callee, "outbound-api"
        )
        call = self._new(details, request.plan)
        callee = self.callee

        async def life(call: SimulatedCall) -> None:
            await call.report("initiated")
            rings_s = request.ring_s if callee.outcome == "no-answer" else min(callee.rings_s, request.ring_s)
            if not await call.ring(rings_s):
                await call.end("canceled")
            elif callee.outcome != "answer" or callee.rings_s > request.ring_s:
                await call.end("no-answer" if callee.outcome == "answer" else callee.outcome)
            else:
                if request.machine_detection and request.plan.amd_callback:
                    self._in_background(call.detect_machine(callee.answered_by, callee.detection_s))
                elif request.machine_detection:
                    # Without a callback the document is asked for only when the verdict is there, and carries it.
                    await asyncio.sleep(callee.detection_s)
                    call.details.fields = {"AnsweredBy": callee.answered_by}
                await call.answer()

        call.begin(life)
        self._dialled.put_nowait(call)
        return call

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _session(self) -> aiohttp.ClientSession:
        if self._http is not None:
            return self._http
        if self._own_http is None:
            self._own_http = net.session()
        return self._own_http

    def _reachable(self, url: str) -> str:
        """The loopback address behind a public URL. Raises `aiohttp.InvalidURL` for one that leads elsewhere."""
        parts = urlsplit(url)
        public = urlsplit(self.account.public_url or self.account.server_url)
        if self.account.server_url and parts.netloc == public.netloc:
            server = urlsplit(self.account.server_url)
            scheme = "ws" if parts.scheme in ("ws", "wss") else "http"
            return parts._replace(scheme=scheme, netloc=server.netloc).geturl()
        if parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise aiohttp.InvalidURL(url, "the simulator calls loopback only; set public_url and server_url")
        return url

    def _signed(self, url: str, form: Iterable[tuple[str, str]]) -> dict[str, str]:
        if self.faults.sign_port:
            parts = urlsplit(url)
            port = 443 if parts.scheme in ("https", "wss") else 80
            url = parts._replace(netloc=f"{parts.hostname}:{parts.port or port}").geturl()
        values: dict[str, set[str]] = {}
        for name, value in form:
            values.setdefault(name, set()).add(value)
        text = url
        for name in sorted(values):
            for value in sorted(values[name]):
                text += name + value
        key = self.account.auth_token if self.faults.sign else "another key"
        digest = hmac.new(key.encode(), text.encode(), hashlib.sha1).digest()
        return {"X-Twilio-Signature": base64.b64encode(digest).decode("ascii")}
