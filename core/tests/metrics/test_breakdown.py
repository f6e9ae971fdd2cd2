"""What a caller waited for, part by part."""

from __future__ import annotations

import pytest

from patter.metrics import Breakdown, CallerTimes, Settings, TurnTimes, breakdown

CALLER = CallerTimes(1.0, 5.0, 5.2, 5.0)
MADE = {
    "llm_request": 5.3,
    "answering_request": 5.3,
    "first_token": 5.7,
    "first_sentence": 5.9,
    "tts_request": 5.95,
    "tts_first_byte": 6.1,
    "first_audio": 6.12,
    "first_audio_sent": 6.13,
    "ended": 9.0,
}


def parts(result: Breakdown) -> dict[str, float]:
    return {part.name: part.ms for part in result.parts if part.ms}


def test_every_part_of_an_answer() -> None:
    result = breakdown(TurnTimes(5.25, CALLER, **MADE), Settings(silence_s=0.4))
    assert parts(result) == {
        "endpointing": 450.0,  # 400 ms of silence, and 50 from the final to the commit
        "stt": 200.0,
        "hooks": 100.0,  # 50 before the model and 50 before the voice
        "llm_first_token": 400.0,
        "first_sentence": 200.0,
        "tts_first_byte": 150.0,
        "conversion": 20.0,
        "pacing": 10.0,
    }
    assert result.total_ms == 1530.0
    assert result.heard
    assert result.longest is not None
    assert result.longest.name == "endpointing"


def test_no_silence_is_counted_where_no_vad_ended_the_speech() -> None:
    caller = CallerTimes(1.0, 5.0, 5.0, 5.4)
    assert breakdown(TurnTimes(5.0, caller, **MADE), Settings(silence_s=0.4)).ms("endpointing") == 0.0


def test_rounds_of_tools_before_the_first_word_are_a_part() -> None:
    result = breakdown(TurnTimes(5.25, CALLER, **{**MADE, "answering_request": 5.6}), Settings())
    assert (result.ms("tools"), result.ms("llm_first_token")) == (300.0, 100.0)


def test_a_message_in_place_of_a_late_answer() -> None:
    """The model answers while the message sounds: until the message was said, the caller waited for the model."""
    result = breakdown(TurnTimes(5.25, CALLER, **{**MADE, "first_token": 7.0}), Settings())
    assert (result.ms("llm_first_token"), result.ms("first_sentence")) == (600.0, 0.0)
    assert result.total_ms == 1130.0


@pytest.mark.parametrize(
    ("came", "where"),
    [
        ((), "hooks"),
        (("llm_request",), "tools"),
        (("llm_request", "answering_request"), "llm_first_token"),
        (("llm_request", "answering_request", "first_token"), "first_sentence"),
        (tuple(name for name in MADE if name not in ("first_audio_sent", "ended")), "pacing"),
    ],
)
def test_a_turn_that_was_given_up_waited_in_its_last_part(came: tuple[str, ...], where: str) -> None:
    times = TurnTimes(5.25, CALLER, **{name: MADE[name] for name in came}, ended=8.0)
    result = breakdown(times, Settings())
    assert not result.heard
    assert result.total_ms == 3000.0
    assert sum(part.ms for part in result.parts) == pytest.approx(3000.0)
    assert result.ms(where) >= 1800.0  # type: ignore[arg-type]


def test_what_the_agent_says_of_its_own_account_begins_with_its_decision() -> None:
    made = {name: at for name, at in MADE.items() if name.startswith(("tts", "first_audio", "ended"))}
    result = breakdown(TurnTimes(5.25, None, **made), Settings(silence_s=0.4))
    assert result.total_ms == 880.0
    assert parts(result) == {"hooks": 700.0, "tts_first_byte": 150.0, "conversion": 20.0, "pacing": 10.0}


def test_parts_name_who_took_the_time_and_what_moves_it() -> None:
    settings = Settings({"stt": ("ears/large", "stt")})
    result = breakdown(TurnTimes(5.25, CALLER, **MADE), settings)
    (stt,) = (part for part in result.parts if part.name == "stt")
    assert (stt.provider, stt.setting, stt.ms) == ("ears/large", "stt", 200.0)
    assert {"name": "stt", "ms": 200.0, "provider": "ears/large", "setting": "stt"} in result.as_dict()[
        "parts"
    ]
