"""A provider's stream as a reply reads it: with a time limit, one kind of error, and closed on every way out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

from patter.errors import ProviderError, ProviderTimeout

T = TypeVar("T")


async def first_within(stream: AsyncIterator[T], seconds: float, who: str) -> AsyncGenerator[T, None]:
    """The stream, with a time limit on its first item, closed on every way out.

    Raises `ProviderTimeout`, and whatever else a plugin raises as a `ProviderError`.
    """
    try:
        try:
            async with asyncio.timeout(seconds):
                first = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise ProviderTimeout(f"{who} gave no answer within {seconds:.0f} s") from None
        yield first
        async for item in stream:
            yield item
    except ProviderError:
        raise
    except Exception as error:
        raise ProviderError(f"{who} failed: {type(error).__name__}") from error
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
