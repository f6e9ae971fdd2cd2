"""Calls at the same time: whatever is recorded, by whomever and in whoever's step, carries the id of its own call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from traces import exported, named

from patter import hookimpl, tool
from patter.call.events import EVENTS
from patter.telemetry import attach_span_exporter, patter_call_scope, record_patter_attrs
from patter.telemetry.scope import current_scope
from patter.testing import CallTool, Reply
from patter.testing.pytest_phone import CallFactory

#: hooks that are called within the media connection of a call
HOOKS = (
    "patter_call_setup",
    "patter_call_started",
    "patter_modify_user_turn",
    "patter_modify_request",
    "patter_modify_speech",
    "patter_turn_ended",
    "patter_barge_in",
    "patter_dtmf",
    "patter_tool_finished",
    "patter_call_ended",
)
#: events that may come before the media is up
BEFORE = {"provider_warmed", "machine_detected"}


class Seen:
    """Whose scope code of a call ran in: by the place, pairs of the call it was about and the call it ran in."""

    def __init__(self) -> None:
        self.places: dict[str, set[tuple[str, str]]] = {}

    def note(self, place: str, call_id: str) -> None:
        scope = current_scope()
        self.places.setdefault(place, set()).add((call_id, "" if scope is None else scope.call_id))
        record_patter_attrs({f"test.{place}": call_id})


def watching(seen: Seen) -> Any:
    """A plugin that notes every hook, and every event in a plain and in an asynchronous subscriber."""

    def hook(name: str) -> Any:
        async def noted(self: Any, call: Any) -> None:
            seen.note(name, call.id)
            await asyncio.sleep(0)
            seen.note(f"{name}, later", call.id)

        noted.__name__ = name
        return hookimpl(noted)

    hooks = {name: hook(name) for name in HOOKS if name != "patter_call_setup"}

    def patter_call_setup(self: Any, call: Any) -> None:
        seen.note("patter_call_setup", call.id)
        for event in set(EVENTS) - BEFORE:

            async def later(_: Any, event: str = event) -> None:
                await asyncio.sleep(0.01)
                seen.note(f"{event}, later", call.id)

            call.on(event, lambda _, event=event: seen.note(event, call.id))
            call.on(event, later)

    return type("Watching", (), {**hooks, "patter_call_setup": hookimpl(patter_call_setup)})()


def tools_of(seen: Seen) -> list[Any]:
    @tool
    async def slow(call: Any) -> str:
        "Takes its time."
        seen.note("tool", call.id)
        await asyncio.sleep(0.4)
        seen.note("tool, later", call.id)
        return "done"

    @tool
    def threaded(call: Any) -> str:
        "In a thread."
        seen.note("tool in a thread", call.id)
        return "done"

    return [slow, threaded]


async def conversation(phone: Any, seen: Seen, number: int) -> Any:
    """A call with every kind of thing in it, `number` of some at the same time."""
    replies = [
        Reply(tools=[CallTool("slow"), CallTool("threaded")]),
        Reply(f"Call {number} says a long sentence that somebody will surely interrupt, one way or another."),
        "Very well.",
    ]
    options = {"tools": tools_of(seen), "first_message": f"Hello, call {number}.", "replies": replies}
    async with CallFactory(phone)(caller=f"+1555000{number:04d}", **options) as call:
        await call.agent_says(f"call {number}.")
        await call.dtmf("1")
        await call.caller_says(f"Please do it {number} times over")
        await call.agent_says("long sentence", within_s=20)
        await call.caller_says("Stop that now please")
        await call.agent_says("Very well.", within_s=20)
        call.call.say("An announcement.")
        await call.agent_says("announcement.")
        await call.call.hangup()
        await call.ended()
    return call


@pytest.mark.behaviour("OB-06")
async def test_calls_at_the_same_time_never_mix_ids(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter
) -> None:
    seen = Seen()
    ended: list[tuple[str, str]] = []

    def on_call_end(call: Any, summary: Any) -> None:
        scope = current_scope()
        ended.append((call.id, "" if scope is None else scope.call_id))

    phone = make_phone(on_call_end=on_call_end, on_audio_out=lambda call, _: seen.note("callback", call.id))
    attach_span_exporter(phone, exporter)
    phone.register(watching(seen))
    await phone.start(None, port=0)
    calls = await asyncio.gather(*(conversation(phone, seen, number) for number in range(4)))
    ids = {call.call.id for call in calls}
    assert len(ids) == 4
    for place, pairs in seen.places.items():
        assert {about for about, _ in pairs} <= ids, place
        assert all(about == within for about, within in pairs), place
    missing = {*HOOKS, "tool", "tool, later", "tool in a thread", "callback", "call_ended"} - set(seen.places)
    assert missing == set()
    assert sorted(ended) == sorted((one, one) for one in ids)

    spans = await exported(phone, exporter)
    by_call: dict[str, set[int]] = {}
    for span in spans:
        attributes = dict(span.attributes or {})
        about = {value for key, value in attributes.items() if key.startswith("test.")}
        assert about <= {attributes["patter.call_id"]}, span.name
        assert span.context is not None
        by_call.setdefault(str(attributes["patter.call_id"]), set()).add(span.context.trace_id)
    assert set(by_call) == ids
    # one trace for each call, and none for two
    assert all(len(traces) == 1 for traces in by_call.values())
    assert len(set.union(*by_call.values())) == 4


@pytest.mark.behaviour("OB-06")
async def test_the_scope_covers_the_hang_up_and_the_clean_up(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    from patter.server.endings import CallEndings

    steps: list[tuple[str, str]] = []
    hang_up, release = CallEndings.hang_up, CallEndings._release

    def noting(name: str, step: Any) -> Any:
        async def noted(self: Any, line: Any) -> None:
            scope = current_scope()
            steps.append((name, "" if scope is None else scope.call_id))
            await step(self, line)

        return noted

    monkeypatch.setattr(CallEndings, "hang_up", noting("hang up", hang_up))
    monkeypatch.setattr(CallEndings, "_release", noting("release", release))
    phone = make_phone()
    attach_span_exporter(phone, exporter)
    async with CallFactory(phone)(first_message="Hello there.") as call:
        await call.agent_says("there.")
        await call.phone.end_call(call.call.id)
    (span,) = named(await exported(phone, exporter), "patter.call")
    assert steps == [("hang up", call.call.id), ("release", call.call.id)]
    assert (span.attributes or {})["patter.outcome"] == "completed"


async def test_an_application_may_open_a_scope_within_a_call(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter
) -> None:
    class Nesting:
        @hookimpl
        def patter_turn_ended(self, call: Any) -> None:
            with patter_call_scope("inner", "driver"):
                call.say("An announcement.")
                assert current_scope().call_id == "inner"
            assert current_scope().call_id == call.id

    phone = make_phone()
    attach_span_exporter(phone, exporter)
    nesting = phone.register(Nesting())
    async with CallFactory(phone)(first_message="Hello there.") as call:
        await call.agent_says("there.")
        await call.agent_says("announcement.")
        phone.plugins.unregister(nesting)
    spans = await exported(phone, exporter)
    assert {(span.attributes or {})["patter.call_id"] for span in spans} == {call.call.id}
