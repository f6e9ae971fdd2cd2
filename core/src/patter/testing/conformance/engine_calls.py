"""Whole calls with an engine and its vendor's simulator, in virtual time: what the caller hears, and what the engine hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar

import pytest

from patter.agent import Agent
from patter.audio.formats import PCM16_16K
from patter.audio.g711 import decode
from patter.markers import hookimpl
from patter.simulators.hosted import SimulatedTool, SimulatedTurn
from patter.testing.simulated_call import SimulatedCall
from patter.testing.tones import FRAME_MS, pitch_of, speech_ms
from patter.tools import tool

#: what the agent says first, and what it answers
HELLO = "Good morning, this is the bakery. What can I do for you today, and by when?"
ANSWER = "I am fine, thank you."

_TOLD = ("greeting_delivered", "greeting_failed", "greeting_fallback")


class GreetingReports:
    """What observers of a phone's calls are told about greetings: `events`, each with its name."""

    def __init__(self, phone: Any) -> None:
        self.events: list[tuple[str, Any]] = []
        phone.register(self)

    @hookimpl
    async def patter_call_setup(self, call: Any) -> None:
        """Listen to a call."""
        for name in _TOLD:
            call.on(name, lambda report, name=name: self.events.append((name, report)))


class EngineCallConformance:
    """Subclass it, name the plugin, and say how its simulator is made::

        @pytest.mark.patter_plugins("acme")
        class TestCalls(EngineCallConformance):
            faults = Faults
            unspoken = Faults(ignore_greeting=True)

            @asynccontextmanager
            async def server(self, turns, faults=None, *, wide=False):
                async with Simulator(turns, faults=faults, host="acme.example", port=80) as simulator:
                    yield simulator, AcmeConfig(api_key=simulator.key, base_url=simulator.base_url)

            def sessions(self, simulator):
                return simulator.calls

    The simulator speaks and hears tones (`patter.simulators.tones`), one pitch for each text, in the order in which it
    says them.

    Attributes:
        unspoken: faults with which a greeting is not spoken; None for an engine that is asked for each text.
    """

    unspoken: ClassVar[Any] = None

    # -- what is the vendor's own

    def server(
        self, turns: Sequence[SimulatedTurn], faults: Any = None, *, wide: bool = False
    ) -> AbstractAsyncContextManager[tuple[Any, Any]]:
        """The simulator, whose model takes these turns, and the configuration that leads to it.

        With `wide` it is given 16 kHz and gives 24 kHz, as PCM. Its `faults` can be replaced while it runs.
        """
        raise NotImplementedError

    def sessions(self, simulator: Any) -> Sequence[Any]:
        """Those that it had: what each was `spoken` (the texts that the agent began), and the caller's `audio`."""
        raise NotImplementedError

    def results(self, session: Any) -> Sequence[Any]:
        """What tools gave it."""
        found: Sequence[Any] = session.results
        return found

    def lost_in_the_greeting(self, code: int | None) -> Any:
        """Faults with which the connection is lost in the first text; with that close code, or none."""
        raise NotImplementedError

    # -- calls

    @asynccontextmanager
    async def calling(
        self,
        simcall: Any,
        *turns: SimulatedTurn,
        faults: Any = None,
        texts: Sequence[str] = (HELLO, ANSWER),
        wide: bool = False,
        **options: Any,
    ) -> AsyncIterator[tuple[SimulatedCall, Any]]:
        """A call whose agent says these texts, in that order; `options` are those of `Agent`."""
        turns = turns or (SimulatedTurn("Hello?", ANSWER),)
        async with self.server(turns, faults, wide=wide) as (simulator, engine):
            call = simcall(Agent(engine=engine, first_message=HELLO, **options), limit_s=60)
            call.scene.voice.spoken.extend(texts)
            async with call:
                yield call, simulator
                if call.summary is None:
                    await call.quiet(1000)  # the agent's turn is over

    async def greeted_and_answered(self, call: SimulatedCall) -> None:
        """The agent greets, the caller says "Hello?", and the agent answers."""
        await call.agent_says(HELLO)
        await call.caller_says("Hello?", wait=False)
        await call.agent_says(ANSWER)

    @pytest.fixture
    def reports(self, phone: Any) -> GreetingReports:
        """What is told of the greeting."""
        return GreetingReports(phone)

    @pytest.mark.behaviour("RT-23")
    @pytest.mark.parametrize("after_ms", [0, 50, 250, 1000, None])
    async def test_an_early_caller_hears_the_whole_greeting_once_and_is_answered(
        self, simcall: Any, reports: GreetingReports, after_ms: int | None
    ) -> None:
        async with self.calling(simcall) as (call, simulator):
            if after_ms is not None:
                await asyncio.sleep(after_ms / 1000)
                await call.caller_says("Hello?", wait=False)
            await call.agent_says(HELLO)
            if after_ms is None:
                await asyncio.sleep(2)
                await call.caller_says("Hello?", wait=False)
            await call.agent_says(ANSWER)
            assert call.line is not None
            assert call.line.clears == []
        ((name, report),) = reports.events
        assert (name, report.attempts, report.partial) == ("greeting_delivered", 1, False)
        assert report.played_ms == speech_ms(HELLO)
        assert [(line.role, line.text) for line in call.transcript] == [
            ("assistant", HELLO),
            ("user", "Hello?"),
            ("assistant", ANSWER),
        ]
        assert self.sessions(simulator)[0].spoken == [HELLO, ANSWER]

    @pytest.mark.behaviour("RT-23")
    async def test_16_khz_in_and_24_khz_out_are_converted(self, simcall: Any) -> None:
        async with self.calling(simcall, wide=True) as (call, simulator):
            await self.greeted_and_answered(call)
            (spoken,) = (one for one in call.timeline if one.who == "agent" and one.text == HELLO)
            assert (spoken.end - spoken.start) * 1000 == pytest.approx(speech_ms(HELLO), abs=20)
            heard = decode(bytes(self.sessions(simulator)[0].audio), PCM16_16K.encoding)
        step = PCM16_16K.rate * FRAME_MS // 1000
        frames = [heard[at : at + step] for at in range(0, len(heard) - step + 1, step)]
        pitches = [pitch for frame in frames if (pitch := pitch_of(frame, PCM16_16K.rate)) is not None]
        assert len(pitches) * FRAME_MS == pytest.approx(speech_ms("Hello?"), abs=40), "as long as it was said"
        assert max(set(pitches), key=pitches.count) == 0, "as high as it was said"

    @pytest.mark.behaviour("RT-22", "RT-23")
    @pytest.mark.parametrize("tts", [None, "fake"])
    async def test_a_greeting_that_is_not_spoken_is_noticed_after_3_s(
        self, simcall: Any, reports: GreetingReports, tts: str | None
    ) -> None:
        if self.unspoken is None:
            pytest.skip("is asked for its greeting, and asked again")
        async with self.calling(simcall, faults=self.unspoken, texts=(ANSWER,), tts=tts) as (call, _):
            if tts:
                await call.agent_says(HELLO, within_s=3.5 + speech_ms(HELLO) / 1000)
            else:
                await asyncio.sleep(3.5)
            await asyncio.sleep(1)
            ((name, report),) = reports.events
            assert name == ("greeting_fallback" if tts else "greeting_failed")
            assert report.attempts == 1
            await call.caller_says("Hello?", wait=False)
            await call.agent_says(ANSWER)
        expected = [("user", "Hello?"), ("assistant", ANSWER)]
        assert [(line.role, line.text) for line in call.transcript][-2:] == expected

    @pytest.mark.parametrize("code", [1011, None])
    async def test_a_connection_that_is_lost_in_the_greeting_is_made_anew_and_greets(
        self, simcall: Any, reports: GreetingReports, code: int | None
    ) -> None:
        faults = self.lost_in_the_greeting(code)
        async with self.calling(simcall, faults=faults) as (call, simulator):
            while not self.sessions(simulator):  # noqa: ASYNC110 - a simulator tells nobody of them
                await asyncio.sleep(0.01)
            simulator.faults = type(faults)()
            await call.agent_says("by when?")
            await call.quiet(200)
            again = call.timeline[-1]  # the ear takes it for more of the same utterance
            assert round((again.end - again.start) * 1000) == speech_ms(HELLO)
            assert call.line is not None
            assert len(call.line.clears) == 1
            await call.caller_says("Hello?", wait=False)
            await call.agent_says(ANSWER)
            assert len(self.sessions(simulator)) == 2
        ((name, report),) = reports.events
        assert (name, report.attempts, report.played_ms) == ("greeting_delivered", 2, speech_ms(HELLO))

    async def test_a_caller_interrupts_and_the_agent_listens(self, simcall: Any) -> None:
        long = "Well, that is a long story, and I shall tell all of it from the very beginning."
        turns = (SimulatedTurn("Hello?", long), SimulatedTurn("Stop.", ANSWER))
        async with self.calling(simcall, *turns, texts=(HELLO, long, ANSWER)) as (call, _):
            await call.agent_says(HELLO)
            await call.caller_says("Hello?", wait=False)
            await call.agent_says("Well, that is")
            await call.caller_says("Stop.", wait=False)
            await call.agent_says(ANSWER)
            assert call.line is not None
            assert len(call.line.clears) == 1
        said = [line for line in call.transcript if line.role == "assistant"]
        assert said[1].interrupted
        assert long.startswith(said[1].text)
        assert len(said[1].text) < len(long) // 2
        assert said[2].text == ANSWER

    async def test_a_tool_runs_and_its_result_is_spoken(self, simcall: Any) -> None:
        asked = []

        @tool
        async def hours(day: str) -> str:
            """When it is open."""
            asked.append(day)
            return "8 to 6"

        turn = SimulatedTurn("When?", ANSWER, tool=SimulatedTool("hours", {"day": "friday"}))
        async with self.calling(simcall, turn, tools=[hours]) as (call, simulator):
            await call.agent_says(HELLO)
            await call.caller_says("When?", wait=False)
            await call.agent_says(ANSWER)
        assert asked == ["friday"]
        (session,) = self.sessions(simulator)
        assert self.results(session) == ["8 to 6"]
        assert session.spoken == [HELLO, ANSWER]
