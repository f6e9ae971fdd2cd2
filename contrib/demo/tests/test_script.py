from __future__ import annotations

import wave
from pathlib import Path

import pytest
from demo_sounds import tone

from patter.errors import ConfigError
from patter.testing.word_errors import normalise
from patter_demo.script import OWN_SCRIPT, load_script


def written(folder: Path, text: str) -> str:
    file = folder / "script.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_the_script_of_the_demo_is_long_enough_to_score() -> None:
    script = load_script()

    assert len(script.lines) >= 8
    assert len(normalise(script.text)) >= 60
    assert sum(line.interrupts for line in script.lines) == 1
    assert all(len(line.audio) > 8000 for line in script.lines)


def test_every_voice_file_of_the_demo_is_said() -> None:
    named = {line.id for line in load_script().lines}

    assert {file.stem for file in OWN_SCRIPT.parent.glob("*.ulaw")} == named


def test_files_lie_beside_the_script_raw_or_as_wav(tmp_path: Path) -> None:
    (tmp_path / "one.ulaw").write_bytes(tone(100))
    with wave.open(str(tmp_path / "two.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(b"\x10\x20" * 1600)
    script = load_script(
        written(
            tmp_path,
            "lines:\n- {id: one, text: Hello., file: one.ulaw}\n"
            "- {id: two, text: Stop., file: two.wav, interrupts: true}\n",
        )
    )

    assert script.lines[0].audio == tone(100)
    assert len(script.lines[1].audio) == 800
    assert script.lines[1].interrupts
    assert script.text == "Hello. Stop."


def test_lines_without_a_file_wait_for_a_voice(tmp_path: Path) -> None:
    file = written(tmp_path, "lines: [{id: one, text: Hello.}]")

    with pytest.raises(ConfigError, match=r"line one has no audio file.*--caller-tts"):
        load_script(file)
    assert load_script(file, needs_audio=False).lines[0].audio == b""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no lines"),
        ("- one", "has no lines"),
        ("lines: [", "is no YAML"),
        ("lines: []", "lines: "),
        ("lines: [{id: one}]", "lines.0.text"),
        ("lines: [{id: one, text: ''}]", "lines.0.text"),
        ("lines: [{id: 'a b', text: Hello.}]", "lines.0.id"),
        ("lines: [{id: one, text: Hello., interupts: true}]", "interupts"),
        ("lines: [{id: one, text: Hello.}, {id: one, text: Hello.}]", "two lines have the id one"),
        ("encoding: mp3\nlines: [{id: one, text: Hello.}]", "encoding"),
        ("rate: 44100\nlines: [{id: one, text: Hello.}]", "rate"),
        ("lines: [{id: one, text: Hello., file: nowhere.ulaw}]", "line one: .*nowhere"),
        ("lines: [{id: one, text: Hello., file: empty.ulaw}]", "empty.ulaw is empty"),
        ("lines: [{id: one, text: Hello., file: long.ulaw}]", "longer than 60 s"),
        ("lines: [{id: one, text: Hello., file: wrong.wav}]", "no uncompressed WAV"),
        ("!!python/object/apply:os.getcwd []", "is no YAML"),
    ],
)
def test_a_script_that_cannot_work_is_refused_and_says_why(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "empty.ulaw").write_bytes(b"")
    (tmp_path / "long.ulaw").write_bytes(b"\xff" * (8000 * 60 + 1))
    (tmp_path / "wrong.wav").write_bytes(b"RIFF and nothing more")

    with pytest.raises(ConfigError, match=complaint):
        load_script(written(tmp_path, text))


def test_a_script_that_is_not_there_or_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "noise.yaml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match="cannot be read"):
        load_script(str(tmp_path / "missing.yaml"))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_script(str(tmp_path / "noise.yaml"))


def test_a_huge_script_is_not_parsed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="larger than"):
        load_script(written(tmp_path, "#" * ((1 << 20) + 1)))
