from __future__ import annotations

import asyncio

import pytest

from patter.environment import Environment
from patter.providers.context import ProviderContext


class Shared:
    """The shared objects of one phone, as the protocol of core describes them."""

    def __init__(self):
        self.made = {}

    def get(self, key, make):
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    async def close(self):
        for made in reversed(self.made.values()):
            await made.close()


@pytest.fixture
def context():
    """The surroundings of the calls of one phone; what they shared is closed at the end."""
    shared = Shared()
    yield ProviderContext(environment=Environment(), shared=shared)
    asyncio.run(shared.close())
