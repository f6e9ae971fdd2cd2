"""The vendor's own client holds conversations with the simulator, on a real socket."""

from __future__ import annotations

import asyncio
import warnings

import httpx
from elevenlabs import ElevenLabs
from simulated_convai import agent

from patter.audio.formats import MULAW_8K
from patter.testing.tones import speech_ms, tone
from patter_elevenlabs.simulator import SimulatedTool, SimulatedTurn, Simulator

with warnings.catch_warnings():  # it annotates with a class that websockets would rather not have any more
    warnings.simplefilter("ignore", DeprecationWarning)
    from elevenlabs.conversational_ai.conversation import (
        AsyncAudioInterface,
        AsyncConversation,
        AudioInterface,
        ClientTools,
        Conversation,
        ConversationInitiationData,
    )


class Line(AsyncAudioInterface):
    """A caller who says something at once."""

    def __init__(self):
        self.heard = b""
        self.interruptions = 0

    async def start(self, input_callback):
        for _ in range(15):
            await input_callback(tone(40, 20, MULAW_8K))

    async def stop(self):
        pass

    async def output(self, audio):
        self.heard += audio

    async def interrupt(self):
        self.interruptions += 1


class SilentLine(AudioInterface):
    def __init__(self):
        self.heard = b""

    def start(self, input_callback):
        input_callback(b"\xff" * 160)

    def stop(self):
        pass

    def output(self, audio):
        self.heard += audio

    def interrupt(self):
        pass


def test_the_vendors_own_client_holds_a_conversation():
    """With a tool of its own; its audio comes before the metadata, and interrupts nothing."""

    async def main():
        tool = SimulatedTool("opening_hours", {"day": "friday"})
        turns = (SimulatedTurn("Are you open?", "Yes.", tool=tool, ends_call=True),)
        async with Simulator(agent(private=False, turns=turns)) as simulator:
            tools, said, heard, line = ClientTools(), [], [], Line()
            tools.register("opening_hours", lambda parameters: f"open on {parameters['day']}")

            async def on_agent(text):
                said.append(text)

            async def on_user(text):
                heard.append(text)

            conversation = AsyncConversation(
                ElevenLabs(base_url=simulator.base_url, api_key=None, httpx_client=requests),
                "agent_simulated",
                requires_auth=False,
                audio_interface=line,
                client_tools=tools,
                config=ConversationInitiationData(
                    conversation_config_override={"agent": {"first_message": ""}}
                ),
                callback_agent_response=on_agent,
                callback_user_transcript=on_user,
            )
            await conversation.start_session()
            async with asyncio.timeout(20):
                assert await conversation.wait_for_session_end() == "conv_1"
            assert (said, heard) == (["Yes."], ["Are you open?"])
            assert MULAW_8K.duration_ms(len(line.heard)) == speech_ms("Yes.")
            (ours,) = simulator.conversations
            assert ours.results == ["open on friday"]
            assert ours.close_code == 1000

    with httpx.Client() as requests:
        asyncio.run(main())


def test_the_vendors_own_client_uses_a_signed_url():
    async def main():
        async with Simulator(agent(first_message="Hello.")) as simulator:
            line = SilentLine()
            conversation = Conversation(
                ElevenLabs(base_url=simulator.base_url, api_key=simulator.key, httpx_client=requests),
                "agent_simulated",
                requires_auth=True,
                audio_interface=line,
            )
            await asyncio.to_thread(conversation.start_session)
            async with asyncio.timeout(20):
                while MULAW_8K.duration_ms(len(line.heard)) < speech_ms("Hello."):
                    await asyncio.sleep(0.01)
            await asyncio.to_thread(conversation.end_session)
            await asyncio.to_thread(conversation.wait_for_session_end)
            assert "xi-api-key" not in {name.lower() for name in simulator.conversations[0].headers}

    with httpx.Client() as requests:
        asyncio.run(main())
