"""Test whole phone calls: virtual time, a simulated carrier, fakes, conformance suites, a pytest plugin.

The names below are the public surface; each is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from patter.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from patter.testing.engine_listener import EngineListener as EngineListener
    from patter.testing.engine_listener import run_engine as run_engine
    from patter.testing.engine_script import EngineReply as EngineReply
    from patter.testing.engine_script import EngineScript as EngineScript
    from patter.testing.fake_carrier import Dialled as Dialled
    from patter.testing.fake_carrier import FakeCarrier as FakeCarrier
    from patter.testing.fake_engine import FakeEngine as FakeEngine
    from patter.testing.fake_llm import FakeLLM as FakeLLM
    from patter.testing.fake_stt import FakeSTT as FakeSTT
    from patter.testing.fake_tts import FakeTTS as FakeTTS
    from patter.testing.fake_vad import FakeVAD as FakeVAD
    from patter.testing.far_end import FarEnd as FarEnd
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
    "CallTool": "patter.testing.scene",
    "Dialled": "patter.testing.fake_carrier",
    "EngineListener": "patter.testing.engine_listener",
    "EngineReply": "patter.testing.engine_script",
    "EngineScript": "patter.testing.engine_script",
    "FakeCarrier": "patter.testing.fake_carrier",
    "FakeEngine": "patter.testing.fake_engine",
    "FakeLLM": "patter.testing.fake_llm",
    "FakeSTT": "patter.testing.fake_stt",
    "FakeTTS": "patter.testing.fake_tts",
    "FakeVAD": "patter.testing.fake_vad",
    "FarEnd": "patter.testing.far_end",
    "LeakedTasksError": "patter.testing.virtual_loop",
    "MemoryConnection": "patter.testing.memory_network",
    "MemoryNetwork": "patter.testing.memory_network",
    "Reply": "patter.testing.scene",
    "Scene": "patter.testing.scene",
    "SimulatedCall": "patter.testing.simulated_call",
    "SimulatedLine": "patter.testing.simulated_line",
    "Spoken": "patter.testing.simulated_caller",
    "VirtualClock": "patter.testing.virtual_loop",
    "VirtualTimeDeadlock": "patter.testing.virtual_loop",
    "VirtualTimeLimitExceeded": "patter.testing.virtual_loop",
    "VirtualTimeLoop": "patter.testing.virtual_loop",
    "VoiceFault": "patter.testing.scene",
    "run_engine": "patter.testing.engine_listener",
    "run_virtual": "patter.testing.virtual_loop",
    "word_error_rate": "patter.testing.word_errors",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - sorted from the table of lazy names

if not TYPE_CHECKING:  # so that a type checker still knows a wrong name
    __getattr__, __dir__ = lazy_exports(__name__, _HOMES)
