from __future__ import annotations

import struct
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.audio import read_mono, write_stereo


def write(path, data, channels=1, width=2, rate=16000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)


def test_reads_samples_and_rate(tmp_path, tone):
    pcm = tone(440, 22050, 0.1)
    write(tmp_path / "a.wav", pcm.astype("<i2").tobytes(), rate=22050)
    read, rate = read_mono(tmp_path / "a.wav")
    assert rate == 22050
    assert read.dtype == np.int16
    assert (read == pcm).all()


def test_writes_left_and_right_and_fills_up_the_shorter(tmp_path):
    left, right = np.array([1, -2, 3], np.int16), np.array([-32768], np.int16)
    write_stereo(tmp_path / "a.wav", left, right, 8000)
    with wave.open(str(tmp_path / "a.wav"), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    assert samples[:, 0].tolist() == [1, -2, 3]
    assert samples[:, 1].tolist() == [-32768, 0, 0]


def test_an_empty_recording_is_a_valid_file(tmp_path):
    nothing = np.zeros(0, np.int16)
    write_stereo(str(tmp_path / "a.wav"), nothing, nothing, 8000)
    with wave.open(str(tmp_path / "a.wav"), "rb") as file:
        assert file.getnframes() == 0


@pytest.mark.parametrize(("channels", "width"), [(2, 2), (1, 1), (1, 3)])
def test_another_layout_is_refused_and_named(tmp_path, channels, width):
    write(tmp_path / "a.wav", bytes(channels * width * 10), channels, width)
    with pytest.raises(ValueError, match=rf"a\.wav has {channels} channels of {width * 8} bits"):
        read_mono(tmp_path / "a.wav")


def test_another_coding_is_refused(tmp_path):
    mulaw = 7
    layout = struct.pack("<HHIIHH", mulaw, 1, 8000, 8000, 1, 8)
    body = (
        b"WAVEfmt " + struct.pack("<I", len(layout)) + layout + b"data" + struct.pack("<I", 2) + b"\xff\xff"
    )
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    with pytest.raises(ValueError, match="no uncompressed WAV file"):
        read_mono(tmp_path / "a.wav")


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_mono(tmp_path / "a.wav")


@given(at=st.integers(0, 60), value=st.integers(0, 255), length=st.integers(0, 64))
@settings(derandomize=True, max_examples=150, deadline=None)
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, at, value, length):
    path = tmp_path_factory.getbasetemp() / "damaged.wav"
    write(path, bytes(20))
    damaged = bytearray(path.read_bytes())
    damaged[at] = value
    path.write_bytes(damaged[:length])
    try:
        pcm, rate = read_mono(path)
    except ValueError:
        return
    assert pcm.dtype == np.int16
    assert rate >= 0
