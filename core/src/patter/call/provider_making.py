"""Makes the providers of one call from its plan: at its start, and again when one is renewed or replaced."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from patter.call.fallback_llm import FallbackLLM
from patter.call.message_llm import MessageLLM
from patter.errors import PatterError
from patter.plugins import build

if TYPE_CHECKING:
    from patter.call.call import Call
    from patter.call.plan import CallPlan, Part
    from patter.plugins import PluginManager
    from patter.providers.context import ProviderContext
    from patter.providers.llm import LLM
    from patter.records import ProviderKind

#: told of a provider that could not be made or failed: its kind, its reference, and how
Report = Callable[["ProviderKind", str, Exception], object]


class ProviderMaker:
    """Makes providers of one call.

    Attributes:
        failure: what kept a provider from being made at the start; after it none is made there any more.
    """

    def __init__(
        self,
        call: Call,
        plan: CallPlan,
        parts: Mapping[ProviderKind, Part],
        context: ProviderContext,
        manager: PluginManager,
        report: Report,
    ) -> None:
        self._call = call
        self._plan = plan
        self._parts = parts
        self._context = context
        self._manager = manager
        self._report = report
        self.failure: Exception | None = None

    def first(self, kind: ProviderKind) -> object:
        """The provider of a kind, for the start of the call; None where the plan has none."""
        part = self._parts.get(kind)
        return None if part is None else self.attempt(part)

    def attempt(self, part: Part) -> object:
        """A provider for the start of the call; None, and `failure`, when it cannot be made."""
        try:
            return None if self.failure is not None else self._build(part)
        except Exception as error:
            self.failure = error
            return None

    def make(self, kind: ProviderKind) -> object:
        """A fresh provider. Raises what making it raises."""
        part = self._parts.get(kind)
        return None if part is None else self._build(part)

    def _build(self, part: Part) -> object:
        made = self._build_alone(part)
        if isinstance(made, MessageLLM):
            made.call = self._call
        fallbacks = self._plan.llm_fallbacks
        if part.resolved.kind != "llm" or not fallbacks:
            return made
        models = [(part.reference, cast("LLM", made))]
        for fallback in fallbacks:
            try:
                models.append((fallback.reference, cast("LLM", self._build_alone(fallback))))
            except PatterError as error:
                self._report("llm", fallback.reference, error)
        told = functools.partial(self._report, "llm")
        return FallbackLLM(models, self._call.id, told, self._call.meter)

    def _build_alone(self, part: Part) -> object:
        made = build(self._manager, part.resolved, self._context, self._call, sources=part.sources)
        self._call.meter.made(part.resolved.record, part.model, made)
        return made
