"""Chat completions over HTTP, streamed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from patter import net
from patter.errors import (
    PartialStreamError,
    ProviderDisconnected,
    ProviderError,
    ProviderTimeout,
    RateLimitedError,
)
from patter.providers.llm import LLM, Done, LLMChunk, Message, ToolSpec
from patter.redaction import redact
from patter_openai.event_stream import EventStreamReader
from patter_openai.interruptible import Cancelled, Interruptible
from patter_openai.reply import PROVIDER, QUOTA_CODES, ReplyReader, error_details
from patter_openai.request import request_body

if TYPE_CHECKING:
    from patter.providers.context import ProviderContext
    from patter_openai.config import OpenAIChatConfig

logger = logging.getLogger(__name__)

#: tries before the first token, the first one included (LM-07)
ATTEMPTS: Final = 3
_FIRST_DELAY_S: Final = 0.5
_LONGEST_DELAY_S: Final = 4.0
_JITTER_S: Final = 0.1
_LONGEST_ERROR: Final = 64 * 1024
_LONGEST_LIST: Final = 4 * 1024 * 1024
_READ: Final = 64 * 1024
_WARMUP_S: Final = 5.0
_USAGE_S: Final = 2.0
_DRAIN_S: Final = 0.05


class _Retry(Exception):
    """A failure before the first token that another try may heal."""

    def __init__(self, error: ProviderError, wait_s: float | None = None) -> None:
        super().__init__()
        self.error = error
        self.wait_s = wait_s


class OpenAIChat(LLM):
    """One call's model. The HTTP session is shared by all calls of the phone; it holds no key and no cookie."""

    def __init__(self, config: OpenAIChatConfig, context: ProviderContext) -> None:
        self._config = config
        self._context = context
        self._headers = {"Authorization": f"Bearer {config.key}"} if config.key else {}
        self._open: set[aiohttp.ClientResponse] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"<OpenAIChat {self._config.model}>"

    async def stream(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        cancel_event: asyncio.Event,
        call_id: str,
    ) -> AsyncIterator[LLMChunk]:
        """See `LLM.stream`. Before the first token failures are tried again; after it they are `PartialStreamError`."""
        loop = asyncio.get_running_loop()
        body = json.dumps(request_body(self._config, messages, tools)).encode()
        deadline = loop.time() + self._config.first_token_s
        reader = ReplyReader()
        begun = False
        try:
            async with Interruptible(cancel_event) as waiting:
                response = await self._request(body, waiting, deadline)
                try:
                    async with aclosing(self._chunks(response, reader, waiting, deadline)) as chunks:
                        async for chunk in chunks:
                            begun = True
                            yield chunk
                    await self._drain(response, waiting)
                finally:
                    self._release(response, complete=reader.done)
        except Cancelled:
            return
        except (aiohttp.ClientError, OSError, TimeoutError, ProviderError) as error:
            raise self._failure(error, begun) from None
        if cancel_event.is_set():
            return
        if reader.usage is not None:
            yield reader.usage
        yield Done()

    async def warmup(self) -> None:
        """Open a connection by asking for the list of models, which costs nothing.

        Raises `ProviderAuthError` for a key that does not work; anything else is left to the first request.
        """
        url = f"{self._config.base_url}/models"
        try:
            async with (
                asyncio.timeout(_WARMUP_S),
                self._session().get(url, headers=self._headers, allow_redirects=False) as response,
            ):
                # Read to its end, or the connection cannot be used again.
                body = await net.read_at_most(response, _LONGEST_LIST)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            logger.info("warming up %s failed: %s", self._config.model, type(error).__name__)
            return
        if response.status in (401, 403):
            raise self._status_error(response, body[:_LONGEST_ERROR].decode("utf-8", "replace"))

    async def close(self) -> None:
        """End every stream; the shared session stays. Idempotent."""
        self._closed = True
        for response in list(self._open):
            self._release(response, complete=False)

    # -- the request

    def _session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ProviderDisconnected("the language model was closed", provider=PROVIDER)
        # The time-outs of a stream are those of `Interruptible`.
        return self._context.shared.get("openai/session", lambda: net.session(read_s=900.0))

    async def _request(self, body: bytes, waiting: Interruptible, deadline: float) -> aiohttp.ClientResponse:
        """The answer's head; tries again what may be healed, within the time for the first token."""
        loop = asyncio.get_running_loop()
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._try(body, waiting, deadline)
            except _Retry as retry:
                wait_s = retry.wait_s
                if wait_s is None:
                    wait_s = min(_FIRST_DELAY_S * 2 ** (attempt - 1), _LONGEST_DELAY_S)
                    wait_s += self._context.environment.random.uniform(0, _JITTER_S)
                if attempt == ATTEMPTS or loop.time() + wait_s >= deadline:
                    raise retry.error from None
                logger.info("%s: trying again in %.1f s: %s", self._config.model, wait_s, retry.error)
                await waiting.wait(asyncio.sleep(wait_s), deadline)

    async def _try(self, body: bytes, waiting: Interruptible, deadline: float) -> aiohttp.ClientResponse:
        opened: list[aiohttp.ClientResponse] = []
        kept = False
        try:
            response = await waiting.wait(self._post(body, opened), deadline)
            if response.status == 200 and response.content_type != "application/json":
                kept = True
                return response
            raw = await waiting.wait(net.read_at_most(response, _LONGEST_ERROR), deadline)
        except aiohttp.ClientError as lost:
            if isinstance(lost, TimeoutError):
                raise
            raise _Retry(self._lost(lost)) from None
        finally:
            if not kept:  # also when the answer came in the moment of the cancellation
                for one in opened:
                    self._release(one, complete=False)
        failure = self._status_error(response, raw.decode("utf-8", "replace"))
        limited = isinstance(failure, RateLimitedError) and failure.vendor_code not in QUOTA_CODES
        if limited or response.status >= 500:
            raise _Retry(failure, net.parse_retry_after(response.headers.get("Retry-After")))
        raise failure

    async def _post(self, body: bytes, opened: list[aiohttp.ClientResponse]) -> aiohttp.ClientResponse:
        response = await self._session().post(
            f"{self._config.base_url}/chat/completions",
            data=body,
            headers={**self._headers, "Content-Type": "application/json", "Accept": "text/event-stream"},
            allow_redirects=False,
        )
        opened.append(response)
        self._open.add(response)
        return response

    # -- the answer

    async def _chunks(
        self, response: aiohttp.ClientResponse, reader: ReplyReader, waiting: Interruptible, deadline: float
    ) -> AsyncGenerator[LLMChunk, None]:
        """The chunks of an answer. Comments and reasoning do not count as the first token (LM-08)."""
        events = EventStreamReader()
        begun = False
        while True:
            raw = await self._read(response, reader, waiting, deadline)
            found = events.feed(raw) if raw else events.finish()
            for event in found:
                for chunk in reader.read(event):
                    begun = True
                    yield chunk
                    if waiting.is_cancelled:
                        raise Cancelled
            if reader.done or not raw:
                break
            if found and begun:
                # After the last word only the token count is still to come.
                pause_s = _USAGE_S if reader.finished else self._config.silence_s
                deadline = asyncio.get_running_loop().time() + pause_s
        if not (begun or reader.finished or reader.done):
            raise ProviderError(f"{self._host} ended its answer without a word", provider=PROVIDER)

    async def _read(
        self, response: aiohttp.ClientResponse, reader: ReplyReader, waiting: Interruptible, deadline: float
    ) -> bytes:
        """The next bytes, b"" at the end. However the answer ends, a reply that has finished is complete."""
        try:
            return await waiting.wait(response.content.read(_READ), deadline)
        except (aiohttp.ClientError, TimeoutError):
            if reader.finished:
                return b""
            raise

    async def _drain(self, response: aiohttp.ClientResponse, waiting: Interruptible) -> None:
        """Read the end of the answer, which follows the last event at once: only then can the connection be reused."""
        if not response.content.at_eof():
            with suppress(aiohttp.ClientError, TimeoutError):
                await waiting.wait(response.content.read(1), asyncio.get_running_loop().time() + _DRAIN_S)

    def _release(self, response: aiohttp.ClientResponse, *, complete: bool) -> None:
        """Give the connection back after a complete answer; else close it, which makes the server stop."""
        self._open.discard(response)
        if complete:
            response.release()
        else:
            response.close()

    # -- failures

    @property
    def _host(self) -> str:
        return self._config.base_url.split("/")[2]

    def _failure(self, error: Exception, begun: bool) -> ProviderError:
        """The exception that leaves the stream."""
        if isinstance(error, ProviderError):
            failure = error
        elif isinstance(error, TimeoutError):
            what, limit = (
                ("fell silent", "silence_s") if begun else ("sent no token in time", "first_token_s")
            )
            seconds = getattr(self._config, limit)
            failure = ProviderTimeout(f"{self._host} {what} ({limit}={seconds:g})", provider=PROVIDER)
        else:
            failure = self._lost(error)
        if not begun:
            return failure
        return PartialStreamError(
            f"the reply broke off: {failure}", provider=PROVIDER, vendor_code=failure.vendor_code
        )

    def _lost(self, error: Exception) -> ProviderDisconnected:
        return ProviderDisconnected(
            f"no connection to {self._host}: {type(error).__name__}", provider=PROVIDER
        )

    def _status_error(self, response: aiohttp.ClientResponse, body: str) -> ProviderError:
        message, code = error_details(_json_or_text(body))
        text = f"{self._host} answered HTTP {response.status}: {redact(message, [self._config.key])}"
        if response.status in (401, 403):
            text = f"{text}; check OPENAI_API_KEY"
        return net.status_error(
            response.status,
            text,
            provider=PROVIDER,
            vendor_code=redact(code, [self._config.key]) if code else None,
            retry_after=response.headers.get("Retry-After"),
        )


def _json_or_text(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body
