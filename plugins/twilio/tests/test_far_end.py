"""Twilio's end of a media stream: what it writes the plugin reads, what the plugin writes it reads."""

from __future__ import annotations

import pytest

from patter.audio.formats import MULAW_8K
from patter.providers.carrier import AudioReceived, DigitPressed, MarkReached, StreamStarted, StreamStopped
from patter.testing.simulation.levels import quiet
from patter.testing.whole_call.exchange import installed_far_ends
from patter.testing.whole_call.level import WholeLevel
from patter_twilio.far_end import TwilioFarEnd


def test_the_plugin_reads_what_it_writes() -> None:
    far_end = TwilioFarEnd(7)
    protocol = far_end.protocol()
    connected, start = map(protocol.parse, far_end.opening())
    assert connected is None
    assert isinstance(start, StreamStarted)
    assert (start.carrier_call_id, start.audio_format) == (far_end.carrier_call_id, MULAW_8K)
    for payload in (b"\xff" * 160, bytes(range(160))):
        assert protocol.parse(far_end.audio(payload)) == AudioReceived(payload)
    assert protocol.parse(far_end.mark("p1")) == MarkReached("p1")
    assert protocol.parse(far_end.digit("#")) == DigitPressed("#")
    assert protocol.parse(far_end.stop()) == StreamStopped()


def test_it_reads_what_the_plugin_writes() -> None:
    far_end = TwilioFarEnd(7)
    protocol = far_end.protocol()
    for message in far_end.opening():
        protocol.parse(message)
    assert far_end.read(protocol.media(b"\x01\x02")) == ("audio", b"\x01\x02")
    assert far_end.read(protocol.mark("p1")) == ("mark", "p1")
    assert far_end.read(protocol.clear()) == ("clear", None)
    with pytest.raises(AssertionError, match="another stream"):
        TwilioFarEnd(8).read(protocol.clear())


@pytest.mark.simulation
def test_whole_calls_are_simulated_with_its_messages() -> None:
    assert installed_far_ends()["twilio"][1] is TwilioFarEnd
    level = WholeLevel()
    with quiet():
        scripts = [level.draw(40_000_000 + number) for number in range(40)]
        calls = [level.play_call(script) for script in scripts]
        found = [level.play(script).problems for script in scripts]
    assert found == [[]] * len(found)
    assert sum(call.carrier_name == "twilio" and call.session is not None for call in calls) >= 10
