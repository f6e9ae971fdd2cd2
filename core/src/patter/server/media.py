"""The media of calls: from the carrier's connection to a session that carries the call, or to an apology."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from patter.call.connection import MediaLeg
from patter.errors import InputError, PatterError
from patter.providers.carrier import CallStatus, StreamStarted
from patter.server.answering_machine import is_for_the_agent
from patter.server.recording import start_recording

if TYPE_CHECKING:
    from patter.call.connection import CarrierConnection
    from patter.call.record import CallRegistry
    from patter.call.session import CallSession
    from patter.call.types import CallSummary
    from patter.environment import Clock
    from patter.server.line import CallMaker, Line

logger = logging.getLogger(__name__)


class MediaRunner:
    """Carries calls on their connections. What it makes for a call that ends meanwhile it releases."""

    def __init__(self, maker: CallMaker, registry: CallRegistry, clock: Clock) -> None:
        self._maker = maker
        self._registry = registry
        self._now = clock.monotonic
        self.unavailable_message = ""
        self.timeout_s = 10.0

    async def run(self, line: Line, connection: CarrierConnection) -> CallSummary:
        """Carry a call to its end."""
        line.connection = connection
        session = await self._session(line)
        if session is None:
            return line.without_session(self._now())
        line.session = session
        return await session.run()

    async def _session(self, line: Line) -> CallSession | None:
        """A session of a call that goes on; None for one that cannot be set up, or ended while it was."""
        line.set_up = asyncio.ensure_future(self._set_up(line))
        try:
            session = await line.set_up
        except asyncio.CancelledError:
            if line.ending is None:  # it is the server that stops
                raise
            return None
        finally:
            line.set_up = None
        if session is not None and line.over:
            await session.discard()
            return None
        return session

    async def _set_up(self, line: Line) -> CallSession | None:
        call, trunk, connection = line.call, line.trunk, line.connection
        assert connection is not None
        protocol = trunk.carrier.media_protocol()
        started = await self._stream_start(line, connection, protocol.parse)
        line.stop_media_timer()
        if started is None or line.plan is None:
            return None
        line.connected_t = self._now()
        self._registry.update(call.id, CallStatus.IN_PROGRESS, self._now())
        call.parameters.update(started.parameters)
        if line.recording:
            line.recording_request = asyncio.ensure_future(start_recording(line))
        leg = MediaLeg(
            connection,
            protocol,
            trunk.record.marks,
            trunk.record.clear,
            transfer=bool(trunk.record.transfers),
        )
        session = None
        try:
            line.plan = await self._maker.started(call, line.plan)
            call.agent = line.plan.agent
            if not await is_for_the_agent(line, protocol.parse, self._maker.release):
                return None
            session = self._maker.session(line, leg, started)
            session.prepare()
            await line.hooks.notify("patter_call_setup")
        except BaseException as error:
            if session is not None:
                await session.discard()
            if not isinstance(error, Exception):
                raise
            await self._failed(line, error)
            return None
        return session

    async def _failed(self, line: Line, error: Exception) -> None:
        expected = isinstance(error, PatterError)
        logger.error(
            "call %s cannot be set up: %s", line.call.id, error, exc_info=None if expected else error
        )
        await self._apologise(line)

    async def _stream_start(
        self, line: Line, connection: CarrierConnection, parse: Callable[[str], object]
    ) -> StreamStarted | None:
        """Read until the stream starts; None when it does not, or is another call's."""
        try:
            async with asyncio.timeout(self.timeout_s):
                while (text := await connection.receive_text()) is not None:
                    try:
                        event = parse(text)
                    except InputError as error:
                        logger.warning("call %s: dropped a media message: %s", line.call.id, error)
                        continue
                    if isinstance(event, StreamStarted):
                        if event.carrier_call_id == line.call.carrier_call_id:
                            return event
                        logger.warning("call %s: the media stream is another call's; refused", line.call.id)
                        return None
        except TimeoutError:
            logger.warning("call %s: the media stream did not start", line.call.id)
        return None

    async def _apologise(self, line: Line) -> None:
        """The carrier's own voice says that nobody can take the call (CC-21)."""
        call, carrier = line.call, line.trunk.carrier
        try:
            spoken = await carrier.speak_and_hangup(call.carrier_call_id, self.unavailable_message)
            if not spoken:
                logger.warning(
                    "call %s: %s cannot speak; the call is hung up", call.id, line.trunk.record.name
                )
                await carrier.hangup(call.carrier_call_id)
            call.is_hung_up = True
        except PatterError as error:
            logger.warning("call %s: the carrier could not be told to hang up: %s", call.id, error)
