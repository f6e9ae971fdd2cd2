"""``GET /metrics``: for who has the token; without one, for this machine alone."""

from __future__ import annotations

import hmac
import ipaddress

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from patter.redaction import remember_secret

PATH = "/metrics"
#: headers that say that a request was passed on from elsewhere
PASSED_ON = (hdrs.FORWARDED, hdrs.X_FORWARDED_FOR, "X-Real-IP", hdrs.VIA)


def add_endpoint(app: web.Application, registry: CollectorRegistry, token: str) -> None:
    """Serve what is in the registry. `token` may be empty."""
    expected = f"Bearer {token}".encode() if token else b""
    if token:
        remember_secret(token)

    async def metrics(request: web.Request) -> web.Response:
        if not (_has_token(request, expected) if expected else _is_local(request)):
            return web.Response(status=403, text="forbidden\n")
        encode, content_type = choose_encoder(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=encode(registry), headers={hdrs.CONTENT_TYPE: content_type})

    app.router.add_get(PATH, metrics)


def _has_token(request: web.Request, expected: bytes) -> bool:
    sent = request.headers.get(hdrs.AUTHORIZATION, "")
    return hmac.compare_digest(sent.encode("utf-8", "surrogateescape"), expected)


def _is_local(request: web.Request) -> bool:
    """Whether it comes from this machine itself, and not through a proxy or tunnel that ends here."""
    if any(header in request.headers for header in PASSED_ON):
        return False
    try:
        named = request.url.host or ""
    except ValueError:  # of a Host header that is none
        return False
    return _is_loopback(request.remote or "") and (named == "localhost" or _is_loopback(named))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
