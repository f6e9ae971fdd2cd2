"""What the carrier still plays after an interruption, over real sockets (BI-23, as far as a live greeting goes)."""

from __future__ import annotations

import asyncio

import pytest

#: what may be left to be heard after the clear, in s
LEFT_S = 0.2


@pytest.mark.parametrize("sentences", [4, 100])
def test_an_interrupted_greeting_leaves_next_to_nothing_in_the_carrier(carrier, sentences):
    """In each mode, whatever the greeting's length: 100 sentences are some 20 s of audio, there at once."""

    async def interrupt(served, mode):
        call = await served.ring(f"+1555000{len(mode):04}")
        playback, left = call.stream.playback, []
        clear = playback.clear

        def noting(t):
            left.append(max(0.0, playback.ends_t - t))
            return clear(t)

        playback.clear = noting
        await served.hears(call, "number 1 ")
        await call.say(carrier.written("please stop now"))
        await served.hears(call, "You said please stop now")
        heard = served.heard(call).partition("You said")[0]
        line = served.line(call)
        call.hangup()
        return left, heard, await line.done

    async def scenario(mode):
        greeting = " ".join(f"Here is sentence number {number} of many." for number in range(sentences))
        agent = carrier.agent(first_message=greeting, barge_in_mode=mode)
        async with carrier.loopback(agent) as served:
            left, heard, summary = await interrupt(served, mode)
            await served.ended(total=1)
        assert len(left) == 1
        assert left[0] <= LEFT_S
        assert greeting.startswith(heard.rstrip())
        assert len(heard) < len(greeting)
        cut = next(entry for entry in summary.transcript if entry.role == "assistant" and entry.interrupted)
        assert greeting.startswith(cut.text)
        assert summary.metrics["interruptions"] == 1

    for mode in ("cancel", "confirm", "pause"):
        asyncio.run(scenario(mode))
