"""Who answered a dialled call: the callback that is told (CC-13), and the message that a machine gets (CC-14).

Carriers decide while the call is up already, a machine only after its greeting. So the agent of a call with a message
for machines waits for the verdict: it must not have talked when a machine turns out to have answered.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from patter.errors import InputError, PatterError
from patter.providers.carrier import CallStatus, StreamStopped

if TYPE_CHECKING:
    from patter.call.connection import CarrierConnection
    from patter.providers.carrier import MachineDetection
    from patter.server.line import Line

logger = logging.getLogger(__name__)

#: how long the agent waits for the verdict, in s; carriers decide within 30
VERDICT_S = 35.0
#: how long after the verdict the call is hung up at the latest, in s (CC-14)
MESSAGE_S = 30.0
#: what `on_machine_detection` may take, in s
CALLBACK_S = 5.0


def log_missing_detection(line: Line) -> None:
    """The carrier cannot tell who answered, and something depends on that."""
    logger.warning(
        "call %s: %s cannot tell a machine from a human; no message is left, and on_machine_detection is not called",
        line.call.id,
        line.trunk.record.name,
    )


async def tell_of_detection(line: Line, detection: MachineDetection) -> None:
    """Call `on_machine_detection`; a failure is logged and harms nothing."""
    callback = line.on_machine_detection
    if callback is None:
        return
    try:
        async with asyncio.timeout(CALLBACK_S):
            answer = callback(line.call, detection)
            if inspect.isawaitable(answer):
                await answer
    except TimeoutError:
        logger.error("call %s: on_machine_detection took over %.0f s", line.call.id, CALLBACK_S)
    except Exception:
        logger.exception("call %s: on_machine_detection failed", line.call.id)


async def is_for_the_agent(
    line: Line, parse: Callable[[str], object], release: Callable[[Line], Awaitable[None]]
) -> bool:
    """Whether the agent talks on this answered call; otherwise the line knows how it ended.

    Where a machine would get a message this waits for the verdict, and leaves the message where it is one. What comes
    over the media stream meanwhile is nobody's. `release` gives back what was made ready for the agent.
    """
    if not line.voicemail_message:
        return True
    assert line.connection is not None
    open_media = asyncio.ensure_future(_until_media_ends(line.connection, parse))
    try:
        await _verdict(line, open_media)
        if open_media.done():
            line.ended_by_carrier = True
            line.ending = (CallStatus.COMPLETED, "hung up before it was clear who had answered")
            return False
        detection = line.call.machine_detection
        if detection is None or detection.result != "machine":
            return True
        await _instead_of_the_agent(line, release)
        return False
    finally:
        open_media.cancel()
        await asyncio.gather(open_media, return_exceptions=True)


async def _instead_of_the_agent(line: Line, release: Callable[[Line], Awaitable[None]]) -> None:
    """Leave the message, and release the agent's providers beside it: not before, a machine records already."""
    releasing = asyncio.ensure_future(release(line))
    try:
        await _leave_message(line)
    finally:
        # Not cut short by whoever ends the call meanwhile: half of the providers would stay open.
        await asyncio.wait({releasing})
        if not releasing.cancelled() and (error := releasing.exception()) is not None:
            logger.error("call %s: releasing its providers failed", line.call.id, exc_info=error)


async def _verdict(line: Line, open_media: asyncio.Future[None]) -> None:
    """Wait until it is known who answered, the media is gone, or it takes too long."""
    verdict = asyncio.ensure_future(line.detected.wait())
    try:
        either: set[asyncio.Future[Any]] = {verdict, open_media}
        done, _ = await asyncio.wait(either, timeout=VERDICT_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        verdict.cancel()
    if not done:
        logger.warning("call %s: nobody said who answered it in %.0f s", line.call.id, VERDICT_S)


async def _until_media_ends(connection: CarrierConnection, parse: Callable[[str], object]) -> None:
    """Read, so that nothing piles up, until the stream stops."""
    while (text := await connection.receive_text()) is not None:
        try:
            if isinstance(parse(text), StreamStopped):
                return
        except InputError:
            continue  # nothing in it would have been heard


async def _leave_message(line: Line) -> None:
    """The carrier's own voice leaves the message. The carrier's report of the end of the call cancels this."""
    carrier, call = line.trunk.carrier, line.call
    line.voicemail = True
    status, reason = CallStatus.COMPLETED, f"a message was left; hung up after {MESSAGE_S:.0f} s"
    try:
        async with asyncio.timeout(MESSAGE_S):
            if await carrier.speak_and_hangup(call.carrier_call_id, line.voicemail_message):
                await asyncio.get_running_loop().create_future()
            status, reason = CallStatus.FAILED, "the carrier cannot leave a message"
    except TimeoutError:
        pass
    except PatterError as error:
        status, reason = CallStatus.FAILED, f"no message could be left: {error}"
    except Exception as error:
        logger.exception("call %s: leaving a message failed", call.id)
        status, reason = CallStatus.FAILED, f"no message could be left ({type(error).__name__})"
    if status is CallStatus.FAILED:
        line.voicemail = False
        logger.warning("call %s: %s", call.id, reason)
    line.ending = line.ending or (status, reason)
