"""The carrier's own recording of a call (CC-15)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from patter.errors import PatterError

if TYPE_CHECKING:
    from patter.server.line import Line

logger = logging.getLogger(__name__)

#: what the carrier gets to say that it records, in s
START_S = 10.0


async def start_recording(line: Line) -> None:
    """Ask the carrier to record the call from now on; beside the call, which a failure neither delays nor ends."""
    call, record = line.call, line.trunk.record
    if not record.recording:
        logger.warning("call %s: %s cannot record calls", call.id, record.name)
        return
    try:
        async with asyncio.timeout(START_S):
            await line.trunk.carrier.start_recording(call.carrier_call_id)
    except TimeoutError:
        logger.warning("call %s is not recorded: no answer in %.0f s", call.id, START_S)
    except PatterError as error:
        logger.warning("call %s is not recorded: %s", call.id, error)
    except Exception:
        logger.exception("call %s is not recorded", call.id)
