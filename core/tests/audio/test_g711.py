from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.audio import (
    ALAW_TO_FLOAT,
    MULAW_TO_FLOAT,
    Encoding,
    alaw_decode,
    alaw_encode,
    alaw_to_mulaw,
    decode,
    encode,
    mulaw_decode,
    mulaw_encode,
    mulaw_to_alaw,
)

CODES = bytes(range(256))
# Every int16 value in the order of its bits, as in an encoder table.
SAMPLES = np.arange(1 << 16, dtype=np.uint16).view(np.int16)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("table", "digest"),
    [
        (
            mulaw_decode(CODES).astype("<i2").tobytes(),
            "3dab54339e520bb2c924826e3b72a917a2b612e9fd12fc867500f1d983a75827",
        ),
        (mulaw_encode(SAMPLES), "2164b097996c76b0841ad9b358177cd565b75137044900f601afe9d7d5a1e3d9"),
        (
            alaw_decode(CODES).astype("<i2").tobytes(),
            "e04788d110e58ff8c70c93b8480190d973e3b67876b6119abbaec766cc75c174",
        ),
        (alaw_encode(SAMPLES), "f77c76aa923ee25617453f87514828a12896227f82ff383bf3bb53d6ac7c2a0f"),
    ],
    ids=["mulaw decode", "mulaw encode", "alaw decode", "alaw encode"],
)
def test_whole_tables_against_their_known_digests(table, digest):
    assert sha256(table) == digest


def test_silence_and_full_scale():
    zero = np.zeros(3, np.int16)
    assert mulaw_encode(zero) == b"\xff\xff\xff"
    assert alaw_encode(zero) == b"\xd5\xd5\xd5"
    assert mulaw_decode(b"\x80\x00\xff\x7f").tolist() == [32124, -32124, 0, 0]
    assert alaw_decode(b"\xaa\x2a\xd5\x55").tolist() == [32256, -32256, 8, -8]


def test_mulaw_segments():
    decoded = mulaw_decode(bytes(range(0x80, 0x100, 8))).tolist()
    assert decoded == [
        *(32124, 23932, 15996, 11900, 7932, 5884, 3900, 2876),
        *(1884, 1372, 876, 620, 372, 244, 120, 56),
    ]


def test_round_trips():
    again = mulaw_encode(mulaw_decode(CODES))
    assert [(a, b) for a, b in zip(CODES, again, strict=True) if a != b] == [(0x7F, 0xFF)]
    assert alaw_encode(alaw_decode(CODES)) == CODES


def test_the_largest_quantisation_error_is_that_of_the_clipped_values():
    error = np.abs(mulaw_decode(mulaw_encode(SAMPLES)).astype(int) - SAMPLES)
    assert error.max() == 644


@pytest.mark.parametrize(
    ("encode_one", "decode_one"), [(mulaw_encode, mulaw_decode), (alaw_encode, alaw_decode)]
)
def test_encoding_keeps_the_order_of_loudness(encode_one, decode_one):
    ordered = np.arange(-32768, 32768).astype(np.int16)
    assert (np.diff(decode_one(encode_one(ordered)).astype(int)) >= 0).all()


def test_transcoding_takes_the_nearest_code():
    assert mulaw_to_alaw(CODES) == alaw_encode(mulaw_decode(CODES))
    assert alaw_to_mulaw(CODES) == mulaw_encode(alaw_decode(CODES))
    for transcoded, source, levels in (
        (alaw_decode(mulaw_to_alaw(CODES)), mulaw_decode(CODES), alaw_decode(CODES)),
        (mulaw_decode(alaw_to_mulaw(CODES)), alaw_decode(CODES), mulaw_decode(CODES)),
    ):
        nearest = np.abs(source.astype(int)[:, None] - levels.astype(int)).min(axis=1)
        error = np.abs(transcoded.astype(int) - source)
        # A tie or the rounding of the encoder may cost half a step of the finer code, never a whole segment.
        assert (error <= nearest + np.maximum(8, np.abs(source.astype(int)) // 32)).all()


@pytest.mark.parametrize(
    ("table", "decode_one"), [(MULAW_TO_FLOAT, mulaw_decode), (ALAW_TO_FLOAT, alaw_decode)]
)
def test_float_tables_are_the_samples_scaled_to_one(table, decode_one):
    assert table.dtype == np.float32
    assert np.abs(table).max() < 1
    assert (table * 32768 == decode_one(CODES)).all()
    with pytest.raises(ValueError, match="read-only"):
        table[0] = 1


@given(data=st.binary(max_size=1000))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_any_bytes_are_audio_of_that_many_samples(data):
    for one in (mulaw_decode, alaw_decode):
        assert one(data).size == len(data)
        assert one(data).dtype == np.int16
    assert len(mulaw_to_alaw(data)) == len(alaw_to_mulaw(data)) == len(data)


def test_decoded_samples_belong_to_the_caller():
    pcm = mulaw_decode(b"\x00\x01")
    pcm[0] = 5
    assert mulaw_decode(b"\x00\x01")[0] == -32124


@pytest.mark.parametrize("encoding", list(Encoding))
def test_encode_and_decode_by_name(encoding):
    pcm = np.array([0, 1000, -1000, 32767, -32768], np.int16)
    one_by_name = {
        Encoding.PCM16: pcm.astype("<i2").tobytes(),
        Encoding.MULAW: mulaw_encode(pcm),
        Encoding.ALAW: alaw_encode(pcm),
    }[encoding]
    assert encode(pcm, encoding) == one_by_name
    assert encode(decode(one_by_name, encoding), encoding) == one_by_name
    assert encode(np.zeros(0, np.int16), encoding) == b""
    assert decode(b"", encoding).size == 0


def test_pcm16_is_little_endian():
    assert decode(b"\x01\x00\x00\x80", Encoding.PCM16).tolist() == [1, -32768]
    assert encode(np.array([1, -32768], np.int16), Encoding.PCM16) == b"\x01\x00\x00\x80"


def test_half_a_sample_is_refused():
    with pytest.raises(ValueError, match="3 bytes of PCM16 end in the middle"):
        decode(b"\x00\x00\x00", Encoding.PCM16)


@pytest.mark.parametrize("encoding", list(Encoding))
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint16, ">i2"])
def test_samples_of_another_type_are_refused(encoding, dtype):
    with pytest.raises(TypeError, match="samples are int16"):
        encode(np.zeros(4, dtype), encoding)


def test_samples_need_not_lie_side_by_side():
    pcm = np.arange(-500, 500, dtype=np.int16)
    for encoding in Encoding:
        assert encode(pcm[::3], encoding) == encode(pcm[::3].copy(), encoding)
