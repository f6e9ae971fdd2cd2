"""Test whole phone calls: virtual time, a simulated carrier, fakes, conformance suites, a pytest plugin.

The names below are the public surface; each is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from patter.testing.fake_carrier import Dialled as Dialled
    from patter.testing.fake_carrier import FakeCarrier as FakeCarrier
    from patter.testing.fake_llm import FakeLLM as FakeLLM
    from patter.testing.fake_stt import FakeSTT as FakeSTT
    from patter.testing.fake_tts import FakeTTS as FakeTTS
    from patter.testing.fake_vad import FakeVAD as FakeVAD
    from patter.testing.memory_network import MemoryConnection as MemoryConnection
    from patter.testing.memory_network import MemoryNetwork as MemoryNetwork
    from patter.testing.scene import CallTool as CallTool
    from patter.testing.scene import Reply as Reply
    from patter.testing.scene import Scene as Scene
    from patter.testing.scene import VoiceFault as VoiceFault
    from patter.testing.simulated_call import SimulatedCall as SimulatedCall
    from patter.testing.simulated_caller import Spoken as Spoken
    from patter.testing.simulated_line import SimulatedLine as SimulatedLine
    from patter.testing.virtual_loop import LeakedTasksError as LeakedTasksError
    from patter.testing.virtual_loop import VirtualClock as VirtualClock
    from patter.testing.virtual_loop import VirtualTimeDeadlock as VirtualTimeDeadlock
    from patter.testing.virtual_loop import VirtualTimeLimitExceeded as VirtualTimeLimitExceeded
    from patter.testing.virtual_loop import VirtualTimeLoop as VirtualTimeLoop
    from patter.testing.virtual_loop import run_virtual as run_virtual
    from patter.testing.word_errors import word_error_rate as word_error_rate

_HOMES = {
    "CallTool": "scene",
    "Dialled": "fake_carrier",
    "FakeCarrier": "fake_carrier",
    "FakeLLM": "fake_llm",
    "FakeSTT": "fake_stt",
    "FakeTTS": "fake_tts",
    "FakeVAD": "fake_vad",
    "LeakedTasksError": "virtual_loop",
    "MemoryConnection": "memory_network",
    "MemoryNetwork": "memory_network",
    "Reply": "scene",
    "Scene": "scene",
    "SimulatedCall": "simulated_call",
    "SimulatedLine": "simulated_line",
    "Spoken": "simulated_caller",
    "VirtualClock": "virtual_loop",
    "VirtualTimeDeadlock": "virtual_loop",
    "VirtualTimeLimitExceeded": "virtual_loop",
    "VirtualTimeLoop": "virtual_loop",
    "VoiceFault": "scene",
    "run_virtual": "virtual_loop",
    "word_error_rate": "word_errors",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - sorted from the table of lazy names


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'patter.testing' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"patter.testing.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
