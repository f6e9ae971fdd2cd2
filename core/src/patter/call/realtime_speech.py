"""What an engine says, on its way into the playout: audio converted once, and the text that goes with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from patter.audio.convert import Converter
from patter.call.heard import MS_PER_CHARACTER, synthesised_part

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.call.mouth import SessionMouth
    from patter.call.realtime_machine import RealtimeMachine
    from patter.call.realtime_responses import Response
    from patter.call.reply_meter import ReplyMeter
    from patter.providers.realtime import RealtimeEvent

#: the longest piece of audio that is converted at a time, in ms
SLICE_MS = 40
#: texts of fewer characters say nothing about how fast a voice is
LEAST_CHARACTERS = 12
#: no voice is faster or slower, in ms a character
FASTEST_MS, SLOWEST_MS = 30.0, 150.0


class EngineSpeech:
    """The engine's voice in one call.

    Args:
        machine: the call's machine.
        mouth: the way to its playout.
        gives: the format of the engine's audio.
    """

    def __init__(
        self, machine: RealtimeMachine, mouth: SessionMouth, gives: Callable[[], AudioFormat]
    ) -> None:
        self._machine = machine
        self._mouth = mouth
        self._gives = gives
        self._slowest: float | None = None
        #: the moments of the current agent turn
        self.moments: ReplyMeter | None = None
        #: rounds of tools of it
        self.tool_rounds = 0

    def audio(self, response: Response, event: RealtimeEvent) -> bool:
        """Audio of a response whose agent turn has the floor; False when the turn has lost it."""
        turn = response.turn
        assert turn is not None
        if not self._open(response, turn, event.item_id or ""):
            return False
        if self.moments is not None and self.moments.audio_ready():
            self._mouth.emit("audio_out", turn)
        audio = self._converted(response, event.audio)
        return not audio or self._mouth.add_audio(turn, audio)

    def _open(self, response: Response, turn: int, item: str) -> bool:
        """One sentence for each item, so that what was heard of an item is known."""
        if item in response.sentences:
            return True
        playout = self._machine.playout
        playout.close_sentence(turn)
        sentence = playout.open_sentence(turn, response.texts.get(item) or response.text)
        if sentence is None:
            return False
        sentence.tool_rounds = self.tool_rounds
        sentence.ms_per_character = self._ms_per_character
        response.sentences[item] = sentence
        return True

    def _converted(self, response: Response, audio: bytes) -> bytes:
        converter = response.converter
        if converter is None:
            converter = response.converter = Converter(self._gives(), self._machine.playout.format)
        step = converter.source.bytes_for_ms(SLICE_MS)
        if converter.source == converter.target or len(audio) <= step:
            return converter.process(audio)
        return b"".join(converter.process(audio[at : at + step]) for at in range(0, len(audio), step))

    def text(self, response: Response, event: RealtimeEvent) -> None:
        """Text of what is said in a response: a piece, or the whole of an item."""
        item = event.item_id or ""
        sentence = response.sentences.get(item)
        if not event.final:
            self._mouth.emit("llm_chunk", event.text)
        known = response.texts.get(item, "")
        whole = event.text if event.final else known + event.text
        response.texts[item] = whole
        if sentence is not None and whole:
            sentence.text = whole

    def finish(self, response: Response, *, whole: bool) -> None:
        """All audio of a response is here; unless it is whole, history claims no word of the rest (TN-08)."""
        if response.turn is None:
            return
        if response.converter is not None:
            tail = response.converter.flush()
            if tail:
                self._mouth.add_audio(response.turn, tail)
        playout = self._machine.playout
        if not whole and response.sentences and playout.turn == response.turn:
            last = list(response.sentences.values())[-1]
            rate = playout.format.rate
            last.text = synthesised_part(last.text, last.samples, rate, self._ms_per_character)
        playout.close_sentence(response.turn)
        if whole:
            self._learn(response)

    def _learn(self, response: Response) -> None:
        """How slow the voice is at most: a long text that is cut before its length is known is judged by that."""
        said = [one for one in response.sentences.values() if one.text.strip()]
        characters = sum(len(one.text) for one in said)
        if characters < LEAST_CHARACTERS:
            return
        rate = self._machine.playout.format.rate
        took = sum(one.samples for one in said) * 1000 / rate / characters
        known = took if self._slowest is None else max(took, self._slowest)
        self._slowest = min(max(known, FASTEST_MS), SLOWEST_MS)

    @property
    def _ms_per_character(self) -> float:
        return MS_PER_CHARACTER if self._slowest is None else self._slowest

    def cut(self, responses: Iterable[Response]) -> list[tuple[str, int]]:
        """The items of a turn that was cleared which were not heard to their end, with the ms that were heard."""
        playout = self._machine.playout
        heard, rate = playout.heard_when_cleared, playout.format.rate
        cut: list[tuple[str, int]] = []
        for response in responses:
            for item, sentence in response.sentences.items():
                if sentence.complete and heard >= sentence.start + sentence.samples:
                    continue
                cut.append((item, int(max(0, heard - sentence.start) * 1000 / rate)))
            unsaid = {*response.texts, *(one.item_id or "" for one in response.waiting)}
            cut += [(item, 0) for item in sorted(unsaid - response.sentences.keys())]
        return [(item, ms) for item, ms in cut if item]
