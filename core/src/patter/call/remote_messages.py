"""`on_message` as a URL: a POST or a socket for each turn of the caller (TL-07)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from patter.errors import InputError, ProviderDisconnected, ProviderError, ProviderTimeout
from patter.net import status_error

if TYPE_CHECKING:
    import aiohttp
    from websockets.asyncio.client import ClientConnection

    from patter.messages import CallerMessage, MessageWebhook
    from patter.outbound import OutboundSession

#: longest answer to one turn, in bytes of UTF-8
LONGEST_ANSWER: Final = 64 * 1024
#: longest wait for an answer, or for the next piece of one, in s
SILENCE_S: Final = 15.0
#: a socket is closed within this, in s
CLOSE_S: Final = 0.1
#: HMAC-SHA256 of the body, or of the first frame, in hexadecimal digits
SIGNATURE_HEADER: Final = "X-Patter-Signature"


class RemoteMessages:
    """Asks a `MessageWebhook` for one call. HTTP connections are kept for the next turn."""

    def __init__(self, webhook: MessageWebhook) -> None:
        self._webhook = webhook
        self._session: OutboundSession | None = None

    async def answer(self, message: CallerMessage) -> AsyncGenerator[str, None]:
        """The pieces of the answer; closing this closes the socket, or gives up the request.

        Raises:
            ProviderError: the address is refused, or the answer is no success, no text or too long.
            ProviderTimeout: nothing came in time.
            ProviderDisconnected: there is no connection, or it was lost before the answer was complete.
        """
        host, body = self._webhook.host, _body(message)
        headers = self._signed(body)
        try:
            if not self._webhook.streams:
                yield await self._post(body, headers)
                return
            async with aclosing(self._pieces(body, headers)) as pieces:
                async for piece in pieces:
                    yield piece
        except InputError as error:
            raise ProviderError(f"on_message: {error}", provider="on_message") from None
        except TimeoutError:
            raise ProviderTimeout(
                f"{host} gave no answer within {SILENCE_S:g} s", provider="on_message"
            ) from None

    def _signed(self, body: bytes) -> dict[str, str]:
        secret = self._webhook.secret
        if secret is None:
            return {}
        return {SIGNATURE_HEADER: hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    # -- http

    async def _post(self, body: bytes, headers: dict[str, str]) -> str:
        import aiohttp

        from patter.outbound import OutboundSession, read_bounded

        webhook = self._webhook
        if self._session is None:
            self._session = OutboundSession(webhook.allow_hosts)
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/plain", **headers}
        try:
            async with (
                asyncio.timeout(SILENCE_S),
                await self._session.request("POST", webhook.url, body=body, headers=headers) as answer,
            ):
                _check_success(webhook.host, answer)
                return _spoken(await read_bounded(answer, LONGEST_ANSWER), answer.content_type, webhook.host)
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise ProviderDisconnected(
                f"{webhook.host} was not reached: {type(error).__name__}", provider="on_message"
            ) from None

    # -- sockets

    async def _pieces(self, body: bytes, headers: dict[str, str]) -> AsyncGenerator[str, None]:
        from websockets.exceptions import ConnectionClosed

        from patter.outbound import connect_websocket

        webhook = self._webhook
        socket = await connect_websocket(webhook.url, webhook.allow_hosts, headers=headers)
        left = LONGEST_ANSWER
        try:
            await socket.send(body.decode())
            while True:
                async with asyncio.timeout(SILENCE_S):
                    frame = _frame(await socket.recv(), webhook.host)
                text = frame.get("text", "")
                left -= len(text.encode("utf-8", "replace"))
                if left < 0:
                    raise InputError(f"the answer is longer than {LONGEST_ANSWER} bytes")
                if text:
                    yield text
                if frame.get("done") is True:
                    return
        except ConnectionClosed:
            raise ProviderDisconnected(
                f"{webhook.host} closed the socket before its answer was done", provider="on_message"
            ) from None
        finally:
            await _close(socket)


async def _close(socket: ClientConnection) -> None:
    """Close a socket, at once if its other end does not answer: the caller may be waiting for the next turn."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await socket.close()
    except TimeoutError:
        pass
    finally:
        socket.transport.abort()


def _body(message: CallerMessage) -> bytes:
    history = [
        {"role": one.role, "content": one.content}
        for one in message.history
        if one.role in ("user", "assistant") and one.content
    ]
    told = {
        "text": message.text,
        "call_id": message.call_id,
        "caller": message.caller,
        "callee": message.callee,
        "history": history,
    }
    return json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")


def _check_success(host: str, answer: aiohttp.ClientResponse) -> None:
    if 300 <= answer.status < 400:
        raise ProviderError(f"{host} answered with a redirect, which is not followed", provider="on_message")
    if not 200 <= answer.status < 300:
        raise status_error(answer.status, f"{host} answered with HTTP {answer.status}", provider="on_message")


def _spoken(raw: bytes, content_type: str, host: str) -> str:
    """The text of an HTTP answer: a JSON object with a `text`, or plain text. Raises `InputError`."""
    if content_type in ("text/html", "application/xhtml+xml"):
        raise InputError(f"{host} answered with a page, not with a text")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise InputError(f"{host} answered with bytes that are no UTF-8 text") from None
    is_json = content_type == "application/json" or content_type.endswith("+json")
    if not is_json and not text.lstrip().startswith("{"):
        return text
    try:
        return str(_object(text, host).get("text", ""))
    except InputError:
        if is_json:
            raise
        return text


def _frame(frame: str | bytes, host: str) -> dict[str, Any]:
    if isinstance(frame, bytes):
        raise InputError(f"{host} sent a frame that is no text")
    return _object(frame, host)


def _object(text: str, host: str) -> dict[str, Any]:
    """A JSON object whose `text`, if there is one, is a text. Raises `InputError`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{host} answered with what is no JSON") from None
    if not isinstance(value, dict) or not isinstance(value.get("text", ""), str):
        raise InputError(f'{host} must answer with {{"text": "…"}}')
    if "text" in value:  # JSON can spell half a character, which no voice can be sent
        value["text"] = value["text"].encode("utf-8", "replace").decode()
    return value
