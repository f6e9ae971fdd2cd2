"""What the caller says: a YAML file of lines, each with its text and perhaps a file with its voice.

    encoding: mulaw        # of the files that are not WAV; nothing else is known yet
    rate: 8000
    lines:
      - id: hello
        text: Good evening. I would like to book a table.
        file: hello.ulaw   # raw, or .wav with one channel of 16 bits; beside the YAML file unless absolute
      - id: stop
        text: Wait, please stop.
        interrupts: true   # said while the agent talks

A script is a user's file, so it is checked whole before anything starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from patter.audio import MULAW_8K, PCM16_8K, AudioFormat, Converter, Encoding, read_mono
from patter.errors import ConfigError

#: the script that the distribution carries
OWN_SCRIPT = Path(__file__).parent / "voice" / "script.yaml"
#: longest script file, in bytes
LARGEST_SCRIPT = 1 << 20
#: longest line, in s
LONGEST_LINE_S = 60


class LineEntry(BaseModel):
    """One line as it stands in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    text: str = Field(min_length=1, max_length=1000)
    file: str | None = Field(default=None, min_length=1, max_length=1000)
    voice: str = Field(default="", max_length=100)
    interrupts: bool = False


class ScriptFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoding: Literal["mulaw"] = "mulaw"
    rate: Literal[8000] = 8000
    lines: tuple[LineEntry, ...] = Field(min_length=1, max_length=200)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the caller; `audio` is µ-law at 8 kHz, empty until a voice has spoken it."""

    id: str
    text: str
    audio: bytes = b""
    interrupts: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """The lines in the order in which they are said."""

    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        """All that the caller says."""
        return " ".join(line.text for line in self.lines)


def load_script(path: str | None = None, *, needs_audio: bool = True) -> Script:
    """Read a script, by default the demo's own, with the audio of its lines.

    With `needs_audio` false the lines keep their text alone, for a voice that speaks them all. Raises `ConfigError`.
    """
    file = OWN_SCRIPT if path is None else Path(path)
    entries = _read(file).lines
    names = [entry.id for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{file}: two lines have the id {twice[0]}")
    if not needs_audio:
        return Script(tuple(Line(entry.id, entry.text, b"", entry.interrupts) for entry in entries))
    return Script(
        tuple(Line(entry.id, entry.text, _audio(file, entry), entry.interrupts) for entry in entries)
    )


def _read(file: Path) -> ScriptFile:
    try:
        if file.stat().st_size > LARGEST_SCRIPT:
            raise ConfigError(f"{file} is larger than {LARGEST_SCRIPT} bytes: is it a script?")
        data: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the script {file} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"the script {file} is no YAML: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"the script {file} has no lines: it is a mapping with `lines:`")
    try:
        return ScriptFile(**{str(key): value for key, value in data.items()})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"the script {file}: {place}: {first['msg']}") from None


def _audio(script: Path, entry: LineEntry) -> bytes:
    """The voice of a line as µ-law at 8 kHz."""
    if entry.file is None:
        raise ConfigError(
            f"the script {script}: line {entry.id} has no audio file; give one, or let a voice speak the lines: "
            "--caller-tts REF"
        )
    file = script.parent / entry.file
    try:
        audio = _wav(file) if file.suffix.lower() == ".wav" else _raw(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the script {script}: line {entry.id}: {error}") from None
    if not audio:
        raise ConfigError(f"the script {script}: line {entry.id}: {file} is empty")
    return audio


def _raw(file: Path) -> bytes:
    if file.stat().st_size > MULAW_8K.bytes_for_ms(LONGEST_LINE_S * 1000):
        raise ValueError(f"{file} is longer than {LONGEST_LINE_S} s")
    return file.read_bytes()


def _wav(file: Path) -> bytes:
    samples, rate = read_mono(file)
    if samples.size > rate * LONGEST_LINE_S:
        raise ValueError(f"{file} is longer than {LONGEST_LINE_S} s")
    source = PCM16_8K if rate == PCM16_8K.rate else AudioFormat(Encoding.PCM16, rate)
    converter = Converter(source, MULAW_8K)
    return converter.process(samples.astype("<i2").tobytes()) + converter.flush()
