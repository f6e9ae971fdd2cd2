"""What reaches the turns from a recogniser whose connection breaks, by the ledger's words (SP-02)."""

from __future__ import annotations

from patter.testing.simulation.finals import said


class Understood:
    """What one recogniser has said. Written without a look at how the engine hears."""

    def __init__(self, *, has_vad: bool) -> None:
        self._has_vad = has_vad
        self._interim = ""
        self._lost = ""
        self._given: list[str] = []
        self._renewed = False
        self._speaking = False
        self._spoken = False
        self._tells = False

    def speech(self, *, began: bool) -> None:
        """The detector, or the recogniser where there is none, heard an edge of speech."""
        self._speaking = began and self._has_vad
        if began:
            self._spoken = self._tells = True

    def interim(self, text: str) -> None:
        """A partial."""
        self._interim = text
        if not self._has_vad:
            self._spoken = self._tells = True

    def broke(self) -> None:
        """The connection is gone; what was understood of an open utterance goes before the next final."""
        self._lost, self._interim = _joined(self._lost, self._interim), ""
        self._renewed = True

    def final(self, text: str) -> str | None:
        """The text that counts; None for one that was delivered before the connection broke."""
        words = said(text)
        if self._renewed and self._tells and not self._spoken and words in self._given:
            return None
        if words:
            self._given.append(words)
            self._spoken, self._renewed = self._speaking, False
        whole = _joined(self._lost, text)
        self._lost = self._interim = ""
        return whole


def _joined(earlier: str, later: str) -> str:
    """Both, or the later alone where it says the earlier again."""
    if not earlier or f"{said(later)} ".startswith(f"{said(earlier)} "):
        return later
    return f"{earlier} {later}" if later else earlier
