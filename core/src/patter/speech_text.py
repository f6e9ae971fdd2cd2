"""Text transforms: what a model writes for the eye is taken out before it is spoken (TN-17). Pure.

Each takes one sentence and returns it without markdown or emoji; sentences are transformed one by one, so that a mark
whose partner stands in another sentence is taken out alone. The cost is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from patter.errors import ConfigError
from patter.plain_functions import is_async

# -- markdown

_FENCE: Final = re.compile(r"[ \t]*(?:`{3,}|~{3,})[\w+#.-]*[ \t]*")
_HEADING: Final = re.compile(r"[ \t]{0,3}#{1,6}(?:[ \t]+|$)")
_QUOTE: Final = re.compile(r"[ \t]{0,3}(?:>[ \t]?)+")
_BULLET: Final = re.compile(r"[ \t]*[-+*•][ \t]+(?:\[[ xX]\][ \t]+)?")
_TRAILING_MARKS: Final = re.compile(r"(?<=[ \t])#+[ \t]*$")
#: ``[text](address)``, with one pair of brackets in the address, and ``[text][name]``; with ``!`` an image
_LINK: Final = re.compile(r"!?\[([^\[\]]*+)\](?:\((?:[^()\n]|\([^()\n]*+\))*+\)|\[[^\[\]\n]*+\])")
_ADDRESS: Final = re.compile(r"<((?:https?://|mailto:)[^<>\s]+)>")
_TAG: Final = re.compile(
    r"</?(?:a|b|blockquote|br|code|del|div|em|h[1-6]|hr|i|img|kbd|li|mark|ol|p|pre|s|small|span|strong|sub|sup|"
    r"table|tbody|td|th|thead|tr|u|ul)(?:[ \t/][^<>\n]*)?>",
    re.IGNORECASE,
)
_MARKS: Final = re.compile(r"(?<!\\)(?:\*+|_+|~~+|`+)")
_ESCAPED: Final = re.compile(r"\\([\\`*_{}\[\]()#+.!|>~-])")


def filter_markdown(text: str) -> str:
    """The text without markdown: its words, code and link texts stay, its marks, addresses of links and tags go."""
    lines = (_plain_line(line) for line in text.split("\n"))
    kept = "\n".join(line for line in lines if line is not None)
    kept = _LINK.sub(r"\1", kept)
    kept = _TAG.sub("", _ADDRESS.sub(r"\1", kept))
    return _ESCAPED.sub(r"\1", _MARKS.sub(_without_mark, kept)).strip()


def _plain_line(line: str) -> str | None:
    """A line without what marks it as a heading, quote, list or table; None for one that is nothing but marks."""
    bare = line.strip()
    if bare and (set(bare) <= set("|:- ") or set(bare) <= set("=") or set(bare) <= set("*_ ")):
        return None
    if _FENCE.fullmatch(line):
        return None
    line = _QUOTE.sub("", line, count=1) if _QUOTE.match(line) else line
    heading = _HEADING.match(line)
    if heading:
        return _TRAILING_MARKS.sub("", line[heading.end() :])
    bullet = _BULLET.match(line)
    if bullet:
        line = line[bullet.end() :]
    if bare.startswith("|"):
        return ", ".join(cell.strip() for cell in line.strip(" \t|").split("|") if cell.strip())
    return line


def _without_mark(found: re.Match[str]) -> str:
    """A mark is taken out, unless it is an operator, a part of a name or stands alone between words."""
    text, mark = found.string, found[0]
    before = text[found.start() - 1] if found.start() else " "
    after = text[found.end()] if found.end() < len(text) else " "
    if mark[0] == "_" and before.isalnum() and after.isalnum():
        return mark  # snake_case
    if mark[0] == "*" and ((before.isdigit() and after.isalnum()) or (before.isalnum() and after.isdigit())):
        return mark  # 5*3
    if mark == "*" and before.isspace() and after.isspace() and found.start() and found.end() < len(text):
        return mark  # 5 * 3
    return ""


# -- emoji

_PICTURES: Final = (
    "\u231a\u231b\u2328\u23cf\u23e9-\u23f3\u23f8-\u23fa\u25fd\u25fe\u2600-\u2775\u2794-\u27bf\u2b05-\u2b07\u2b1b\u2b1c"
    "\u2b50\u2b55\U0001f000-\U0001f0ff\U0001f170-\U0001f19a\U0001f1e6-\U0001f23b\U0001f250-\U0001f251"
    "\U0001f300-\U0001faff"
)
_STYLES: Final = "\ufe0e\ufe0f\u20e3\U000e0020-\U000e007f"
_PICTURE: Final = (
    rf"(?:[{_PICTURES}]|[^\w\s#*]\ufe0f)[{_STYLES}]*+(?:\u200d[{_PICTURES}\u2190-\u2bff][{_STYLES}]*+)*+"
)
#: one or more emoji with the blanks around them
_EMOJI: Final = re.compile(rf"(?<![ \t])[ \t]*+(?:{_PICTURE}[ \t]*+)++|(?:{_PICTURE}[ \t]*+)++")
#: a digit in a box is a digit
_KEYCAP: Final = re.compile(r"([0-9#*])\ufe0f?\u20e3")
_CLOSES: Final = frozenset(".,;:!?…)]}»”’。，！？、")


def filter_emoji(text: str) -> str:
    """The text without emoji, whatever they are made of: skin tones, families, flags. Digits in boxes stay as digits."""
    return _EMOJI.sub(_without_emoji, _KEYCAP.sub(r"\1", text)).replace("\ufe0f", "").strip()


def _without_emoji(found: re.Match[str]) -> str:
    text = found.string
    spaced = found[0][0] in " \t" or found[0][-1] in " \t"
    if not spaced or found.end() == len(text) or text[found.end()] in _CLOSES:
        return ""
    return " "


# -- both


def filter_for_tts(text: str) -> str:
    """The text as a voice should get it: no markdown, no emoji, single blanks; "" when no word is left of it."""
    spoken = " ".join(filter_emoji(filter_markdown(text)).split())
    return spoken if any(one.isalnum() for one in spoken) else ""


def check_transform(transform: Callable[[str], str]) -> None:
    """Raise `ConfigError` for a transform that is no plain function."""
    if is_async(transform):
        name = getattr(transform, "__name__", type(transform).__name__)
        raise ConfigError(f"{name} must be a plain function; before_synthesize of a pipeline may be async")
