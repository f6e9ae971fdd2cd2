"""The tools every agent has: `end_call`, and `transfer_call` where the carrier can transfer (CC-10)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from patter.providers.llm import ToolSpec
from patter.tools import Tool

TRANSFER_CALL: Final = ToolSpec(
    "transfer_call",
    "Connect the caller to another number, for example a human. The conversation with you ends.",
    {
        "type": "object",
        "properties": {
            "number": {
                "type": "string",
                "description": "in international form with a plus sign, such as +15550001234",
            }
        },
        "required": ["number"],
        "additionalProperties": False,
    },
)
END_CALL: Final = ToolSpec(
    "end_call",
    "Hang up. Say goodbye in the same message; the caller still hears it.",
    {
        "type": "object",
        "properties": {"reason": {"type": "string", "description": "why, in a few words, for the log"}},
        "additionalProperties": False,
    },
)


@dataclass(frozen=True, slots=True)
class CallActions:
    """What the built-in tools do to the call.

    `end_call` gets the reason ("" without one); `transfer` the number as the model wrote it, and is None where the
    carrier cannot transfer. An `InputError` they raise tells the model what is wrong with its arguments.
    """

    end_call: Callable[[str], Awaitable[object]]
    transfer: Callable[[str], Awaitable[object]] | None = None


def builtin_tools(can_transfer: bool) -> list[ToolSpec]:
    """The built-in tools as shown to the model."""
    return [TRANSFER_CALL, END_CALL] if can_transfer else [END_CALL]


def bind_builtin_tools(actions: CallActions) -> list[Tool]:
    """The built-in tools of one call."""

    async def end_call(reason: str = "") -> dict[str, Any]:
        await actions.end_call(reason)
        return {"ok": True}

    async def transfer_call(number: str) -> dict[str, Any]:
        assert actions.transfer is not None
        await actions.transfer(number)
        return {"ok": True}

    handlers: dict[str, Callable[..., Any]] = {"end_call": end_call, "transfer_call": transfer_call}
    return [
        Tool(spec.name, spec.description, spec.parameters, handlers[spec.name])
        for spec in builtin_tools(actions.transfer is not None)
    ]
