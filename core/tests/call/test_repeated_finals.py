"""Which final after a reconnect is an old one."""

from __future__ import annotations

from patter.call.repeated_finals import REMEMBERED, RepeatedFinals


def spoken(finals: RepeatedFinals, text: str) -> bool:
    finals.speech_started()
    finals.speech_ended()
    return finals.is_repeated(text)


def test_without_a_reconnect_nothing_is_repeated() -> None:
    finals = RepeatedFinals()
    assert not spoken(finals, "Yes.")
    assert not finals.is_repeated("yes")


def test_after_a_reconnect_finals_without_speech_are_those_from_before() -> None:
    finals = RepeatedFinals()
    assert not spoken(finals, "Hello there.")
    assert not spoken(finals, "Yes.")
    finals.renewed()
    assert finals.is_repeated("hello there")
    assert finals.is_repeated("Yes!")
    assert finals.is_repeated("yes")
    assert not finals.is_repeated("No.")  # never heard before, so it is new


def test_what_is_said_after_a_reconnect_or_while_it_is_made_is_new() -> None:
    finals = RepeatedFinals()
    assert not spoken(finals, "Yes.")
    finals.renewed()
    assert not spoken(finals, "Yes.")
    finals.speech_started()
    finals.renewed()
    finals.speech_ended()
    assert not finals.is_repeated("Yes.")


def test_a_final_in_the_middle_of_speech_does_not_make_the_next_one_old() -> None:
    finals = RepeatedFinals()
    finals.speech_started()
    assert not finals.is_repeated("Yes.")
    finals.renewed()
    assert not finals.is_repeated("Yes.")


def test_where_nothing_tells_of_speech_nothing_is_dropped() -> None:
    finals = RepeatedFinals()
    assert not finals.is_repeated("Yes.")
    finals.renewed()
    assert not finals.is_repeated("Yes.")


def test_the_stts_own_signs_of_speech_count_where_there_is_no_vad() -> None:
    finals = RepeatedFinals()
    finals.sign_of_speech()
    assert not finals.is_repeated("Yes.")
    finals.renewed()
    assert finals.is_repeated("Yes.")
    finals.sign_of_speech()
    assert not finals.is_repeated("Yes.")


def test_an_empty_answer_is_no_text_and_memory_is_bounded() -> None:
    finals = RepeatedFinals()
    for number in range(REMEMBERED + 1):
        assert not spoken(finals, f"number {number}")
    finals.renewed()
    assert not finals.is_repeated("")
    assert finals.is_repeated("number 1")
    assert not finals.is_repeated("number 0")
