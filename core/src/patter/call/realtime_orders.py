"""What Patter asks of an engine, each in its turn; only what the engine's record says that it can do (RT-15)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from patter.call.realtime_responses import Request, Responses
from patter.providers.llm import Message

if TYPE_CHECKING:
    from patter.call.realtime_feed import EngineFeed
    from patter.call.realtime_trace import Tracer
    from patter.call.types import ToolResult
    from patter.providers.realtime import RealtimeEngine
    from patter.records import RealtimeRecord


class EngineOrders:
    """The orders to the engine of one call.

    Attributes:
        engine: the engine whose session is open; None while there is none, when all orders are void.
        feed: writes them.
    """

    def __init__(
        self, responses: Responses, flags: RealtimeRecord, trace: Tracer, now: Callable[[], float]
    ) -> None:
        self.engine: RealtimeEngine | None = None
        self.feed: EngineFeed | None = None
        self._responses = responses
        self._flags = flags
        self._trace = trace
        self._now = now

    def _order(self, name: str, write: Callable[[RealtimeEngine], Any]) -> None:
        engine = self.engine
        if engine is not None and self.feed is not None:
            self.feed.order(name, lambda: write(engine))

    # -- responses

    def request(self, request: Request) -> None:
        """Ask for a response, as soon as none is under way."""
        if self.engine is None:
            self._responses.next = request
        elif self._responses.ask(request, self._now()):
            self._ask(request)

    def ask_next(self) -> None:
        """Ask for what waits, unless a response is under way."""
        request = None if self.engine is None else self._responses.take_next(self._now())
        if request is not None:
            self._ask(request)

    def _ask(self, request: Request) -> None:
        async def ask(engine: RealtimeEngine) -> None:
            await engine.request_response(request.text)
            if request.greeting:
                self._trace("greeting_requested")

        self._order("a request for a response", ask)

    def cancel_response(self, response_id: str | None) -> None:
        """Stop a response that is under way, where that can be asked for."""
        response = self._responses.known(response_id)
        if response is None or not self._flags.client_interrupt or response.cancelled_at is not None:
            return
        response.cancelled_at = self._now()
        named = response.response_id or ""
        self._order("a cancellation", lambda engine: engine.cancel_response(named))

    def truncate(self, item: str, heard_ms: int) -> None:
        """The caller heard so much of an item; 0 removes it."""
        if self._flags.truncate:
            self._order("a truncation", lambda engine: engine.truncate(item, heard_ms))

    def remember(self, text: str) -> None:
        """The engine learns that the agent said this without it."""
        if self._flags.truncate:
            self._order("a message", lambda engine: engine.add_message(Message("assistant", text)))

    def send_results(self, results: Sequence[ToolResult]) -> None:
        """Results of function calls, which ask for no response."""
        for result in results:
            self._send_result(result.id, result.result)

    def _send_result(self, call_id: str, text: str) -> None:
        self._order("a tool's result", lambda engine: engine.send_tool_result(call_id, text))

    # -- the protected first message

    def guard(self) -> None:
        """Neither create nor cancel responses by itself."""

        async def guard(engine: RealtimeEngine) -> None:
            self._trace("protection_sent", await engine.guard())

        self._order("the guard", guard)

    def restore(self) -> None:
        """The configured turn detection."""

        async def restore(engine: RealtimeEngine) -> None:
            self._trace("restore_sent", await engine.restore())

        self._order("the restored settings", restore)

    def release_audio(self) -> None:
        """Let the caller's audio flow, behind all that was ordered."""
        if self.feed is not None:
            self.feed.release()

    def abandon(self, response_id: str | None) -> None:
        """Drop what comes of an attempt to greet, and take it out of the engine's history."""
        self._responses.forget_greeting()
        for response in self._responses.said:
            if response.greeting and not response.dropped and response.response_id == response_id:
                response.dropped = True
                for item in sorted({*response.sentences, *response.texts} - {""}):
                    self.truncate(item, 0)
