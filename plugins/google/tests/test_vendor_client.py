"""The vendor's own client holds a conversation with the simulator, on a real socket."""

from __future__ import annotations

import asyncio
import warnings

import pytest

from patter.audio.formats import PCM16_16K
from patter.testing.tones import speech_ms, tone
from patter_google.simulator import SimulatedTool, SimulatedTurn, Simulator

with warnings.catch_warnings():  # of its own making
    warnings.simplefilter("ignore", DeprecationWarning)
    from google import genai
    from google.genai import _api_client, types


@pytest.mark.filterwarnings("ignore::DeprecationWarning:google.genai")
def test_the_vendors_own_client_holds_a_conversation(monkeypatch):
    """With a function of its own. It insists on TLS, which is taken from it here."""
    simulated = SimulatedTurn("Are you open?", "Yes.", SimulatedTool("hours", {"day": "friday"}))
    heard, said, audio = [], [], []

    async def answer(session, message):
        for call in message.tool_call.function_calls:
            assert (call.name, call.args) == ("hours", {"day": "friday"})
            result = types.FunctionResponse(id=call.id, name=call.name, response={"output": "open"})
            await session.send_tool_response(function_responses=[result])

    async def converse(session):
        for start in range(0, 300 * 32, 640):
            blob = types.Blob(
                data=tone(40, 300, PCM16_16K)[start : start + 640], mime_type="audio/pcm;rate=16000"
            )
            await session.send_realtime_input(audio=blob)
        async for message in session.receive():
            if message.tool_call is not None:
                await answer(session, message)
            content = message.server_content
            if content is not None and content.input_transcription is not None:
                heard.append(content.input_transcription.text)
            if content is not None and content.output_transcription is not None:
                said.append(content.output_transcription.text)
            turn = content.model_turn if content is not None else None
            parts = (turn.parts or []) if turn is not None else []
            audio.extend(part.inline_data.data for part in parts if part.inline_data is not None)

    async def main():
        async with Simulator((simulated,)) as simulator:
            address = simulator.base_url.replace("http", "ws", 1)
            monkeypatch.setattr(_api_client.BaseApiClient, "_websocket_base_url", lambda self, *_: address)
            client = genai.Client(api_key=simulator.key)
            client._api_client._websocket_ssl_ctx = {}
            config = types.LiveConnectConfig(
                response_modalities=[types.Modality.AUDIO],
                system_instruction="Be kind.",
                input_audio_transcription=types.AudioTranscriptionConfig(),
                output_audio_transcription=types.AudioTranscriptionConfig(),
                realtime_input_config=types.RealtimeInputConfig(
                    activity_handling=types.ActivityHandling.START_OF_ACTIVITY_INTERRUPTS
                ),
                tools=[types.Tool(function_declarations=[types.FunctionDeclaration(name="hours")])],
            )
            async with (
                asyncio.timeout(20),
                client.aio.live.connect(model="simulated", config=config) as session,
            ):
                await converse(session)
            assert ("".join(heard), "".join(said)) == (simulated.heard, simulated.reply)
            assert sum(map(len, audio)) == speech_ms(simulated.reply) * 48
            (connection,) = simulator.connections
            assert connection.model.results == {"call-1": {"output": "open"}}
            await client.aio.aclose()
            client.close()

    asyncio.run(main())
