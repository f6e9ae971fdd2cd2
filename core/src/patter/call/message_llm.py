"""`on_message` in a call: a language model that asks the application (TL-07, LM-05)."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from patter.errors import ProviderError
from patter.messages import CallerMessage, MessageHandler, MessageWebhook, takes_call
from patter.plain_functions import is_async
from patter.providers.llm import LLM, Done, LLMChunk, Message, Text
from patter.records import FREE, LLMRecord

if TYPE_CHECKING:
    from patter.call.call import Call
    from patter.call.remote_messages import RemoteMessages
    from patter.providers.llm import ToolSpec

logger = logging.getLogger(__name__)

#: threads of plain functions of one call; one that blocks keeps its thread
_THREADS: Final = 8


def message_record(handler: MessageHandler) -> LLMRecord:
    """A record whose models ask that handler."""

    def make() -> MessageLLM:
        return MessageLLM(handler)

    return LLMRecord("on-message", make, prices=FREE)


class MessageLLM(LLM):
    """Gives each turn of the caller to the handler and streams what it answers. Tools are the handler's own affair.

    Attributes:
        call: whose messages these are; None before it is known.
    """

    def __init__(self, handler: MessageHandler) -> None:
        self.call: Call | None = None
        self._remote: RemoteMessages | None = None
        self._function: _FunctionMessages | None = None
        if isinstance(handler, MessageWebhook):
            from patter.call.remote_messages import RemoteMessages

            self._remote = RemoteMessages(handler)
        else:
            self._function = _FunctionMessages(handler)

    async def stream(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        cancel_event: asyncio.Event,
        call_id: str,
    ) -> AsyncGenerator[LLMChunk, None]:
        """The pieces of the handler's answer. Raises `ProviderError` when it fails."""
        if self._function is not None:
            self._function.call = self.call
        source = self._remote or self._function
        assert source is not None
        async with aclosing(source.answer(self._message(messages, call_id))) as pieces:
            async for piece in pieces:
                if cancel_event.is_set():
                    return
                if piece:
                    yield Text(piece)
        yield Done()

    def _message(self, messages: Sequence[Message], call_id: str) -> CallerMessage:
        said = [one for one in messages if one.role != "system"]
        last = next((number for number in reversed(range(len(said))) if said[number].role == "user"), None)
        text = "" if last is None else said[last].content
        call = self.call
        caller, callee = ("", "") if call is None else (call.caller, call.callee)
        return CallerMessage(text, call_id, caller, callee, tuple(said[:last]))

    async def close(self) -> None:
        """Close the connections, leave the threads to their end. Idempotent."""
        if self._remote is not None:
            await self._remote.close()
        if self._function is not None:
            self._function.close()


class _FunctionMessages:
    """Asks a function of the application: plain (in a thread), ``async def``, or an async generator."""

    def __init__(self, handler: Callable[..., Any]) -> None:
        self.call: Call | None = None
        self._handler = handler
        self._takes_call = takes_call(handler)
        self._threads: ThreadPoolExecutor | None = None

    async def answer(self, message: CallerMessage) -> AsyncGenerator[str, None]:
        """The texts that it gives. Raises `ProviderError`; what it raised itself goes to the log."""
        try:
            given = await self._call(message)
            if inspect.isawaitable(given):
                given = await given
            if isinstance(given, AsyncIterable):
                try:
                    async for piece in given:
                        yield _text(piece)
                finally:
                    if isinstance(given, AsyncGenerator):
                        await given.aclose()
            elif given is not None:
                yield _text(given)
        except Exception as error:
            logger.warning("call %s: on_message failed", message.call_id, exc_info=error)
            raise ProviderError(
                f"on_message failed: {type(error).__name__}", provider="on_message"
            ) from error

    async def _call(self, message: CallerMessage) -> Any:
        arguments = (message, self.call) if self._takes_call else (message,)
        if is_async(self._handler):
            return self._handler(*arguments)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="patter-message")
        job = functools.partial(contextvars.copy_context().run, self._handler, *arguments)
        return await asyncio.get_running_loop().run_in_executor(self._threads, job)

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"on_message gave a {type(value).__name__} in place of a text")
    return value
