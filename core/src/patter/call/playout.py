"""Playout: what is sent when, and what the caller has heard of it. Pure: no clock, no I/O.

Two clocks (PL-02 to PL-06). The *pace clock* starts with the first sent audio, runs in real time and alone decides
sending. The *heard position* is the greater of the last confirmed mark and (pace clock − the call's measured echo
lag), never past what was sent, and never moves back; it alone feeds text, truncation and hang-up.

Positions are samples of agent audio counted over the whole call. Times are seconds of the call's monotonic clock.
`step`, `sent`, `due_at` and `finished` run for every frame of every call: they compare in place instead of calling.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from patter.call.agent_speech import AgentSpeech, Chunk, SpokenSentence
from patter.call.marks import MARK_EVERY_MS, Marks
from patter.call.pace_clock import PaceClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patter.audio.formats import AudioFormat
    from patter.providers.tts import WordTime

__all__ = ["Chunk", "Playout", "SpokenSentence"]

#: the most that is sent ahead of the pace clock, in ms; one grid step below the promise of 200 (PL-02), so that
#: prompt echoes leave at most five marks of the greeting unconfirmed (PL-03)
LEAD_MS = 190
#: the longest audio of one message, in ms (PL-01)
CHUNK_MS = 40
#: what a source that delivers slowly must have for a message, in ms
LEAST_MS = 20
#: speech that was paused resumes this much before what was heard, so that no word is lost, in ms (BI-18)
REPEAT_MS = 300


class Playout:
    """The audio of one agent turn at a time, on its way to the caller.

    `begin`, `open_sentence`, `add`, `close_sentence` and `end` fill it; `step` says what to send now; `sent`
    confirms; `clear` or reaching the end empties it.
    """

    def __init__(self, audio_format: AudioFormat, *, marks: bool = True) -> None:
        self.format = audio_format
        self._rate = rate = audio_format.rate
        self._unit = audio_format.bytes_per_sample
        self._lead = rate * LEAD_MS // 1000
        self._chunk = rate * CHUNK_MS // 1000
        self._least = rate * LEAST_MS // 1000
        self._repeat = rate * REPEAT_MS // 1000
        self._speech: AgentSpeech | None = None
        self._emitted = 0
        self._sent = 0
        self._heard = 0
        self._floor = 0
        #: the heard position when the last turn was cleared, which the next turn's floor hides
        self.heard_when_cleared = 0
        self._clock = PaceClock(rate)
        self._marks = Marks(rate * MARK_EVERY_MS // 1000, supported=marks)

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
        self._floor = self._emitted
        self._marks.begin(self._emitted, each_chunk=mark_each_chunk)
        self._speech = AgentSpeech(turn, self._emitted)

    def open_sentence(self, turn: int, text: str) -> SpokenSentence | None:
        """Announce the next sentence; None when the turn no longer has the floor (BI-24)."""
        speech = self._speech
        if speech is None or speech.turn != turn or speech.ended:
            return None
        sentence = SpokenSentence(text, speech.end)
        speech.sentences.append(sentence)
        return sentence

    def add(self, turn: int, audio: bytes) -> bool:
        """Append audio in the carrier's format to the open sentence; False when the turn lost the floor."""
        speech = self._speech
        if speech is None or speech.turn != turn:
            return False
        if audio:
            sentence, samples = speech.sentences[-1], len(audio) // self._unit
            sentence.pending.append(audio)
            sentence.samples += samples
            speech.end += samples
        return True

    def close_sentence(self, turn: int, word_times: tuple[WordTime, ...] = ()) -> None:
        """The open sentence has all its audio."""
        speech = self._speech
        if speech is not None and speech.turn == turn and speech.sentences:
            sentence = speech.sentences[-1]
            sentence.complete, sentence.word_times = True, word_times

    def end(self, turn: int) -> None:
        """The turn has all its sentences."""
        speech = self._speech
        if speech is not None and speech.turn == turn:
            speech.ended = True
            if speech.sentences:
                speech.sentences[-1].complete = True

    def backlog_ms(self) -> float:
        """Audio that waits to be sent, in ms."""
        if self._speech is None:
            return 0.0
        return (self._speech.end - self._emitted) * 1000 / self._rate

    # -- sending

    def step(self, t: float) -> list[Chunk]:
        """What may be sent now; at most 200 ms ahead of the pace clock, whatever happened before (PL-02)."""
        speech, emitted = self._speech, self._emitted
        chunks: list[Chunk] = []
        if speech is None or speech.paused or speech.end <= emitted:
            return chunks
        played, sent = self._played(t), self._sent
        # what the socket has not taken yet does not count as under way, or a stall would end in a burst
        limit = (played if played < sent else sent) + self._lead
        clock, marks, tail = self._clock, self._marks, speech.tail
        sentence = speech.sentences[speech.sending]
        while limit > emitted < speech.end:
            left = sentence.start + sentence.samples - emitted
            if left <= 0:
                sentence = speech.to_send(emitted)
                continue
            size = left if left < self._chunk else self._chunk
            if size > limit - emitted or (size < self._least and not sentence.complete):
                break
            if not chunks:
                clock.start_if_dry(t, emitted)
            emitted += size
            marked = emitted >= marks.due_at or (size == left and sentence.complete)
            names = marks.behind(emitted, clock) if marked else ()
            chunk = Chunk(speech.turn, sentence.take(size * self._unit), emitted, names)
            chunks.append(chunk)
            tail.append(chunk)
        self._emitted = emitted
        # what was heard long enough ago need not be kept for `pause`; nothing was heard that was not sent
        if chunks and tail[0].end <= sent - self._repeat:
            speech.forget(self.heard(t) - self._repeat)
        return chunks

    def _played(self, t: float) -> int:
        """Position of the pace clock; it waits where the audio ran out."""
        clock = self._clock
        since = clock.since
        if since is None:
            return self._emitted
        position = clock.position + int((t - since) * clock.rate)
        return position if position < self._emitted else self._emitted

    def sent(self, chunk: Chunk, t: float) -> bool:
        """The connection accepted a chunk; True when it is the first of its turn (BI-01)."""
        end, emitted, speech = chunk.end, self._emitted, self._speech
        if self._sent < end:
            self._sent = end if end < emitted else emitted
        if speech is None or speech.turn != chunk.turn:
            return False
        if not speech.paused:
            clock = self._clock
            since, start = clock.since, end - len(chunk.payload) // self._unit
            if since is None or since + (start - clock.position) / clock.rate < t:
                clock.start(t, start)  # the socket took it so late that the carrier had run dry
        if speech.begun:
            return False
        speech.begun = True
        return True

    def take_back(self, chunks: Sequence[Chunk]) -> None:
        """The last chunks that were handed out will not be sent; they are handed out again (LC-11)."""
        self._marks.withdraw(name for chunk in chunks for name in chunk.marks)
        if self._speech is not None and chunks and chunks[0].turn == self._speech.turn:
            self._rewind(self._speech, chunks[0].end - len(chunks[0].payload) // self._unit)

    # -- hearing

    def mark_reached(self, name: str, t: float) -> bool:
        """An echo came back; False for one that confirms nothing (PL-05)."""
        return self._marks.reached(name, t, self._sent)

    @property
    def waiting_marks(self) -> int:
        """Marks that were sent and neither echoed nor resolved."""
        return len(self._marks)

    @property
    def carrier_delay_ms(self) -> float:
        """Median echo lag of this call in ms; 0 before the third echo."""
        return self._marks.lag * 1000

    def heard(self, t: float) -> int:
        """The heard position at time t; it stands still while no turn has the floor."""
        if self._speech is None:
            return self._heard
        marks, clock = self._marks, self._clock
        position = marks.confirmed if marks.confirmed > self._floor else self._floor
        since = clock.since
        if since is not None:
            paced = clock.position + int((t - marks.lag - since) * clock.rate)
            if paced > position:
                position = paced
        if position > self._sent:
            position = self._sent
        if position > self._heard:
            self._heard = position
        return self._heard

    def heard_ms(self, t: float) -> float:
        """How much of the current turn the caller has heard, in ms."""
        if self._speech is None:
            return 0.0
        heard = self.heard(t) - self._speech.start
        return heard * 1000 / self._rate if heard > 0 else 0.0

    def finished(self, t: float) -> bool:
        """Whether the current turn has all its audio sent and heard."""
        speech, emitted = self._speech, self._emitted
        if speech is None or not speech.ended or self._sent < emitted:
            return False
        end = speech.end
        # what was paused after it was heard sounds again before the floor is free
        return emitted >= end and self.heard(t) >= end and self._played(t) >= end

    def due_at(self, t: float) -> float:
        """When `step` or `finished` may next have something new; infinity while only a source can change that."""
        speech = self._speech
        if speech is None or speech.paused:
            return inf
        emitted = self._emitted
        if speech.end > emitted:
            position, lag = emitted + self._chunk - self._lead, 0.0
        elif speech.ended:
            position, lag = emitted, self._marks.lag
        else:
            return inf
        clock = self._clock
        since = clock.since
        return t if since is None else since + (position - clock.position) / clock.rate + lag

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
        self._rewind(speech, max(self.heard(t) - self._repeat, speech.start))
        self._marks.resolve()

    def _rewind(self, speech: AgentSpeech, back_to: int) -> None:
        self._emitted = speech.rewind(back_to, self._emitted, self._unit)
        self._sent = min(self._sent, self._emitted)
        self._clock.stop()

    def resume(self) -> None:
        """Go on where `pause` took back to."""
        if self._speech is not None:
            self._speech.paused = False
            self._marks.go_on(self._emitted)

    def finish(self) -> None:
        """The turn ended by itself; the floor is free."""
        self._speech = None

    def clear(self, t: float) -> int:
        """Give up all that was not heard; returns the heard position (PL-06, PL-07).

        Marks under way are resolved by this; their echoes will be unknown names.
        """
        heard = self.heard_when_cleared = self.heard(t)
        if self._speech is not None:
            self._speech.drop_audio()
        self._speech = None
        self._clock.stop()
        self._marks.resolve()
        self._emitted = self._sent = max(self._emitted, self._sent, heard)
        self._floor = self._emitted
        self._marks.confirmed = min(self._marks.confirmed, heard)
        return heard
