"""The call's one event stream; `on()` and everything that observes a call rests on it (MX-10)."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

logger = logging.getLogger(__name__)

#: pieces of user code (tools, async subscribers) of one call that run at a time (TL-09)
USER_CODE_LIMIT = 8
#: what asynchronous subscribers get to finish once the call is over, in s
FINISH_S = 1.0

#: every event with the type of its data; documented in docs/reference/events.md
EVENTS: dict[str, str] = {
    "provider_warmed": "ProviderWarmed: while the phone rang",
    "provider_connected": "ProviderConnected",
    "machine_detected": "MachineDetection: who answered a dialled call",
    "call_started": "None: the media is up",
    "user_speech_started": "None",
    "user_speech_ended": "None",
    "user_speech_eos": "str: stt_endpoint, vad_silence or manual_commit",
    "transcript_partial": "str: the open utterance so far",
    "transcript_final": "str: a closed utterance",
    "turn_started": "int: number of the user turn",
    "llm_token": "str: the first piece of the reply's text, once for each agent turn",
    "llm_chunk": "str: a piece of the reply's text",
    "usage": "Usage: the billed tokens of one request",
    "tool_call_started": "ToolCall",
    "tts_chunk": "bytes: a piece of the agent's audio, in the carrier's format",
    "audio_out": "int: number of the agent turn whose first audio was made, once for each",
    "agent_speech_started": "int: number of the agent turn",
    "agent_speech_ended": "int: number of the agent turn",
    "turn_ended": "TurnReport",
    "eou_metrics": "EndOfUtteranceMetrics: how the caller's turn came to its end, where there is a VAD",
    "stt_metrics": "STTMetrics: the caller's turn was understood",
    "llm_metrics": "LLMMetrics: the first token of a request",
    "tts_metrics": "TTSMetrics: the first byte of a sentence",
    "metrics_collected": "TurnMetrics: the figures of an agent turn that ended",
    "interruption": "BargeInOutcome",
    "dtmf": "str: the key",
    "keys_pressed": "None: the tones of the application's own keys were heard",
    "greeting_delivered": "GreetingReport: the caller has heard the engine's first message",
    "greeting_fallback": "GreetingReport: the caller has heard it from the voice beside the engine",
    "greeting_failed": "GreetingReport: the caller has not heard it",
    "protection_not_applied": "ProtectionReport: the engine did not take the guard of its first message",
    "protocol_trace": "ProtocolTrace: a step of the engine's first message, where that is asked for",
    "realtime_usage": "RealtimeUsage: the billed tokens of an engine's response",
    "failed": "CallFailure",
    "call_ended": "CallSummary",
}


class EventStream:
    """Subscribers of one call. Sync ones run inline, async ones in a bounded group; no exception gets out.

    Attributes:
        inside: what subscribers and tasks of the call run inside of, in whoever's step they are called or started.
    """

    def __init__(self) -> None:
        self.inside: Callable[[], AbstractContextManager[None]] = nullcontext
        self._subscribers: dict[str, list[Callable[[Any], Any]]] = defaultdict(list)
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(USER_CODE_LIMIT)

    def on(self, event: str, callback: Callable[[Any], Any]) -> Callable[[], None]:
        """Subscribe; returns a function that unsubscribes. Raises `ValueError` for an unknown event."""
        if event not in EVENTS:
            raise ValueError(f"there is no event {event!r}; there are {', '.join(EVENTS)}")
        self._subscribers[event].append(callback)

        def unsubscribe() -> None:
            if callback in self._subscribers[event]:
                self._subscribers[event].remove(callback)

        return unsubscribe

    def emit(self, event: str, data: Any = None) -> None:
        """Tell the subscribers."""
        subscribers = self._subscribers.get(event)
        if not subscribers:
            return
        with self.inside():
            for callback in tuple(subscribers):
                try:
                    result = callback(data)
                except Exception:
                    logger.exception("a subscriber of %s failed", event)
                    continue
                if inspect.isawaitable(result):
                    self._start(event, result)

    def _start(self, event: str, result: Any) -> None:
        task = asyncio.ensure_future(self._wait(event, result))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if inspect.iscoroutine(result):
            # A task that is cancelled before its turn has not begun the subscriber.
            task.add_done_callback(lambda _: result.close())

    async def _wait(self, event: str, result: Any) -> None:
        async with self._slots:
            try:
                await result
            except Exception:
                logger.exception("a subscriber of %s failed", event)

    async def close(self) -> None:
        """Let subscribers that still run come to their end, at most 1 s long, then cancel them."""
        tasks = tuple(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=FINISH_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
