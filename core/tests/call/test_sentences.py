"""The sentence chunker."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.call.sentences import LONGEST_ASIDE, SHORTEST_FIRST_FLUSH, SHORTEST_SENTENCE, SentenceChunker

FRAGMENTS = [
    "Hello", "there", "Mr.", "e.g.", "U.S.", "J.", "$4.50", "3.14", "no.", "No.", "12.", "...", "…", "!", "?", ".", "?!",
    ",", "—", "–", "(", ")", '"', "“", "”", "«", "»", " ", "  ", "\n", "。", "！", "「", "」", "।", "؟", "。”", ".)", "x",
    "a longer piece of text", "friend",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=60).map(" ".join) | st.lists(
    st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=60
).map("".join)
LANGUAGES = st.sampled_from(["en", "it-IT", "es", "de", "fr", "pt-BR", "zh"])


def cut(text: str, *, language: str = "en", aggressive: bool = False) -> list[str]:
    chunker = SentenceChunker(language, aggressive_first_flush=aggressive)
    return [*chunker.feed(text), *chunker.flush()]


def bare(text: str) -> str:
    return "".join(text.split())


# -- TN-12


@pytest.mark.behaviour("TN-12")
def test_a_sentence_is_emitted_from_20_characters_on() -> None:
    chunker = SentenceChunker()
    nineteen, twenty = "You are here at la.", "You are here at six."
    assert (len(nineteen), len(twenty)) == (SHORTEST_SENTENCE - 1, SHORTEST_SENTENCE)
    assert chunker.feed(twenty + " ") == [twenty]
    assert chunker.feed(nineteen + " ") == []
    assert chunker.feed("Good to know that. ") == [f"{nineteen} Good to know that."]
    assert chunker.feed("Yes") == []
    assert chunker.flush() == ["Yes"]
    assert chunker.flush() == []
    # and that holds for any text
    check_that_nothing_is_lost_and_only_the_last_is_short()


@given(text=TEXTS, language=LANGUAGES)
def check_that_nothing_is_lost_and_only_the_last_is_short(text: str, language: str) -> None:
    chunks = cut(text, language=language)
    assert bare("".join(chunks)) == bare(text)
    assert all(len(chunk) >= SHORTEST_SENTENCE for chunk in chunks[:-1])
    assert all(chunk == chunk.strip() != "" for chunk in chunks)


@pytest.mark.parametrize("terminator", [".", "!", "?", "?!", "!!!", ".”", '."', "!)"])
def test_a_sentence_ends_with_its_terminators_and_closing_marks(terminator: str) -> None:
    opener = {"”": "“", '"': '"', ")": "("}.get(terminator[-1], "")
    first = f"{opener}Your table is booked{terminator}"
    assert cut(f"{first} See you on Friday evening.") == [first, "See you on Friday evening."]


def test_a_sentence_is_out_as_soon_as_it_is_known_to_have_ended() -> None:
    chunker = SentenceChunker()
    assert chunker.feed("Your table is booked.") == []
    assert chunker.feed(" ") == ["Your table is booked."]
    assert SentenceChunker("zh").feed("我们的餐厅每天晚上六点钟开门到晚上十一点。欢") == [
        "我们的餐厅每天晚上六点钟开门到晚上十一点。"
    ]


def test_after_a_flush_the_next_reply_starts_afresh() -> None:
    chunker = SentenceChunker()
    assert chunker.feed("He said (something that never") == []
    assert chunker.flush() == ["He said (something that never"]
    assert chunker.feed("Your table is booked. Bye") == ["Your table is booked."]


# -- TN-13

KEPT = [
    ("en", "Please ask for Mr. Smith or Mrs. Jones at the desk"),
    ("en", "Our doctor today is Dr. Miller of St. Mary and Sons Ltd. in Leeds"),
    ("en", "We serve small plates, e.g. olives, at approx. six in the evening"),
    ("en", "The kitchen opens at 9 a.m. on Sundays and at 6 p.m. on Mondays"),
    ("en", "You will find us in apartment No. 5 on the first floor"),
    ("en", "The meeting is on Fri. or on Jan. the first of next year"),
    ("it", "Il tavolo è prenotato per il sig. Rossi e la dott.ssa Bianchi"),
    ("it", "Portiamo pane, olio, ecc. con il menù di pag. 3 della lista"),
    ("es", "La mesa está reservada para la Sra. García y el Dr. Pérez"),
    ("es", "Si quiere, Ud. puede pagar en la pág. web del restaurante"),
    ("de", "Der Tisch ist für Hr. Müller und Dipl.-Ing. Schmidt bestellt"),
    ("de", "Wir haben Kuchen, Eis usw. und evtl. auch Obst für Sie da"),
    ("de", "Wir sehen uns dann am 3. Mai oder am 12. Juni im Garten"),
    ("de", "Das Menü enthält z.B. Suppe und z. B. auch einen Salat"),
    ("fr", "La table est réservée pour Mme. Dupont et Mlle. Martin"),
    ("fr", "Nous sommes au 12 boul. Voltaire, chez M. Lefèvre ce soir"),
    ("pt", "A mesa está reservada para a Sra. Silva e o Exmo. Costa"),
    ("pt", "Fica na Av. Paulista, perto do escritório do Dr. Souza"),
    ("en", "The value of pi is about 3.14 and a coffee costs $4.50 today"),
    ("en", "It is version 2.0.1 of the menu at www.example.com today"),
    ("en", "The book is by J. R. R. Tolkien and was read by J. Smith"),
    ("en", "He moved to the U.S. Army base from the U.K. in the U.S.A. last year"),
    ("en", "Well, let me see... Friday is possible… Saturday is not"),
    ("en", "Let me think . . . Friday may be possible for a few people"),
    ("en", "Our options are these:\n1. Tea with milk\n10. Coffee without milk"),
    ("en", "The big table (it is by the window. Very quiet! Really) is free"),
    ("en", "The sign says “Closed today. Come back tomorrow! Sorry” in red"),
    ("en", 'The sign says "Closed today. Come back tomorrow! Sorry" in red'),
    ("fr", "Le panneau dit « Fermé ce soir. Revenez demain ! Merci » en rouge"),
    ("de", "Das Schild sagt „Heute zu. Bitte morgen wieder! Danke“ in Rot"),
    ("zh", "他说「今天不开门。请明天再来！谢谢你们的理解和支持」然后走了"),
    ("en", "He began to read (the list is long. It has many lines. It never ends"),
]


@pytest.mark.behaviour("TN-13")
@pytest.mark.parametrize(("language", "text"), KEPT)
def test_stays_in_one_piece(language: str, text: str) -> None:
    assert cut(text, language=language) == [text]


SCRIPTS = [
    ("Chinese", "我们的餐厅每天晚上六点钟开门一直到晚上十一点。", "请问您需要预订几位客人的桌子呢？", ""),
    ("Japanese", "本日はお電話をいただき誠にありがとうございます！", "ご予約の人数をお知らせください。", ""),
    ("Hindi", "हमारा रेस्तराँ शाम छह बजे खुलता है।", "आप कितने लोगों के लिए मेज़ चाहते हैं?", " "),
    ("Sanskrit", "धर्मक्षेत्रे कुरुक्षेत्रे समवेता युयुत्सवः॥", "मामकाः पाण्डवाश्चैव किमकुर्वत सञ्जय॥", " "),
    ("Arabic", "كم شخصا سيأتي إلى المطعم مساء الجمعة؟", "سنحجز لكم طاولة قرب النافذة.", " "),
    ("Urdu", "ہمارا ریستوران شام چھ بجے کھلتا ہے۔", "آپ کتنے لوگوں کے لیے میز چاہتے ہیں؟", " "),
    ("Armenian", "Մեր ռեստորանը բացվում է երեկոյան ժամը վեցին։", "Քանի՞ հոգու համար եք սեղան ուզում։", " "),
    ("Ethiopic", "ምግብ ቤታችን በየቀኑ ምሽት በስድስት ሰዓት ይከፈታል።", "ለስንት ሰው ጠረጴዛ ይፈልጋሉ፧", " "),
    ("Khmer", "ភោជនីយដ្ឋានរបស់យើងបើកនៅម៉ោងប្រាំមួយល្ងាច។", "តើអ្នកត្រូវការតុសម្រាប់មនុស្សប៉ុន្មាននាក់៕", " "),
    ("Burmese", "ကျွန်ုပ်တို့၏စားသောက်ဆိုင်သည်ညနေခြောက်နာရီတွင်ဖွင့်သည်။", "လူဘယ်နှစ်ယောက်အတွက်စားပွဲလိုချင်ပါသလဲ။", " "),
    ("Tibetan", "ང་ཚོའི་ཟ་ཁང་དགོང་དྲོ་ཆུ་ཚོད་དྲུག་པར་སྒོ་འབྱེད་ཀྱི་ཡོད།", "མི་གྲངས་ག་ཚོད་ལ་ཅོག་ཙེ་དགོས་སམ།", " "),
]


@pytest.mark.behaviour("TN-13")
@pytest.mark.parametrize(
    ("first", "second", "space"), [row[1:] for row in SCRIPTS], ids=[row[0] for row in SCRIPTS]
)
def test_knows_the_terminators_of_the_script(first: str, second: str, space: str) -> None:
    assert cut(f"{first}{space}{second}") == [first, second]


@pytest.mark.behaviour("TN-13")
@given(text=TEXTS, language=LANGUAGES, aggressive=st.booleans(), data=st.data())
def test_tokens_cut_anywhere_give_the_same_sentences(
    text: str, language: str, aggressive: bool, data: st.DataObject
) -> None:
    chunker = SentenceChunker(language, aggressive)
    chunks: list[str] = []
    rest = text
    while rest:
        size = data.draw(st.integers(min_value=1, max_value=len(rest)))
        chunks += chunker.feed(rest[:size])
        rest = rest[size:]
    chunks += chunker.flush()
    assert chunks == cut(text, language=language, aggressive=aggressive)


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        ("I would say the answer is no. Then he left.", ["I would say the answer is no.", "Then he left."]),
        ("A table for four costs $20. We take cards.", ["A table for four costs $20.", "We take cards."]),
        (
            'She bought a 27" screen last week. It is big.',
            ['She bought a 27" screen last week.', "It is big."],
        ),
        (
            "It was the embassy of the U.S.S.R. Now it is not.",
            ["It was the embassy of the U.S.S.R.", "Now it is not."],
        ),
        (
            "We really wanted the dogs’ bowls. They are here.",
            ["We really wanted the dogs’ bowls.", "They are here."],
        ),
        ("It is by the window (very quiet). Shall we?", ["It is by the window (very quiet).", "Shall we?"]),
        ("It begins at eight o'clock...! Shall we?", ["It begins at eight o'clock...!", "Shall we?"]),
    ],
)
def test_is_not_too_careful(text: str, chunks: list[str]) -> None:
    assert cut(text) == chunks


def test_a_bracket_that_is_never_closed_does_not_hold_the_voice_back_for_ever() -> None:
    text = "He began to read (the list was long. " + "It had so many lines in it. " * 40
    chunks = cut(text)
    assert LONGEST_ASIDE <= len(chunks[0]) <= LONGEST_ASIDE + 80
    assert chunks[1:] == ["It had so many lines in it."] * len(chunks[1:])
    assert len(chunks) > 10


ENDLESS = [
    "word ",
    "a! ",
    "Hi! " + " " * 40,
    "((((",
    '"',
    "No. ",
    "...",
    "e.g. ",
    "我们",
    "。",
    ", ",
    "A",
    "(a. b) ",
]


@pytest.mark.behaviour("TN-13")
@pytest.mark.parametrize("piece", ENDLESS)
def test_twice_the_text_is_twice_the_work(piece: str) -> None:
    """Function calls, the built-in ones included; wall-clock time is measured elsewhere."""
    small, large = work(piece * 500), work(piece * 2000)
    assert large <= 4.1 * small


def work(text: str) -> int:
    return sum(1 for _ in calls_of_cutting(text))


def calls_of_cutting(text: str) -> Iterator[str]:
    calls: list[str] = []
    sys.setprofile(lambda _frame, event, _argument: calls.append(event))
    try:
        cut(text, aggressive=True)
    finally:
        sys.setprofile(None)
    yield from calls


# -- TN-14

EAGER = "Thank you very much for calling us today, we are happy to help you. And now, tell us"


@pytest.mark.behaviour("TN-14")
def test_only_the_first_chunk_may_end_at_a_comma_or_dash_and_only_when_asked() -> None:
    assert cut(EAGER)[0] == "Thank you very much for calling us today, we are happy to help you."
    first, *rest = cut(EAGER, aggressive=True)
    assert (first, rest) == (
        "Thank you very much for calling us today,",
        ["we are happy to help you.", "And now, tell us"],
    )
    for dash in "—–":
        text = f"Thank you very much for calling us today {dash} we are happy to help you — really happy to help you"
        assert cut(text, aggressive=True) == [
            f"Thank you very much for calling us today {dash}",
            "we are happy to help you — really happy to help you",
        ]
    later = f"Your table has been booked. {EAGER}"
    assert cut(later, aggressive=True) == cut(later)
    for language in ("it", "it-IT", "IT"):
        assert cut(EAGER, language=language, aggressive=True) == cut(EAGER, language=language)


@pytest.mark.behaviour("TN-14")
def test_the_first_chunk_ends_at_a_comma_from_40_characters_on() -> None:
    for length, split in ((SHORTEST_FIRST_FLUSH - 1, False), (SHORTEST_FIRST_FLUSH, True)):
        head = "a" * (length - 1) + ","
        assert cut(f"{head} and so on", aggressive=True) == (
            [head, "and so on"] if split else [f"{head} and so on"]
        )


@pytest.mark.parametrize("inside", ["1,000", "9–5", "(now, or later — or never)", "“now, or later”"])
def test_no_early_end_inside_numbers_ranges_brackets_and_quotes(inside: str) -> None:
    text = f"Thank you very much for calling us and do remember {inside} today"
    assert cut(text, aggressive=True) == [text]


def test_each_reply_has_its_own_first_chunk() -> None:
    chunker = SentenceChunker(aggressive_first_flush=True)
    for _ in range(2):
        assert chunker.feed(EAGER)[0] == "Thank you very much for calling us today,"
        chunker.flush()
