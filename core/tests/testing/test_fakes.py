"""The fakes by themselves: tones, the line, the ear."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import numpy as np
import pytest

import patter.testing
from patter.audio.formats import MULAW_8K, PCM16_24K, AudioFormat, Encoding
from patter.audio.g711 import decode
from patter.testing import SimulatedLine, run_virtual
from patter.testing.fake_carrier import FakeMediaProtocol
from patter.testing.scene import ModelScript, Reply, VoiceScript
from patter.testing.simulated_caller import Ear
from patter.testing.tones import PITCHES, ToneReader, nearest_number, pitch_of, tone

FORMATS = [AudioFormat(encoding, rate) for encoding in Encoding for rate in (8000, 16000, 24000)]


def test_the_public_names_are_sorted_and_exist() -> None:
    assert patter.testing.__all__ == sorted(patter.testing.__all__)
    for name in patter.testing.__all__:
        assert getattr(patter.testing, name).__name__ == name


@pytest.mark.behaviour("CF-08")
def test_the_fakes_need_nothing_but_what_core_needs() -> None:
    """`import patter` and every fake, with all modules refused that are neither core's nor the standard library's."""
    script = """
import importlib.metadata, re, sys

def closure(name, seen):
    for text in importlib.metadata.requires(name) or []:
        if "extra ==" in text:
            continue
        found = re.match(r"[A-Za-z0-9._-]+", text)[0]
        if found not in seen:
            seen.add(found)
            try:
                closure(found, seen)
            except importlib.metadata.PackageNotFoundError:
                seen.discard(found)
    return seen

dists = closure("patter-core", {"patter-core"})
before = {name.partition(".")[0] for name in sys.modules}
import patter, patter.testing
for name in patter.testing.__all__:
    getattr(patter.testing, name)
import patter.testing.fake_plugin, patter.testing.pytest_phone, patter.server.application
loaded = {name.partition(".")[0] for name in sys.modules} - before - set(sys.stdlib_module_names)
owners = importlib.metadata.packages_distributions()
normal = lambda name: re.sub(r"[-_.]+", "-", name).lower()
allowed = {normal(name) for name in dists}
print(sorted(one for one in loaded if one in owners and not any(normal(d) in allowed for d in owners[one])))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("audio_format", FORMATS, ids=str)
def test_every_pitch_is_read_in_every_format_at_any_cut(audio_format: AudioFormat) -> None:
    for number in (0, 1, 17, PITCHES - 1, PITCHES):
        audio = tone(number, 200, audio_format)
        assert len(audio) == audio_format.bytes_for_ms(200)
        assert ToneReader(audio_format).feed(audio) == [number % PITCHES] * 10
        cut = decode(audio, audio_format.encoding)[37 : 37 + audio_format.rate // 50]
        assert pitch_of(cut, audio_format.rate) == number % PITCHES


def test_silence_has_no_pitch_and_chunks_of_any_size_are_read_alike() -> None:
    assert pitch_of(np.zeros(160, np.int16), 8000) is None
    audio = tone(3, 100, PCM16_24K) + PCM16_24K.silence(24000 // 10) + tone(4, 40, PCM16_24K)
    whole = ToneReader(PCM16_24K).feed(audio)
    pieces = ToneReader(PCM16_24K)
    assert [one for byte in range(0, len(audio), 7) for one in pieces.feed(audio[byte : byte + 7])] == whole
    assert whole == [3] * 5 + [None] * 5 + [4] * 2


def test_numbers_beyond_the_pitches_are_told_apart_by_their_order() -> None:
    assert nearest_number(5, latest=5) == 5
    assert nearest_number(5, latest=PITCHES + 5) == PITCHES + 5
    assert nearest_number(5, latest=PITCHES + 4) == 5
    assert nearest_number(5, latest=4) == -1


def test_a_model_without_replies_repeats_the_caller_and_replies_may_be_functions() -> None:
    from patter.providers.llm import Message

    script = ModelScript()
    script.replies.extend(["One.", ValueError("two"), lambda messages: Reply(messages[-1].content * 2)])
    asked = [Message("user", "Hi")]
    assert script.next(asked, ()).text == "One."
    assert isinstance(script.next(asked, ()).error, ValueError)
    assert script.next(asked, ()).text == "HiHi"
    assert script.next(asked, ()).text == "You said: Hi"
    assert len(script.requests) == 4


async def _line_and_ear(script: VoiceScript, echo_s: float = 0.0) -> tuple[SimulatedLine, Ear]:
    ear = Ear(MULAW_8K, script)
    return SimulatedLine(MULAW_8K, ear, echo_s=echo_s), ear


def test_audio_is_played_at_real_time_and_marks_are_echoed_behind_it() -> None:
    script = VoiceScript(spoken=["Hello.", "Bye."])

    async def play() -> list[tuple[float, object]]:
        line, ear = await _line_and_ear(script, echo_s=0.05)
        protocol = FakeMediaProtocol()
        loop = asyncio.get_running_loop()
        await line.send_text(protocol.media(tone(0, 360, MULAW_8K)))
        await line.send_text(protocol.mark("one"))
        await line.send_text(protocol.media(tone(1, 240, MULAW_8K)))
        await line.send_text(protocol.mark("two"))
        echoes = []
        for _ in range(2):
            text = await line.receive_text()
            assert text is not None
            echoes.append((round(loop.time(), 6), json.loads(text)["name"]))
        ear.listen(loop.time())
        assert [(one.text, round(one.start, 6), round(one.end, 6)) for one in ear.lines] == [
            ("Hello.", 0.0, 0.36),
            ("Bye.", 0.36, 0.6),
        ]
        line.drop()
        assert await line.receive_text() is None
        return echoes

    assert run_virtual(play()) == [(0.41, "one"), (0.65, "two")]


def test_a_clear_empties_the_buffer_and_returns_its_marks_at_once() -> None:
    script = VoiceScript(spoken=["Hello, this is Acme."])

    async def play() -> None:
        line, ear = await _line_and_ear(script)
        protocol = FakeMediaProtocol()
        loop = asyncio.get_running_loop()
        await line.send_text(protocol.media(tone(0, 1200, MULAW_8K)))
        await line.send_text(protocol.mark("late"))
        await asyncio.sleep(0.31)
        assert ear.sounding(loop.time())
        assert ear.silent_after(0.1, loop.time()) == float("inf")
        await line.send_text(protocol.clear())
        text = await line.receive_text()
        assert text is not None
        assert json.loads(text) == {"type": "mark", "name": "late"}
        await asyncio.sleep(1)
        ear.listen(loop.time())
        assert [one.text for one in ear.lines] == ["Hello"]
        assert ear.silent_after(0.1, loop.time()) == pytest.approx(0.21)
        assert ear.silent_after(0.5, loop.time()) == 0.0
        await line.send_text(protocol.media(tone(0, 60, MULAW_8K)))
        await asyncio.sleep(0.1)
        ear.listen(loop.time())
        assert ear.lines[-1].start == pytest.approx(1.31)
        line.drop()

    run_virtual(play())


def test_a_stalled_line_takes_no_data_until_it_is_resumed() -> None:
    async def play() -> list[float]:
        line, _ = await _line_and_ear(VoiceScript())
        loop = asyncio.get_running_loop()
        line.stall()
        loop.call_later(2.0, line.resume)
        await line.send_text(FakeMediaProtocol().clear())
        await line.close(1001)
        await line.close(1000)
        assert line.closed_with == 1001
        return line.clears

    assert run_virtual(play()) == [2.0]
