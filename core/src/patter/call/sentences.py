"""From the tokens of a model to the sentences of a voice (TN-12 to TN-14). Pure.

The chunker looks at each character once and decides whether a sentence has ended before it, so that tokens cut
anywhere give the same sentences and the cost is linear. A Latin terminator counts once white space follows it ("3.14"
has none); a terminator of a script that writes without spaces counts at the next character.
"""

from __future__ import annotations

from typing import Final

from patter.call.abbreviations import ends_in_abbreviation, ends_in_abbreviation_before_number, is_ordinal

#: a sentence shorter than this is joined with the next, in characters (TN-12)
SHORTEST_SENTENCE: Final = 20
#: from this length on the first chunk may end at a comma or dash, in characters (TN-14)
SHORTEST_FIRST_FLUSH: Final = 40
#: A bracket or quote that is still open after so many characters was a slip of the model. Without a limit one
#: forgotten quotation mark would hold back the voice until the end of the reply.
LONGEST_ASIDE: Final = 400

_SPACED: Final = frozenset(".!?…؟")
_UNSPACED: Final = frozenset(
    "。！？｡．‼⁇⁈⁉"  # Chinese, Japanese
    "।॥෴꫰꫱꯫᱾᱿"  # Devanagari and its neighbours, Sinhala, Meetei Mayek, Ol Chiki
    "۔"  # Urdu; Arabic has a question mark of its own and the Latin full stop
    "։"  # Armenian
    "።፧፨"  # Ethiopic
    "។៕"  # Khmer
    "။"  # Burmese
    "།༎༏༐༑"  # Tibetan
)
_TERMINATORS: Final = _SPACED | _UNSPACED
_PAIRS_TEXT = """
( )  [ ]  { }  （ ）  ［ ］  ｛ ｝  【 】  〔 〕  〈 〉  《 》  「 」  『 』  ｢ ｣
" "  “ ”  „ “”  « »  » «  ‹ ›  › ‹  ‘ ’  ‚ ‘’
"""
_PAIRS: Final = _PAIRS_TEXT.split()
_CLOSERS_OF: Final = dict(zip(_PAIRS[::2], _PAIRS[1::2], strict=True))
_CLOSERS: Final = frozenset("".join(_PAIRS[1::2]))
#: these open only where no letter or digit stands before them: 5" is an inch, and ‘ and » also close or elide
_OPEN_AFTER_SPACE: Final = frozenset('"‘‚»›')
_QUOTES_AND_BRACKETS: Final = "".join(_PAIRS)
_DEEPEST: Final = 16
_LONGEST_WORD: Final = 24
_LONGEST_RUN: Final = 4


class SentenceChunker:
    """Cuts one reply after the other into sentences.

    `language` is the language of the replies ("en", "pt-BR"). With `aggressive_first_flush` the first chunk of a
    reply may also end at a comma or dash, for a voice that starts sooner; not in Italian, whose melody suffers.
    """

    def __init__(self, language: str = "en", aggressive_first_flush: bool = False) -> None:
        self._language = language
        self._eager = aggressive_first_flush and not language.lower().startswith("it")
        self._start_reply()

    def feed(self, token: str) -> list[str]:
        """The sentences that `token` completes, without the white space around them."""
        done: list[str] = []
        for character in token:
            if self._may_end_before(character):
                chunk = "".join(self._text).strip()
                if len(chunk) >= (SHORTEST_SENTENCE if self._run else SHORTEST_FIRST_FLUSH):
                    done.append(chunk)
                    self._first = False
                    self._start_chunk()
            self._take(character)
        return done

    def flush(self) -> list[str]:
        """The rest at the end of the reply, if there is any. The chunker is then ready for the next reply."""
        rest = "".join(self._text).strip()
        self._start_reply()
        return [rest] if rest else []

    # -- state

    def _start_reply(self) -> None:
        self._first = True
        self._seen = 0
        self._open: list[tuple[str, int]] = []
        self._start_chunk()

    def _start_chunk(self) -> None:
        self._text: list[str] = []
        self._word_start = 0
        self._word_begins_line = True
        self._new_line = True
        self._spaced = True
        self._end_run()

    def _end_run(self) -> None:
        """Forget the terminators seen last: something was said after them."""
        self._run = ""
        self._word = ""

    def _take(self, character: str) -> None:
        self._seen += 1
        if character.isspace():
            self._spaced = True
            self._new_line = self._new_line or character == "\n"
            if not self._text:
                return
        else:
            self._take_visible(character)
            self._spaced = False
        self._text.append(character)

    def _take_visible(self, character: str) -> None:
        if self._spaced:
            self._word_start = len(self._text)
            self._word_begins_line = self._new_line
            self._new_line = False
        if character in _TERMINATORS:
            self._take_terminator(character)
        elif not self._take_closer(character):
            self._take_opener(character)
            self._end_run()

    def _take_terminator(self, character: str) -> None:
        if self._run and not self._spaced:
            self._run = (self._run + character)[-_LONGEST_RUN:]
            return
        start = max(self._word_start, len(self._text) - _LONGEST_WORD)
        self._word = "".join(self._text[start:])
        self._run = character

    def _take_closer(self, character: str) -> bool:
        """Whether `character` closes something, if only a quote that was never opened."""
        if character not in _CLOSERS:
            return False
        for depth in range(len(self._open) - 1, -1, -1):
            if character in self._open[depth][0]:
                del self._open[depth:]
                return True
        return character not in _CLOSERS_OF

    def _take_opener(self, character: str) -> None:
        closers = _CLOSERS_OF.get(character)
        if closers is None or len(self._open) >= _DEEPEST:
            return
        if character in _OPEN_AFTER_SPACE and self._text and _is_latin_or_digit(self._text[-1]):
            return
        self._open.append((closers, self._seen))

    # -- decisions

    def _may_end_before(self, character: str) -> bool:
        if character.isspace() and self._spaced:
            return False  # decided at the first white space already
        if not self._run:
            return self._first and self._eager and self._may_flush_before(character)
        if self._in_aside():
            return False
        if not self._spaced and (character in _TERMINATORS or self._closes_late(character)):
            return False
        if not _UNSPACED.isdisjoint(self._run):
            return not (self._run == "．" and character.isdecimal())
        if not (character.isspace() or self._spaced):
            return False
        return not self._is_part_of_sentence(character)

    def _is_part_of_sentence(self, character: str) -> bool:
        """Whether a run of Latin terminators before white space or before `character` ends no sentence."""
        if set(self._run) <= {".", "…"} and self._run != ".":
            return True
        if self._run != ".":
            return False
        word = self._word.strip(_QUOTES_AND_BRACKETS)
        if not self._word or is_ordinal(word, self._language, at_line_start=self._word_begins_line):
            return True
        if ends_in_abbreviation_before_number(word):
            # Only the next word tells "No. 5" from "No. Then".
            return character.isspace() or character.isdecimal()
        return ends_in_abbreviation(word, self._language)

    def _may_flush_before(self, character: str) -> bool:
        """Whether the first chunk may end before `character`, after a comma or a dash (TN-14)."""
        if len(self._text) < SHORTEST_FIRST_FLUSH or self._in_aside():
            return False
        last = self._text[-1]
        return (last == "," and character.isspace()) or (last in "—–" and not character.isdecimal())

    def _closes_late(self, character: str) -> bool:
        """A closing mark whose opening mark was not recognised still belongs to the sentence before it."""
        return character in _CLOSERS and character not in _CLOSERS_OF

    def _in_aside(self) -> bool:
        if self._open and self._seen - self._open[0][1] > LONGEST_ASIDE:
            self._open.clear()
        return bool(self._open)


def _is_latin_or_digit(character: str) -> bool:
    return character.isdecimal() or character.lower() != character.upper()
