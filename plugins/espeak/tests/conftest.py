# SPDX-License-Identifier: GPL-3.0-or-later
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
def make_context():
    """Makes the surroundings of a call on a phone of its own; what its calls shared is closed at the end."""
    phones = []

    def make(language="en", shared=None):
        if shared is None:
            phones.append(shared := Shared())
        return ProviderContext(environment=Environment(), shared=shared, language=language)

    yield make
    for shared in phones:
        asyncio.run(shared.close())


@pytest.fixture
def context(make_context):
    return make_context()
