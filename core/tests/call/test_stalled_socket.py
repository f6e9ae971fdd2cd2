"""What playout makes of a socket that takes no data for a while: no burst, nothing lost, no turn that never ends."""

from __future__ import annotations

import pytest

from patter.audio.formats import AudioFormat, Encoding
from patter.call.playout import Playout

MULAW = AudioFormat(Encoding.MULAW, 8000)


def speaking(seconds: float) -> Playout:
    playout = Playout(MULAW)
    playout.begin(1)
    playout.open_sentence(1, "one sentence")
    playout.add(1, bytes(MULAW.bytes_for_ms(int(seconds * 1000))))
    playout.end(1)
    return playout


def ms(chunks: list) -> float:
    return sum(len(chunk.payload) for chunk in chunks) / 8


def test_what_the_socket_has_not_taken_counts_as_ahead() -> None:
    playout = speaking(3.0)
    waiting = [chunk for tick in range(90) for chunk in playout.step(tick / 100)]
    assert ms(waiting) <= 200
    for chunk in waiting:
        playout.sent(chunk, 0.9)
    # the carrier had run dry, so the pace clock starts anew with what it got at last
    at_once = playout.step(0.9)
    assert ms(waiting) + ms(at_once) <= 200
    later = [chunk for tick in range(91, 190) for chunk in sent(playout, tick / 100)]
    assert ms(waiting) + ms(at_once) + ms(later) == pytest.approx(1190, abs=41)


def sent(playout: Playout, t: float) -> list:
    chunks = playout.step(t)
    for chunk in chunks:
        playout.sent(chunk, t)
    return chunks


def test_audio_that_was_dropped_is_said_later() -> None:
    playout = speaking(0.4)
    first, *dropped = playout.step(0.0)
    assert playout.sent(first, 2.0), "the first of its turn, however late"
    playout.take_back(dropped)
    again = [chunk for tick in range(200, 260) for chunk in sent(playout, tick / 100)]
    assert ms([first, *again]) == 400
    assert again[-1].end == first.end + sum(len(chunk.payload) for chunk in again)
    assert playout.finished(3.0)


def test_only_one_chunk_is_the_first_of_its_turn() -> None:
    playout = speaking(2.0)
    assert [playout.sent(chunk, 0.0) for chunk in playout.step(0.0)] == [True, False, False, False]
    # taken back to the beginning of the turn and said again
    playout.pause(0.1)
    playout.resume()
    assert not any(playout.sent(chunk, 1.0) for chunk in playout.step(1.0))


def test_audio_lost_to_a_clear_does_not_keep_the_next_turn_from_ending() -> None:
    playout = speaking(2.0)
    chunks = playout.step(0.0)
    playout.sent(chunks[0], 0.0)
    playout.clear(0.1)
    playout.begin(2)
    playout.end(2)
    assert playout.finished(0.2)


def test_a_turn_that_is_said_again_keeps_the_floor_until_it_has_sounded() -> None:
    playout = speaking(0.24)
    for tick in range(25):
        sent(playout, tick / 100)
    playout.pause(0.25)
    playout.resume()
    for tick in range(26, 34):
        sent(playout, tick / 100)
    assert not playout.finished(0.33), "all of it was sent again at 0.26, and sounds for 240 ms"
    assert playout.finished(0.51)
