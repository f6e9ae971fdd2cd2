"""One session with an MCP server over streamable HTTP: listed once, then called as often as the model wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Final

from patter.call.mcp_messages import (
    INITIALIZED,
    LONGEST_ANSWER,
    OFFERED,
    SPOKEN,
    EventReader,
    ListedTool,
    answer_to,
    initialize,
    read_messages,
    read_outcome,
    read_tools,
    request,
    result_of,
)
from patter.errors import InputError, PatterError, ProviderDisconnected, ProviderError, ProviderTimeout
from patter.net import status_error
from patter.outbound_addresses import check_url

if TYPE_CHECKING:
    import aiohttp

    from patter.mcp_servers import MCPServer
    from patter.outbound import OutboundSession

#: longest wait for one answer, in s
ANSWER_S: Final = 10.0
#: time to say goodbye to the server at the end of a call, in s
GOODBYE_S: Final = 0.5
#: a list of tools has at most so many pages
_PAGES: Final = 16
_JSON: Final = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


class _SessionGone(Exception):
    """The server does not know the session any more."""


class MCPClient:
    """Talks to one server for the length of a call. Errors name the server by its host.

    Raises:
        ProviderError: from every method but `close`: no connection, no answer in time, or one that cannot be used.
        InputError: the address is refused.
    """

    def __init__(self, server: MCPServer, version: str) -> None:
        self._server = server
        self._version = version
        self._http: OutboundSession | None = None
        self._session_headers: dict[str, str] = {}
        self._number = 0
        self._ready = False
        self._opening = asyncio.Lock()

    async def list_tools(self) -> list[ListedTool]:
        """All tools of the server."""
        tools: list[ListedTool] = []
        cursor = None
        for _ in range(_PAGES):
            page, cursor = read_tools(await self._ask("tools/list", {"cursor": cursor} if cursor else None))
            tools += page
            if cursor is None:
                break
        return tools

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """What the model is told; see `read_outcome`."""
        return read_outcome(await self._ask("tools/call", {"name": name, "arguments": dict(arguments)}))

    async def close(self) -> None:
        """End the session, where there is one, and the connections."""
        http, self._http = self._http, None
        if http is None:
            return
        try:
            if "Mcp-Session-Id" in self._session_headers:
                import aiohttp

                with suppress(PatterError, aiohttp.ClientError, OSError, TimeoutError):
                    async with asyncio.timeout(GOODBYE_S):
                        answer = await http.request("DELETE", self._server.url, headers=self._headers())
                        answer.close()
        finally:
            await http.close()

    # -- requests

    async def _ask(self, method: str, params: Mapping[str, Any] | None) -> dict[str, Any]:
        """The result of a request, in a session that is opened for it if need be, and a second time if it is gone."""
        host = check_url(self._server.url, self._server.allow_hosts).host
        import aiohttp

        try:
            async with asyncio.timeout(ANSWER_S):
                await self._open()
                try:
                    return await self._exchange(request(self._next(), method, params))
                except _SessionGone:
                    self._ready = False
                    await self._open()
                    return await self._exchange(request(self._next(), method, params))
        except _SessionGone:
            raise ProviderDisconnected(f"{host} ends each session at once") from None
        except TimeoutError:
            raise ProviderTimeout(f"{host} gave no answer within {ANSWER_S:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ProviderDisconnected(f"{host} was not reached: {type(error).__name__}") from None
        except ProviderError as error:
            raise type(error)(f"MCP server {host}: {error}", vendor_code=error.vendor_code) from None

    async def _open(self) -> None:
        async with self._opening:
            if self._ready:
                return
            self._session_headers = {}
            result = await self._exchange(initialize(self._next(), self._version))
            version = result.get("protocolVersion")
            if version not in SPOKEN:
                raise ProviderError(f"speaks revision {version!r} of the protocol and not {OFFERED!r}")
            self._session_headers["MCP-Protocol-Version"] = version
            await self._tell(INITIALIZED)
            self._ready = True

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _headers(self) -> dict[str, str]:
        return {**self._server.headers, **self._session_headers, **_JSON}

    async def _post(self, message: Mapping[str, Any]) -> aiohttp.ClientResponse:
        if self._http is None:
            from patter.outbound import OutboundSession

            self._http = OutboundSession(self._server.allow_hosts)
        body = json.dumps(message).encode()
        return await self._http.request("POST", self._server.url, body=body, headers=self._headers())

    async def _tell(self, message: Mapping[str, Any]) -> None:
        """Send what has no answer."""
        async with await self._post(message) as answer:
            if not 200 <= answer.status < 300:
                raise status_error(answer.status, f"answered with HTTP {answer.status}")

    async def _exchange(self, message: Mapping[str, Any]) -> dict[str, Any]:
        async with await self._post(message) as answer:
            if answer.status == 404 and "Mcp-Session-Id" in self._session_headers:
                raise _SessionGone
            if not 200 <= answer.status < 300:
                raise status_error(answer.status, f"answered with HTTP {answer.status}")
            session = answer.headers.get("Mcp-Session-Id")
            if session and message["method"] == "initialize":
                self._session_headers["Mcp-Session-Id"] = session
            async with aclosing(_messages(answer)) as messages:
                async for one in messages:
                    result = result_of(one, message["id"])
                    if result is not None:
                        return result
                    reply = answer_to(one)
                    if reply is not None:
                        await self._tell(reply)
        raise ProviderError("an answer without a result")


async def _messages(answer: aiohttp.ClientResponse) -> AsyncGenerator[dict[str, Any], None]:
    """The messages of an answer, which is one JSON body or a stream of events."""
    from patter.outbound import read_bounded

    if answer.content_type != "text/event-stream":
        try:
            raw = await read_bounded(answer, LONGEST_ANSWER)
        except InputError as error:
            raise ProviderError(str(error)) from None
        for one in read_messages(raw):
            yield one
        return
    reader, received = EventReader(), 0
    async for piece in answer.content.iter_any():
        received += len(piece)
        if received > LONGEST_ANSWER:
            raise ProviderError(f"the answer is longer than {LONGEST_ANSWER} bytes")
        for event in reader.feed(piece):
            for one in read_messages(event):
                yield one
