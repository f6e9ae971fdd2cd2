"""Keys as tones, for lines on which a key can only be pressed by being heard.

Each key is two tones at once (ITU-T Q.23). How long they last and how loud they are lies well within what every
receiver must take (ITU-T Q.24: from 40 ms on, -3 to -24 dBm a tone, the upper one at most 4 dB louder).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from patter.audio.g711 import encode
from patter.errors import InputError

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat

#: the keys, row by row; each row has a low tone and each column a high one, in Hz
ROWS: Final = ("123A", "456B", "789C", "*0#D")
LOW_HZ: Final = (697, 770, 852, 941)
HIGH_HZ: Final = (1209, 1336, 1477, 1633)
#: what else may stand among them, and how long it makes the pause, in ms
PAUSES_MS: Final = {"w": 500, "W": 1000}
#: how long a key sounds, in ms
KEY_MS: Final = 100
#: two equal keys without a pause between them would be one, in ms
SHORTEST_PAUSE_MS: Final = 50
#: keys and pauses that can be asked for at a time
MOST_KEYS: Final = 100
#: longest pause between two keys that can be asked for, in ms
LONGEST_DELAY_MS: Final = 5000

# A sine of full scale is +3.17 dBm0 in mu-law: these are -9 and -7 dBm0.
_LOW_PEAK: Final = 32767 * 10 ** ((-9 - 3.17) / 20)
_HIGH_PEAK: Final = 32767 * 10 ** ((-7 - 3.17) / 20)


def check_keys(digits: str, delay_ms: int) -> None:
    """Raise `InputError` for anything other than 1 to 100 of ``0-9 * # A-D w W``, and for a delay past 5 s."""
    known = set("".join(ROWS)) | set(PAUSES_MS)
    if not digits or set(digits) - known:
        raise InputError(f"send_dtmf: {digits[:40]!r} has characters other than 0-9 * # A-D w W")
    if len(digits) > MOST_KEYS:
        raise InputError(f"send_dtmf: at most {MOST_KEYS} keys at a time, not {len(digits)}")
    if not 0 <= delay_ms <= LONGEST_DELAY_MS:
        raise InputError(f"send_dtmf: delay_ms must be 0 to {LONGEST_DELAY_MS}, not {delay_ms!r}")


def key_tones(digits: str, delay_ms: int, audio_format: AudioFormat) -> bytes:
    """The audio of keys pressed one after the other.

    Args:
        digits: ``0-9 * # A-D``, and among them `w` for a pause of half a second and `W` for one of a second.
        delay_ms: pause between two keys, in ms; at least 50 is kept.
        audio_format: of the audio.

    Raises:
        InputError: see `check_keys`.
    """
    check_keys(digits, delay_ms)
    pause_ms = max(delay_ms, SHORTEST_PAUSE_MS)
    parts: list[bytes] = []
    for key in digits:
        if key in PAUSES_MS:
            parts.append(_silence(PAUSES_MS[key], audio_format))
        else:
            parts += (_key(key, audio_format), _silence(pause_ms, audio_format))
    return b"".join(parts)


def _silence(ms: int, audio_format: AudioFormat) -> bytes:
    return audio_format.silence(audio_format.rate * ms // 1000)


@lru_cache(maxsize=64)
def _key(key: str, audio_format: AudioFormat) -> bytes:
    row = next(number for number, keys in enumerate(ROWS) if key in keys)
    turns = 2 * np.pi * np.arange(audio_format.rate * KEY_MS // 1000) / audio_format.rate
    wave = _LOW_PEAK * np.sin(turns * LOW_HZ[row]) + _HIGH_PEAK * np.sin(
        turns * HIGH_HZ[ROWS[row].index(key)]
    )
    return encode(wave.astype(np.int16), audio_format.encoding)
