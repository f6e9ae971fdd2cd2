"""The simulator does what the vendor does, seen through a plain WebSocket."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from simulated_convai import agent
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from patter.audio.formats import MULAW_8K
from patter.testing.memory_network import MemoryNetwork
from patter.testing.tones import speech_ms, tone
from patter.testing.virtual_loop import run_virtual
from patter_elevenlabs.simulator import (
    CLIENT_EVENTS,
    Faults,
    SimulatedAgent,
    SimulatedTool,
    SimulatedTurn,
    Simulator,
)

PATH = "/v1/convai/conversation?agent_id=agent_simulated"
INIT = {"type": "conversation_initiation_client_data"}
GREETED = {**INIT, "conversation_config_override": {"agent": {"first_message": "Good morning."}}}


class Client:
    """A WebSocket that keeps what it was sent."""

    def __init__(self, socket):
        self.socket = socket
        self.messages = []
        self.code = None

    async def send(self, message):
        await self.socket.send(message if isinstance(message, str) else json.dumps(message))

    async def speak(self, frames=20, pause_s=0.02):
        chunk = base64.b64encode(tone(40, 20, MULAW_8K)).decode()
        for _ in range(frames):
            await self.send({"user_audio_chunk": chunk})
            await asyncio.sleep(pause_s)

    async def listen(self, seconds=10.0, pong=True):
        """Take what comes for that long, or until the close."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                with suppress(ConnectionClosed):
                    while True:
                        message = json.loads(await self.socket.recv())
                        self.messages.append(message)
                        if message["type"] == "ping" and pong:
                            await self.send({"type": "pong", "event_id": message["ping_event"]["event_id"]})
                self.code = self.socket.close_code

    @property
    def kinds(self):
        kinds = []
        for message in self.messages:
            if message["type"] != "ping" and kinds[-1:] != [message["type"]]:
                kinds.append(message["type"])
        return kinds

    def error(self):
        (error,) = (one["error_event"] for one in self.messages if one["type"] == "error")
        return error["error_type"]


def virtually(body, server=None, faults=None):
    @asynccontextmanager
    async def client(simulator, path=PATH, key="test-key"):
        headers = {"xi-api-key": key} if key else {}
        async with connect(f"ws://agent.example:80{path}", additional_headers=headers, proxy=None) as socket:
            yield Client(socket)

    async def main():
        async with Simulator(server, faults=faults, host="agent.example", port=80) as simulator:
            await body(simulator, lambda **options: client(simulator, **options))

    run_virtual(main(), network=MemoryNetwork())


def test_a_private_agent_wants_a_key_or_a_signature():
    async def body(simulator, client):
        with pytest.raises(InvalidStatus, match="403"):
            async with client(key=None):
                pass
        with pytest.raises(InvalidStatus, match="403"):
            async with client(path=f"{PATH}&conversation_signature=made-up", key=None):
                pass
        url = f"{simulator.base_url}/v1/convai/conversation/get-signed-url?agent_id=agent_simulated"
        connector = asyncio.get_running_loop().network.connector()
        async with aiohttp.ClientSession(connector=connector) as session:
            async with session.get(url) as answer:
                assert answer.status == 401
            async with session.get(url, headers={"xi-api-key": simulator.key}) as answer:
                signed = (await answer.json())["signed_url"]
        async with client(path=signed.partition(":80")[2], key=None) as one:
            await one.send(INIT)
            await one.listen(1)
            assert one.kinds == ["conversation_initiation_metadata"]

    virtually(body)


def test_a_refusal_may_be_a_close():
    async def body(simulator, client):
        async with client(key=None) as one:
            await one.listen(1)
            assert one.code == 1008

    virtually(body, faults=Faults(refusal="close"))


def test_metadata_is_first_formats_are_the_agents_and_early_audio_is_taken():
    async def body(simulator, client):
        async with client() as one:
            await one.send({**INIT, "conversation_config_override": {"tts": {"output_format": "pcm_16000"}}})
            await one.speak(2)
            await one.listen(2)
            assert one.kinds[0] == "conversation_initiation_metadata"
            event = one.messages[0]["conversation_initiation_metadata_event"]
            assert event["agent_output_audio_format"] == "ulaw_8000"
            assert simulator.conversations[0].early_audio == 2

    virtually(body, faults=Faults(metadata_s=0.5))


@pytest.mark.parametrize(
    ("disallowed", "error", "code"),
    [("error", "override_error", 1008), ("close", None, 1008), ("drop", None, None)],
)
def test_overrides_that_are_not_allowed(disallowed, error, code):
    async def body(simulator, client):
        async with client() as one:
            await one.send(GREETED)
            await one.listen(3)
            assert one.code == code
            assert [kind for kind in one.kinds if kind == "error"] == ([] if error is None else ["error"])
            if error:
                assert one.error() == error
            assert "audio" not in one.kinds

    virtually(body, agent(overrides=frozenset()), Faults(disallowed=disallowed))


def test_a_missing_variable_is_an_error():
    async def body(simulator, client):
        async with client() as one:
            await one.send(INIT)
            await one.listen(1)
            assert (one.error(), one.code) == ("missing_dynamic_variable", 1008)

    virtually(body, agent(required_variables=("name",)))


def test_the_first_message_is_spoken_at_once_and_faster_than_it_plays():
    async def body(simulator, client):
        async with client() as one:
            await one.send(GREETED)
            await one.listen(0.4)
            pieces = [one["audio_event"] for one in one.messages if one["type"] == "audio"]
            ids = [piece["event_id"] for piece in pieces]
            assert ids == sorted(set(ids))
            audio = b"".join(base64.b64decode(piece["audio_base_64"]) for piece in pieces)
            assert MULAW_8K.duration_ms(len(audio)) == speech_ms("Good morning.")

    virtually(body)


def test_without_a_first_message_it_waits_for_the_caller():
    async def body(simulator, client):
        async with client() as one:
            await one.send(INIT)
            await one.listen(3)
            assert one.kinds == ["conversation_initiation_metadata"]
            await one.speak()
            await one.listen(2)
            assert one.kinds[1:4] == ["user_transcript", "agent_response", "audio"]

    virtually(body)


def test_speech_during_agent_audio_interrupts_with_the_last_id():
    async def body(simulator, client):
        async with client() as one:
            await one.send(GREETED)
            await one.listen(0.4)
            await one.speak(10)
            await one.listen(0.2)
            last = max(m["audio_event"]["event_id"] for m in one.messages if m["type"] == "audio")
            (cut,) = (
                m["interruption_event"]["event_id"] for m in one.messages if m["type"] == "interruption"
            )
            assert cut >= last
            assert one.kinds[-3:] == ["interruption", "agent_response_correction", "audio"]
            assert one.messages[-1]["audio_event"]["event_id"] <= cut

    virtually(body, faults=Faults(late_chunks=1))


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"type": "audio_chunk", "user_audio_chunk": "AA=="}, "invalid_message"),
        ({"type": "interrupt"}, "invalid_message"),
        ({"user_audio_chunk": "?"}, "invalid_message"),
        ({}, "invalid_message"),
        ("{", "invalid_message"),
        ("[]", "invalid_message"),
        ({"type": "pong"}, "missing_fields"),
        ({"type": "client_tool_result", "tool_call_id": "x", "result": {"a": 1}}, "value_error"),
    ],
)
def test_what_the_vendor_does_not_take_ends_the_conversation(message, error):
    async def body(simulator, client):
        async with client() as one:
            await one.send(INIT)
            await one.listen(0.5)
            await one.send(message)
            await one.listen(1)
            assert (one.error(), one.code) == (error, 1008)

    virtually(body)


def test_missing_pongs_end_the_conversation():
    async def body(simulator, client):
        async with client() as one:
            await one.send(INIT)
            await one.listen(60, pong=False)
            assert one.code == 1011
        async with client() as one:
            await one.send(INIT)
            await one.listen(60)
            assert one.code is None

    virtually(body)


def test_context_is_silent_and_a_message_of_the_user_is_not():
    async def body(simulator, client):
        async with client() as one:
            await one.send(INIT)
            await one.send({"type": "contextual_update", "text": "It rains."})
            await one.send({"type": "user_activity"})
            await one.listen(3)
            assert one.kinds == ["conversation_initiation_metadata"]
            await one.send({"type": "user_message", "text": "Hello?"})
            await one.listen(1)
            assert one.kinds[1:] == ["agent_response", "audio"]

    virtually(body)


@pytest.mark.parametrize("answered", [True, False])
def test_a_tool_call_waits_for_its_result_or_its_time_out(answered):
    async def body(simulator, client):
        async with client() as one:
            await one.send(INIT)
            await one.send({"type": "user_message", "text": "When do you open?"})
            await one.listen(0.5)
            (call,) = (m["client_tool_call"] for m in one.messages if m["type"] == "client_tool_call")
            assert call["parameters"] == {"day": "friday"}
            if answered:
                result = {"tool_call_id": call["tool_call_id"], "result": "8", "is_error": True}
                await one.send({"type": "client_tool_result", **result})
            await one.listen(5)
            assert simulator.conversations[0].results == (["8"] if answered else [None])
            assert one.kinds[-1] == "audio"

    tool = SimulatedTool("hours", {"day": "friday"}, timeout_s=4)
    virtually(body, agent(turns=(SimulatedTurn(tool=tool),)))


def test_ending_the_call_is_a_tool_and_then_a_close():
    async def body(simulator, client):
        async with client() as one:
            await one.send(INIT)
            await one.send({"type": "user_message", "text": "Bye."})
            await one.listen(10)
            assert one.messages[-1]["agent_tool_response"]["tool_name"] == "end_call"
            assert one.code == 1000

    virtually(body, agent(turns=(SimulatedTurn(reply="Bye.", ends_call=True),)))


@pytest.mark.parametrize(
    ("limit", "code", "error"),
    [({"max_duration_s": 8.0}, 1000, True), ({"silence_end_call_s": 3.0}, 1000, False)],
)
def test_the_limits_of_a_conversation(limit, code, error):
    async def body(simulator, client):
        async with client() as one:
            await one.send(INIT)
            await one.listen(20)
            assert one.code == code
            assert ("error" in one.kinds) is error

    virtually(body, agent(**limit))


def test_only_the_events_that_the_agent_is_set_up_for_are_told():
    async def body(simulator, client):
        async with client() as one:
            await one.send(GREETED)
            await one.listen(1)
            assert one.kinds == ["conversation_initiation_metadata", "audio"]
        simulator.agent = agent(client_events=CLIENT_EVENTS)
        async with client() as one:
            await one.send(GREETED)
            await one.listen(1)
            assert one.kinds[-1] == "agent_response_complete"
            assert "agent_chat_response_part" in one.kinds

    virtually(body, agent(client_events=frozenset({"audio"})))


@pytest.mark.parametrize(("code", "expected"), [(1011, 1011), (None, 1006)])
def test_it_can_lose_the_connection(code, expected):
    async def body(simulator, client):
        async with client() as one:
            await one.send(GREETED)
            await one.listen(5)
            assert one.code == expected
            assert one.kinds[-1] == "audio"

    virtually(body, faults=Faults(drop="greeting", drop_code=code))


def test_an_agent_with_a_format_that_does_not_exist_is_a_mistake_of_the_test():
    with pytest.raises(ValueError, match="audio format"):
        Simulator(SimulatedAgent(output_format="opus"))
