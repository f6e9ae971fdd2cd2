"""Speech recognition with Moonshine on this machine: no key, no network, one worker for all calls."""

from __future__ import annotations

from collections.abc import Iterable

from patter import STTRecord, hookimpl


@hookimpl
def patter_register_stt() -> Iterable[STTRecord]:
    """The recogniser; its segments are cut to the call's VAD, so it endpoints nothing by itself."""
    return [
        STTRecord(
            "moonshine",
            "patter_moonshine.recogniser:MoonshineSTT",
            config="patter_moonshine.config:MoonshineConfig",
            endpoints=False,
            interims=True,
            prices="free",
            description="Moonshine tiny (English) on this machine, no key",
        )
    ]
