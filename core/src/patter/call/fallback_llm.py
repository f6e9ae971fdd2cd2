"""Several language models as one: asked in their order, the next one when one fails (LM-03).

A model that fails before its first token is asked once more, then the next one is. After the first token nothing is
asked again: the caller may have heard it. A model that failed is left out and probed every 30 s with a request of one
word, read up to its first token; once it answers, it is used again. When all have failed, all are asked again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from patter.call.closing import close_provider
from patter.call.provider_stream import first_within, is_answer
from patter.errors import AllProvidersFailedError, PartialStreamError, ProviderAuthError, ProviderError
from patter.metrics.cost_meter import CallMeter
from patter.providers.llm import LLM, LLMChunk, Message

if TYPE_CHECKING:
    from patter.providers.llm import ToolSpec

logger = logging.getLogger(__name__)

#: no token, tool call or error for this long is a failure of the model (LM-08), in s
FIRST_TOKEN_S: Final = 15.0
#: how often a model is asked before the next one is
ATTEMPTS: Final = 2
#: between two probes of a model that failed, in s
PROBE_S: Final = 30.0
#: what a probe asks
PROBE: Final = Message("user", "Hi")
#: closing one model may take this long, in s; a little less than closing all of them
CLOSE_S: Final = 0.9

#: told of each failure: the model's reference and the error
Told = Callable[[str, ProviderError], object]


@dataclass(slots=True)
class _Model:
    reference: str
    llm: LLM
    healthy: bool = True


class FallbackLLM(LLM):
    """One call's language models in the order of preference.

    Args:
        models: their references and the models; the first is preferred.
        call_id: the call, for logs and probes.
        failed: told of each failure, also of those that the caller does not notice.
        meter: counts what each model was asked and answered.
    """

    def __init__(
        self,
        models: Sequence[tuple[str, LLM]],
        call_id: str,
        failed: Told,
        meter: CallMeter | None = None,
    ) -> None:
        self._models = [_Model(reference, llm) for reference, llm in models]
        self._call_id = call_id
        self._failed = failed
        self._meter = meter or CallMeter()
        self._probing: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def first(self) -> LLM:
        """The preferred model."""
        return self._models[0].llm

    @property
    def healthy(self) -> tuple[str, ...]:
        """References of the models that are in use, in their order."""
        return tuple(model.reference for model in self._models if model.healthy)

    async def stream(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        cancel_event: asyncio.Event,
        call_id: str,
    ) -> AsyncGenerator[LLMChunk, None]:
        """The chunks of the first model that answers.

        Raises:
            PartialStreamError: a model broke off after its first token.
            AllProvidersFailedError: none answered; the last failure is chained.
        """
        asked = [model for model in self._models if model.healthy] or self._models
        for model in asked:
            for _ in range(ATTEMPTS):
                answered = False
                stream = model.llm.stream(messages, tools, cancel_event=cancel_event, call_id=call_id)
                limited = first_within(stream, FIRST_TOKEN_S, model.reference, is_answer)
                try:
                    async with aclosing(limited) as chunks:
                        with self._meter.request(model.llm, messages) as bill:
                            async for chunk in chunks:
                                bill.take(chunk)
                                answered = answered or is_answer(chunk)
                                yield chunk
                except ProviderError as error:
                    failure = error
                else:
                    model.healthy = True
                    return
                if answered or isinstance(failure, PartialStreamError):
                    self._give_up(model)
                    raise _partial(failure, model.reference) from failure
                self._failed(model.reference, failure)
                if isinstance(failure, ProviderAuthError):
                    break  # trying again does not help (LM-07)
            self._give_up(model)
        names = ", ".join(model.reference for model in asked)
        raise AllProvidersFailedError(f"no language model answered: {names}") from failure

    # -- health

    def _give_up(self, model: _Model) -> None:
        """Leave a model out until a probe of it succeeds."""
        model.healthy = False
        if self._probing is None and not self._closed:
            self._probing = asyncio.get_running_loop().create_task(
                self._probe_all(), name=f"{self._call_id} llm probes"
            )

    async def _probe_all(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            due = loop.time()
            while any(not model.healthy for model in self._models):
                due += PROBE_S
                await asyncio.sleep(due - loop.time())
                await asyncio.gather(*(self._probe(model) for model in self._models if not model.healthy))
        finally:
            self._probing = None

    async def _probe(self, model: _Model) -> None:
        cancelled = asyncio.Event()
        stream = model.llm.stream([PROBE], [], cancel_event=cancelled, call_id=self._call_id)
        try:
            async with aclosing(first_within(stream, FIRST_TOKEN_S, model.reference, is_answer)) as chunks:
                with self._meter.request(model.llm, [PROBE]) as bill:
                    async for chunk in chunks:
                        bill.take(chunk)
                        if is_answer(chunk):
                            model.healthy = True
                            logger.info("call %s: %s answers again", self._call_id, model.reference)
                            break
        except ProviderError as error:
            logger.debug("call %s: %s is still failing: %s", self._call_id, model.reference, error)
        finally:
            cancelled.set()

    # -- beforehand and afterwards

    async def warmup(self) -> None:
        """Warm the preferred model; the others are not expected to be asked."""
        await self.first.warmup()

    async def close(self) -> None:
        """Stop probing and close every model, side by side. Idempotent."""
        self._closed = True
        probing = self._probing
        if probing is not None:
            probing.cancel()
            await asyncio.wait({probing})
        await asyncio.gather(*(close_provider("llm", model.llm, CLOSE_S) for model in self._models))


def _partial(error: ProviderError, reference: str) -> PartialStreamError:
    if isinstance(error, PartialStreamError):
        return error
    return PartialStreamError(
        f"{reference} broke off in its reply: {error}", provider=reference, vendor_code=error.vendor_code
    )
