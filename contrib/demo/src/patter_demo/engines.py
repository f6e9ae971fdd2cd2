"""The agent's engine: what is missing of its settings, and its plugin's simulator in place of the vendor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel

from patter.errors import ConfigError
from patter.plugins import configure, import_attribute, resolve
from patter.records import RealtimeRecord

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.client import Patter

#: makes a server that yields the settings that lead to it; see `RealtimeRecord`
Server = Callable[[], AbstractAsyncContextManager[Mapping[str, Any]]]


def check_engine(phone: Patter, agent: Agent) -> None:
    """See that an agent's engine has all its settings. Raises `ConfigError`, which names a way without a key."""
    engine = phone.complete(agent).engine
    if engine is None:
        return
    record = resolve(phone.plugins, "realtime", engine).record
    try:
        phone.planner.part("realtime", engine)
    except ConfigError as error:
        if cast("RealtimeRecord", record).simulator is None:
            raise
        raise ConfigError(f"{error}; or try it against its simulator, without a key: --simulate") from None


@asynccontextmanager
async def simulated_engine(phone: Patter, agent: Agent) -> AsyncIterator[Agent]:
    """The agent with an engine that talks to its plugin's simulator, which runs as long. Raises `ConfigError`."""
    engine = phone.complete(agent).engine
    if engine is None:
        raise ConfigError(
            "--simulate: the agent has no engine that could be simulated; name one: --engine REF"
        )
    resolved = resolve(phone.plugins, "realtime", engine)
    record = cast("RealtimeRecord", resolved.record)
    if record.simulator is None:
        raise ConfigError(f"--simulate: the engine {record.name} brings no simulator; leave --simulate out")
    serve = cast("Server", import_attribute(record.simulator))
    async with serve() as settings:
        part = phone.planner.part("realtime", engine, explicit=settings)
        config = configure(phone.plugins, part.resolved, part.sources)
        if not isinstance(config, BaseModel):
            raise ConfigError(
                f"--simulate: the engine {record.name} has no settings that lead to its simulator"
            )
        yield agent.changed(engine=config)
