"""Full stops that end no sentence (TN-13): those of titles, abbreviations, initials, acronyms and ordinals.

Lists of words, lower case and without the last full stop. `_ALWAYS` holds in every language, because a reply mixes
names and titles of many; `_BY_LANGUAGE` holds what is an ordinary word elsewhere ("art" in German law, "ing" in
Italian). `_BEFORE_NUMBER` are abbreviations only where a number follows: "No. 5", but not "No. Then".
"""

from __future__ import annotations

import re
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ENGLISH = """
mr mrs ms mx dr prof rev hon pres gov sen rep gen col maj capt cmdr lt sgt cpl st ste mt ft jr sr esq messrs phd
ave blvd rd apt bldg dept univ inc ltd corp co bros est approx appt min max misc etc vs viz cf al ext tel
hr hrs mins secs
"""
_ITALIAN = (
    "sig sigg sig.ra sig.na sig.re dott dott.ssa dr.ssa prof.ssa avv geom egr gent gent.ma spett ecc cfr p.es"
)
_SPANISH = (
    "sra sras srta sres dra dras profa ud uds vd vds excmo excma ilmo ilma avda av pza núm pág págs aprox"
)
_GERMAN = "fr hr hrn dipl dipl.-ing nr str usw bzw evtl ggf inkl zzgl vgl sog geb gest bspw ca mio mrd"
_FRENCH = "mm mme mmes mlle mlles mgr me env boul bd éd réf p.ex adr"
_PORTUGUESE = "srs srª snr exmo exma ilmo ilma profª drª eng arq pç cia"
_MONTHS_AND_DAYS = "Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Tues Wed Thu Thur Thurs Fri"

_ALWAYS: Final = _words(
    f"{_ENGLISH} {_ITALIAN} {_SPANISH} {_GERMAN} {_FRENCH} {_PORTUGUESE} {_MONTHS_AND_DAYS}"
)
_BY_LANGUAGE: Final = {
    "de": _words("abs art betr bes bez fa frl mind so tägl tel"),
    "es": _words("art arts cap ed ej fig gral pte tfno"),
    "fr": _words("art chap ex fig hab pr vol"),
    "it": _words("arch art cap es fig ing on pag pagg rag vol"),
    "pt": _words("art cap ed ex fig obs pag pág vol"),
}
_BEFORE_NUMBER: Final = _words("no nos nro num nº pp pg vol ch sec secs fig art rm")

_LETTERS_WITH_STOPS: Final = re.compile(r"[^\W\d_](?:\.[^\W\d_]){0,2}\Z")
_JOINTS: Final = re.compile(r"[—–/]")


def ends_in_abbreviation(word: str, language: str) -> bool:
    """Whether the full stop after `word` belongs to the word.

    `word` stands before the full stop, without quotes and brackets around it, and is a few dozen characters at most;
    `language` is a code such as "en" or "pt-BR". A single letter is an initial, up to three with full stops between
    them are an acronym; scripts without capitals have neither.
    """
    word = _JOINTS.split(word)[-1]
    lowered = word.lower()
    if _LETTERS_WITH_STOPS.match(word):
        return lowered != word.upper()
    return word in _ALWAYS or lowered in _ALWAYS or lowered in _BY_LANGUAGE.get(_base(language), ())


def ends_in_abbreviation_before_number(word: str) -> bool:
    """Whether the full stop after `word` belongs to the word if a number follows."""
    return word.lower() in _BEFORE_NUMBER


def is_ordinal(word: str, language: str, *, at_line_start: bool) -> bool:
    """Whether `word` with its full stop counts the lines of a list, or is a German ordinal ("am 3. Mai")."""
    return word.isdecimal() and len(word) <= 2 and (at_line_start or _base(language) == "de")


def _base(language: str) -> str:
    return language.lower().replace("_", "-").partition("-")[0]
