from __future__ import annotations

import asyncio

import pytest

from patter.environment import Environment
from patter.plugins import SharedObjectPool
from patter.providers.context import ProviderContext


@pytest.fixture
def context():
    """The surroundings of the calls of one phone; what they shared is closed at the end."""
    shared = SharedObjectPool()
    yield ProviderContext(environment=Environment(), shared=shared)
    assert asyncio.run(shared.close()) == ()
