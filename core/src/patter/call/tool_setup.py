"""The tools of one call: the agent's own, and `end_call` and `transfer_call`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from patter.call.builtin_tools import CallActions
from patter.call.circuit_breaker import CircuitBreakers
from patter.call.tool_running import ToolRunner
from patter.call.types import CallFailure
from patter.providers.llm import Message, ToolCall

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.call.call import Call
    from patter.call.reply_parts import Voice
    from patter.call.session import CallSession
    from patter.call.types import ToolResult
    from patter.environment import Environment
    from patter.errors import PatterError
    from patter.tools import Tool


def give_tools(
    voice: Voice,
    agent: Agent,
    call: Call,
    session: CallSession,
    environment: Environment,
    breakers: CircuitBreakers,
) -> None:
    """Give the call's model its tools; `breakers` are those of the phone. Raises `ConfigError` when two have one name."""
    call.transfer_policy()  # lists that are none are an error before anybody talks

    async def end_call(reason: str) -> None:
        call.end(reason or "the agent ended the call")

    async def transfer(number: str) -> None:
        await call.transfer(number)

    def late(calls: Sequence[ToolCall], results: Sequence[ToolResult]) -> None:
        """A result that comes after its turn was given up enters the history, and starts no reply (TL-08)."""
        messages = [Message("tool", result.result, tool_call_id=result.id) for result in results]
        session.mouth.tool_calls(0, Message("assistant", "", tuple(calls)), messages)
        session.seat.late_results(results)
        for result in results:
            session.notify("patter_tool_finished", tool_call=result)

    actions = CallActions(end_call, transfer if session.can_transfer else None)
    voice.tools = ToolRunner(
        agent.tools,
        environment=environment,
        call_object=call,
        actions=actions,
        on_late=late,
        breakers=breakers,
    )
    voice.specs = voice.tools.specs
    if agent.mcp_servers:
        _list_servers(agent, voice, voice.tools, call)


def _list_servers(agent: Agent, voice: Voice, runner: ToolRunner, call: Call) -> None:
    """Begin to list the MCP servers: beside the greeting, and shown to the model as they come."""
    from patter.call.mcp_tools import MCPTools

    def add(tools: Sequence[Tool]) -> None:
        runner.add(tools)
        voice.specs = runner.specs

    def failed(host: str, error: PatterError) -> None:
        call.events.emit("failed", CallFailure("tools", f"MCP server {host}", error))

    runner.list_servers(MCPTools(agent.mcp_servers, add, failed))
