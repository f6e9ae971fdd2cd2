"""Finals that an STT gives once more after its connection was lost and made anew (SP-02). Pure."""

from __future__ import annotations

from collections import deque

from patter.call.turns import plain

#: so many finals back a repetition is recognised
REMEMBERED = 8


class RepeatedFinals:
    """Tells a final that was delivered before the connection was lost from one that the caller has said since.

    An equal text is a repetition if nobody has spoken since the last final: the VAD, or the STT's own signs of speech
    where there is none, must have heard something for it to be new. Where nothing ever tells of speech, nothing is
    taken for a repetition. TN-05 goes on to hold for what this lets pass.
    """

    def __init__(self) -> None:
        self._given: deque[str] = deque(maxlen=REMEMBERED)
        self._renewed = False
        self._speaking = False
        self._spoken = False
        self._tells_speech = False

    def speech_started(self) -> None:
        """The caller is heard to speak; until `speech_ended` everything may be new."""
        self._speaking = self._spoken = self._tells_speech = True

    def speech_ended(self) -> None:
        """The caller has stopped."""
        self._speaking = False

    def sign_of_speech(self) -> None:
        """The STT itself heard some speech, of which it tells no end."""
        self._spoken = self._tells_speech = True

    def renewed(self) -> None:
        """The connection was made anew."""
        self._renewed = True

    def is_repeated(self, text: str) -> bool:
        """Whether this final was delivered before; remembers it."""
        text = plain(text)
        if self._renewed and self._tells_speech and not self._spoken and text in self._given:
            return True
        if text:
            self._given.append(text)
            self._spoken = self._speaking
            self._renewed = False
        return False
