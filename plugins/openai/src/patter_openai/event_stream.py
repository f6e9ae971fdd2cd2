"""Server-sent events, from the bytes of an HTTP answer. Pure.

https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6. Bytes may be cut anywhere: within a
line, within a character, between CR and LF.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from patter.errors import ProviderError

LONGEST_LINE: Final = 256 * 1024
LONGEST_BODY: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event; `name` is "" where the server gave none."""

    name: str
    data: str


class EventStreamReader:
    """Reads one answer. `feed` and `finish` raise `ProviderError` when a line or the whole is too long."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._size = 0
        self._after_cr = False
        self._first = True
        self._name = ""
        self._data: list[str] = []
        self._data_size = 0

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """The events that `chunk` completes."""
        self._size += len(chunk)
        if self._size > LONGEST_BODY:
            raise ProviderError(f"the answer is longer than {LONGEST_BODY} bytes")
        if self._after_cr and chunk[:1] == b"\n":
            chunk = chunk[1:]
            self._after_cr = False  # the line feed after that one is a line of its own
        if chunk:
            self._after_cr = chunk[-1:] == b"\r"
        # Only the new part is searched for line ends, or a long line in small pieces would cost its square.
        begin = len(self._rest)
        self._rest += chunk
        if b"\n" not in chunk and b"\r" not in chunk:
            self._check_line(len(self._rest))
            return []
        head, tail = self._rest[:begin], bytes(self._rest[begin:])
        lines = tail.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        lines[0] = bytes(head) + lines[0]
        self._rest = bytearray(lines.pop())
        self._check_line(len(self._rest))
        return [event for line in lines if (event := self._line(line)) is not None]

    def finish(self) -> list[ServerEvent]:
        """What the end of the answer completes: some servers leave out the last blank line."""
        found = [self._line(bytes(self._rest)), self._dispatch()]
        self._rest.clear()
        return [event for event in found if event is not None]

    def _check_line(self, size: int) -> None:
        if size > LONGEST_LINE:
            raise ProviderError(f"the answer has a line of more than {LONGEST_LINE} bytes")

    def _line(self, raw: bytes) -> ServerEvent | None:
        self._check_line(len(raw))
        if self._first:
            self._first = False
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if not raw:
            return self._dispatch()
        name, _, value = raw.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data_size += len(value)
            self._check_line(self._data_size)
            self._data.append(value)
        elif name == "event":
            self._name = value
        return None  # comments, ids and unknown fields

    def _dispatch(self) -> ServerEvent | None:
        name, data = self._name, self._data
        self._name, self._data, self._data_size = "", [], 0
        return ServerEvent(name, "\n".join(data)) if data else None
