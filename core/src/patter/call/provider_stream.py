"""A provider's stream as it is read: with a time limit, one kind of error, and closed on every way out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TypeVar

from patter.errors import ProviderError, ProviderTimeout
from patter.providers.llm import LLMChunk, Text, ToolCallDelta

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: closing a stream may take this long, in s; what hangs is left to its provider's own end
CLOSE_S = 1.0


def is_answer(chunk: LLMChunk) -> bool:
    """Whether a model's chunk is a token or a piece of a tool call (LM-08)."""
    return isinstance(chunk, ToolCallDelta) or (isinstance(chunk, Text) and bool(chunk.content))


async def first_within(
    stream: AsyncIterator[T], seconds: float | None, who: str, counts: Callable[[T], bool] | None = None
) -> AsyncGenerator[T, None]:
    """The stream, with a time limit on its first item that `counts`, closed on every way out.

    Without `seconds` there is no limit, without `counts` any item counts.

    Raises `ProviderTimeout`, and whatever else a plugin raises as a `ProviderError`.
    """
    try:
        try:
            async with asyncio.timeout(seconds) as limit:
                deadline = limit.when()
                first = await anext(stream)
            while not (counts is None or counts(first)):
                yield first
                async with asyncio.timeout_at(deadline):
                    first = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            limited = "in time" if seconds is None else f"within {seconds:.0f} s"
            raise ProviderTimeout(f"{who} gave no answer {limited}") from None
        yield first
        async for item in stream:
            yield item
    except ProviderError:
        raise
    except Exception as error:
        raise ProviderError(f"{who} failed: {type(error).__name__}") from error
    finally:
        await _close(stream, who)


async def _close(stream: object, who: str) -> None:
    close = getattr(stream, "aclose", None)
    if close is None:
        return
    try:
        async with asyncio.timeout(CLOSE_S):
            await close()
    except TimeoutError:
        logger.warning("%s did not close its stream within %.0f s", who, CLOSE_S)
    except Exception as error:
        logger.warning("%s failed to close its stream: %s", who, type(error).__name__)
