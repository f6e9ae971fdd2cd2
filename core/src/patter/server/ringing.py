"""What is done for a call while it rings: its providers are made, warmed and parked (architecture §7).

The line-up of providers that was warmed is the one that talks. Where the call turns out to be another one than was
planned (another agent, another audio format) it is released, and the call gets a line-up of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from patter.audio.formats import AudioFormat, Encoding
from patter.call.prerendered import Prerendered
from patter.call.prompts import prompts_of
from patter.prewarm.failures import without_text
from patter.prewarm.greeting import render_greeting

if TYPE_CHECKING:
    from patter.call.lineup import Lineup
    from patter.call.plan import CallPlan
    from patter.prewarm.warming import Warming
    from patter.server.line import Line

logger = logging.getLogger(__name__)


class Ringing:
    """Prepares the calls of one phone."""

    def __init__(self, make: Callable[[Line, CallPlan, AudioFormat], Lineup], warming: Warming) -> None:
        self._make = make
        self._warming = warming

    def begin(self, line: Line, ttl_s: float) -> None:
        """The call rings: make its providers and warm them in the background; never raises."""
        plan, stream = line.plan, line.trunk.record.stream
        if plan is None or not plan.agent.prewarm or stream is None or line.lineup is not None:
            return
        try:
            self._begin(line, plan, AudioFormat(Encoding(stream[0]), stream[1]), ttl_s)
        except Exception as error:  # said when the call is set up, with an apology to the caller
            logger.debug("[PREWARM] %s failed: %s", line.call.id, without_text(error))

    def _begin(self, line: Line, plan: CallPlan, stream: AudioFormat, ttl_s: float) -> None:
        lineup = line.lineup = self._make(line, plan, stream)
        lineup.check()
        greeting = self._greeting(line, plan)
        renders = bool(greeting) and lineup.voice.tts is not None and not lineup.has_engine
        call_id = line.call.id
        self._warming.begin(call_id, lineup.warmables(renders=renders), ttl_s)
        if renders:
            self._warming.render(call_id, greeting, lambda: self._render(lineup, greeting), ttl_s)

    def _greeting(self, line: Line, plan: CallPlan) -> str:
        agent = plan.agent
        return prompts_of(agent, line.call.parameters).first_message if agent.prewarm_first_message else ""

    async def _render(self, lineup: Lineup, greeting: str) -> dict[str, bytes]:
        voice = lineup.voice
        tts = voice.tts
        if tts is None:
            return {}
        return await render_greeting(
            tts,
            greeting,
            lineup.carrier_format,
            language=voice.language,
            transforms=voice.text_transforms,
            rendered=lambda sentence: voice.meter.spoken(tts, sentence),
        )

    def take(self, line: Line, plan: CallPlan, stream: AudioFormat) -> Lineup:
        """The providers of a call whose media is up. Raises `PatterError` when one cannot be built."""
        lineup = line.lineup
        if lineup is None or not lineup.suits(plan, stream):
            self._warming.end(line.call.id)
            return self._make(line, plan, stream)
        line.lineup = None
        lineup.voice.prerendered = Prerendered(self._warming.take_greeting(line.call.id))
        return lineup

    async def end(self, line: Line) -> None:
        """The call is over: release what of it was not taken; harmless when nothing is left."""
        self._warming.end(line.call.id)
        lineup, line.lineup = line.lineup, None
        if lineup is not None:
            await lineup.close()
