"""Keys over Twilio, both ways: pressed as tones in the media, heard as events of the stream."""

from __future__ import annotations

import asyncio

import pytest

from patter import hookimpl
from patter.audio.formats import MULAW_8K
from patter.errors import InputError
from patter.testing.keys import read_keys

ALL = "0123456789*#ABCD"


def heard_keys(call):
    """The keys that the far end heard, read from the audio that Twilio played."""
    return read_keys(b"".join(audio for _, audio in call.heard), MULAW_8K)


@pytest.mark.behaviour("CC-09")
def test_keys_are_heard_at_the_far_end_and_other_characters_reach_nobody(carrier):
    async def scenario():
        async with carrier.loopback() as served:
            call = await served.ring_and_greet()
            control = served.line(call).call
            sent = sum(len(audio) for _, audio in call.heard)
            for digits in ("", "a", "e", "E", "1 2", "1\n", "1,2", "p", "+1", "١"):
                with pytest.raises(InputError):
                    await control.send_dtmf(digits)
            assert served.simulator.requests == []
            assert sum(len(audio) for _, audio in call.heard) == sent

            assert await control.send_dtmf(ALL + "1", delay_ms=60) is True
            await served.listening(call)
            assert "".join(one.key for one in heard_keys(call)) == ALL + "1"

            assert await control.send_dtmf("1w1W1") is True
            await served.listening(call)
            first, second, third = heard_keys(call)[-3:]
            assert [one.key for one in (first, second, third)] == ["1", "1", "1"]
            # a key of 100 ms, the pause of 300 ms, and those that were asked for
            assert second.start_ms - first.start_ms == pytest.approx(100 + 300 + 500, abs=20)
            assert third.start_ms - second.start_ms == pytest.approx(100 + 300 + 1000, abs=20)

            # the stream never broke, and the conversation goes on
            await call.say(carrier.written("still here"))
            answer = carrier.written("You said still here. ")
            await carrier.until(lambda: answer in b"".join(audio for _, audio in call.heard))
            assert len(call.streams) == 1
            assert (call.warnings, call.clears, served.simulator.requests) == ([], [], [])
            call.hangup()
            await served.ended(call, total=1)

    asyncio.run(scenario())


@pytest.mark.behaviour("CC-09")
def test_keys_of_the_caller_reach_the_hook_once_each_and_in_order(carrier):
    told = []

    class Keys:
        @hookimpl
        async def patter_dtmf(self, call, digit):
            told.append((call.carrier_call_id, digit))
            await asyncio.sleep(0.05 if digit in "15" else 0.0)

    async def scenario():
        async with carrier.loopback(plugins=[Keys()]) as served:
            one, two = await served.ring_and_greet(), await served.ring_and_greet()
            for first, second in zip(ALL, ALL[::-1], strict=True):
                one.dtmf(first)
                two.dtmf(second)
            await carrier.until(lambda: len(told) == 2 * len(ALL))
            await served.talk(one, "and a word")
            for call in (one, two):
                call.hangup()
            await served.ended(one, two, total=2)
            assert "".join(digit for sid, digit in told if sid == one.sid) == ALL
            assert "".join(digit for sid, digit in told if sid == two.sid) == ALL[::-1]

    asyncio.run(scenario())
