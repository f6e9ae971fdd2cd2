"""What every hosted agent's engine must do, shown with its vendor's simulator in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest

from patter.errors import ProviderDisconnected
from patter.providers.hosted_agent import ORDERLY
from patter.providers.hosted_engine import HostedEngine
from patter.providers.llm import Message
from patter.providers.realtime import RealtimeSession
from patter.providers.vendor_socket import CLOSE_S, CONNECTION_LOST
from patter.simulators.hosted import HostedFaults
from patter.testing.engine_listener import EngineListener, now, responses_of, say_to
from patter.testing.tones import speech_ms

HELLO = "Good morning, this is the bakery."
SESSION = RealtimeSession("You are a receptionist.", first_message=HELLO)

Body = Callable[[HostedEngine[Any], Any], Awaitable[None]]


class HostedEngineConformance:
    """Checks of `patter.providers.hosted_engine.HostedEngine`; subclass it, and say how a check is played.

    Attributes:
        faults: the faults of the simulator, which is built of `patter.simulators.hosted`.
    """

    faults: ClassVar[type[HostedFaults]]

    def play(self, body: Body, *, faults: HostedFaults | None = None, **settings: Any) -> None:
        """Run `body(engine, simulator)` with `patter.testing.run_engine`; `settings` are those of the engine."""
        raise NotImplementedError

    def test_it_is_connected_before_it_is_used(self) -> None:
        async def body(engine: HostedEngine[Any], _: Any) -> None:
            with pytest.raises(ProviderDisconnected, match="connect"):
                await engine.send_audio(b"\xff\xff")
            with pytest.raises(ProviderDisconnected, match="connect"):
                await anext(aiter(engine.receive()))
            await engine.send_tool_result("x", "y")

        self.play(body)

    def test_nobody_there_is_an_error(self) -> None:
        async def body(engine: HostedEngine[Any], _: Any) -> None:
            with pytest.raises(ProviderDisconnected):
                await engine.connect(SESSION)

        self.play(body, base_url="http://nobody.example")

    def test_strategies_have_no_effect_and_a_line_says_so(self, caplog: pytest.LogCaptureFixture) -> None:
        async def body(engine: HostedEngine[Any], _: Any) -> None:
            await engine.connect(RealtimeSession("", patter_decides=True))

        self.play(body)
        assert "strategies have no effect" in caplog.text

    def test_an_agent_without_a_voice_ends_its_response_all_the_same(self) -> None:
        async def body(engine: HostedEngine[Any], _: Any) -> None:
            await engine.connect(SESSION)
            heard = EngineListener(engine)
            await heard.until("response_done")
            assert heard.audio == b""
            assert heard.times[-1] > 3, "core waits 3 s for the greeting's audio"
            started, done = responses_of(heard.events)
            assert len(started) == 1
            assert started == done

        self.play(body, faults=self.faults(silent=True))

    def test_the_vendor_may_interrupt_its_own_greeting(self) -> None:
        async def body(engine: HostedEngine[Any], _: Any) -> None:
            await engine.connect(SESSION)
            heard = EngineListener(engine)
            await heard.until("response_done")
            assert len(heard.of("interrupted")) == 1
            assert heard.of("response_done")[0].status == "cancelled"
            assert heard.time_of("interrupted") < speech_ms(HELLO) / 1000

        self.play(body, faults=self.faults(cancel_greeting_s=0.5))

    @pytest.mark.parametrize("code", [1011, 1000, None])
    def test_a_connection_that_is_lost_in_the_greeting_ends_the_session(self, code: int | None) -> None:
        async def body(engine: HostedEngine[Any], _: Any) -> None:
            await engine.connect(SESSION)
            heard = EngineListener(engine)
            await heard.until("closed")
            await heard.task
            assert heard.kinds[-1] == "closed"
            orderly = ["completed"] if str(code) == ORDERLY else []
            assert [event.status for event in heard.of("response_done")] == orderly
            assert heard.audio, "what came is passed on"
            assert heard.events[-1].detail == (CONNECTION_LOST if code is None else str(code))
            with pytest.raises(ProviderDisconnected):
                await engine.send_audio(b"\xff" * 160)

        self.play(body, faults=self.faults(drop="greeting", drop_code=code))

    def test_a_lost_conversation_goes_on_with_its_history_and_no_second_greeting(self) -> None:
        history = (Message("assistant", HELLO), Message("user", "A cake, please."))

        async def body(engine: HostedEngine[Any], simulator: Any) -> None:
            await engine.connect(SESSION)
            heard = EngineListener(engine)
            await heard.until("closed")
            simulator.faults = self.faults()
            await engine.connect(RealtimeSession("Be kind.", first_message=HELLO, history=history))
            again = EngineListener(engine)
            await asyncio.sleep(2)
            assert again.kinds == ["session_ready"]
            await say_to(engine)
            await again.until("response_done")
            ids = {event.response_id for event in heard.of("response_started")}
            assert not ids & {event.response_id for event in again.of("response_started")}

        self.play(body, faults=self.faults(drop="greeting"))

    def test_billed_time_is_told_with_each_response_and_none_of_it_twice(self) -> None:
        async def body(engine: HostedEngine[Any], _: Any) -> None:
            await engine.connect(SESSION)
            begun = now()
            heard = EngineListener(engine)
            await heard.until("response_done")
            await say_to(engine)
            await heard.until("response_done", 2)
            seconds = [event.usage.seconds for event in heard.of("usage") if event.usage is not None]
            assert len(seconds) == 2
            assert sum(seconds) == pytest.approx(heard.times[-1] - begun, abs=0.05)

        self.play(body)

    def test_closing_ends_receiving_and_takes_no_longer_than_it_may(self) -> None:
        async def body(engine: HostedEngine[Any], _: Any) -> None:
            await engine.connect(SESSION)
            heard = EngineListener(engine)
            await asyncio.sleep(0.5)
            begun = now()
            await engine.close()
            assert now() - begun <= CLOSE_S
            await heard.task
            assert not {"closed", "response_done"} & set(heard.kinds)
            await engine.send_audio(b"\xff\xff")
            await engine.close()
            assert [event async for event in engine.receive()] == []
            with pytest.raises(ProviderDisconnected):
                await engine.connect(SESSION)

        self.play(body, faults=self.faults(no_close=True))
