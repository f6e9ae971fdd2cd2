"""The HTTP routes of a phone: webhooks, media connections, health and readiness."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import hdrs, web

from patter.environment import Environment
from patter.errors import (
    CallRefusedError,
    ConfigError,
    InputError,
    ProviderError,
    WebhookVerificationError,
)
from patter.providers.carrier import Carrier, WebhookHandler, WebhookRequest
from patter.redaction import redact
from patter.server.address import PublicAddress
from patter.server.connection import WebSocketConnection
from patter.server.desk import CallDesk
from patter.server.host import DeskHost

logger = logging.getLogger(__name__)

#: Longest body of a webhook, in bytes.
LONGEST_BODY = 256 * 1024
#: How long the body of a webhook may take to arrive, in seconds.
BODY_TIMEOUT_S = 10.0
#: How long a webhook may take to answer, in seconds; carriers give up after 15.
WEBHOOK_TIMEOUT_S = 12.0
#: How long calls have to end once their connections were closed for a shutdown, in seconds, and where an application
#: keeps another figure.
STOP_TIMEOUT_S = 3.0
STOP_TIMEOUT_KEY = web.AppKey("patter_stop_timeout_s", float)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class MediaConnections:
    """The media connections that are open, each with the task that runs its call."""

    def __init__(self) -> None:
        self._calls: dict[WebSocketConnection, asyncio.Task[object] | None] = {}

    def add(self, connection: WebSocketConnection) -> None:
        """Count a connection as open; the current task runs its call."""
        self._calls[connection] = asyncio.current_task()

    def discard(self, connection: WebSocketConnection) -> None:
        """Count it no more."""
        self._calls.pop(connection, None)

    async def end_all(self, timeout_s: float) -> None:
        """Close all with code 1001, going away; cancel the calls that are not over `timeout_s` later (LC-08)."""
        connections = list(self._calls)
        tasks = {task for task in self._calls.values() if task is not None}
        await asyncio.gather(*(connection.close(1001, "going away") for connection in connections))
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        if late:
            logger.warning("cancelled %d calls that did not end within %.1f s", len(late), timeout_s)
            await asyncio.wait(late, timeout=1.0)


def build_application(
    carriers: Mapping[str, Carrier],
    desk: CallDesk,
    *,
    address: PublicAddress,
    environment: Environment,
    unavailable_message: str = "",
) -> web.Application:
    """An application with the routes of `carriers`, whose `attach()` it calls.

    Raises:
        ConfigError: a carrier cannot serve with its configuration.
    """
    app = web.Application(client_max_size=LONGEST_BODY)
    add_routes(
        app, carriers, desk, address=address, environment=environment, unavailable_message=unavailable_message
    )
    return app


def add_routes(
    app: web.Application,
    carriers: Mapping[str, Carrier],
    desk: CallDesk,
    *,
    address: PublicAddress,
    environment: Environment,
    unavailable_message: str = "",
) -> None:
    """Add the routes to an application, ours or a foreign one; see `build_application`."""
    connections = MediaConnections()
    for name, carrier in carriers.items():
        carrier.attach(DeskHost(name, desk, address, environment, unavailable_message))
        for webhook, handler in carrier.webhooks().items():
            app.router.add_post(
                f"/webhooks/{name}/{webhook}", _webhook(f"{name}/{webhook}", handler, address)
            )
        app.router.add_get(f"/ws/{name}/{{token}}", _media(name, carrier, desk, address, connections))
        # Without a token the answer is the same as with a wrong one.
        app.router.add_get(f"/ws/{name}", _refused)

    async def end_calls(app: web.Application) -> None:
        await connections.end_all(app.get(STOP_TIMEOUT_KEY, STOP_TIMEOUT_S))

    app.on_shutdown.append(end_calls)
    app.router.add_get("/health", _health)
    app.router.add_get("/ready", _ready(desk))


async def _health(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def _ready(desk: CallDesk) -> Handler:
    async def ready(_: web.Request) -> web.Response:
        accepting = desk.accepting()
        return web.json_response({"ready": accepting}, status=200 if accepting else 503)

    return ready


async def _refused(_: web.Request) -> web.Response:
    return web.Response(status=403, text="forbidden\n")


def _webhook(name: str, handler: WebhookHandler, address: PublicAddress) -> Handler:
    async def webhook(request: web.Request) -> web.Response:
        try:
            body = await _body(request)
            async with asyncio.timeout(WEBHOOK_TIMEOUT_S):
                answer = await handler(_received(request, address, body))
        except web.HTTPException:
            raise
        except Exception as error:
            return _failed(name, error)
        return web.Response(
            status=answer.status,
            text=answer.body if answer.body else None,
            content_type=answer.content_type if answer.body else None,
        )

    return webhook


def _failed(what: str, error: Exception) -> web.Response:
    """The answer for a request that failed, and one log line."""
    if isinstance(error, WebhookVerificationError):
        status, text = 403, "forbidden\n"
    elif isinstance(error, InputError):
        status, text = 400, "bad request\n"
    else:
        status, text = 503, "unavailable\n"
    if isinstance(
        error, WebhookVerificationError | InputError | ConfigError | CallRefusedError | ProviderError
    ):
        logger.warning("%s: answered %d: %s", what, status, redact(error))
    elif isinstance(error, TimeoutError):
        logger.warning("%s: answered %d: no answer in time", what, status)
    else:
        logger.error("%s: answered %d", what, status, exc_info=error)
    return web.Response(status=status, text=text)


async def _body(request: web.Request) -> bytes:
    """The body. Raises aiohttp's 413 and 408 for one that is too long or too slow."""
    if (request.content_length or 0) > LONGEST_BODY:
        raise web.HTTPRequestEntityTooLarge(LONGEST_BODY, request.content_length or 0)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > LONGEST_BODY:
                    raise web.HTTPRequestEntityTooLarge(LONGEST_BODY, len(body))
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    return bytes(body)


def _received(
    request: web.Request, address: PublicAddress, body: bytes = b"", *, websocket: bool = False
) -> WebhookRequest:
    """The request as carriers see it: its path and query behind our public address (SC-02)."""
    path = request.raw_path
    if not path.startswith("/") or not path.isascii():
        raise InputError("request with an address that is no path")
    headers = {name.lower(): value for name, value in request.headers.items()}
    url = address.of_request(path, websocket=websocket)
    return WebhookRequest(request.method, url, headers, body, dict(request.query))


def _media(
    name: str, carrier: Carrier, desk: CallDesk, address: PublicAddress, connections: MediaConnections
) -> Handler:
    async def media(request: web.Request) -> web.StreamResponse:
        connection = WebSocketConnection(name)
        if not connection.can_open(request):
            return web.Response(status=426, text="upgrade required\n", headers={hdrs.UPGRADE: "websocket"})
        try:
            carrier.verify_media_upgrade(_received(request, address, websocket=True))
            claim = desk.claim(name, request.match_info["token"])
        except Exception as error:
            return _failed(f"{name} media", error)
        if claim is None:
            return _failed(f"{name} media", WebhookVerificationError("no valid token in the path"))
        response = await connection.open(request)
        connections.add(connection)
        try:
            await desk.serve_media(claim, connection)
        except Exception:
            logger.exception("%s: call %s failed", name, redact(claim.call_id))
            await connection.close(1011, "internal error")
        finally:
            connections.discard(connection)
            await connection.close()
        return response

    return media
