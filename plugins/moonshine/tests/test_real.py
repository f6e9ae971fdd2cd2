"""The real engine, on the real clock. The speech is a recording that comes with moonshine-voice."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from patter.audio.convert import Converter
from patter.audio.formats import MULAW_8K, PCM16_8K, PCM16_16K, AudioFormat, Encoding
from patter.environment import SystemClock
from patter.errors import ConfigError
from patter.providers.stt import Final, Interim
from patter_moonshine.config import MoonshineConfig
from patter_moonshine.model import MODEL_FILES, Model
from patter_moonshine.recogniser import MoonshineSTT
from patter_moonshine.worker import Worker

pytestmark = pytest.mark.realtime

# (start, end) in s of the phrases of the recording, and what is said there
PHRASES = [
    (1.0, 4.9, "it was the best of times it was the worst of times"),
    (4.9, 6.75, "it was the age of wisdom"),
    (11.0, 15.4, None),
    (15.4, 20.0, None),
]


@pytest.fixture(scope="module")
def recording():
    """The recording as a carrier would deliver it."""
    from moonshine_voice.utils import get_assets_path, load_wav_file

    samples, rate = load_wav_file(get_assets_path() / "two_cities.wav")
    pcm = (np.array(samples) * 32767).astype("<i2").tobytes()
    converter = Converter(AudioFormat(Encoding.PCM16, rate), MULAW_8K)
    return converter.process(pcm) + converter.flush()


def phrase(recording, start_s, end_s):
    return recording[int(start_s * 8000) : int(end_s * 8000)]


def words(text):
    return re.findall(r"[a-z']+", text.lower())


async def call(context, audio, audio_format=MULAW_8K):
    """One call that says one thing after half a second of silence; its only final."""
    stt = MoonshineSTT(MoonshineConfig(), context)
    await stt.connect(audio_format)
    frame = audio_format.bytes_for_ms(20)
    speech = audio_format.silence(audio_format.rate // 2) + audio
    speech += audio_format.silence(audio_format.rate * 2 // 5)
    for index, start in enumerate(range(0, len(speech), frame)):
        if index == 25 + 13:
            stt.speech_started()
        stt.send_audio(speech[start : start + frame])
        await asyncio.sleep(0)
    await stt.finalize()
    final = await anext(stt.receive())
    await stt.close()
    assert isinstance(final, Final)
    return final.text


def test_the_installed_package_carries_the_model():
    from moonshine_voice.utils import get_model_path

    sizes = {name: (Path(get_model_path("tiny-en")) / name).stat().st_size for name in MODEL_FILES}
    assert min(sizes.values()) > 100_000, sizes
    assert sum(sizes.values()) > 40_000_000, sizes


@pytest.mark.parametrize(("start", "end", "said"), PHRASES[:2])
def test_understands_speech_from_a_phone_line(context, recording, start, end, said):
    assert words(asyncio.run(call(context, phrase(recording, start, end)))) == words(said)


@pytest.mark.parametrize("audio_format", [PCM16_8K, PCM16_16K], ids=str)
def test_understands_every_format_that_it_offers(context, recording, audio_format):
    start, end, said = PHRASES[0]
    converter = Converter(MULAW_8K, audio_format)
    audio = converter.process(phrase(recording, start, end)) + converter.flush()
    assert words(asyncio.run(call(context, audio, audio_format))) == words(said)


def test_four_calls_at_once_get_the_texts_they_get_alone(context, recording):
    """Two threads on one transcriber would return garbage here, so every text is compared."""

    async def scenario():
        await MoonshineSTT.preload(MoonshineConfig(), context)
        phrases = [phrase(recording, start, end) for start, end, _ in PHRASES]
        alone = [await call(context, audio) for audio in phrases]
        assert all(len(words(text)) > 3 for text in alone)
        assert len(set(alone)) == len(alone)
        for _ in range(3):
            assert await asyncio.gather(*(call(context, audio) for audio in phrases)) == alone

    asyncio.run(scenario())


def test_a_long_utterance_is_one_final(context, recording):
    async def scenario():
        text = await call(context, phrase(recording, 1.0, 15.4))
        for expected in (
            "best of times",
            "worst of times",
            "age of wisdom",
            "age of foolishness",
            "epoch of",
        ):
            assert expected in " ".join(words(text))

    asyncio.run(scenario())


def test_interims_grow_into_the_final(context, recording):
    """At real time, as core runs it while the agent is audible."""

    async def scenario():
        await MoonshineSTT.preload(MoonshineConfig(), context)
        stt = MoonshineSTT(MoonshineConfig(), context)
        await stt.connect(MULAW_8K)
        stt.interims_wanted(True)
        audio = phrase(recording, 1.0, 4.9) + MULAW_8K.silence(3200)
        loop = asyncio.get_running_loop()
        began = loop.time()
        heard = []

        async def listen():
            async for event in stt.receive():
                heard.append((loop.time() - began, event))
                if isinstance(event, Final):
                    return

        listening = asyncio.create_task(listen())
        for index, start in enumerate(range(0, len(audio), 160)):
            await asyncio.sleep(max(0, began + index * 0.02 - loop.time()))
            if index == 13:
                stt.speech_started()
            stt.send_audio(audio[start : start + 160])
        await stt.finalize()
        await asyncio.wait_for(listening, 5)
        await stt.close()
        return heard

    heard = asyncio.run(scenario())
    *interims, (_, final) = heard
    assert words(final.text) == words(PHRASES[0][2])
    assert len(interims) >= 4
    assert all(isinstance(event, Interim) for _, event in interims)
    at, first = interims[0]
    assert at < 1.2
    assert first.text
    assert len(words(interims[-1][1].text)) > len(words(first.text))


def test_the_event_loop_goes_on_while_the_engine_decodes(context, recording):
    async def scenario():
        await MoonshineSTT.preload(MoonshineConfig(), context)
        loop = asyncio.get_running_loop()
        longest, last = 0.0, loop.time()
        decoding = asyncio.create_task(call(context, phrase(recording, 1.0, 8.5)))
        while not decoding.done():
            await asyncio.sleep(0.001)
            longest, last = max(longest, loop.time() - last), loop.time()
        assert words(await decoding)
        assert longest < 0.1

    asyncio.run(scenario())


def test_works_without_portaudio(recording, tmp_path):
    """`sounddevice` needs PortAudio when it is imported; nothing here may import it."""
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    start, end, said = PHRASES[0]
    (tmp_path / "speech.ulaw").write_bytes(phrase(recording, start, end))
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from pathlib import Path\n"
        "from patter.audio.formats import MULAW_8K\n"
        "from patter_moonshine.model import Model\n"
        f"print(Model().text_of(Path({str(tmp_path)!r}, 'speech.ulaw').read_bytes(), MULAW_8K))\n"
        "print('sounddevice' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    text, imported = run.stdout.splitlines()
    assert words(text) == words(said)
    assert imported == "False"


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "moonshine_voice.transcriber", None)
    with pytest.raises(ConfigError, match=re.escape("pip install moonshine-voice==0.1.0")):
        Model()


def test_a_version_without_the_model_is_named_with_the_line_that_installs_the_right_one(
    monkeypatch, tmp_path
):
    from moonshine_voice import utils

    monkeypatch.setattr(utils, "get_model_path", lambda name: tmp_path / name)

    async def scenario():
        worker = Worker(SystemClock())
        with pytest.raises(ConfigError, match=re.escape("pip install moonshine-voice==0.1.0")):
            await worker.ready()
        await worker.close()

    asyncio.run(scenario())
