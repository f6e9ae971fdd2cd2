"""The documents that tell Twilio what to do with a call.

Values are escaped here and nowhere else, so text from a caller or a model cannot add a verb or an attribute (SC-09).
"""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

CONTENT_TYPE = "text/xml"
#: What a document sent with a REST request may have at most, in characters.
MAX_LENGTH = 4000

# Everything that XML 1.0 has no place for, escaped or not.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def connect_stream(url: str) -> str:
    """Open one bidirectional media stream to `url`; the call ends when it closes."""
    return _response(f"<Connect><Stream{_attributes(url=url)}/></Connect>")


def say_and_hangup(message: str, *, voice: str | None = None, language: str | None = None) -> str:
    """Speak a message and hang up; without a message only the latter."""
    text = _text(message).strip()
    if not text:
        return hangup()
    room = MAX_LENGTH - 200 - len(_attributes(voice=voice, language=language))
    return _response(f"<Say{_attributes(voice=voice, language=language)}>{_cut(text, room)}</Say><Hangup/>")


def reject(*, busy: bool = False) -> str:
    """Turn down an inbound call without answering it: nothing is billed and the caller hears a tone."""
    return _response(f"<Reject{_attributes(reason='busy' if busy else 'rejected')}/>")


def hangup() -> str:
    """Hang up."""
    return _response("<Hangup/>")


def say(message: str, *, voice: str | None = None, language: str | None = None) -> str:
    """Speak a message and go on with the call; without a message nothing is done."""
    text = _text(message).strip()
    if not text:
        return _response("")
    attributes = _attributes(voice=voice, language=language)
    return _response(f"<Say{attributes}>{_cut(text, MAX_LENGTH - 200 - len(attributes))}</Say>")


def dial(destination: str, *, ring_timeout_s: int, whisper_url: str = "", after_url: str = "") -> str:
    """Connect the caller to an E.164 number or a SIP URI, and hang up when that conversation ends.

    With `whisper_url` the document of that address is carried out for who answers, before the two are connected; with
    `after_url` the call goes on with the document of that address when all is over, or nobody answered.
    """
    noun = "Sip" if destination.lower().startswith(("sip:", "sips:")) else "Number"
    whisper = _attributes(url=whisper_url, method="POST") if whisper_url else ""
    after = _attributes(action=after_url, method="POST") if after_url else ""
    target = f"<{noun}{whisper}>{escape(_text(destination))}</{noun}>"
    return _response(f"<Dial{_attributes(timeout=str(ring_timeout_s))}{after}>{target}</Dial>")


def _response(content: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{content}</Response>'


def _attributes(**values: str | None) -> str:
    return "".join(
        f" {name}={quoteattr(_text(value))}" for name, value in values.items() if value is not None
    )


def _text(value: str) -> str:
    return _NOT_XML.sub("", value)


def _cut(text: str, room: int) -> str:
    """`text` escaped, cut so that the result has at most `room` characters."""
    escaped = escape(text)
    while len(escaped) > room:
        text = text[: max(1, len(text) - (len(escaped) - room + 4) // 5)]
        escaped = escape(text)
    return escaped
