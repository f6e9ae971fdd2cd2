"""The checks of parked connections: providers that park well pass them, and each fault is found by its check."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

# pytester forgets what an inner session imported, and numpy cannot be imported twice
import patter.testing.pytest_phone  # noqa: F401
from patter import LLMRecord, RealtimeRecord, STTRecord, TTSRecord, hookimpl
from patter.audio.formats import MULAW_8K
from patter.errors import ProviderDisconnected
from patter.providers.realtime import RealtimeEngine, RealtimeEvent
from patter.testing.conformance import LLMConformance, RealtimeConformance, STTConformance, TTSConformance
from patter.testing.fake_llm import FakeLLM
from patter.testing.fake_stt import FakeSTT
from patter.testing.fake_tts import FakeTTS

pytest_plugins = ["pytester"]

logger = logging.getLogger("patter_parking")
#: never tried: the check refuses every connection
NOWHERE = ("127.0.0.1", 9)


class Handle:
    """A connection to a vendor in memory; `sent` is what set it up."""

    opened: ClassVar[list[list[str]]] = []
    charged: ClassVar[int] = 0

    def __init__(self, *sent: str) -> None:
        self.sent = list(sent)
        self.is_open = True
        Handle.opened.append(self.sent)

    async def close(self) -> None:
        """Hang up."""
        self.is_open = False


class Parks:
    """What is common to the providers of these tests; a broken one changes a method."""

    handle: Handle | None = None

    async def park(self) -> Handle:
        """Shake hands and send the configuration."""
        await asyncio.sleep(0)
        return Handle("model=one", "voice=two")

    async def open_parked_connection(self, *_: Any) -> Handle:
        """Open without using it."""
        return await self.park()

    async def adopt_websocket(self, handle: Handle) -> None:
        """Use it from now on."""
        if not handle.is_open:
            raise ProviderDisconnected("the parked connection is closed")
        self.handle = handle

    async def opened(self) -> Handle:
        """The connection in use, or a new one."""
        if self.handle is None:
            self.handle = await self.park()
        return self.handle


class ParkingSTT(Parks, FakeSTT):
    """A recogniser."""

    async def adopt_websocket(self, handle: Handle) -> None:
        """Use it from now on."""
        await super().adopt_websocket(handle)
        await FakeSTT.connect(self, self.input_formats()[0])

    async def connect(self, audio_format: Any) -> None:
        """Open and use."""
        await self.opened()
        await super().connect(audio_format)


class ParkingTTS(Parks, FakeTTS):
    """A voice."""

    async def synthesize(self, text: str) -> Any:
        """Speak."""
        await self.opened()
        async for chunk in super().synthesize(text):
            yield chunk


class ParkingLLM(Parks, FakeLLM):
    """A model."""

    async def stream(self, *arguments: Any, **options: Any) -> Any:
        """Answer."""
        await self.opened()
        async for chunk in super().stream(*arguments, **options):
            yield chunk


class ParkingEngine(Parks, RealtimeEngine):
    """An engine that says that it is ready, and then the same tone for whatever it hears."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[RealtimeEvent | None] = asyncio.Queue()

    def audio_formats(self) -> Any:
        """µ-law both ways."""
        return MULAW_8K, MULAW_8K

    async def adopt_websocket(self, handle: Handle) -> None:
        """Use it from now on."""
        await super().adopt_websocket(handle)
        self._events.put_nowait(RealtimeEvent("session_ready"))

    async def connect(self, session: Any) -> None:
        """Open and use."""
        await self.opened()
        self._events.put_nowait(RealtimeEvent("session_ready"))

    async def send_audio(self, chunk: bytes) -> None:
        """Answer at once."""
        self._events.put_nowait(RealtimeEvent("audio", bytes([0x9F, 0x1F]) * 80))

    async def receive(self) -> Any:
        """Until it is closed."""
        while (event := await self._events.get()) is not None:
            yield event

    async def close(self) -> None:
        """End the events."""
        self._events.put_nowait(None)


class Told:
    """What the vendor in memory tells a suite."""

    async def openings(self) -> Sequence[object]:
        """Of each connection."""
        return [list(sent) for sent in Handle.opened]

    async def charged(self) -> int:
        """Requests that cost money."""
        return Handle.charged


class Vendor:
    """A plugin of one provider of each kind."""

    def __init__(self, *, tts: type = ParkingTTS) -> None:
        self.tts = tts

    @hookimpl
    def patter_register_stt(self) -> Any:
        """A recogniser."""
        return [STTRecord("parking", ParkingSTT, interims=True)]

    @hookimpl
    def patter_register_tts(self) -> Any:
        """A voice."""
        return [TTSRecord("parking", self.tts)]

    @hookimpl
    def patter_register_llm(self) -> Any:
        """A model."""
        return [LLMRecord("parking", ParkingLLM)]

    @hookimpl
    def patter_register_realtime(self) -> Any:
        """An engine."""
        return [RealtimeRecord("parking", ParkingEngine)]


class TestParkingSTT(Told, STTConformance):
    spec = "parking"
    plugins = (Vendor(),)


class TestParkingTTS(Told, TTSConformance):
    spec = "parking"
    plugins = (Vendor(),)


class TestParkingLLM(Told, LLMConformance):
    spec = "parking"
    plugins = (Vendor(),)


class TestParkingEngine(Told, RealtimeConformance):
    spec = "parking"
    plugins = (Vendor(),)


# -- faults


class ParksOtherwise(ParkingTTS):
    async def open_parked_connection(self, *_: Any) -> Handle:
        return Handle("model=one")


class SendsAgain(ParkingTTS):
    async def adopt_websocket(self, handle: Handle) -> None:
        await super().adopt_websocket(handle)
        handle.sent.append("voice=two")


class OpensAgain(ParkingTTS):
    async def adopt_websocket(self, handle: Handle) -> None:
        if not handle.is_open:
            raise ProviderDisconnected("closed")


class AdoptsTheDead(ParkingTTS):
    async def adopt_websocket(self, handle: Handle) -> None:
        self.handle = handle


class LeavesATask(ParkingTTS):
    async def open_parked_connection(self, *_: Any) -> Handle:
        asyncio.ensure_future(asyncio.sleep(60))  # noqa: RUF006 - that is the fault
        return await self.park()


class LogsTheFailure(ParkingTTS):
    async def open_parked_connection(self, *_: Any) -> Handle:
        try:
            _, writer = await asyncio.open_connection(*NOWHERE)
        except OSError as error:
            logger.debug("no connection", exc_info=error)
            raise ProviderDisconnected("no connection") from None
        writer.close()
        return await self.park()


class CostsMoney(ParkingTTS):
    async def open_parked_connection(self, *_: Any) -> Handle:
        Handle.charged += 1
        return await self.park()


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (ParksOtherwise, "test_a_parked_connection_is_opened_like_a_live_one_and_adopted_as_it_is"),
        (SendsAgain, "test_a_parked_connection_is_opened_like_a_live_one_and_adopted_as_it_is"),
        (OpensAgain, "test_a_parked_connection_is_opened_like_a_live_one_and_adopted_as_it_is"),
        (AdoptsTheDead, "test_a_parked_connection_that_is_closed_is_not_adopted"),
        (LeavesATask, "test_a_parked_connection_that_nobody_takes_leaves_nothing"),
        (LogsTheFailure, "test_a_warm_up_that_fails_logs_no_text_of_its_failure"),
        (CostsMoney, "test_warming_and_parking_cost_nothing"),
    ],
)
def test_a_fault_is_found_by_its_check(broken: type, check: str, caplog: pytest.LogCaptureFixture) -> None:
    from patter.testing.conformance.subject import no_server

    class Suite(Told, TTSConformance):
        __test__ = False
        spec = "parking"
        plugins = (Vendor(tts=broken),)

    arguments: list[Any] = [no_server]
    if "logs" in check:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(AssertionError):
            getattr(Suite(), check)(no_server, caplog, patch)
        return
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(Suite(), check)(*arguments)


def test_the_checks_are_skipped_with_a_reason_for_a_provider_that_does_not_park(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
from patter.testing import fake_plugin
from patter.testing.conformance import TTSConformance

class TestIt(TTSConformance):
    spec = "fake"
    plugins = (fake_plugin,)
"""
    )
    result = pytester.inline_run("-p", "no:asyncio", "-p", "no:anyio", "-p", "no:cacheprovider", "-q")
    _, skipped, failed = result.listoutcomes()
    assert not failed
    reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in skipped]
    assert len([reason for reason in reasons if reason.startswith("does not park: ")]) == 3
    assert [reason for reason in reasons if reason.startswith("has no openings(): ")]
    assert [reason for reason in reasons if reason.startswith("has no charged(): ")]
