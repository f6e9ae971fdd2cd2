"""One call's recogniser in front of a model that tells which audio it got."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from patter.audio.formats import ALAW_8K, MULAW_8K
from patter.environment import SystemClock
from patter.errors import ProviderDisconnected, ProviderError, RateLimitedError
from patter.providers.stt import Final, Interim
from patter_moonshine.config import LONGEST_PART_MS, MoonshineConfig
from patter_moonshine.recogniser import MoonshineSTT
from patter_moonshine.worker import SHARED_KEY, Job, Worker

SILENCE = b"\xff" * 160
WORDS = {0x10: "one", 0x11: "two", 0x12: "three", 0x13: "four"}


class Spelling:
    """Hears each distinct byte of WORDS as its word."""

    def __init__(self):
        self.audio = []
        self.may = threading.Event()
        self.may.set()
        self.takes_s = 0.0

    def text_of(self, audio, audio_format):
        if not audio:
            return ""
        self.may.wait(10)
        time.sleep(self.takes_s)
        self.audio.append(audio)
        if b"\x00" in audio:
            raise ProviderError("broken", provider="moonshine")
        return " ".join(dict.fromkeys(WORDS[byte] for byte in audio if byte in WORDS))

    def close(self):
        pass


def word(name, ms=600):
    (byte,) = [byte for byte, text in WORDS.items() if text == name]
    return [bytes([byte]) * 160] * (ms // 20)


def pause(ms):
    return [SILENCE] * (ms // 20)


def send(stt, frames):
    for frame in frames:
        assert stt.send_audio(frame) is None


async def speak(stt, frames):
    """As core does it: the VAD notices speech after 250 ms and its end after 400 ms of silence."""
    send(stt, frames[:13])
    stt.speech_started()
    send(stt, [*frames[13:], *pause(400)])
    await stt.finalize()


def worker_of(context):
    """The worker that the calls of this phone share."""
    return context.shared.get(SHARED_KEY, pytest.fail)


async def settled(context):
    """Wait until the worker has done what was asked of it so far, and the loop has heard of it."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    worker_of(context).submit(
        Job("settled", 0, b"", MULAW_8K, True, lambda _: loop.call_soon_threadsafe(done.set))
    )
    await asyncio.wait_for(done.wait(), 10)


async def taken(context):
    """Wait until the worker has taken the only waiting job."""
    while worker_of(context).waiting:
        await asyncio.sleep(0.001)


@pytest.fixture
def model():
    return Spelling()


@pytest.fixture
def shared(context, model):
    context.shared.get(SHARED_KEY, lambda: Worker(SystemClock(), load=lambda: model, limit=4))
    return context


async def connected(context, **settings):
    stt = MoonshineSTT(MoonshineConfig(**settings), context)
    await stt.connect(MULAW_8K)
    return stt, aiter(stt.receive())


async def soon(events):
    return await asyncio.wait_for(anext(events), 5)


@pytest.mark.behaviour("SP-01", "TN-04")
def test_each_finalize_is_answered_by_one_final_with_all_parts_joined(shared, model):
    async def scenario():
        stt, events = await connected(shared)
        send(stt, pause(1000))
        await speak(stt, word("one"))
        assert await soon(events) == Final("one", from_finalize=True)

        long = [*word("one", 6000), *pause(300), *word("two", 5000), *pause(300), *word("three", 6000)]
        await speak(stt, long)
        assert await soon(events) == Final("one two three", from_finalize=True)
        assert len(model.audio) == 1 + 3
        assert max(map(MULAW_8K.duration_ms, map(len, model.audio))) <= LONGEST_PART_MS
        # Nothing is missing and nothing recognised twice: 250 ms of pre-roll are silence of the first utterance.
        assert sum(len(audio) - audio.count(0xFF) for audio in model.audio[1:]) == 17_000 * 8

        await stt.close()
        assert [event async for event in events] == []

    asyncio.run(scenario())


def test_silence_is_an_empty_final_and_is_not_decoded(shared, model):
    async def scenario():
        stt, events = await connected(shared)
        await speak(stt, pause(600))
        assert await soon(events) == Final("", from_finalize=True)
        await stt.finalize()
        assert await soon(events) == Final("", from_finalize=True)
        assert model.audio == []

    asyncio.run(scenario())


def test_a_second_finalize_while_the_first_is_answered_yields_nothing_more(shared, model):
    async def scenario():
        stt, events = await connected(shared)
        model.may.clear()
        await speak(stt, word("one"))
        await stt.finalize()
        model.may.set()
        assert await soon(events) == Final("one", from_finalize=True)
        await speak(stt, word("two"))
        assert await soon(events) == Final("two", from_finalize=True)

    asyncio.run(scenario())


def test_speech_that_starts_again_before_finalize_belongs_to_the_same_final(shared):
    async def scenario():
        stt, events = await connected(shared)
        send(stt, word("one"))
        stt.speech_started()
        send(stt, pause(200))
        send(stt, word("two"))
        stt.speech_started()
        send(stt, pause(400))
        await stt.finalize()
        assert await soon(events) == Final("one two", from_finalize=True)

    asyncio.run(scenario())


def test_utterances_are_answered_in_order_though_a_short_one_is_ready_first(shared, model):
    async def scenario():
        stt, events = await connected(shared)
        model.may.clear()
        await speak(stt, word("one"))
        await speak(stt, pause(300))
        await speak(stt, word("three"))
        model.may.set()
        assert [(await soon(events)).text for _ in range(3)] == ["one", "", "three"]

    asyncio.run(scenario())


def test_interims_come_only_while_they_are_wanted(shared, model):
    async def scenario():
        stt, events = await connected(shared)
        send(stt, word("one", 300))
        stt.speech_started()
        send(stt, word("one", 1000))
        await settled(shared)
        assert model.audio == []

        stt.interims_wanted(True)
        send(stt, word("one", 20))
        assert await soon(events) == Interim("one")
        send(stt, word("two", 280))
        send(stt, word("two", 20))
        assert await soon(events) == Interim("one two")
        assert len(model.audio) == 2

        stt.interims_wanted(False)
        send(stt, word("three", 600))
        send(stt, pause(400))
        await stt.finalize()
        assert await soon(events) == Final("one two three", from_finalize=True)
        assert len(model.audio) == 3

    asyncio.run(scenario())


def test_an_interim_holds_the_parts_that_were_split_off(shared):
    async def scenario():
        stt, events = await connected(shared)
        send(stt, word("one", 300))
        stt.speech_started()
        send(stt, [*word("one", 6000), *pause(300), *word("two", 3000)])
        stt.interims_wanted(True)
        send(stt, word("two", 20))
        assert await soon(events) == Interim("one two")

    asyncio.run(scenario())


def test_a_slow_machine_gets_fewer_interims(shared, model):
    async def scenario():
        stt, events = await connected(shared)
        stt.interims_wanted(True)
        model.takes_s = 0.3
        send(stt, word("one", 300))
        stt.speech_started()
        send(stt, word("one", 300))
        await soon(events)
        model.takes_s = 0.0
        send(stt, word("two", 580))
        await settled(shared)
        assert len(model.audio) == 1
        send(stt, word("two", 4000))  # a busy machine may have taken longer than it was told
        assert await soon(events) == Interim("one two")

    asyncio.run(scenario())


def test_an_interim_that_is_late_is_not_delivered_after_its_final(shared, model):
    async def scenario():
        stt, events = await connected(shared)
        stt.interims_wanted(True)
        model.may.clear()
        send(stt, word("one", 300))
        stt.speech_started()
        send(stt, word("one", 300))  # this interim is being decoded while the segment ends
        await taken(shared)
        send(stt, pause(400))
        await stt.finalize()
        model.may.set()
        assert await soon(events) == Final("one", from_finalize=True)
        await settled(shared)
        await stt.close()
        assert [event async for event in events] == []

    asyncio.run(scenario())


def test_nobody_reading_leaves_one_interim_at_most(shared):
    async def scenario():
        stt, events = await connected(shared)
        stt.interims_wanted(True)
        send(stt, word("one", 300))
        stt.speech_started()
        for name in ("one", "two", "three"):
            send(stt, word(name, 300))
            await settled(shared)
        assert await soon(events) == Interim("one two three")
        await stt.close()
        assert [event async for event in events] == []

    asyncio.run(scenario())


def test_a_failing_segment_ends_receive_with_the_error(shared):
    async def scenario():
        stt, events = await connected(shared)
        await speak(stt, [b"\x00" * 160] * 30)
        with pytest.raises(ProviderError, match="broken"):
            await soon(events)

    asyncio.run(scenario())


def test_an_overloaded_machine_is_an_error_of_the_call_that_asks_too_much(shared, model):
    async def scenario():
        model.may.clear()
        calls = [await connected(shared) for _ in range(6)]
        await speak(calls[0][0], word("one"))
        await taken(shared)
        for stt, _ in calls[1:]:
            await speak(stt, word("one"))
        with pytest.raises(RateLimitedError):
            await soon(calls[-1][1])
        model.may.set()
        assert [(await soon(events)).text for _, events in calls[:-1]] == ["one"] * 5

    asyncio.run(scenario())


@pytest.mark.behaviour("LC-04")
def test_ending_a_call_takes_nothing_from_another(shared, model):
    async def scenario():
        (first, _), (second, events) = await connected(shared), await connected(shared)
        model.may.clear()
        await speak(second, word("two"))
        await taken(shared)
        await speak(first, word("one"))
        await speak(second, word("three"))
        await first.close()
        await first.close()
        model.may.set()
        assert [(await soon(events)).text for _ in range(2)] == ["two", "three"]
        assert len(model.audio) == 2

    asyncio.run(scenario())


@pytest.mark.behaviour("LC-09")
def test_close_is_idempotent_and_allowed_at_any_time(shared, model):
    async def scenario():
        unused = MoonshineSTT(MoonshineConfig(), shared)
        unused.speech_started()
        unused.send_audio(SILENCE)
        await unused.close()
        await unused.close()
        with pytest.raises(ProviderDisconnected):
            await unused.connect(MULAW_8K)

        stt, events = await connected(shared)
        model.may.clear()
        await speak(stt, word("one"))
        reading = asyncio.create_task(soon(events))
        await asyncio.sleep(0.01)
        started = time.perf_counter()
        await stt.close()
        await stt.close()
        with pytest.raises(StopAsyncIteration):
            await reading
        send(stt, word("two"))
        stt.speech_started()
        await stt.finalize()
        model.may.set()
        assert [event async for event in stt.receive()] == []
        assert time.perf_counter() - started < 1

        cancelled, events = await connected(shared)
        reading = asyncio.create_task(soon(events))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await cancelled.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


@pytest.mark.behaviour("PW-09")
def test_warming_up_recognises_nothing(shared, model):
    async def scenario():
        stt = MoonshineSTT(MoonshineConfig(), shared)
        await stt.warmup()
        await stt.connect(MULAW_8K)
        await stt.close()
        assert [event async for event in stt.receive()] == []

    asyncio.run(scenario())
    assert model.audio == []


def test_refuses_a_format_that_it_did_not_offer(shared):
    with pytest.raises(ValueError, match="not AudioFormat"):
        asyncio.run(MoonshineSTT(MoonshineConfig(), shared).connect(ALAW_8K))
