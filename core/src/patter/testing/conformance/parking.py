"""What a provider must do whose connection can be opened while the phone rings, or that can be warmed."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar, NoReturn

import pytest

from patter.errors import ProviderError
from patter.prewarm.warming import Warmable
from patter.testing.conformance.billing import BilledConformance
from patter.testing.conformance.subject import Server, Subject, closed

#: loop steps after which an opening is cancelled
CANCEL_AFTER = (0, 1, 2, 3, 5, 8, 13)

_CANARY = "conformance-canary-7c41"


class ParkingConformance(BilledConformance):
    """Checks of `warmup()`, or of `open_parked_connection()` and `adopt_websocket()`, where a provider has them.

    The checks of parking are skipped for a provider that does not park.
    """

    kind: ClassVar[Any]

    def parking_arguments(self, provider: Any) -> tuple[Any, ...]:
        """What `open_parked_connection` is called with."""
        return ()

    async def open_live(self, provider: Any) -> None:
        """Open a connection as a call without a parked one does."""
        await self.work(provider)

    async def work_adopted(self, provider: Any) -> None:
        """One usual piece of work with a provider that has adopted its connection."""
        await self.work(provider)

    async def openings(self) -> Sequence[object]:
        """What each connection of the provider's server was sent up to now to set it up, the first one first.

        Of each: its path, headers that matter, and the messages before any audio or text. For a provider that parks;
        without it the checks that compare openings are skipped.
        """
        raise NotImplementedError

    async def charged(self) -> int:
        """How many requests that cost money the provider's server has had; without it that check is skipped."""
        raise NotImplementedError

    @pytest.mark.behaviour("PW-03")
    def test_a_parked_connection_is_opened_like_a_live_one_and_adopted_as_it_is(self, server: Server) -> None:
        if type(self).openings is ParkingConformance.openings:
            pytest.skip("has no openings(): nothing tells what its server was sent")

        async def check(subject: Subject) -> None:
            provider = self._parking(subject)
            live = subject.make()
            await self.open_live(live)
            await closed(live)
            before = len(await self.openings())
            assert before > 0
            handle = await provider.open_parked_connection(*self.parking_arguments(provider))
            after = await self.openings()
            assert len(after) == before + 1
            assert after[-1] == after[before - 1]
            await _awaited(provider.adopt_websocket(handle))
            assert list(await self.openings()) == list(after), "adopting sends nothing and opens nothing"
            await self.work_adopted(provider)
            assert len(await self.openings()) == before + 1, "the adopted connection is the one in use"
            await closed(provider)

        self.run(server, check)

    def test_an_adopted_connection_does_its_work(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            provider = self._parking(subject)
            handle = await provider.open_parked_connection(*self.parking_arguments(provider))
            await _awaited(provider.adopt_websocket(handle))
            await self.work_adopted(provider)
            await closed(provider)

        self.run(server, check)

    @pytest.mark.behaviour("PW-03")
    def test_a_parked_connection_that_is_closed_is_not_adopted(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            provider = self._parking(subject)
            handle = await provider.open_parked_connection(*self.parking_arguments(provider))
            await closed(handle)
            with pytest.raises(ProviderError):
                await _awaited(provider.adopt_websocket(handle))
            await closed(provider)

        self.run(server, check)

    def test_a_parked_connection_that_nobody_takes_leaves_nothing(self, server: Server) -> None:
        """Closed twice, and by the provider never; or given up while it was being opened."""

        async def check(subject: Subject) -> None:
            provider = self._parking(subject)
            handle = await provider.open_parked_connection(*self.parking_arguments(provider))
            await closed(handle)
            await closed(handle)
            for steps in CANCEL_AFTER:
                opening = asyncio.ensure_future(
                    provider.open_parked_connection(*self.parking_arguments(provider))
                )
                for _ in range(steps):
                    await asyncio.sleep(0)
                opening.cancel()
                async with asyncio.timeout(2.0):
                    await asyncio.wait((opening,))
                if not opening.cancelled() and opening.exception() is None:
                    await closed(opening.result())
            await closed(provider)

        self.run(server, check)

    @pytest.mark.behaviour("PW-14")
    def test_a_warm_up_that_fails_logs_no_text_of_its_failure(
        self, server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No connection can be made, and the exception carries a secret, as one with an address in it would."""

        async def check(subject: Subject) -> None:
            provider = subject.make()
            warmable = Warmable.of(self.kind, provider, *self.parking_arguments(provider))
            if warmable is None:
                pytest.skip("can neither be parked nor warmed")

            async def refuse(*_: Any, **__: Any) -> NoReturn:
                raise OSError(_CANARY)

            with monkeypatch.context() as patch, caplog.at_level(1):
                for name in ("create_connection", "sock_connect"):
                    patch.setattr(asyncio.get_running_loop(), name, refuse, raising=False)
                handle = None
                with suppress(Exception):  # that core takes from a warm-up, and tells its kind alone
                    handle = await _awaited(warmable.warm())
                if warmable.parks and handle is not None:
                    await closed(handle)
            assert _CANARY not in caplog.text
            await closed(provider)

        self.run(server, check)

    def test_warming_and_parking_cost_nothing(self, server: Server) -> None:
        if type(self).charged is ParkingConformance.charged:
            pytest.skip("has no charged(): nothing tells what costs money")

        async def check(subject: Subject) -> None:
            provider = subject.make()
            warmable = Warmable.of(self.kind, provider, *self.parking_arguments(provider))
            if warmable is None:
                pytest.skip("can neither be parked nor warmed")
            before = await self.charged()
            handle = await _awaited(warmable.warm())
            if warmable.parks:
                await _awaited(provider.adopt_websocket(handle))
            await closed(provider)
            assert await self.charged() == before

        self.run(server, check)

    def _parking(self, subject: Subject) -> Any:
        """A fresh provider; skips the check when it does not park."""
        provider = subject.make()
        warmable = Warmable.of(self.kind, provider, *self.parking_arguments(provider))
        if warmable is None or not warmable.parks:
            pytest.skip("does not park: it has no open_parked_connection() and adopt_websocket()")
        return provider


async def _awaited(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result
