"""Closing one provider of a call, whatever it does about it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

logger = logging.getLogger(__name__)

#: closing one provider may take this long, in s
CLOSE_S = 1.0


async def close_provider(kind: str, provider: Any, within_s: float = CLOSE_S) -> None:
    """Close a provider; None is closed already. What hangs or fails is logged and left."""
    if provider is None:
        return
    try:
        closing = provider.close()
        if closing is not None:
            async with asyncio.timeout(within_s):
                await closing
    except TimeoutError:
        logger.warning("%s %s did not close within %.0f s", kind, type(provider).__name__, within_s)
    except Exception:
        logger.exception("closing %s %s failed", kind, type(provider).__name__)
