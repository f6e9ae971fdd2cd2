"""The virtual-time loop from within."""

from __future__ import annotations

import asyncio

from patter.testing.virtual_loop import VirtualTimeLoop


def now() -> float:
    return asyncio.get_running_loop().time()


def virtual_loop() -> VirtualTimeLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop
