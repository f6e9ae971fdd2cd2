"""Tools that are a URL: a POST for each attempt, the answer as the result (TL-03)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from patter.errors import InputError, ProviderDisconnected, ProviderError, ProviderTimeout
from patter.net import status_error
from patter.outbound_addresses import check_url

if TYPE_CHECKING:
    import aiohttp

    from patter.outbound import OutboundSession
    from patter.tools import Tool

#: longest attempt, in s
ATTEMPT_S: Final = 10.0
#: longest answer, in bytes after decompression
LONGEST_ANSWER: Final = 1 << 20
_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json, text/plain;q=0.9"}


class WebhookTools:
    """Asks the webhooks of the tools of one call. A connection is kept for the tool's next call; `close` ends them."""

    def __init__(self, call_object: Any) -> None:
        self._call_object = call_object
        self._sessions: dict[str, OutboundSession] = {}

    async def ask(self, tool: Tool, arguments: Mapping[str, Any], attempt: int) -> str:
        """The text of the answer.

        Raises:
            InputError: the address is refused; trying again will not help.
            ProviderError: no answer in time, no connection, or an answer that is no success, no text or too long.
        """
        assert tool.webhook_url is not None
        host = check_url(tool.webhook_url, tool.allow_hosts).host
        body = json.dumps(self._body(tool, arguments, attempt), ensure_ascii=False).encode("utf-8", "replace")
        import aiohttp

        try:
            async with asyncio.timeout(ATTEMPT_S):
                answer = await self._session(tool).request(
                    "POST", tool.webhook_url, body=body, headers=_HEADERS
                )
                async with answer:
                    return await _text(host, answer)
        except TimeoutError:
            raise ProviderTimeout(f"{host} gave no answer within {ATTEMPT_S:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ProviderDisconnected(f"{host} was not reached: {type(error).__name__}") from None

    async def close(self) -> None:
        """Close the connections."""
        while self._sessions:
            _, session = self._sessions.popitem()
            await session.close()

    def _session(self, tool: Tool) -> OutboundSession:
        # one for each tool: a connection that the allow-list of one admits is no other's
        session = self._sessions.get(tool.name)
        if session is None:
            from patter.outbound import OutboundSession

            session = self._sessions[tool.name] = OutboundSession(tool.allow_hosts)
        return session

    def _body(self, tool: Tool, arguments: Mapping[str, Any], attempt: int) -> dict[str, Any]:
        call = self._call_object
        return {
            "tool": tool.name,
            "arguments": dict(arguments),
            "call_id": getattr(call, "id", ""),
            "caller": getattr(call, "caller", ""),
            "callee": getattr(call, "callee", ""),
            "attempt": attempt,
        }


async def _text(host: str, answer: aiohttp.ClientResponse) -> str:
    from patter.outbound import read_bounded

    if 300 <= answer.status < 400:
        raise ProviderError(f"{host} answered with a redirect, which is not followed")
    if not 200 <= answer.status < 300:
        raise status_error(answer.status, f"{host} answered with HTTP {answer.status}")
    try:
        return (await read_bounded(answer, LONGEST_ANSWER)).decode()
    except InputError as error:
        raise ProviderError(f"{host}: {error}") from None
    except UnicodeDecodeError:
        raise ProviderError(f"{host} answered with bytes that are no UTF-8 text") from None
