"""Foreign text made fit for a log line, an error or a model: no secrets, no whole numbers, no control characters.

Whoever quotes what a vendor, a caller or user code said passes it through `redact` (SC-08).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

#: quoted text is cut here, in characters (SC-08)
LONGEST_QUOTE: Final = 200
MASK: Final = "***"

# Longer input is cut before the patterns see it, so that their cost is bounded whatever a vendor sends.
_LONGEST_INPUT = 20_000
# A shorter "secret" would mask ordinary words.
_SHORTEST_SECRET = 4
# Keys of services are longer; what servers without keys are given ("none", "local") is often a word.
_SHORTEST_KNOWN = 8
# Far more than a process has; a limit, so that a program which makes up keys does not slow every log line down.
_MOST_SECRETS = 1000

# Control characters, and what splits or reorders lines: line and paragraph separators, directional marks.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_CREDENTIALS = (
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=*-]{6,}", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"(://)[^\s/@]{1,200}@"), rf"\1{MASK}@"),
    (re.compile(r"\b(sk|pk|rk|gsk|csk|xai|xi|key|whsec)[-_][\w*-]{6,}"), MASK),
    # Hexadecimal keys and media tokens; call ids are shorter, and carriers' ids begin with letters.
    (re.compile(r"(?<![\w-])[0-9a-f]{32,128}(?![\w-])", re.IGNORECASE), MASK),
    (re.compile(r"\beyJ[\w-]{6,}\.[\w.-]{6,}"), MASK),
    (
        re.compile(
            r"""\b([\w-]{0,40}(?:api[-_]?key|token|secret|signature|password|authorization))(["']?\s{0,3}[=:]\s{0,3}["']?)"""
            r"""(?!\*\*\*)(?!bearer\b|basic\b)[^\s"'&,;]{4,}""",
            re.IGNORECASE,
        ),
        rf"\1\2{MASK}",
    ),
)
# A number with its plus sign; ten to fifteen digits in a row; the groups in which such numbers are written.
_PHONE = re.compile(
    r"\+\d(?:[ ().-]{0,2}\d){6,14}(?!\d)"
    r"|(?<![\w.+-])\d{10,15}(?![\w-])"
    r"|(?<![\w.])\(?\d{3}\)?[ .-]{1,2}\d{3}[ .-]\d{4}(?!\d)"
)


_known: set[str] = set()


def remember_secret(value: str) -> None:
    """Mask a key of this process wherever it is quoted from now on, whatever it looks like."""
    if len(value) >= _SHORTEST_KNOWN and len(_known) < _MOST_SECRETS:
        _known.add(value)


def redact(text: object, secrets: Iterable[str] = (), *, longest: int = LONGEST_QUOTE) -> str:
    """`text` as one line of at most `longest` characters.

    `secrets` are keys that are known to whoever quotes; besides them, those that configurations hold
    (`remember_secret`) and everything that looks like a credential are masked. Phone numbers keep their last 4 digits.
    """
    line = _CONTROL.sub(" ", str(text)[:_LONGEST_INPUT])
    # The longest first: one secret may be the beginning of another.
    for secret in sorted(
        {*_known, *(one for one in secrets if len(one) >= _SHORTEST_SECRET)}, key=len, reverse=True
    ):
        line = line.replace(secret, MASK).replace(quote(secret, safe=""), MASK)
    for pattern, replacement in _CREDENTIALS:
        line = pattern.sub(replacement, line)
    line = _PHONE.sub(lambda match: mask_number(match.group()), line).strip()
    return line if len(line) <= longest else line[: longest - 1] + "…"


def mask_number(number: str) -> str:
    """A phone number of which only the last 4 digits can be read."""
    digits = [character for character in number if character.isdecimal()]
    return MASK + "".join(digits[-4:]) if len(digits) > 4 else MASK
