"""The live view of a conversation: who speaks, words as they are heard, latencies, the interruption.

On a terminal the last line changes while people speak; elsewhere there are plain lines. Texts come from models, so
nothing that a terminal would obey gets through.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from patter.metrics import Breakdown
    from patter_demo.report import Report

_STYLES: Final = {"caller": "36", "agent": "33", "dim": "2", "cut": "1;31", "good": "1;32", "bad": "1;31"}
#: loading that takes longer than this shows that it goes on, in s
PATIENCE_S = 1.0


def printable(text: str) -> str:
    """One line without control characters."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def waited_for(breakdown: Breakdown) -> str:
    """The parts of a wait that took at least a millisecond, each with its provider."""
    parts = [
        f"{part.name.replace('_', ' ')} {part.ms:.0f}{f' ({printable(part.provider)})' if part.provider else ''}"
        for part in breakdown.parts
        if part.ms >= 1
    ]
    return f"waited {breakdown.total_ms:.0f} ms: {' + '.join(parts)}" if parts else "waited for nothing"


def longest_wait(breakdowns: Sequence[Breakdown]) -> str:
    """The part that took most of all answers together, and what makes it shorter."""
    totals = {
        part.name: (sum(breakdown.ms(part.name) for breakdown in breakdowns), part)
        for part in breakdowns[-1].parts
    }
    total_ms, part = max(totals.values(), key=lambda found: found[0])
    provider = f" of {printable(part.provider)}" if part.provider else ""
    average = total_ms / len(breakdowns)
    name = part.name.replace("_", " ")
    return f"longest wait: {name}{provider}, {average:.0f} ms for each answer; see {part.setting}"


class Screen:
    """Lines on a stream, and below them, on a terminal, one that changes."""

    def __init__(self, out: TextIO, *, live: bool, colour: bool) -> None:
        self._out = out
        self._live = live
        self._colour = colour
        self._status = ""
        self._lock = threading.Lock()

    @property
    def live(self) -> bool:
        """Whether the last line can change."""
        return self._live

    def styled(self, text: str, style: str) -> str:
        """The text in a colour, where there are colours."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self._colour else text

    def line(self, text: str) -> None:
        """Write a line for good."""
        with self._lock:
            self._erase()
            self._out.write(f"{text}\n")
            self._out.flush()

    def status(self, text: str) -> None:
        """Replace the changing line; its end stays visible where it is longer than the terminal is wide."""
        if not self._live:
            return
        width = max(20, shutil.get_terminal_size().columns - 1)
        with self._lock:
            self._erase()
            self._status = text if len(text) <= width else f"…{text[len(text) - width + 1 :]}"
            self._out.write(self.styled(self._status, "dim") if self._status else "")
            self._out.flush()

    def _erase(self) -> None:
        if self._status:
            self._out.write("\r\x1b[2K")
            self._status = ""


class View:
    """What happens, told to the person who watches. With `brief`, only that something is loading."""

    def __init__(self, screen: Screen, *, brief: bool = False) -> None:
        self._screen = screen
        self._brief = brief
        self._words = ""
        self._latency_ms: float | None = None

    @contextmanager
    def progress(self, what: str) -> Iterator[None]:
        """Say that something is being loaded, and on a terminal for how long."""
        done = threading.Event()
        ticker = threading.Thread(
            target=self._tick, args=(what, done), name="patter-demo-progress", daemon=True
        )
        if not self._screen.live:
            self._screen.line(f"… {what}")
        ticker.start()
        try:
            yield
        finally:
            done.set()
            ticker.join()
            self._screen.status("")

    def _tick(self, what: str, done: threading.Event) -> None:
        seconds = 0
        self._screen.status(f"… {what}")
        while not done.wait(PATIENCE_S):
            seconds += 1
            self._screen.status(f"… {what}: {seconds} s")

    # -- the call

    def connected(self) -> None:
        """The call was answered."""
        self._line("the call is connected", "dim")

    def hung_up(self, reason: str) -> None:
        """The call is over."""
        self._line(f"the call is over: {reason}", "dim")

    def failed(self, text: str) -> None:
        """Something failed in mid-call."""
        self._line(f"failed  {printable(text)}", "bad")

    # -- the caller

    def caller_speaks(self, text: str, interrupts: bool) -> None:
        """The caller begins a line."""
        self._line(f"caller  {printable(text)}{'  (interrupting)' if interrupts else ''}", "caller")

    def hears(self, text: str) -> None:
        """What the recogniser makes of the open utterance so far."""
        if not self._brief:
            self._screen.status(f"        hears … {printable(text)}")

    def understood(self, text: str) -> None:
        """The recogniser closed an utterance."""
        self._line(f"        heard: {printable(text)}", "dim")

    def interruption(self, outcome: str, transcript: str) -> None:
        """An interruption was confirmed or dropped."""
        words = printable(transcript)
        said = f" by “{words}”" if words else ""
        self._line(f"   ✂    interruption {outcome}{said}", "cut")

    # -- the agent

    def agent_words(self, words: str) -> None:
        """A piece of the reply, as the model makes it."""
        self._words += words
        if not self._brief:
            self._screen.status(f"agent … {printable(self._words)}")

    def agent_began(self) -> None:
        """The agent begins to speak."""
        if not self._brief:
            self._screen.status(f"agent … {printable(self._words) or 'speaks'}")

    def latency(self, milliseconds: float) -> None:
        """From the last sound of the caller to the first of the agent."""
        self._latency_ms = milliseconds

    def agent_ended(self, text: str, interrupted: bool, breakdown: Breakdown | None = None) -> None:
        """The agent's turn is over; `text` is what was heard of it, `breakdown` what the caller waited for."""
        latency, self._latency_ms, self._words = self._latency_ms, None, ""
        if not text:
            return
        after = f"  [after {latency:.0f} ms]" if latency is not None else ""
        cut = " —" if interrupted else ""
        self._line(f"agent   {printable(text)}{cut}{after}", "agent")
        if breakdown is not None and breakdown.heard:
            self._line(f"        {waited_for(breakdown)}", "dim")

    # -- the end

    def summary(self, report: Report) -> None:
        """The figures, and what is wrong."""
        interruption, latency = report.barge_in, report.latency_ms
        errors = report.word_errors
        figures = [
            f"word error rate {errors.rate:.1%}"
            if errors.rate is not None
            else f"no word error rate: {errors.reason}"
        ]
        if report.greeting_heard:
            figures.append("the greeting was heard in full")
        if latency.p50 is not None and latency.p95 is not None:
            figures.append(f"answers after {latency.p50:.0f} ms (p95 {latency.p95:.0f})")
        if interruption.stop_ms is not None:
            figures.append(f"the agent stopped {interruption.stop_ms:.0f} ms after the interruption")
        self._screen.line("")
        self._screen.line("; ".join(figures))
        if report.breakdowns:
            self._screen.line(longest_wait([breakdown for _, breakdown in report.breakdowns]))
        for problem in report.problems:
            self._screen.line(self._screen.styled(f"problem: {printable(problem)}", "bad"))
        verdict = "the conversation failed" if report.problems else "the conversation worked"
        self._screen.line(self._screen.styled(verdict, "bad" if report.problems else "good"))
        self._screen.line(f"recording (left: caller, right: agent): {report.wav}")
        self._screen.line(f"transcript: {report.transcript}")

    def close(self) -> None:
        """Leave the terminal as it was; any number of times."""
        self._screen.status("")

    def _line(self, text: str, style: str) -> None:
        if not self._brief:
            self._screen.line(self._screen.styled(text, style))


def make_view(out: TextIO, *, brief: bool) -> View:
    """The view for a stream: live on a terminal that can rewrite a line, in colours unless NO_COLOR says otherwise."""
    live = out.isatty() and os.environ.get("TERM", "") != "dumb"
    return View(Screen(out, live=live, colour=live and not os.environ.get("NO_COLOR")), brief=brief)
