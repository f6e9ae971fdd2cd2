# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio

import pytest

from patter.environment import Environment
from patter.plugins import SharedObjectPool
from patter.providers.context import ProviderContext


@pytest.fixture
def make_context():
    """Makes the surroundings of a call on a phone of its own; what its calls shared is closed at the end."""
    phones = []

    def make(language="en", shared=None):
        if shared is None:
            phones.append(shared := SharedObjectPool())
        return ProviderContext(environment=Environment(), shared=shared, language=language)

    yield make
    for shared in phones:
        assert asyncio.run(shared.close()) == ()


@pytest.fixture
def context(make_context):
    return make_context()
