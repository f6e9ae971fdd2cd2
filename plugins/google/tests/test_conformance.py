from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from patter.testing.conformance import RealtimeConformance
from patter.testing.conformance.subject import Server
from patter_google.simulator import Simulator


class TestGeminiLive(RealtimeConformance):
    spec = "gemini-live"
    native_mulaw = False
    simulator: Simulator | None = None

    @pytest.fixture
    def server(self) -> Server:
        """The simulated vendor."""

        @asynccontextmanager
        async def simulator() -> AsyncIterator[Mapping[str, Any]]:
            async with Simulator() as running:
                self.simulator = running
                yield {"api_key": running.key, "base_url": running.base_url}

        return simulator

    async def openings(self) -> Sequence[object]:
        """The settings of each connection, byte for byte, and the headers but for the one that the handshake draws."""
        assert self.simulator is not None
        return [
            (
                {name: value for name, value in one.headers.items() if name != "Sec-WebSocket-Key"},
                dict(one.query),
                one.raw_setup,
                list(one.received),
            )
            for one in self.simulator.connections
        ]

    async def charged(self) -> int:
        """Turns of the model: a session without any costs nothing."""
        assert self.simulator is not None
        return sum(len(one.model.spoken) for one in self.simulator.connections)
