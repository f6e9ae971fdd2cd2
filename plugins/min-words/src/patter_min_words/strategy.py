"""The strategy behind ``min-words``."""

from __future__ import annotations

import re
from itertools import islice

from patter import BargeInEvent, BargeInStrategy, ConfigError

# A word is letters and digits, with apostrophes and hyphens inside ("don't", "uh-huh"). Chinese, Japanese and Thai
# write without spaces; there two characters count as a word, which is the usual length of one.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]{{1,2}}|[^\W_{_UNSPACED}]+(?:['’\-][^\W_{_UNSPACED}]+)*")


class MinWordsStrategy(BargeInStrategy):
    """Confirms an interruption from `min_words` words on; while the agent is silent, from the first word on.

    With `use_interim=False` only finals count: later, but never misled by words that the recogniser takes back.

    Raises `ConfigError` for fewer than 1 word.
    """

    def __init__(self, min_words: int = 2, use_interim: bool = True) -> None:
        if type(min_words) is not int or min_words < 1:
            raise ConfigError(f"min-words: min_words must be a whole number of at least 1, not {min_words!r}")
        self.min_words = min_words
        self.use_interim = use_interim

    def evaluate(self, event: BargeInEvent) -> bool:
        """True once enough words were heard."""
        # In kinds without text the transcript is the latest interim.
        if not self.use_interim and not event.is_final:
            return False
        needed = self.min_words if event.agent_speaking else 1
        return sum(1 for _ in islice(_WORD.finditer(event.transcript), needed)) == needed
