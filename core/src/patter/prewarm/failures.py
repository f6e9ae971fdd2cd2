"""What a log may say of a failed warm-up or handshake: neither address, headers nor text, which may carry a key."""

from __future__ import annotations

from contextlib import suppress


def without_text(error: BaseException) -> str:
    """The kind of an exception, and the HTTP status in it where there is one (PW-14)."""
    with suppress(Exception):  # it is a plugin's, and so are its properties
        status = _status(error)
        if status is not None:
            return f"{type(error).__name__}, HTTP {status}"
    return type(error).__name__


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    candidates = (
        getattr(error, "status", None),
        getattr(error, "status_code", None),
        getattr(response, "status_code", None),
        getattr(error, "vendor_code", None),
    )
    for candidate in candidates:
        text = str(candidate) if isinstance(candidate, (int, str)) else ""
        if len(text) == 3 and text.isascii() and text.isdigit() and "100" <= text <= "599":
            return int(text)
    return None
