"""The caller of a simulated call: an ear that reads the agent's tones and a mouth that speaks in tones."""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from patter.testing.tones import FRAME_MS, MS_PER_CHARACTER, ToneReader, tone

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.testing.scene import VoiceScript
    from patter.testing.simulated_line import PlayedAudio, SimulatedLine

FRAME_S = FRAME_MS / 1000
#: a shorter pause in the agent's audio does not count as silence, in s
PAUSE_S = 0.25
_NEVER = -math.inf


@dataclass(slots=True)
class Spoken:
    """Something that was said: as far as it was heard, in s of the loop's clock."""

    who: Literal["agent", "caller"]
    text: str
    start: float
    end: float


@dataclass(slots=True)
class _Frame:
    start: float
    end: float
    number: int


class Ear:
    """Reads from the agent's audio which synthesis sounds and how much of it was heard.

    `lines` are what was heard so far, one for each stretch of one synthesis; call `listen(t)` to bring them up to
    date.
    """

    def __init__(self, audio_format: AudioFormat, voice: VoiceScript) -> None:
        self._format = audio_format
        self._voice = voice
        self._reader = ToneReader(audio_format)
        self._carried = 0
        self._coming: deque[_Frame] = deque()
        self._heard_ms: dict[int, int] = {}
        self._last_number = -1
        self._offset = 0
        self._runs: list[list[float]] = []
        self._cut = False
        self.lines: list[Spoken] = []

    def plays(self, played: PlayedAudio) -> None:
        """Audio is on its way to the ear."""
        position = -self._carried
        frame_bytes = self._format.bytes_for_ms(FRAME_MS)
        for pitch in self._reader.feed(played.audio):
            start = played.start + self._format.duration_ms(position) / 1000
            number = -1 if pitch is None else self._voice.number_of(pitch)
            self._coming.append(_Frame(start, start + FRAME_S, number))
            position += frame_bytes
        self._carried = len(played.audio) - position

    def cleared(self, t: float) -> None:
        """The rest is never heard; of a frame that was cut, what was heard of it still sounded."""
        self.listen(t)
        if self._coming and self._coming[0].start < t and self._coming[0].number >= 0:
            self._sounded(self._coming[0].start, t)
        self._coming.clear()
        self._reader.reset()
        self._carried = 0
        self._last_number = -1
        self._cut = True

    def listen(self, t: float) -> None:
        """Hear what has been played by then."""
        while self._coming and self._coming[0].end <= t + 1e-9:
            frame = self._coming.popleft()
            if frame.number >= 0:
                self._hear(frame)
            else:
                self._last_number = -1

    def _hear(self, frame: _Frame) -> None:
        text = self._voice.spoken[frame.number]
        before = self._heard_ms.get(frame.number, 0)
        self._heard_ms[frame.number] = before + FRAME_MS
        if frame.number != self._last_number:
            self._last_number, self._offset = frame.number, before // MS_PER_CHARACTER
            self.lines.append(Spoken("agent", "", frame.start, frame.end))
        line = self.lines[-1]
        line.text = text[self._offset : (before + FRAME_MS) // MS_PER_CHARACTER]
        line.end = frame.end
        self._sounded(frame.start, frame.end)

    def _sounded(self, start: float, end: float) -> None:
        if self._runs and not self._cut and start - self._runs[-1][1] <= PAUSE_S:
            self._runs[-1][1] = end
        else:
            self._runs.append([start, end])
        self._cut = False

    def sounding(self, t: float) -> bool:
        """Whether agent audio is being heard, or about to be without a pause."""
        self.listen(t)
        return any(frame.number >= 0 and frame.start <= t + PAUSE_S for frame in self._coming)

    def last_sound(self, t: float) -> float:
        """When the agent was last heard, in s; minus infinity if never."""
        self.listen(t)
        return self._runs[-1][1] if self._runs else _NEVER

    def silent_after(self, onset: float, t: float) -> float:
        """Seconds from `onset` to the end of the agent audio that was heard then; 0 if none was.

        Infinity while that audio still sounds.
        """
        self.listen(t)
        for start, end in self._runs:
            if start <= onset < end:
                still = self.sounding(t) and end >= t - FRAME_S
                return math.inf if still else end - onset
        return 0.0


class Mouth:
    """Sends the caller's audio in frames of 20 ms at real time: speech when there is some, else silence."""

    def __init__(self, line: SimulatedLine) -> None:
        self._line = line
        self._speech: deque[tuple[str, asyncio.Future[None] | None]] = deque()
        self._silence = _media(line.format.silence(line.format.samples(line.format.bytes_for_ms(FRAME_MS))))

    async def run(self) -> None:
        """Until cancelled, or until the line is gone."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while self._line.is_open:
            due += FRAME_S
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not self._speech:
                self._line.send_raw(self._silence)
                continue
            message, last = self._speech.popleft()
            self._line.send_raw(message)
            if last is not None and not last.done():
                last.set_result(None)
        while self._speech:
            _, last = self._speech.popleft()
            if last is not None and not last.done():
                last.set_result(None)

    def say(self, number: int, duration_ms: int) -> asyncio.Future[None]:
        """Say utterance `number`, after what is being said; the future is done when its last frame was sent."""
        loop = asyncio.get_running_loop()
        said: asyncio.Future[None] = loop.create_future()
        if not self._line.is_open or duration_ms < FRAME_MS:
            said.set_result(None)
            return said
        frame = _media(tone(number, FRAME_MS, self._line.format))
        frames = duration_ms // FRAME_MS
        self._speech.extend((frame, None) for _ in range(frames - 1))
        self._speech.append((frame, said))
        return said

    @property
    def waiting_frames(self) -> int:
        """Frames of speech that were not sent yet."""
        return len(self._speech)


def _media(audio: bytes) -> str:
    return json.dumps({"type": "media", "audio": base64.b64encode(audio).decode("ascii")})
