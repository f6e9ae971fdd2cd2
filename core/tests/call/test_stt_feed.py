"""The way of the caller's audio to the STT: nothing lost, nothing late, nothing without a bound."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from patter.audio.formats import MULAW_8K, PCM16_16K
from patter.call.stt_feed import STTFeed
from patter.testing.virtual_loop import run_virtual


class Direct:
    """An STT whose `send_audio` is a plain function."""

    def __init__(self):
        self.taken = []

    def send_audio(self, chunk):
        self.taken.append(chunk)

    async def finalize(self):
        self.taken.append("finalize")


class Slow:
    """One that takes its time for each frame."""

    def __init__(self, seconds=0.1):
        self.taken = []
        self._seconds = seconds

    async def send_audio(self, chunk):
        await asyncio.sleep(self._seconds)
        self.taken.append(chunk)

    async def finalize(self):
        self.taken.append("finalize")


def frame(number):
    return number.to_bytes(2, "big") * 80


@contextlib.asynccontextmanager
async def feeding(audio_format=MULAW_8K):
    feed = STTFeed(audio_format)
    sender = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)


def test_a_plain_function_gets_each_frame_in_the_callers_step():
    feed, stt = STTFeed(MULAW_8K), Direct()

    async def scenario():
        feed.attach(stt)
        for number in range(3):
            feed.send(frame(number))
            assert stt.taken[-1] == frame(number)  # no await between

    asyncio.run(scenario())


@pytest.mark.parametrize("make", [Direct, Slow])
def test_what_the_caller_says_while_the_stt_connects_goes_first_and_in_order(make):
    async def scenario():
        async with feeding() as feed:
            for number in range(20):
                feed.send(frame(number))
            stt = make()
            feed.attach(stt)
            for number in range(20, 25):
                feed.send(frame(number))
            await asyncio.sleep(5)
            assert stt.taken == [frame(number) for number in range(25)]
            assert feed.dropped_frames == 0

    run_virtual(scenario())


@pytest.mark.parametrize(("audio_format", "frame_bytes"), [(MULAW_8K, 160), (PCM16_16K, 640)])
def test_the_backlog_is_two_seconds_of_which_the_oldest_goes(audio_format, frame_bytes):
    async def scenario():
        feed, stt = STTFeed(audio_format), Direct()
        chunks = [number.to_bytes(2, "big") * (frame_bytes // 2) for number in range(130)]
        for chunk in chunks:
            feed.send(chunk)
        assert feed.dropped_frames == 30
        feed.attach(stt)
        assert stt.taken == chunks[30:]

    asyncio.run(scenario())


def test_a_slow_stt_never_holds_up_who_sends_and_its_losses_are_counted():
    async def scenario():
        loop = asyncio.get_running_loop()
        async with feeding() as feed:
            stt = Slow(0.1)
            feed.attach(stt)
            for number in range(300):  # 6 s of audio, of which it takes a fifth
                before = loop.time()
                feed.send(frame(number))
                assert loop.time() == before
                await asyncio.sleep(0.02)
            await asyncio.sleep(12)
            assert len(stt.taken) + feed.dropped_frames == 300
            assert feed.dropped_frames > 100
            assert stt.taken == sorted(stt.taken)
            assert stt.taken[-100:] == [frame(number) for number in range(200, 300)]

    run_virtual(scenario())


def test_finalize_keeps_its_place_behind_the_audio():
    async def scenario():
        async with feeding() as feed:
            slow = Slow(0.1)
            feed.attach(slow)
            for number in range(5):
                feed.send(frame(number))
            feed.finalize()
            await asyncio.sleep(2)
            assert slow.taken == [*map(frame, range(5)), "finalize"]

            direct = Direct()
            feed.attach(direct)
            feed.send(frame(9))
            feed.finalize()
            feed.finalize()
            await asyncio.sleep(0.1)
            assert direct.taken == [frame(9), "finalize"]

    run_virtual(scenario())


@pytest.mark.parametrize("make", [Direct, Slow])
def test_after_a_reconnect_the_new_stt_gets_what_came_meanwhile(make):
    async def scenario():
        async with feeding() as feed:
            first, second = make(), make()
            feed.attach(first)
            feed.send(frame(0))
            await asyncio.sleep(1)
            feed.detach()
            for number in range(1, 11):
                feed.send(frame(number))
            await asyncio.sleep(1)
            feed.attach(second)
            feed.send(frame(11))
            await asyncio.sleep(3)
            assert first.taken == [frame(0)]
            assert second.taken == [frame(number) for number in range(1, 12)]

    run_virtual(scenario())


def test_a_finalize_that_comes_while_the_stt_is_away_waits_for_the_next_one():
    async def scenario():
        async with feeding() as feed:
            feed.send(frame(1))
            feed.finalize()
            await asyncio.sleep(1)
            stt = Slow()
            feed.attach(stt)
            await asyncio.sleep(1)
            assert stt.taken == [frame(1), "finalize"]

    run_virtual(scenario())


class FailingDirect(Direct):
    """Raises on its third frame, and again whenever it is asked after that."""

    closed = 0

    def send_audio(self, chunk):
        if len(self.taken) >= 2:
            raise ConnectionError("the vendor hung up")
        super().send_audio(chunk)

    async def close(self):
        self.closed += 1


class FailingSlow(Slow):
    closed = 0

    async def send_audio(self, chunk):
        if len(self.taken) >= 2:
            raise ConnectionError("the vendor hung up")
        await super().send_audio(chunk)

    async def close(self):
        self.closed += 1
        raise OSError("not even that")


class FailingFinalize(Direct):
    closed = 0

    async def finalize(self):
        raise ConnectionError("the vendor hung up")

    async def close(self):
        self.closed += 1
        await asyncio.Event().wait()


@pytest.mark.parametrize("make", [FailingDirect, FailingSlow, FailingFinalize])
def test_an_stt_that_raises_is_closed_and_the_next_one_gets_all_it_did_not_take(make, caplog):
    async def scenario():
        async with feeding() as feed:
            broken, next_one = make(), Direct()
            feed.attach(broken)
            for number in range(6):
                feed.send(frame(number))
                await asyncio.sleep(0.02)
            feed.finalize()
            await asyncio.sleep(3)
            assert broken.closed == 1
            taken = len(broken.taken)
            feed.detach()
            feed.send(frame(6))
            feed.attach(next_one)
            await asyncio.sleep(0.1)
            assert broken.taken == [frame(number) for number in range(taken)]
            # A final that was asked for in vain is asked for again, of everything.
            assert next_one.taken == [*(frame(number) for number in range(taken, 7)), "finalize"]
            assert feed.dropped_frames == 0

    with caplog.at_level(logging.WARNING):
        run_virtual(scenario())
    assert "the vendor hung up" in caplog.text


def test_an_stt_that_raises_on_what_waited_for_it_is_closed_too():
    async def scenario():
        async with feeding() as feed:
            for number in range(5):
                feed.send(frame(number))
            broken, next_one = FailingDirect(), Direct()
            feed.attach(broken)
            await asyncio.sleep(0.1)
            assert (broken.closed, broken.taken) == (1, [frame(0), frame(1)])
            feed.attach(next_one)
            assert next_one.taken == [frame(2), frame(3), frame(4)]

    run_virtual(scenario())


class Hanging(Direct):
    """Its socket is dead: the third send, or the answer to `finalize`, never comes to an end."""

    async def send_audio(self, chunk):
        if len(self.taken) == 2:
            await asyncio.Event().wait()
        self.taken.append(chunk)


@pytest.mark.parametrize("make", [Direct, Slow])
def test_a_send_that_hangs_ends_with_its_stt_and_its_frame_goes_first_to_the_next(make):
    async def scenario():
        async with feeding() as feed:
            dead, next_one = Hanging(), make()
            feed.attach(dead)
            for number in range(6):
                feed.send(frame(number))
                await asyncio.sleep(0.02)
            feed.detach()
            feed.send(frame(6))
            feed.attach(next_one)  # in the same step: the sender has not noticed anything yet
            feed.send(frame(7))
            await asyncio.sleep(3)
            assert dead.taken == [frame(0), frame(1)]
            assert next_one.taken == [frame(number) for number in range(2, 8)]
            assert feed.dropped_frames == 0

    run_virtual(scenario())


@pytest.mark.parametrize("ask_again", [True, False])
@pytest.mark.parametrize("answered", [True, False])
def test_a_final_that_the_lost_stt_owes_is_asked_of_the_next_one(ask_again, answered):
    async def scenario():
        async with feeding() as feed:
            first, second = Slow(), Slow()
            feed.attach(first)
            feed.send(frame(0))
            feed.finalize()
            assert feed.owes_final
            await asyncio.sleep(1)
            assert first.taken == [frame(0), "finalize"]
            if answered:
                feed.answered()
            assert feed.owes_final is not answered
            feed.detach(ask_again=ask_again)
            feed.send(frame(1))
            feed.attach(second)
            await asyncio.sleep(1)
            asked = ["finalize"] if ask_again and not answered else []
            assert second.taken == [frame(1), *asked]

    run_virtual(scenario())


def test_a_frame_that_comes_back_keeps_the_backlog_within_its_bound():
    async def scenario():
        async with feeding() as feed:
            feed.attach(Hanging())
            for number in range(3):
                feed.send(frame(number))
            await asyncio.sleep(1)
            for number in range(3, 153):
                feed.send(frame(number))
            feed.detach()
            next_one = Direct()
            feed.attach(next_one)
            assert next_one.taken == [frame(number) for number in range(53, 153)]
            assert feed.dropped_frames == 51

    run_virtual(scenario())


@pytest.mark.parametrize("make", [Direct, Slow])
def test_an_stt_of_another_format_gets_that_format(make):
    async def scenario():
        async with feeding() as feed:
            wide = make()
            feed.attach(wide, PCM16_16K)
            for number in range(50):
                feed.send(frame(number))
            await asyncio.sleep(10)
            audio = b"".join(wide.taken)
            # 1 s at 16 kHz and 2 bytes, less what the resampler holds back
            assert PCM16_16K.duration_ms(len(audio)) == pytest.approx(1000, abs=15)
            feed.detach()
            narrow = make()
            feed.attach(narrow, MULAW_8K)
            feed.send(frame(50))
            await asyncio.sleep(1)
            assert narrow.taken == [frame(50)]

    run_virtual(scenario())
