from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from simulated_ultravox import virtually

from patter.testing.conformance import HostedEngineConformance, RealtimeConformance
from patter.testing.conformance.subject import Server
from patter_ultravox.simulator import Faults, Simulator


class TestUltravox(RealtimeConformance):
    spec = "ultravox"
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

    async def charged(self) -> int:
        """Calls that were made."""
        assert self.simulator is not None
        return len(self.simulator.calls)


class TestHostedUltravox(HostedEngineConformance):
    faults = Faults
    play = staticmethod(virtually)
