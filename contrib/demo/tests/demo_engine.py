"""Engines for the tests: with a simulator, without one, and with one that no setting leads to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr

from patter import RealtimeRecord, hookimpl
from patter.plugins.configuration import ProviderConfig

ADDRESS = "http://127.0.0.1:1/v1"
#: whether the simulator runs
running: list[bool] = []


class Settings(ProviderConfig):
    """Of the engine ``acme``."""

    api_key: SecretStr
    base_url: str = "https://acme.example"
    voice: str = "low"


class VendorSettings(Settings):
    """Of the engine ``vendor-only``."""


class Engine:
    """Never made here."""


@asynccontextmanager
async def simulator() -> AsyncIterator[Mapping[str, Any]]:
    running.append(True)
    try:
        yield {"base_url": ADDRESS, "api_key": "key of the simulator"}
    finally:
        running.pop()


@hookimpl
def patter_register_realtime() -> list[RealtimeRecord]:
    served = "demo_engine:simulator"
    return [
        RealtimeRecord("acme", Engine, config=Settings, env={"api_key": "ACME_API_KEY"}, simulator=served),
        RealtimeRecord("bare", Engine),
        RealtimeRecord("vendor-only", Engine, config=VendorSettings, env={"api_key": "ACME_API_KEY"}),
    ]
