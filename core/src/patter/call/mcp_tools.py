"""The tools of an agent's MCP servers, listed while the call begins (TL-06)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from patter.call.mcp_client import MCPClient
from patter.errors import ConfigError, PatterError, ProviderTimeout
from patter.redaction import redact
from patter.tools import LONGEST_DESCRIPTION, Tool

if TYPE_CHECKING:
    from patter.call.mcp_messages import ListedTool
    from patter.mcp_servers import MCPServer

logger = logging.getLogger(__name__)

#: a server is skipped that has not listed its tools within this, in s
LISTING_S: Final = 5.0
#: tools of one server that are taken
MOST_TOOLS: Final = 128


class MCPTools:
    """Lists the tools of a call's servers, side by side, and keeps the sessions in which they are called.

    Args:
        servers: in the order in which their tools are added.
        add: takes the tools of one server; raises `ConfigError` where a name is taken already.
        failed: told of each server that is left out: its host and why.
    """

    def __init__(
        self,
        servers: Sequence[MCPServer],
        add: Callable[[Sequence[Tool]], None],
        failed: Callable[[str, PatterError], None],
    ) -> None:
        from patter import __version__

        self._clients = [(server, MCPClient(server, __version__)) for server in servers]
        self._add = add
        self._failed = failed
        self._owners: dict[str, str] = {}

    async def list_all(self) -> None:
        """List all servers at once; each one's tools are there as soon as those of the servers before it are."""
        listings = [asyncio.ensure_future(self._listed(*one)) for one in self._clients]
        try:
            for (server, _), listing in zip(self._clients, listings, strict=True):
                try:
                    self._add_all(server, await listing)
                except PatterError as error:
                    logger.error("MCP server %s is left out of the call: %s", server.host, redact(error))
                    self._failed(server.host, error)
        finally:
            for listing in listings:
                listing.cancel()
            await asyncio.gather(*listings, return_exceptions=True)

    async def close(self) -> None:
        """End the sessions."""
        await asyncio.gather(*(client.close() for _, client in self._clients), return_exceptions=True)

    async def _listed(self, server: MCPServer, client: MCPClient) -> list[Tool]:
        try:
            async with asyncio.timeout(LISTING_S):
                listed = await client.list_tools()
        except TimeoutError:
            raise ProviderTimeout(f"{server.host} did not list its tools within {LISTING_S:g} s") from None
        if len(listed) > MOST_TOOLS:
            logger.warning(
                "MCP server %s lists %d tools; the first %d are taken", server.host, len(listed), MOST_TOOLS
            )
        return [tool for one in listed[:MOST_TOOLS] if (tool := _made(server, client, one)) is not None]

    def _add_all(self, server: MCPServer, tools: Sequence[Tool]) -> None:
        for tool in tools:
            owner = self._owners.get(tool.name)
            if owner is not None:
                raise ConfigError(
                    f"{owner} and {server.host} both have a tool {tool.name!r}; drop one of the servers"
                )
        try:
            self._add(tools)
        except ConfigError as error:
            raise ConfigError(f"{error} (one of the agent's own, one of {server.host})") from None
        self._owners.update((tool.name, server.host) for tool in tools)


def _made(server: MCPServer, client: MCPClient, listed: ListedTool) -> Tool | None:
    """A tool that asks its server; None, with a warning, for one that no model can be shown."""
    name = listed.name

    async def ask(**arguments: Any) -> Any:
        return await client.call_tool(name, arguments)

    try:
        return Tool(
            name,
            str(listed.description)[:LONGEST_DESCRIPTION],
            listed.schema,
            ask,
            timeout_s=server.timeout_s,
        )
    except ConfigError as error:
        logger.warning("MCP server %s: a tool is left out: %s", server.host, redact(error))
        return None
