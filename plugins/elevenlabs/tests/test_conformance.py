from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from simulated_convai import virtually

from patter.testing.conformance import HostedEngineConformance, RealtimeConformance
from patter.testing.conformance.subject import Server
from patter_elevenlabs.simulator import Faults, Simulator


class TestElevenLabsConvai(RealtimeConformance):
    spec = "elevenlabs-convai"
    native_mulaw = True

    @pytest.fixture
    def server(self) -> Server:
        """The simulated vendor, with an agent that is set up for a telephone."""

        @asynccontextmanager
        async def simulator() -> AsyncIterator[Mapping[str, Any]]:
            async with Simulator() as running:
                yield {
                    "agent_id": running.agent.agent_id,
                    "api_key": running.key,
                    "base_url": running.base_url,
                }

        return simulator


class TestHostedConvai(HostedEngineConformance):
    faults = Faults
    play = staticmethod(virtually)
