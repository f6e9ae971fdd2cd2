# SPDX-License-Identifier: GPL-3.0-or-later
"""The real engine, on the real clock."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest

from patter.errors import ConfigError, ProviderDisconnected
from patter_espeak import library
from patter_espeak.config import EspeakConfig
from patter_espeak.voice import EspeakTTS

pytestmark = pytest.mark.realtime

SENTENCE = "Your table for four is booked for half past seven on Friday evening."
# espeak-ng's first utterance in a process differs from the next by a few hundred samples.
JITTER_S = 0.05
#: nothing that happens at once takes longer, on a machine that is busy with something else
LONGEST_PAUSE_S = 0.4


async def speech(voice, text):
    return b"".join([chunk async for chunk in voice.synthesize(text)])


def seconds(voice, audio):
    return len(audio) / 2 / voice.output_format().rate


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "patter-espeak"]


@pytest.fixture
def voice(context):
    return EspeakTTS(EspeakConfig(), context)


@pytest.mark.behaviour("SP-10")
def test_speaks_in_chunks_at_the_rate_that_it_declares(voice):
    """31 words of usual length at 175 a minute take 10.6 s; at 16 kHz the same samples would take 14.7 s."""
    text = (
        "The restaurant opens every evening except Monday, and the kitchen accepts orders until ten o'clock. "
        "Reservations for larger companies require a telephone number and a confirmation two days before the dinner."
    )

    async def scenario():
        await voice.warmup()
        chunks = [chunk async for chunk in voice.synthesize(text)]
        await voice.close()
        return chunks

    chunks = asyncio.run(scenario())
    assert len(chunks) > 1
    assert all(chunks)
    assert seconds(voice, b"".join(chunks)) == pytest.approx(10.6, rel=0.15)
    samples = np.frombuffer(b"".join(chunks), "<i2")
    assert np.abs(samples.astype(int)).max() > 3000
    assert voice.output_format().encoding == "pcm16"


def test_the_first_chunk_comes_long_before_the_last(voice):
    async def scenario():
        await voice.warmup()
        started = time.perf_counter()
        stream = voice.synthesize(SENTENCE)
        first = await anext(stream)
        first_after_s = time.perf_counter() - started
        rest = b"".join([chunk async for chunk in stream])
        assert first_after_s < LONGEST_PAUSE_S
        assert seconds(voice, first + rest) > 3

    asyncio.run(scenario())


@pytest.mark.behaviour("SP-11")
def test_closing_early_stops_the_engine_and_leaks_nothing_into_the_next_sentence(voice):
    long_text = "one two three four five six seven eight nine ten " * 4

    async def scenario():
        await speech(voice, SENTENCE)
        alone = seconds(voice, await speech(voice, SENTENCE))
        for _ in range(5):
            stream = voice.synthesize(long_text)
            await anext(stream)
            await stream.aclose()
            started = time.perf_counter()
            audio = await speech(voice, "Yes.")
            assert time.perf_counter() - started < LONGEST_PAUSE_S
            assert seconds(voice, audio) < 1
        after = seconds(voice, await speech(voice, SENTENCE))
        assert after == pytest.approx(alone, abs=JITTER_S)
        for blank in ("", "  \n", "\0\x01"):
            assert await speech(voice, blank) == b""

    asyncio.run(scenario())


def test_a_slow_reader_who_leaves_stops_the_engine_at_once(voice, monkeypatch):
    monkeypatch.setattr("patter_espeak.engine.BUFFER_S", 0.1)

    async def scenario():
        stream = voice.synthesize(SENTENCE)
        await anext(stream)
        await asyncio.sleep(0.05)  # the engine now waits with a full buffer
        started = time.perf_counter()
        await stream.aclose()
        await speech(voice, "Yes.")
        assert time.perf_counter() - started < LONGEST_PAUSE_S

    asyncio.run(scenario())


def test_blank_text_does_not_even_start_the_engine(voice):
    before = threads()
    assert asyncio.run(speech(voice, " \n ")) == b""
    assert threads() == before


@pytest.mark.behaviour("LC-09")
def test_close_is_idempotent_allowed_before_start_and_frees_a_cancelled_reader(voice, context):
    async def scenario():
        unused = EspeakTTS(EspeakConfig(), context)
        await unused.close()
        await unused.close()

        reading = asyncio.create_task(speech(voice, SENTENCE * 20))
        await asyncio.sleep(0.002)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert asyncio.all_tasks() == {asyncio.current_task()}

        stream = voice.synthesize(SENTENCE)
        await anext(stream)
        started = time.perf_counter()
        await voice.close()
        await voice.close()
        assert [chunk async for chunk in stream] == []
        with pytest.raises(ProviderDisconnected):
            await speech(voice, SENTENCE)

        await context.shared.close()
        await context.shared.close()
        assert time.perf_counter() - started < 1
        assert threads() == []

    asyncio.run(scenario())


def test_calls_take_turns_and_never_hear_each_other(context):
    """Six calls at once with voices of three speeds: each hears its own length of audio."""
    rates = (120, 175, 300)

    async def scenario():
        voices = [EspeakTTS(EspeakConfig(rate=rate), context) for rate in rates * 2]
        await speech(voices[0], SENTENCE)
        expected = {
            voice._settings.rate: seconds(voice, await speech(voice, SENTENCE)) for voice in voices[:3]
        }
        assert expected[120] > 1.2 * expected[175] > 1.2 * 1.2 * expected[300]
        together = await asyncio.gather(*(speech(voice, SENTENCE) for voice in voices))
        for voice, audio in zip(voices, together, strict=True):
            assert seconds(voice, audio) == pytest.approx(expected[voice._settings.rate], abs=JITTER_S)

    asyncio.run(scenario())


def test_a_long_text_does_not_keep_a_short_one_waiting(context):
    async def scenario():
        long, short = (EspeakTTS(EspeakConfig(), context) for _ in range(2))
        finished = []

        async def say(voice, text):
            await speech(voice, text)
            finished.append(text[:5])

        await asyncio.gather(say(long, "This goes on and on. " * 200), say(short, "I am done."))
        assert finished == ["I am ", "This "]

    asyncio.run(scenario())


def test_the_event_loop_goes_on_while_the_engine_speaks(voice):
    async def scenario():
        longest = 0.0
        speaking = asyncio.create_task(speech(voice, "one two three four five six seven. " * 300))
        last = time.perf_counter()
        while not speaking.done():
            await asyncio.sleep(0.001)
            longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
        assert seconds(voice, await speaking) > 300
        assert longest < LONGEST_PAUSE_S

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("text", "least_s", "most_s"),
    [
        ("\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467", 0.2, 6),
        ("stop\0here", 0.5, 3),
        ('<speak><break time="9s"/>hi &amp; bye</speak>', 0.5, 9),
        ("[[h@l'oU]] brackets", 0.5, 5),
        ("\x01350S faster \x0190P higher", 0.5, 6),
        ("...!!!", 0, 1),
        ("\u4f60\u597d", 0.2, 5),
        ("\ud83d broken", 0.2, 2),
        ("a" * 10_000, 60, 4000),
        ("word " * 2_000, 300, 1000),
    ],
    ids=["emoji", "nul", "ssml", "phonemes", "commands", "marks", "chinese", "surrogate", "letters", "long"],
)
def test_odd_text_is_safe_and_changes_nothing_for_the_next(voice, text, least_s, most_s):
    async def scenario():
        await speech(voice, "Yes.")
        usual = seconds(voice, await speech(voice, SENTENCE))
        assert least_s <= seconds(voice, await speech(voice, text)) <= most_s
        assert seconds(voice, await speech(voice, SENTENCE)) == pytest.approx(usual, abs=JITTER_S)

    asyncio.run(scenario())


def test_pitch_volume_and_language_are_heard(context, make_context):
    async def scenario():
        def loudness(audio):
            return float(np.sqrt(np.mean(np.frombuffer(audio, "<i2").astype(float) ** 2)))

        async def say(**settings):
            return await speech(EspeakTTS(EspeakConfig(**settings), context), SENTENCE)

        normal = loudness(await say())
        assert loudness(await say(volume=50)) < 0.7 * normal
        assert await say(pitch=99) != await say(pitch=0)
        german = make_context(language="de", shared=context.shared)
        assert EspeakTTS(EspeakConfig(), german)._settings.voice == "de"
        assert await speech(EspeakTTS(EspeakConfig(), german), "Guten Tag.")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        ("en-us", b"en-US"),
        ("en-GB", b"en"),
        ("en-gb+f3", b"en+f3"),
        ("de-AT", b"de"),
        ("fr-fr", b"fr"),
        ("zh", b"cmn"),
    ],
)
def test_a_language_leads_to_the_voice_that_speaks_it(context, make_context, language, voice):
    def chosen():
        return library.load()._native.espeak_GetCurrentVoice().contents.identifier.rpartition(b"/")[2]

    async def scenario():
        caller = make_context(language=language, shared=context.shared)
        for config, surroundings in ((EspeakConfig(voice=language), context), (EspeakConfig(), caller)):
            await speech(EspeakTTS(EspeakConfig(voice="pl"), context), SENTENCE)
            assert chosen() == b"pl"
            assert await speech(EspeakTTS(config, surroundings), SENTENCE)
            assert chosen() == voice

    asyncio.run(scenario())


@pytest.mark.parametrize("voice", ["xx", "xx-GB", "xx+f3"])
def test_a_language_that_nobody_speaks_is_an_unknown_voice(context, voice):
    with pytest.raises(ConfigError, match="no voice 'xx"):
        asyncio.run(EspeakTTS.preload(EspeakConfig(voice=voice), context))


def test_an_unknown_voice_is_named_before_the_first_call(context):
    config = EspeakConfig(voice="nosuchvoice")
    with pytest.raises(ConfigError, match="no voice 'nosuchvoice'"):
        asyncio.run(EspeakTTS.preload(config, context))
    with pytest.raises(ConfigError, match="no voice 'nosuchvoice'"):
        asyncio.run(speech(EspeakTTS(config, context), "hello"))
    asyncio.run(EspeakTTS.preload(EspeakConfig(), context))
    assert asyncio.run(speech(EspeakTTS(EspeakConfig(), context), "hello"))


def test_two_phones_in_one_process_do_not_mix_their_audio(make_context):
    async def scenario():
        slow = EspeakTTS(EspeakConfig(rate=120), make_context())
        fast = EspeakTTS(EspeakConfig(rate=300), make_context())
        await speech(slow, SENTENCE)
        alone = [seconds(voice, await speech(voice, SENTENCE)) for voice in (slow, fast)]
        for _ in range(3):
            both = await asyncio.gather(speech(slow, SENTENCE), speech(fast, SENTENCE))
            assert [seconds(slow, audio) for audio in both] == pytest.approx(alone, abs=JITTER_S)

    asyncio.run(scenario())
