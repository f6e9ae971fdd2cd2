"""What a speech-to-speech engine must do for each flag that its record declares (RT-15)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest

from patter.providers.llm import Message
from patter.providers.realtime import RealtimeEngine, RealtimeEvent, RealtimeSession
from patter.records import ProviderKind, RealtimeRecord
from patter.testing.conformance.parking import ParkingConformance
from patter.testing.conformance.subject import Server, Subject, closed

#: an engine does what it is asked to within this, in s
DONE_S = 10.0
#: what is wrong with an order is told within this, in s
COMPLAINT_S = 0.3
#: what the engine is asked to say
EXACT = "Please hold the line."


class Heard:
    """What one engine has said, read by a task of its own."""

    def __init__(self, engine: RealtimeEngine) -> None:
        self.engine = engine
        self.events: list[RealtimeEvent] = []
        self._news = asyncio.Event()

    async def read(self) -> None:
        """Note everything."""
        async for event in self.engine.receive():
            self.events.append(event)
            self._news.set()

    async def until(self, holds: Callable[[RealtimeEvent], bool]) -> RealtimeEvent:
        """The first event, from the beginning, of which that holds. Raises `TimeoutError` after 10 s."""
        async with asyncio.timeout(DONE_S):
            while True:
                for event in tuple(self.events):
                    if holds(event):
                        return event
                self._news.clear()
                await self._news.wait()

    def of(self, kind: str) -> list[RealtimeEvent]:
        """The events of a kind."""
        return [event for event in self.events if event.kind == kind]


class RealtimeFlagConformance(ParkingConformance):
    """Checks of the flags of `patter.records.RealtimeRecord`; each is skipped where the flag is not declared."""

    kind: ClassVar[ProviderKind] = "realtime"

    def _engine(self, subject: Subject, flag: str) -> RealtimeEngine:
        record = subject.record
        assert isinstance(record, RealtimeRecord)
        if not getattr(record, flag):
            pytest.skip(f"its record does not declare {flag}")
        engine: RealtimeEngine = subject.make()
        return engine

    @asynccontextmanager
    async def _talking(self, engine: RealtimeEngine, **session: Any) -> AsyncIterator[Heard]:
        """A session of the engine that is read."""
        await engine.connect(RealtimeSession("You are a receptionist.", **session))
        heard = Heard(engine)
        reading = asyncio.ensure_future(heard.read())
        try:
            await heard.until(lambda event: event.kind == "session_ready")
            yield heard
        finally:
            await closed(engine)
            async with asyncio.timeout(DONE_S):
                await reading

    @pytest.mark.parametrize("patter_decides", [False, True])
    def test_it_acknowledges_the_guard_and_the_restored_settings(
        self, server: Server, patter_decides: bool
    ) -> None:
        """Flag `ack`: both powers off with the guard, and back as configured, but where Patter decides (RT-24)."""

        async def check(subject: Subject) -> None:
            engine = self._engine(subject, "ack")
            async with self._talking(engine, patter_decides=patter_decides) as heard:
                # the acknowledgement of what set up the session may come late
                await engine.guard()
                guarded = await heard.until(lambda event: _says_guarded(event, True))
                assert guarded.echo is not None
                assert guarded.echo.values, "the trace shows what it says of itself"
                await asyncio.sleep(COMPLAINT_S)
                heard.events.clear()
                await engine.restore()
                await heard.until(lambda event: _says_guarded(event, patter_decides))
                assert heard.of("error") == []

        self.run(server, check)

    @pytest.mark.behaviour("RT-15")
    def test_a_response_that_is_asked_for_begins_and_ends_once(self, server: Server) -> None:
        """Flag `client_interrupt`: `response_started`, audio under its id, and one `response_done`, the last of it."""

        async def check(subject: Subject) -> None:
            engine = self._engine(subject, "client_interrupt")
            async with self._talking(engine) as heard:
                await engine.request_response(EXACT)
                done = await heard.until(lambda event: event.kind == "response_done")
                await asyncio.sleep(COMPLAINT_S)
                (started,) = heard.of("response_started")
                assert heard.of("response_done") == [done]
                assert done.status == "completed"
                assert started.response_id is not None
                assert done.response_id == started.response_id
                audio = heard.of("audio")
                assert audio
                assert {event.response_id for event in audio} == {started.response_id}
                own = [one for one in heard.events if one.response_id == started.response_id]
                spoken = [one for one in own if one.kind not in ("usage", "response_done")]
                assert own.index(done) > own.index(spoken[-1])

        self.run(server, check)

    @pytest.mark.behaviour("RT-15")
    def test_what_happens_before_anybody_receives_is_delivered_in_order(self, server: Server) -> None:
        """Orders are given, and nobody listens for a while: no event is lost, and none overtakes another."""

        async def check(subject: Subject) -> None:
            engine = self._engine(subject, "client_interrupt")
            record = subject.record
            assert isinstance(record, RealtimeRecord)
            await engine.connect(RealtimeSession("You are a receptionist."))
            if record.ack:
                await engine.guard()
            await engine.request_response(EXACT)
            await asyncio.sleep(COMPLAINT_S)
            heard = Heard(engine)
            reading = asyncio.ensure_future(heard.read())
            done = await heard.until(lambda event: event.kind == "response_done")
            if record.ack:
                await heard.until(lambda event: _says_guarded(event, True))
            kinds = [event.kind for event in heard.events]
            assert kinds[0] == "session_ready"
            places = [kinds.index(kind) for kind in ("response_started", "audio", "response_done")]
            assert places == sorted(places)
            assert done.status == "completed"
            await closed(engine)
            async with asyncio.timeout(DONE_S):
                await reading

        self.run(server, check)

    def test_a_response_can_be_cancelled(self, server: Server) -> None:
        """Flag `client_interrupt`: its end says so, unless it was complete before; a second time does no harm."""

        async def check(subject: Subject) -> None:
            engine = self._engine(subject, "client_interrupt")
            async with self._talking(engine) as heard:
                await engine.request_response(" ".join([EXACT] * 20))
                started = await heard.until(lambda event: event.kind == "response_started")
                assert started.response_id is not None
                await engine.cancel_response(started.response_id)
                done = await heard.until(lambda event: event.kind == "response_done")
                assert done.status in ("cancelled", "completed")
                await engine.cancel_response(started.response_id)
                await asyncio.sleep(COMPLAINT_S)
                assert not heard.of("closed")
                assert all(event.request == "cancel" for event in heard.of("error"))
                assert len(heard.of("response_done")) == 1

        self.run(server, check)

    def test_its_conversation_can_be_cut_and_added_to(self, server: Server) -> None:
        """Flag `truncate`: to what was heard, to nothing, and by what was said without it, without a complaint."""

        async def check(subject: Subject) -> None:
            engine = self._engine(subject, "truncate")
            record = subject.record
            assert isinstance(record, RealtimeRecord)
            async with self._talking(engine) as heard:
                await engine.add_message(Message("assistant", "Hello, Acme here."))
                for heard_ms in (100, 0) if record.client_interrupt else ():
                    count = len(heard.of("response_done"))
                    await engine.request_response(EXACT)
                    await heard.until(
                        lambda event, count=count: len(heard.of("response_done")) > count  # type: ignore[misc]
                    )
                    item = heard.of("audio")[-1].item_id
                    assert item, "audio names its item"
                    await engine.truncate(item, heard_ms)
                await asyncio.sleep(COMPLAINT_S)
                assert heard.of("error") == []

        self.run(server, check)

    def test_it_greets_by_itself_where_it_says_so(self, server: Server) -> None:
        """Flag `native_greeting`: the first message is spoken without being asked for (RT-23)."""

        async def check(subject: Subject) -> None:
            engine = self._engine(subject, "native_greeting")
            async with self._talking(engine, first_message=EXACT) as heard:
                await heard.until(lambda event: event.kind == "audio" and bool(event.audio))

        self.run(server, check)

    @pytest.mark.behaviour("RT-15")
    def test_its_session_goes_on_with_what_was_said(self, server: Server) -> None:
        """Flag `reconnect`: a session with a history opens, and greets nobody."""

        async def check(subject: Subject) -> None:
            engine = self._engine(subject, "reconnect")
            said = (Message("user", "Hello?"), Message("assistant", "Hello, Acme here."))
            async with self._talking(engine, history=said) as heard:
                await asyncio.sleep(COMPLAINT_S)
                assert heard.of("error") == []
                assert heard.of("audio") == []

        self.run(server, check)


def _says_guarded(event: RealtimeEvent, guarded: bool) -> bool:
    return event.kind == "session_ready" and event.echo is not None and event.echo.guarded is guarded
