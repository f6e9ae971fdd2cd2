"""What one agent turn has to say: its sentences, their audio, and what of it was handed out already. Pure.

Positions are samples of agent audio counted over the whole call.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.providers.tts import WordTime


@dataclass(slots=True)
class SpokenSentence:
    """One sentence of an agent turn and where its audio lies; `tool_rounds` of the turn came before it.

    `ms_per_character` is how long its voice takes for a character at most, as far as that is known.
    """

    text: str
    start: int
    samples: int = 0
    complete: bool = False
    word_times: tuple[WordTime, ...] = ()
    tool_rounds: int = 0
    ms_per_character: float = 75.0
    #: audio that waits, in pieces of any size, and how many bytes of the first of them are gone
    pending: deque[bytes] = field(default_factory=deque)
    taken: int = 0

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes from the front of what waits."""
        first, begin = self.pending[0], self.taken
        end = begin + size
        if end < len(first):
            self.taken = end
            return first[begin:end]
        self.pending.popleft()
        self.taken = 0
        part = first[begin:]
        if len(part) == size:
            return part
        parts = bytearray(part)
        while missing := size - len(parts):
            piece = self.pending[0]
            if len(piece) > missing:
                piece, self.taken = piece[:missing], missing
            else:
                self.pending.popleft()
            parts += piece
        return bytes(parts)

    def put_back(self, audio: bytes) -> None:
        """Audio from the front waits again."""
        if self.taken:
            self.pending[0] = self.pending[0][self.taken :]
            self.taken = 0
        self.pending.appendleft(audio)


@dataclass(slots=True)
class Chunk:
    """One message to the carrier: audio and the marks that follow it."""

    turn: int
    payload: bytes
    end: int
    marks: tuple[str, ...]


class AgentSpeech:
    """The agent turn that is playing or about to.

    Attributes:
        turn: its number.
        start: the position at which it begins.
        end: the position after the last audio that was added.
        sentences: what it says, in order.
        sending: index of the sentence that is being handed out.
        tail: what was handed out last and may have to be said again, in order.
        ended: whether it has all its sentences.
        paused: whether it waits to go on.
        begun: whether the connection accepted audio of it.
    """

    __slots__ = ("begun", "end", "ended", "paused", "sending", "sentences", "start", "tail", "turn")

    def __init__(self, turn: int, start: int) -> None:
        self.turn = turn
        self.start = self.end = start
        self.sentences: list[SpokenSentence] = []
        self.sending = 0
        self.tail: deque[Chunk] = deque()
        self.ended = self.paused = self.begun = False

    def to_send(self, emitted: int) -> SpokenSentence:
        """The sentence to hand out of, past position `emitted`, where there must be audio."""
        sentence = self.sentences[self.sending]
        while sentence.start + sentence.samples <= emitted:
            self.sending += 1
            sentence = self.sentences[self.sending]
        return sentence

    def forget(self, until: int) -> None:
        """Nothing before that position will be said again."""
        tail = self.tail
        while tail and tail[0].end <= until:
            tail.popleft()

    def rewind(self, back_to: int, emitted: int, bytes_per_sample: int) -> int:
        """Take back what was handed out past `back_to`; returns the position after what was not taken back."""
        while self.tail and self.tail[-1].end > back_to:
            last = self.tail.pop()
            start = last.end - len(last.payload) // bytes_per_sample
            while self.sentences[self.sending].start > start:
                self.sending -= 1
            skip = max(0, back_to - start)
            self.sentences[self.sending].put_back(last.payload[skip * bytes_per_sample :])
            emitted = start + skip
        return emitted

    def drop_audio(self) -> None:
        """Nothing more of it will be sent."""
        for sentence in self.sentences:
            sentence.pending.clear()
