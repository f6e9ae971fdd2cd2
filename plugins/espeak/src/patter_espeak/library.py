# SPDX-License-Identifier: GPL-3.0-or-later
"""libespeak-ng, called through ctypes; its interface is the engine's ``speak_lib.h``.

The library keeps global state: one voice, one callback, one set of parameters. So it is loaded once per process and
one lock covers every use of it.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from patter.errors import ConfigError, ProviderError

INSTALL = "pip install espeakng-loader"

# speak_lib.h
_OUTPUT_SYNCHRONOUS = 2  # espeak_Synth returns at the end, its callback runs in the calling thread
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1
_PARAMETER_RATE = 1
_PARAMETER_VOLUME = 2
_PARAMETER_PITCH = 3
_OK = 0
# How much audio one callback brings; the engine rounds it to its own blocks.
_BLOCK_MS = 60

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

Sink = Callable[[bytes], bool]


class _Voice(ctypes.Structure):
    """`espeak_VOICE`: what is asked for, or what is there."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    """A voice as the engine knows it; `rate` in words per minute, `pitch` 0-99, `volume` in per cent."""

    voice: str
    rate: int
    pitch: int
    volume: int


class Library:
    """The engine of this process. Use `load()`."""

    def __init__(self, native: Any, data_path: str) -> None:
        """Initialise the engine with its data. Raises `ConfigError`."""
        self._native = native
        native.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        native.espeak_GetCurrentVoice.restype = ctypes.POINTER(_Voice)
        rate = native.espeak_Initialize(
            _OUTPUT_SYNCHRONOUS, _BLOCK_MS, data_path.encode(), _INITIALIZE_DONT_EXIT
        )
        if rate <= 0:
            raise ConfigError(f"espeak-ng did not start with the data of espeakng-loader; try: {INSTALL}")
        #: samples per second of everything this engine says
        self.sample_rate = int(rate)
        self._lock = threading.Lock()
        self._settings: VoiceSettings | None = None
        self._sink: Sink | None = None
        self._stopped = False
        self._callback = _Callback(self._deliver)  # the engine keeps only the address
        native.espeak_SetSynthCallback(self._callback)

    def select(self, settings: VoiceSettings) -> None:
        """Try a voice. Raises `ConfigError` if the engine has none of that name."""
        with self._lock:
            self._apply(settings)

    def speak(self, text: str, settings: VoiceSettings, sink: Sink) -> None:
        """Say `text`, handing 16-bit mono samples to `sink` until that answers False; blocks until then.

        `text` must have passed `patter_espeak.text.clean`. Raises `ConfigError` for an unknown voice and
        `ProviderError` when the engine fails.
        """
        encoded = text.encode("utf-8")
        with self._lock:
            self._apply(settings)
            self._sink, self._stopped = sink, False
            try:
                status = self._native.espeak_Synth(
                    encoded, len(encoded) + 1, 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None
                )
            finally:
                self._sink = None
            if status != _OK and not self._stopped:
                raise ProviderError(
                    f"espeak-ng could not speak a sentence (status {status})",
                    provider="espeak",
                    vendor_code=str(status),
                )

    def _apply(self, settings: VoiceSettings) -> None:
        if settings == self._settings:
            return
        self._settings = None
        if not self._choose(settings.voice):
            raise ConfigError(
                f"espeak-ng has no voice {settings.voice!r}; a voice is a language such as en-us, de or fr-fr, "
                "with a variant such as +f3 if you like"
            )
        for parameter, value in (
            (_PARAMETER_RATE, settings.rate),
            (_PARAMETER_VOLUME, settings.volume),
            (_PARAMETER_PITCH, settings.pitch),
        ):
            self._native.espeak_SetParameter(parameter, value, 0)
        self._settings = settings

    def _choose(self, voice: str) -> bool:
        """Whether the engine has a voice of that name or, as most languages go by several, one for that language.

        A voice for German is called "de"; "de-AT" is none's name.
        """
        if self._native.espeak_SetVoiceByName(voice.encode()) == _OK:
            return True
        language, _, variant = voice.partition("+")
        wanted = _Voice(languages=language.encode())
        if self._native.espeak_SetVoiceByProperties(ctypes.byref(wanted)) != _OK:
            return False
        if not variant:
            return True
        name: bytes = self._native.espeak_GetCurrentVoice().contents.identifier
        return bool(self._native.espeak_SetVoiceByName(name + b"+" + variant.encode()) == _OK)

    def _deliver(self, samples: Any, count: int, _events: Any) -> int:
        """The engine's callback: 0 goes on, 1 stops it."""
        if self._sink is None or self._stopped:
            return 1
        if samples and count > 0:
            self._stopped = not self._sink(ctypes.string_at(samples, 2 * count))
        return int(self._stopped)


_loading = threading.Lock()
_library: Library | None = None


def load() -> Library:
    """The engine of this process, loaded by the first caller (about 5 ms). Raises `ConfigError` when it is missing."""
    global _library
    with _loading:
        if _library is None:
            try:
                import espeakng_loader

                native = ctypes.CDLL(espeakng_loader.get_library_path())
                data_path = espeakng_loader.get_data_path()
            except (ImportError, OSError, RuntimeError) as error:
                raise ConfigError(f"espeak-ng is not installed ({error}): {INSTALL}") from error
            _library = Library(native, data_path)
        return _library
