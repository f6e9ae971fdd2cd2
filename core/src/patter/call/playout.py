"""Playout: what is sent when, and what the caller has heard of it. Pure: no clock, no I/O.

Two clocks (PL-02 to PL-06). The *pace clock* starts with the first sent audio, runs in real time and alone decides
sending. The *heard position* is the greater of the last confirmed mark and (pace clock − the call's measured echo
lag), never past what was sent, and never moves back; it alone feeds text, truncation and hang-up.

Positions are samples of agent audio counted over the whole call. Times are seconds of the call's monotonic clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from patter.call.audio_queue import take

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.providers.tts import WordTime

#: the most that is sent ahead of the pace clock, in ms; one grid step below the promise of 200 (PL-02), so that
#: prompt echoes leave at most five marks of the greeting unconfirmed (PL-03)
LEAD_MS = 190
#: the longest audio of one message, in ms (PL-01)
CHUNK_MS = 40
#: what a source that delivers slowly must have for a message, in ms
LEAST_MS = 20
#: audio between two marks outside the greeting, in ms (PL-03)
MARK_EVERY_MS = 200
#: speech that was paused resumes this much before what was heard, so that no word is lost, in ms (BI-18)
REPEAT_MS = 300
#: echoes from which the lag counts (the median before the third says nothing)
LAG_ECHOES = 3


@dataclass(slots=True)
class SpokenSentence:
    """One sentence of an agent turn and where its audio lies."""

    text: str
    start: int
    samples: int = 0
    complete: bool = False
    word_times: tuple[WordTime, ...] = ()
    pending: deque[bytes | memoryview] = field(default_factory=deque)


@dataclass(slots=True)
class Chunk:
    """One message to the carrier: audio and the marks that follow it."""

    turn: int
    payload: bytes
    end: int
    marks: tuple[str, ...]


@dataclass(slots=True)
class _Emitted:
    """Audio that was handed out and may have to be said again."""

    sentence: SpokenSentence
    start: int
    payload: bytes


@dataclass(slots=True)
class _Mark:
    position: int
    due_at: float


@dataclass(slots=True)
class _Speech:
    """The agent turn that is playing or about to."""

    turn: int
    start: int
    mark_each_chunk: bool
    sentences: list[SpokenSentence] = field(default_factory=list)
    sending: int = 0
    ended: bool = False
    next_mark: int = 0
    paused: bool = False
    begun: bool = False
    tail: deque[_Emitted] = field(default_factory=deque)


class Playout:
    """The audio of one agent turn at a time, on its way to the caller.

    `begin`, `open_sentence`, `add`, `close_sentence` and `end` fill it; `step` says what to send now; `sent`
    confirms; `clear` or reaching the end empties it.
    """

    def __init__(self, audio_format: AudioFormat, *, marks: bool = True) -> None:
        self.format = audio_format
        self._marks_supported = marks
        self._rate = audio_format.rate
        self._unit = audio_format.bytes_per_sample
        self._lead = self._samples(LEAD_MS)
        self._chunk = self._samples(CHUNK_MS)
        self._least = self._samples(LEAST_MS)
        self._speech: _Speech | None = None
        self._emitted = 0
        self._sent = 0
        self._anchor: tuple[float, int] | None = None
        self._confirmed = 0
        self._heard = 0
        self._floor = 0
        self._waiting: dict[str, _Mark] = {}
        self._mark_count = 0
        self._lags: deque[float] = deque(maxlen=31)
        self._lag = 0.0

    def _samples(self, ms: float) -> int:
        return int(self._rate * ms / 1000)

    # -- filling

    @property
    def turn(self) -> int | None:
        """The turn that has the floor; None when nothing is to be said."""
        return self._speech.turn if self._speech else None

    @property
    def began_sending(self) -> bool:
        """Whether audio of the current turn was handed out for sending."""
        return self._speech is not None and self._emitted > self._speech.start

    @property
    def sentences(self) -> list[SpokenSentence]:
        """The sentences of the current turn, in order."""
        return self._speech.sentences if self._speech else []

    def begin(self, turn: int, *, mark_each_chunk: bool = False) -> None:
        """Give the floor to a turn; whatever an earlier one left must have ended or been cleared."""
        self._waiting.clear()  # an echo that still comes belongs to the turn before (PL-05)
        self._floor = self._emitted
        self._speech = _Speech(turn, self._emitted, mark_each_chunk)
        self._speech.next_mark = self._emitted + self._samples(MARK_EVERY_MS)

    def open_sentence(self, turn: int, text: str) -> SpokenSentence | None:
        """Announce the next sentence; None when the turn no longer has the floor (BI-24)."""
        speech = self._speech
        if speech is None or speech.turn != turn or speech.ended:
            return None
        start = (
            speech.sentences[-1].start + speech.sentences[-1].samples if speech.sentences else speech.start
        )
        sentence = SpokenSentence(text, start)
        speech.sentences.append(sentence)
        return sentence

    def add(self, turn: int, audio: bytes) -> bool:
        """Append audio in the carrier's format to the open sentence; False when the turn lost the floor."""
        speech = self._speech
        if speech is None or speech.turn != turn:
            return False
        if audio:
            sentence = speech.sentences[-1]
            # slices of a memoryview cost nothing however long the block is
            sentence.pending.append(memoryview(audio) if len(audio) > self._chunk * self._unit else audio)
            sentence.samples += len(audio) // self._unit
        return True

    def close_sentence(self, turn: int, word_times: tuple[WordTime, ...] = ()) -> None:
        """The open sentence has all its audio."""
        speech = self._speech
        if speech is not None and speech.turn == turn and speech.sentences:
            speech.sentences[-1].complete = True
            speech.sentences[-1].word_times = word_times

    def end(self, turn: int) -> None:
        """The turn has all its sentences."""
        speech = self._speech
        if speech is not None and speech.turn == turn:
            speech.ended = True
            if speech.sentences:
                speech.sentences[-1].complete = True

    def backlog_ms(self) -> float:
        """Audio that waits to be sent, in ms."""
        if self._speech is None or not self._speech.sentences:
            return 0.0
        last = self._speech.sentences[-1]
        return (last.start + last.samples - self._emitted) * 1000 / self._rate

    # -- sending

    def step(self, t: float) -> list[Chunk]:
        """What may be sent now; at most 200 ms ahead of the pace clock, whatever happened before (PL-02)."""
        speech = self._speech
        if speech is None or speech.paused:
            return []
        chunks: list[Chunk] = []
        # what the socket has not taken yet does not count as under way, or a stall would end in a burst
        limit = min(self._played(t), self._sent) + self._lead
        while (room := limit - self._emitted) > 0:
            chunk = self._next_chunk(speech, room, t)
            if chunk is None:
                break
            chunks.append(chunk)
        return chunks

    def _played(self, t: float) -> int:
        """Position of the pace clock; it waits where the audio ran out."""
        if self._anchor is None:
            return self._emitted
        anchor_t, anchor = self._anchor
        return min(anchor + int((t - anchor_t) * self._rate), self._emitted)

    def _start_clock(self, t: float) -> None:
        """Start the pace clock with the audio about to be sent, also after an underrun or a stall."""
        if self._anchor is None or self._anchor[1] + (t - self._anchor[0]) * self._rate > self._emitted:
            self._anchor = (t, self._emitted)

    def _next_chunk(self, speech: _Speech, room: int, t: float) -> Chunk | None:
        while speech.sending < len(speech.sentences):
            sentence = speech.sentences[speech.sending]
            left = sentence.start + sentence.samples - self._emitted
            if left > 0:
                break
            if not sentence.complete:
                return None
            speech.sending += 1
        else:
            return None
        size = min(left, self._chunk)
        if size > room or (size < self._least and not sentence.complete):
            return None
        payload = take(sentence.pending, size * self._unit)
        self._start_clock(t)
        self._keep(speech, _Emitted(sentence, self._emitted, payload), t)
        self._emitted += size
        ends_sentence = sentence.complete and size == left
        return Chunk(speech.turn, payload, self._emitted, self._marks_for(speech, ends_sentence))

    def _keep(self, speech: _Speech, emitted: _Emitted, t: float) -> None:
        """Remember what `pause` may have to take back, and forget what was heard long enough ago."""
        speech.tail.append(emitted)
        needed = self.heard(t) - self._samples(REPEAT_MS)
        while speech.tail and speech.tail[0].start + len(speech.tail[0].payload) // self._unit <= needed:
            speech.tail.popleft()

    def _marks_for(self, speech: _Speech, ends_sentence: bool) -> tuple[str, ...]:
        if not self._marks_supported:
            return ()
        if not (speech.mark_each_chunk or ends_sentence or self._emitted >= speech.next_mark):
            return ()
        speech.next_mark = self._emitted + self._samples(MARK_EVERY_MS)
        self._mark_count += 1
        name = f"p{self._mark_count}"
        assert self._anchor is not None
        anchor_t, anchor = self._anchor
        self._waiting[name] = _Mark(self._emitted, anchor_t + (self._emitted - anchor) / self._rate)
        return (name,)

    def sent(self, chunk: Chunk, t: float) -> bool:
        """The connection accepted a chunk; True when it is the first of its turn (BI-01)."""
        self._sent = max(self._sent, min(chunk.end, self._emitted))
        speech = self._speech
        if speech is None or speech.turn != chunk.turn:
            return False
        start = chunk.end - len(chunk.payload) // self._unit
        anchor = self._anchor
        if not speech.paused and (anchor is None or anchor[0] + (start - anchor[1]) / self._rate < t):
            self._anchor = (t, start)  # the socket took it so late that the carrier had run dry
        first, speech.begun = not speech.begun, True
        return first

    def take_back(self, chunks: Sequence[Chunk]) -> None:
        """The last chunks that were handed out will not be sent; they are handed out again (LC-11)."""
        for name in (name for chunk in chunks for name in chunk.marks):
            self._waiting.pop(name, None)
        if self._speech is not None and chunks and chunks[0].turn == self._speech.turn:
            self._rewind(self._speech, chunks[0].end - len(chunks[0].payload) // self._unit)

    # -- hearing

    def mark_reached(self, name: str, t: float) -> bool:
        """An echo came back; False for one that confirms nothing (PL-05)."""
        mark = self._waiting.pop(name, None)
        if mark is None:
            return False
        self._confirmed = max(self._confirmed, min(mark.position, self._sent))
        self._lags.append(max(0.0, t - mark.due_at))
        if len(self._lags) >= LAG_ECHOES:
            self._lag = median(self._lags)
        return True

    @property
    def waiting_marks(self) -> int:
        """Marks that were sent and neither echoed nor resolved."""
        return len(self._waiting)

    @property
    def carrier_delay_ms(self) -> float:
        """Median echo lag of this call in ms; 0 before the third echo."""
        return self._lag * 1000

    def heard(self, t: float) -> int:
        """The heard position at time t; it stands still while no turn has the floor."""
        if self._speech is None:
            return self._heard
        position = max(self._confirmed, self._floor)
        if self._anchor is not None:
            anchor_t, anchor = self._anchor
            position = max(position, anchor + int((t - self._lag - anchor_t) * self._rate))
        self._heard = max(self._heard, min(position, self._sent))
        return self._heard

    def heard_ms(self, t: float) -> float:
        """How much of the current turn the caller has heard, in ms."""
        if self._speech is None:
            return 0.0
        return max(0, self.heard(t) - self._speech.start) * 1000 / self._rate

    def finished(self, t: float) -> bool:
        """Whether the current turn has all its audio sent and heard."""
        speech = self._speech
        if speech is None or not speech.ended or self._sent < self._emitted:
            return False
        end = speech.sentences[-1].start + speech.sentences[-1].samples if speech.sentences else speech.start
        # what was paused after it was heard sounds again before the floor is free
        return self._emitted >= end and self.heard(t) >= end and self._played(t) >= end

    def due_at(self, t: float) -> float | None:
        """When `step` or `finished` may next have something new; None while only a source can change that."""
        speech = self._speech
        if speech is None or speech.paused:
            return None
        if self._anchor is None:
            return t if self.backlog_ms() > 0 or speech.ended else None
        anchor_t, anchor = self._anchor
        if self.backlog_ms() > 0:
            return anchor_t + (self._emitted + self._chunk - self._lead - anchor) / self._rate
        if speech.ended:
            return anchor_t + (self._emitted - anchor) / self._rate + self._lag
        return None

    # -- stopping

    @property
    def paused(self) -> bool:
        """Whether the current turn waits to go on."""
        return self._speech is not None and self._speech.paused

    def pause(self, t: float) -> None:
        """Send no more and take back what was not heard, with a little of what was; the turn keeps the floor.

        What the carrier holds must be cleared by whoever calls this (BI-18).
        """
        speech = self._speech
        if speech is None or speech.paused:
            return
        speech.paused = True
        self._rewind(speech, max(self.heard(t) - self._samples(REPEAT_MS), speech.start))
        self._waiting.clear()

    def _rewind(self, speech: _Speech, back_to: int) -> None:
        while speech.tail and speech.tail[-1].start + len(speech.tail[-1].payload) // self._unit > back_to:
            emitted = speech.tail.pop()
            skip = max(0, back_to - emitted.start) * self._unit
            emitted.sentence.pending.appendleft(emitted.payload[skip:])
            self._emitted = emitted.start + skip // self._unit
            speech.sending = speech.sentences.index(emitted.sentence)
        self._sent = min(self._sent, self._emitted)
        self._anchor = None

    def resume(self) -> None:
        """Go on where `pause` took back to."""
        if self._speech is not None:
            self._speech.paused = False
            self._speech.next_mark = self._emitted + self._samples(MARK_EVERY_MS)

    def finish(self) -> None:
        """The turn ended by itself; the floor is free."""
        self._speech = None

    def clear(self, t: float) -> int:
        """Give up all that was not heard; returns the heard position (PL-06, PL-07).

        Marks under way are resolved by this; their echoes will be unknown names.
        """
        heard = self.heard(t)
        if self._speech is not None:
            for sentence in self._speech.sentences:
                sentence.pending.clear()
        self._speech = None
        self._anchor = None
        self._waiting.clear()
        self._emitted = self._sent = max(self._emitted, self._sent, heard)
        self._floor = self._emitted
        self._confirmed = min(self._confirmed, heard)
        return heard
