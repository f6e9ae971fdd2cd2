"""The tools that every call has."""

from __future__ import annotations

import json

from running_tools import calling, hours, in_virtual_time, nothing_to_do, runner

from patter.call.builtin_tools import CallActions, builtin_tools
from patter.call.transfer_policy import TransferPolicy


@in_virtual_time
async def test_the_built_in_tools_act_on_the_call() -> None:
    acted: list[tuple[str, str]] = []
    policy = TransferPolicy(allowed_prefixes=["+1555"])

    async def end(reason: str) -> None:
        acted.append(("end", reason))

    async def transfer(number: str) -> None:
        acted.append(("transfer", policy.check(number)))

    tools = runner(hours, actions=CallActions(end, transfer))
    assert [spec.name for spec in tools.specs] == ["hours", "transfer_call", "end_call"]
    assert [spec.name for spec in builtin_tools(can_transfer=False)] == ["end_call"]
    assert tools.specs[1:] == builtin_tools(can_transfer=True)
    assert (await tools.run(calling("end_call"))).result == '{"ok": true}'
    assert (await tools.run(calling("end_call", {"reason": "done"}))).error is None
    assert (await tools.run(calling("transfer_call", {"number": "+15550001234"}))).error is None
    assert acted == [("end", ""), ("end", "done"), ("transfer", "+15550001234")]
    for number in ("5550001234", "+4930123456", "the boss"):
        result = await tools.run(calling("transfer_call", {"number": number}))
        assert set(json.loads(result.result)) == {"error"}
        assert result.duration_ms == 0
    assert (
        await tools.run(calling("transfer_call", {"number": 1}))
    ).error == "number: must be of type string"
    assert len(acted) == 3


@in_virtual_time
async def test_a_transfer_that_fails_is_not_tried_again() -> None:
    tries: list[str] = []

    async def transfer(number: str) -> None:
        tries.append(number)
        raise ConnectionError("carrier")

    tools = runner(actions=CallActions(nothing_to_do, transfer))
    result = await tools.run(calling("transfer_call", {"number": "+15550001234"}))
    assert json.loads(result.result) == {"error": "ConnectionError: carrier", "fallback": True}
    assert len(tries) == 1


@in_virtual_time
async def test_a_built_in_tool_that_cannot_transfer_is_not_there() -> None:
    tools = runner(actions=CallActions(nothing_to_do))
    assert [spec.name for spec in tools.specs] == ["end_call"]
    assert (await tools.run(calling("transfer_call", {"number": "+15550001234"}))).error is not None
