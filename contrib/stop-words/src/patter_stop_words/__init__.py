"""Interrupt the agent only when the caller says a stop word."""

from patter import BargeInEvent, BargeInRecord, BargeInStrategy, hookimpl


class StopWords(BargeInStrategy):
    def __init__(self, words: tuple[str, ...] = ("stop", "wait", "hold on")) -> None:
        self.words = words

    def evaluate(self, event: BargeInEvent) -> bool:
        return any(word in event.transcript.lower() for word in self.words)


@hookimpl
def patter_register_barge_in() -> list[BargeInRecord]:
    return [BargeInRecord("stop-words", StopWords)]
