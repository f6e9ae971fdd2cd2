"""The simulated session's memory: items, what may be done to them, and what the context costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from patter_openai.realtime_simulator.settings import Refusal

#: tokens: so many characters, ms heard and ms spoken make one
_CHARACTERS, _HEARD_MS, _SPOKEN_MS = 4, 100, 50
_CONTENT: Final = {
    "user": ("input_text", "input_audio", "input_image"),
    "assistant": ("output_text",),
    "system": ("input_text",),
}


@dataclass(slots=True)
class Item:
    """An entry; `audio_ms` is how much audio it holds, `words` what the model heard in it, transcribed or not."""

    data: dict[str, Any]
    audio_ms: float = 0.0
    words: str = ""

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.data["id"])

    @property
    def text(self) -> str:
        """What was said or written, as far as that is known."""
        if self.words:
            return self.words
        parts = self.data.get("content", ())
        found = [part.get("text") or part.get("transcript") or "" for part in parts]
        return " ".join(one for one in found if one) or str(self.data.get("output", ""))


@dataclass(slots=True)
class Usage:
    """Tokens of a context, by kind."""

    text: int = 0
    audio: int = 0


@dataclass(slots=True)
class Conversation:
    """The items in order."""

    items: list[Item] = field(default_factory=list)
    _cached: Usage = field(default_factory=Usage)

    def find(self, item_id: Any) -> Item:
        """The item of that id. Raises `Refusal`."""
        for item in self.items:
            if item.id == item_id:
                return item
        raise Refusal("item_not_found", f"there is no item {item_id!r}", "item_id")

    def add(self, item: Item, after: Any = None) -> str | None:
        """Add an item at the end, after another one or at the "root"; returns the id of the one before it."""
        if after is None:
            position = len(self.items)
        elif after == "root":
            position = 0
        else:
            position = self.items.index(self.find(after)) + 1
        self.items.insert(position, item)
        return self.items[position - 1].id if position else None

    def delete(self, item_id: Any) -> None:
        """Remove an item. Raises `Refusal`."""
        self.items.remove(self.find(item_id))

    def truncate(self, item_id: Any, content_index: Any, end_ms: Any) -> None:
        """Cut the audio of an assistant's item; its transcript is gone. Raises `Refusal`."""
        item = self.find(item_id)
        if item.data.get("role") != "assistant" or content_index != 0:
            raise Refusal("invalid_value", "only an assistant's audio can be truncated", "item_id")
        if not isinstance(end_ms, int) or isinstance(end_ms, bool) or end_ms < 0:
            raise Refusal("invalid_value", "must be a number of milliseconds", "audio_end_ms")
        if end_ms > item.audio_ms:
            raise Refusal(
                "invalid_value",
                f"Audio content of {item.audio_ms:g}ms is already shorter than {end_ms}ms",
                "audio_end_ms",
            )
        item.audio_ms = end_ms
        for part in item.data["content"]:
            part.pop("transcript", None)

    def checked(self, given: Any, item_id: str) -> Item:
        """An item as the client made it. Raises `Refusal`."""
        if not isinstance(given, dict):
            raise Refusal("invalid_type", "must be an object", "item")
        kind = given.get("type")
        if kind == "message":
            self._check_message(given)
        elif kind == "function_call_output":
            self._check_output(given)
        elif kind == "function_call":
            if not all(isinstance(given.get(key), str) for key in ("name", "arguments")):
                raise Refusal("missing_required_parameter", "a call has a name and arguments", "item.name")
        else:
            raise Refusal("invalid_value", "no such item", "item.type")
        return Item(
            {"status": "completed", **given, "id": given.get("id") or item_id, "object": "realtime.item"}
        )

    def _check_message(self, given: dict[str, Any]) -> None:
        allowed = _CONTENT.get(str(given.get("role")))
        if allowed is None:
            raise Refusal("invalid_value", "no such role", "item.role")
        content = given.get("content")
        for number, part in enumerate(content if isinstance(content, list) else [None]):
            if not isinstance(part, dict) or part.get("type") not in allowed:
                text = f"{given['role']} messages hold {', '.join(allowed)}"
                raise Refusal("invalid_value", text, f"item.content[{number}].type")

    def _check_output(self, given: dict[str, Any]) -> None:
        known = {item.data.get("call_id") for item in self.items if item.data["type"] == "function_call"}
        if given.get("call_id") not in known:
            raise Refusal("invalid_tool_call_id", "there is no such call", "item.call_id")

    # -- what it costs

    def usage(self, instructions: str, spoken: Usage, own: Sequence[Item]) -> dict[str, Any]:
        """The bill of a response: the whole context before it once more, of which what was there before is cached."""
        given = Usage(text=len(instructions) // _CHARACTERS + 1)
        for item in (one for one in self.items if one not in own):
            per_ms = _SPOKEN_MS if item.data.get("role") == "assistant" else _HEARD_MS
            given.audio += int(item.audio_ms) // per_ms
            given.text += sum(len(text) for text in _written(item.data)) // _CHARACTERS
        cached = Usage(min(self._cached.text, given.text), min(self._cached.audio, given.audio))
        self._cached = given
        return {
            "total_tokens": given.text + given.audio + spoken.text + spoken.audio,
            "input_tokens": given.text + given.audio,
            "output_tokens": spoken.text + spoken.audio,
            "input_token_details": {
                "text_tokens": given.text,
                "audio_tokens": given.audio,
                "image_tokens": 0,
                "cached_tokens": cached.text + cached.audio,
                "cached_tokens_details": {
                    "text_tokens": cached.text,
                    "audio_tokens": cached.audio,
                    "image_tokens": 0,
                },
            },
            "output_token_details": {"text_tokens": spoken.text, "audio_tokens": spoken.audio},
        }


def spoken_usage(text: str, audio_ms: float) -> Usage:
    """What a response's own words cost."""
    return Usage(len(text) // _CHARACTERS + 1, int(audio_ms) // _SPOKEN_MS)


def _written(data: dict[str, Any]) -> Iterator[str]:
    for part in data.get("content", ()):
        yield part.get("text") or ""
    for key in ("arguments", "output"):
        yield str(data.get(key, ""))
