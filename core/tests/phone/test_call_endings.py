"""Every call ends once, and is told of once: `patter_call_ended`, `on_call_start`, `on_call_end`. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from call_watch import WATCHED, Watch

from patter import Agent, Reject
from patter.errors import CallRefusedError, ProviderAuthError, ProviderError
from patter.plugins import HookFailure
from patter.providers.carrier import CallOffer, CallStatus, StatusReport
from patter.testing import CallTool, Reply
from patter.testing.simulated_line import PlayedAudio, SimulatedLine

pytestmark = pytest.mark.patter_phone(**WATCHED)

TO = "+15550002222"
AGENT = Agent(stt="fake", llm="fake", tts="fake", vad="fake", first_message="Hello there.")


class Nobody:
    """Hears nothing."""

    def plays(self, played: PlayedAudio) -> None:
        """Nothing to note."""

    def cleared(self, t: float) -> None:
        """Nothing to note."""


async def forever(*_: Any) -> None:
    """A hook, callback or provider that hangs."""
    await asyncio.Event().wait()


async def ring(watch: Watch, carrier_call_id: str = "one") -> Any:
    """Announce a call, as a webhook does; returns what the carrier is told to do."""
    if not watch.phone.switchboard.ready:
        await watch.phone.start(AGENT, port=0)
    carrier = watch.phone.switchboard.trunks["fake"].carrier
    return await carrier.host.incoming_call(CallOffer(carrier_call_id, "+15550001111", "+15550001234"))


async def open_media(watch: Watch, answer: Any, *, start: bool) -> tuple[SimulatedLine, asyncio.Task[None]]:
    """Connect the media of an answered call, which sends its start, or nothing."""
    switchboard = watch.phone.switchboard
    claim = switchboard.claim("fake", answer.stream_url.rpartition("/")[2])
    call = switchboard.line(answer.call_id).call
    line = SimulatedLine(switchboard.trunks["fake"].carrier.format, Nobody())
    if start:
        line.send(
            {
                "type": "start",
                "stream": "s",
                "call": call.carrier_call_id,
                "encoding": "mulaw",
                "rate": 8000,
            }
        )
    task = asyncio.ensure_future(switchboard.serve_media(claim, line))
    await asyncio.sleep(0.1)
    return line, task


# -- calls that nobody talks in


@pytest.mark.behaviour("LC-06")
async def test_a_refused_call_is_told_of_and_has_no_callbacks(watch: Watch, simcall: Any) -> None:
    async def refuse(call: Any) -> Any:
        return Reject("unwanted")

    watch.deciding = refuse
    async with simcall() as call:
        assert call.refusal is not None
    assert call.summary.reason == "unwanted"
    watch.check(calls=1, connected=0)


@pytest.mark.behaviour("LC-06")
@pytest.mark.patter_phone(max_calls=1)
async def test_a_call_for_which_there_is_no_room_is_told_of(watch: Watch, simcall: Any) -> None:
    async with simcall(first_message="Hello.") as first:
        await first.agent_says("Hello.")
        async with simcall() as second:
            assert second.refusal is not None
        with pytest.raises(CallRefusedError):
            await watch.phone.call(TO, AGENT)
    watch.check(calls=2, connected=1)


@pytest.mark.behaviour("LC-06")
async def test_a_call_whose_agent_cannot_be_planned_is_told_of(watch: Watch, simcall: Any) -> None:
    async with simcall(stt="no-such-stt") as call:
        assert call.refusal is not None
    assert call.summary.outcome is CallStatus.FAILED
    watch.check(calls=1, connected=0)


@pytest.mark.behaviour("LC-06")
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (CallStatus.BUSY, "busy"),
        (CallStatus.NO_ANSWER, "no_answer"),
        (CallStatus.CANCELED, "no_answer"),
        (CallStatus.FAILED, "failed"),
    ],
)
@pytest.mark.parametrize("early", [False, True], ids=["after the dial", "before its answer"])
async def test_a_dial_that_nobody_answers_is_told_of_before_its_record_is_final(
    watch: Watch, status: CallStatus, outcome: str, early: bool
) -> None:
    await watch.phone.start(AGENT, port=0)
    carrier = watch.phone.switchboard.trunks["fake"].carrier
    carrier.dial_s = 2.0 if early else 0.0
    calling = asyncio.ensure_future(watch.phone.call(TO))
    await asyncio.sleep(1)
    for _ in range(2):
        carrier.host.call_status(StatusReport("fake-call-1", status))
    result = await calling
    assert (result.outcome, result.status) == (outcome, status)
    assert carrier.hung_up == []  # the carrier ended it
    watch.check(calls=1, connected=0)


@pytest.mark.behaviour("LC-06")
async def test_a_dial_that_the_carrier_refuses_and_one_that_is_never_heard_of(watch: Watch) -> None:
    await watch.phone.start(AGENT, port=0)
    carrier = watch.phone.switchboard.trunks["fake"].carrier
    carrier.refuse_dial = ProviderError("no such number", provider="fake")
    with pytest.raises(ProviderError):
        await watch.phone.call(TO)
    carrier.refuse_dial = None
    result = await watch.phone.call(TO)
    assert (result.outcome, result.reason) == ("failed", "nothing was heard of this call")
    watch.check(calls=2, connected=0)


@pytest.mark.behaviour("LC-06")
@pytest.mark.parametrize("claimed", [False, True], ids=["no connection", "no start"])
async def test_an_answered_call_whose_media_never_connects_has_failed_after_ten_seconds(
    watch: Watch, claimed: bool
) -> None:
    answer = await ring(watch)
    began = asyncio.get_running_loop().time()
    line = watch.phone.switchboard.line(answer.call_id)
    if claimed:
        await open_media(watch, answer, start=False)
    summary = await line.done
    assert asyncio.get_running_loop().time() - began == pytest.approx(10.0, abs=0.01)
    assert (summary.connected, summary.outcome) == (False, CallStatus.FAILED)
    assert "never connected" in summary.reason
    assert line.trunk.carrier.hung_up == ["one"]
    watch.check(calls=1, connected=0)


async def test_a_carrier_that_asks_again_gets_the_same_decision(watch: Watch) -> None:
    async def decide(call: Any) -> Any:
        await asyncio.sleep(1)
        return Reject("unwanted") if call.carrier_call_id == "two" else None

    watch.deciding = decide
    first, again = await asyncio.gather(ring(watch), ring(watch))
    assert first.call_id == again.call_id
    assert first.stream_url != again.stream_url
    refused, refused_again = await asyncio.gather(ring(watch, "two"), ring(watch, "two"))
    assert type(refused) is type(refused_again) is not type(first)
    await watch.phone.disconnect()
    watch.check(calls=2, connected=0)


# -- calls that were connected


async def _carrier_hangs_up(call: Any) -> None:
    await call.caller_hangs_up()


async def _socket_is_lost(call: Any) -> None:
    await call.drop_connection()


async def _agent_hangs_up(call: Any) -> None:
    await call.caller_says("Goodbye")


async def _application_hangs_up(call: Any) -> None:
    await call.phone.end_call(call.call.id)


async def _provider_fails(call: Any) -> None:
    call.scene.recogniser.fail(ProviderAuthError("the key was refused"))


async def _phone_disconnects(call: Any) -> None:
    await call.phone.disconnect()


@pytest.mark.behaviour("LC-06")
@pytest.mark.parametrize(
    ("end", "outcome", "by_us"),
    [
        (_carrier_hangs_up, CallStatus.COMPLETED, False),
        (_socket_is_lost, CallStatus.COMPLETED, False),
        (_agent_hangs_up, CallStatus.COMPLETED, True),
        (_application_hangs_up, CallStatus.COMPLETED, True),
        (_provider_fails, CallStatus.FAILED, True),
        (_phone_disconnects, CallStatus.COMPLETED, True),
    ],
)
async def test_whoever_ends_a_connected_call(
    watch: Watch, simcall: Any, end: Callable[[Any], Awaitable[None]], outcome: CallStatus, by_us: bool
) -> None:
    bye = Reply("Goodbye then.", tools=[CallTool("end_call", {"reason": "done"})])
    async with simcall(AGENT, replies=[bye]) as call:
        carrier = call.carrier
        await call.agent_says("Hello there.")
        await call.quiet(200)
        await end(call)
        summary = await call.ended()
    assert (summary.connected, summary.outcome) == (True, outcome)
    assert summary.transcript[0].text == "Hello there."
    assert summary.history[0].content == "Hello there."
    assert summary.metrics["interruptions"] == 0
    assert carrier.hung_up == ([call.carrier_call_id] if by_us else [])
    watch.check(calls=1, connected=1)


@pytest.mark.behaviour("LC-06")
async def test_a_call_that_cannot_be_set_up_when_its_media_is_up_was_connected(
    watch: Watch, simcall: Any
) -> None:
    failures: list[HookFailure] = []
    watch.phone.on_hook_failure = failures.append

    async def fail(call: Any) -> None:
        raise LookupError("no database")

    watch.setting_up = fail
    async with simcall(AGENT) as call:
        summary = await call.ended()
    assert (summary.connected, summary.outcome) == (True, CallStatus.FAILED)
    assert [type(failure.error) for failure in failures] == [LookupError]
    watch.check(calls=1, connected=1)


@pytest.mark.behaviour("LC-06")
async def test_on_call_end_is_last_even_after_subscribers_that_take_their_time(
    watch: Watch, simcall: Any
) -> None:
    async with simcall(AGENT) as call:

        async def late(_: Any) -> None:
            await asyncio.sleep(0.5)
            watch.told[call.call.id].append("late subscriber")

        call.call.on("call_ended", late)
        await call.agent_says("Hello there.")
    assert watch.told[call.call.id] == [
        "on_call_start",
        "patter_call_ended",
        "call_ended",
        "late subscriber",
        "on_call_end",
    ]
    watch.check(calls=1, connected=1)


@pytest.mark.behaviour("LC-06")
async def test_a_hook_and_callbacks_that_raise_or_hang_count_as_called(
    watch: Watch, simcall: Any, caplog: Any
) -> None:
    failures: list[HookFailure] = []
    watch.phone.on_hook_failure = failures.append

    def fail(*_: Any) -> Any:
        raise LookupError("no database")

    for misbehave, takes_s in ((fail, 0.0), (forever, 15.0)):
        watch.hooking = watch.starting = watch.ending = misbehave
        async with simcall(AGENT) as call:
            began = asyncio.get_running_loop().time()
            await call.agent_says("Hello there.")
            greeted = asyncio.get_running_loop().time()
            await call.caller_hangs_up()
            line = watch.phone.switchboard.line(call.call.id)
            assert line is None
            waited = asyncio.get_running_loop().time() - began
        # 5 s each for the start, the hook and the end
        assert waited == pytest.approx(takes_s + 12 * 0.06, abs=0.1)
        assert greeted - began == pytest.approx((5.0 if takes_s else 0) + 12 * 0.06, abs=0.1)
    assert [type(failure.error) for failure in failures] == [LookupError, TimeoutError]
    logged = caplog.text
    for what in (
        "on_call_start failed",
        "on_call_end failed",
        "on_call_start took over",
        "on_call_end took over",
    ):
        assert what in logged
    watch.check(calls=2, connected=2)


@pytest.mark.behaviour("LC-06")
@pytest.mark.parametrize("dial_s", [0.0, 0.5, 5.0], ids=["rings", "is dialled", "is dialled for too long"])
async def test_a_call_that_is_given_up_before_it_is_answered_is_hung_up_at_the_carrier(
    watch: Watch, dial_s: float
) -> None:
    await watch.phone.start(AGENT, port=0)
    carrier = watch.phone.switchboard.trunks["fake"].carrier
    carrier.dial_s = dial_s
    calling = asyncio.ensure_future(watch.phone.call(TO))
    await asyncio.sleep(0.1)
    (line,) = watch.phone.switchboard.lines()
    await line.call.hangup()
    await watch.phone.end_call(line.call.id)
    result = await calling
    assert (result.status, result.reason) == (CallStatus.COMPLETED, "hung up by the application")
    await asyncio.sleep(0.1)
    assert set(carrier.hung_up) == {"fake-call-1"}
    watch.check(calls=1, connected=0)


# -- disconnect() with calls in every state


async def _deciding(watch: Watch, simcall: Any) -> int:
    watch.deciding = forever
    await watch.phone.start(AGENT, port=0)
    watch.background = asyncio.ensure_future(ring(watch))
    await asyncio.sleep(0.5)
    return 0


async def _announced(watch: Watch, simcall: Any) -> int:
    await ring(watch)
    return 0


async def _without_start(watch: Watch, simcall: Any) -> int:
    await open_media(watch, await ring(watch), start=False)
    return 0


async def _in_on_call_start(watch: Watch, simcall: Any) -> int:
    watch.starting = forever
    await open_media(watch, await ring(watch), start=True)
    return 1


async def _in_set_up(watch: Watch, simcall: Any) -> int:
    watch.setting_up = forever
    await open_media(watch, await ring(watch), start=True)
    return 1


async def _talking(watch: Watch, simcall: Any) -> int:
    await open_media(watch, await ring(watch), start=True)
    return 1


async def _telling_the_end(watch: Watch, simcall: Any) -> int:
    watch.hooking = watch.ending = forever
    line, _ = await open_media(watch, await ring(watch), start=True)
    line.send({"type": "stop", "reason": "hung up"})
    await asyncio.sleep(1)
    return 1


async def _in_on_call_end(watch: Watch, simcall: Any) -> int:
    watch.ending = forever
    line, _ = await open_media(watch, await ring(watch), start=True)
    line.send({"type": "stop", "reason": "hung up"})
    await asyncio.sleep(1)
    return 1


async def _dialling(watch: Watch, simcall: Any) -> int:
    await watch.phone.start(AGENT, port=0)
    watch.phone.switchboard.trunks["fake"].carrier.dial_s = 0.8
    watch.background = asyncio.ensure_future(watch.phone.call(TO))
    await asyncio.sleep(0.1)
    return 0


async def _ringing_out(watch: Watch, simcall: Any) -> int:
    await watch.phone.start(AGENT, port=0)
    watch.background = asyncio.ensure_future(watch.phone.call(TO))
    await asyncio.sleep(1)
    return 0


STATES = [
    _deciding,
    _announced,
    _without_start,
    _in_on_call_start,
    _in_set_up,
    _talking,
    _telling_the_end,
    _in_on_call_end,
    _dialling,
    _ringing_out,
]


@pytest.mark.behaviour("LC-06")
@pytest.mark.parametrize("reach", STATES, ids=lambda state: state.__name__)
async def test_disconnect_ends_a_call_whatever_it_is_doing(
    watch: Watch, simcall: Any, reach: Callable[[Watch, Any], Awaitable[int]]
) -> None:
    before = asyncio.all_tasks()
    failures: list[HookFailure] = []
    watch.phone.on_hook_failure = failures.append
    connected = await reach(watch, simcall)
    carrier = watch.phone.switchboard.trunks["fake"].carrier
    began = asyncio.get_running_loop().time()
    await watch.phone.disconnect()
    assert asyncio.get_running_loop().time() - began <= 5.0

    if watch.background is not None:
        await watch.background
    watch.check(calls=1, connected=connected)
    (summary,) = watch.summaries.values()
    ended_before = reach in (_telling_the_end, _in_on_call_end)
    assert summary.reason == (
        "the caller or carrier hung up" if ended_before else "the server is shutting down"
    )
    assert len(carrier.hung_up) == (0 if ended_before or reach is _deciding else 1)
    await asyncio.sleep(2)
    assert asyncio.all_tasks() <= before
