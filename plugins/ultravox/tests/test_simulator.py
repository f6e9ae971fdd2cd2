"""The simulator does what the vendor does, seen through plain HTTP and a plain WebSocket."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from patter.audio.formats import PCM16_8K
from patter.testing.memory_network import MemoryNetwork
from patter.testing.tones import speech_ms, tone
from patter.testing.virtual_loop import run_virtual
from patter_ultravox.simulator import Faults, SimulatedTool, SimulatedTurn, Simulator

HELLO = "Good morning, this is the bakery."
SOCKET = {"inputSampleRate": 8000, "clientBufferSizeMs": 30000}
CALL = {
    "systemPrompt": "Be kind.",
    "medium": {"serverWebSocket": SOCKET},
    "firstSpeakerSettings": {"user": {}},
}
GREETING = {**CALL, "firstSpeakerSettings": {"agent": {"text": HELLO}}}
UNINTERRUPTIBLE = {**CALL, "firstSpeakerSettings": {"agent": {"text": HELLO, "uninterruptible": True}}}


class Client:
    """A WebSocket that keeps what it was sent."""

    def __init__(self, socket):
        self.socket = socket
        self.messages = []
        self.audio = b""
        self.code = None

    async def send(self, message):
        await self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def speak(self, frames=20):
        for _ in range(frames):
            await self.send(tone(40, 20, PCM16_8K))
            await asyncio.sleep(0.02)

    async def listen(self, seconds=10.0):
        """Take what comes for that long, or until the close."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                with suppress(ConnectionClosed):
                    while True:
                        raw = await self.socket.recv()
                        if isinstance(raw, bytes):
                            self.audio += raw
                        else:
                            self.messages.append(json.loads(raw))
                self.code = self.socket.close_code

    def of(self, kind):
        return [message for message in self.messages if message["type"] == kind]

    @property
    def states(self):
        return [message["state"] for message in self.of("state")]

    @property
    def heard_ms(self):
        return PCM16_8K.duration_ms(len(self.audio))


def virtually(body, *turns, faults=None):
    async def main():
        connector = asyncio.get_running_loop().network.connector()
        turned = turns or (SimulatedTurn(),)
        async with (
            Simulator(turned, faults=faults, host="uv.example", port=80) as simulator,
            aiohttp.ClientSession(connector=connector) as http,
        ):
            await body(simulator, http)

    run_virtual(main(), network=MemoryNetwork())


async def made(simulator, http, body=CALL, key="test-key"):
    async with http.post(f"{simulator.base_url}/calls", json=body, headers={"X-API-Key": key}) as answer:
        return answer.status, await answer.json()


@asynccontextmanager
async def joined(simulator, http, body=CALL):
    status, call = await made(simulator, http, body)
    assert status == 201
    async with connect(call["joinUrl"], proxy=None) as socket:
        yield Client(socket)


def test_a_key_is_wanted():
    async def body(simulator, http):
        async with http.post(f"{simulator.base_url}/calls", json=CALL) as answer:
            assert answer.status == 401
        assert (await made(simulator, http, key="other"))[0] == 403
        status, call = await made(simulator, http)
        assert status == 201
        assert call["callId"] == "call-1"
        assert call["endReason"] is None

    virtually(body)


@pytest.mark.parametrize(
    "fields",
    [
        {"firstSpeakerSettings": {"agent": {}, "user": {}}},
        {"firstSpeakerSettings": {}},
        {"firstSpeaker": "FIRST_SPEAKER_AGENT"},
        {"firstSpeakerSettings": {"agent": {"text": "a", "prompt": "b"}}},
        {"firstSpeakerSettings": {"agent": {"message": "a"}}},
        {"medium": {}},
        {"medium": {"serverWebSocket": {}}},
        {"medium": {"serverWebSocket": {**SOCKET, "dataMessages": {"states": True}}}},
        {"maxDuration": 60},
        {"maxDuration": "1m"},
        {"temperature": 2},
        {"languageHint": "a" * 17},
        {"voice": "a", "externalVoice": {}},
        {"initialMessages": [{"role": "user", "text": "a"}]},
        {"selectedTools": [{"temporaryTool": {"modelToolName": "a b", "client": {}}}]},
        {"selectedTools": [{"temporaryTool": {"modelToolName": "a"}}]},
        {
            "selectedTools": [
                {"temporaryTool": {"modelToolName": "a", "client": {}, "dynamicParameters": [{"name": "x"}]}}
            ]
        },
        {"prompt": "a"},
    ],
)
def test_a_call_that_the_vendor_would_not_make_is_refused(fields):
    async def body(simulator, http):
        assert (await made(simulator, http, {**CALL, **fields}))[0] == 400
        assert simulator.calls == []

    virtually(body)


def test_a_call_is_joined_once():
    async def body(simulator, http):
        _, call = await made(simulator, http)
        async with connect(call["joinUrl"], proxy=None):
            with pytest.raises(InvalidStatus, match="410"):
                async with connect(call["joinUrl"], proxy=None):
                    pass
        with pytest.raises(InvalidStatus, match="410"):
            async with connect(call["joinUrl"], proxy=None):
                pass

    virtually(body)


def test_a_call_that_nobody_joins_in_time_is_over_and_free():
    async def body(simulator, http):
        _, call = await made(simulator, http, {**CALL, "joinTimeout": "5s"})
        await asyncio.sleep(6)
        with pytest.raises(InvalidStatus, match="410"):
            async with connect(call["joinUrl"], proxy=None):
                pass
        url = f"{simulator.base_url}/calls/{call['callId']}"
        async with http.get(url, headers={"X-API-Key": simulator.key}) as answer:
            described = await answer.json()
        assert (described["endReason"], described["billedDuration"]) == ("unjoined", None)

    virtually(body)


def test_the_start_is_told_first_and_then_the_state():
    async def body(simulator, http):
        async with joined(simulator, http) as one:
            await one.listen(1)
            assert [message["type"] for message in one.messages] == ["call_started", "state"]
            assert one.states == ["listening"]
            assert one.audio == b""

    virtually(body)


def test_half_a_sample_ends_the_call():
    async def body(simulator, http):
        async with joined(simulator, http) as one:
            await one.send(b"\0\0\0")
            await one.listen(1)
            assert one.code == 1007

    virtually(body)


def test_nothing_interrupts_an_uninterruptible_greeting():
    async def body(simulator, http):
        async with joined(simulator, http, UNINTERRUPTIBLE) as one:
            await one.listen(0.3)
            await one.speak()
            await one.listen(5)
            assert one.of("playback_clear_buffer") == []
            assert one.heard_ms == speech_ms(HELLO)

    virtually(body)


def test_speech_over_the_agent_clears_the_buffer_and_then_it_listens():
    async def body(simulator, http):
        async with joined(simulator, http, GREETING) as one:
            await one.listen(0.3)
            await one.speak(10)
            await one.listen(0.2)
            kinds = [message["type"] for message in one.messages]
            cleared = kinds.index("playback_clear_buffer")
            assert one.messages[cleared + 1]["final"] is True
            assert one.messages[cleared + 2] == {"type": "state", "state": "listening"}

    virtually(body)


@pytest.mark.parametrize(("buffer_ms", "early"), [(30000, True), (60, False)])
def test_audio_is_sent_as_far_ahead_as_the_buffer_allows(buffer_ms, early):
    call = {**GREETING, "medium": {"serverWebSocket": {**SOCKET, "clientBufferSizeMs": buffer_ms}}}

    async def body(simulator, http):
        async with joined(simulator, http, call) as one:
            await one.listen(0.5)
            assert (one.heard_ms == speech_ms(HELLO)) is early
            assert early or one.heard_ms <= 500 + buffer_ms + 100
            await one.listen(5)
            assert one.heard_ms == speech_ms(HELLO)

    virtually(body)


def test_transcripts_come_in_pieces_and_whole_and_their_numbers_grow():
    async def body(simulator, http):
        async with joined(simulator, http, GREETING) as one:
            await one.listen(3)
            await one.speak()
            await one.listen(5)
            transcripts = one.of("transcript")
            ordinals = [message["ordinal"] for message in transcripts]
            assert ordinals == sorted(ordinals)
            assert all((message["text"] is None) != (message["delta"] is None) for message in transcripts)
            finals = [(message["role"], message["text"]) for message in transcripts if message["final"]]
            assert finals == [("agent", HELLO), ("user", "Hello?"), ("agent", SimulatedTurn().reply)]

    virtually(body)


@pytest.mark.parametrize("result", ["tool-response", "hang-up", None])
def test_a_tool_round_trip(result):
    tool = SimulatedTool("hours", {"day": "friday"}, timeout_s=4)

    async def body(simulator, http):
        async with joined(simulator, http) as one:
            await one.send({"type": "user_text_message", "text": "When do you open?"})
            await one.listen(0.5)
            (call,) = one.of("client_tool_invocation")
            assert (call["toolName"], call["parameters"]) == ("hours", {"day": "friday"})
            if result is not None:
                answer = {"invocationId": call["invocationId"], "result": "8", "responseType": result}
                await one.send({"type": "client_tool_result", **answer})
            await one.listen(9)
            assert simulator.calls[0].results == [None if result is None else "8"]
            assert one.code == (1000 if result == "hang-up" else None)
            assert (one.heard_ms > 0) is (result != "hang-up")

    virtually(body, SimulatedTurn(tool=tool))


def test_a_message_for_later_is_not_answered():
    async def body(simulator, http):
        async with joined(simulator, http) as one:
            await one.send({"type": "user_text_message", "text": "It rains.", "urgency": "later"})
            await one.send({"type": "input_text_message", "text": "It rains.", "deferResponse": True})
            await one.listen(2)
            assert one.audio == b""

    virtually(body)


def test_hanging_up_says_farewell_first():
    async def body(simulator, http):
        async with joined(simulator, http) as one:
            await one.send({"type": "hang_up", "message": "Bye."})
            await one.listen(5)
            assert one.heard_ms == speech_ms("Bye.")
            assert one.code == 1000
        assert simulator.calls[0].end_reason == "hangup"

    virtually(body)


def test_the_longest_call_ends_and_is_billed():
    async def body(simulator, http):
        async with joined(simulator, http, {**CALL, "maxDuration": "8s"}) as one:
            await one.listen(20)
            assert one.code == 1000
        url = f"{simulator.base_url}/calls/call-1"
        async with http.get(url, headers={"X-API-Key": simulator.key}) as answer:
            described = await answer.json()
        assert described["endReason"] == "timeout"
        assert described["billedDuration"] == "8s"

    virtually(body)


def test_a_ping_is_answered_with_its_own_time_and_the_unknown_with_a_line_if_that_is_wanted():
    wanted = {**CALL, "medium": {"serverWebSocket": {**SOCKET, "dataMessages": {"debug": True}}}}

    async def body(simulator, http):
        for call, lines in ((CALL, 0), (wanted, 3)):
            async with joined(simulator, http, call) as one:
                for message in ({"type": "ping", "timestamp": 12.5}, {"type": "mystery"}, "{", {"a": 1}):
                    await one.send(message)
                await one.listen(0.5)
                assert one.of("pong") == [{"type": "pong", "timestamp": 12.5}]
                assert len(one.of("debug")) == lines
                assert one.code is None

    virtually(body)


def test_only_the_messages_that_are_wanted_are_sent():
    call = {
        **GREETING,
        "medium": {"serverWebSocket": {**SOCKET, "dataMessages": {"state": False, "transcript": False}}},
    }

    async def body(simulator, http):
        async with joined(simulator, http, call) as one:
            await one.listen(4)
            assert [message["type"] for message in one.messages] == ["call_started"]
            assert one.heard_ms == speech_ms(HELLO)

    virtually(body)


@pytest.mark.parametrize(("code", "expected"), [(1011, 1011), (None, 1006)])
def test_it_can_lose_the_connection(code, expected):
    async def body(simulator, http):
        async with joined(simulator, http, GREETING) as one:
            await one.listen(5)
            assert one.code == expected
            assert 0 < one.heard_ms < speech_ms(HELLO)

    virtually(body, faults=Faults(drop="greeting", drop_code=code))
