"""What an ended call has not let go of, by name."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.testing.simulated_call import SimulatedCall


def left_over(call: SimulatedCall) -> list[str]:
    """Tasks, connections and streams of the call that are still open; what its summary calls leaks is among them."""
    left = list(call.summary.leaks) if call.summary is not None else ["a summary that never came"]
    if call.call is not None:
        mine = f"{call.call.id} "
        left += sorted(
            f"task {one.get_name()}" for one in asyncio.all_tasks() if one.get_name().startswith(mine)
        )
        if call.phone.switchboard.line(call.call.id) is not None:
            left.append("its line at the switchboard")
    open_parts = {
        "the carrier's connection": call.line is not None and call.line.is_open,
        "a stream of the LLM": call.scene.model.open_streams > 0,
        "a synthesis of the TTS": call.scene.voice.open_streams > 0,
        "the connection of the STT": call.scene.recogniser.report is not None,
    }
    return left + [name for name, is_open in open_parts.items() if is_open]
