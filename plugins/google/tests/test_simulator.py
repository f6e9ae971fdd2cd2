"""The simulated vendor keeps the rules of the protocol, and its messages are ones that the vendor's own types know."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from google.genai import types
from simulated_live import KEY
from websockets.exceptions import ConnectionClosed

from patter import net
from patter.audio.formats import PCM16_16K
from patter.testing.memory_network import MemoryNetwork
from patter.testing.tones import speech_ms, tone
from patter.testing.virtual_loop import run_virtual
from patter_google.simulator import Faults, SimulatedTool, SimulatedTurn, Simulator, Terms

SETUP = {"setup": {"model": "models/simulated", "contextWindowCompression": {"slidingWindow": {}}}}
ASK = {"realtimeInput": {"text": 'Say "Good morning to you all."'}}
GREETING = "Good morning to you all."
MANUAL = {"realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}}}


class Client:
    """A bare client: what it sends is what it is told to."""

    def __init__(self, socket):
        self.socket = socket
        self.frames = []
        self.times = []
        self.task = asyncio.ensure_future(self._read())
        self.close = None

    async def _read(self):
        try:
            while True:
                raw = await self.socket.recv()
                self.frames.append(raw)
                self.times.append(asyncio.get_running_loop().time())
                if not raw.startswith(b"\xff"):
                    types.LiveServerMessage.model_validate_json(raw)
        except ConnectionClosed as closed:
            self.close = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")

    @property
    def messages(self):
        return [json.loads(raw) for raw in self.frames]

    def content(self):
        return [one["serverContent"] for one in self.messages if "serverContent" in one]

    def names(self):
        """The members of the contents, runs as one, without transcripts."""
        names = []
        for one in self.content():
            name = next(iter(one))
            if not name.endswith("Transcription") and names[-1:] != [name]:
                names.append(name)
        return names

    async def send(self, *messages):
        for message in messages:
            await self.socket.send(message if isinstance(message, str) else json.dumps(message))

    async def opened(self, **more):
        await self.send({"setup": {**SETUP["setup"], **more}})
        await asyncio.sleep(0.1)
        assert "setupComplete" in self.messages[0]

    async def speak(self, duration_ms=300, then_s=0.0):
        audio = tone(40, duration_ms, PCM16_16K)
        for start in range(0, len(audio), 640):
            data = base64.b64encode(audio[start : start + 640]).decode()
            await self.send(
                {"realtime_input": {"audio": {"data": data, "mime_type": "audio/pcm;rate=16000"}}}
            )
            await asyncio.sleep(0.02)
        await asyncio.sleep(then_s)

    async def closed(self):
        async with asyncio.timeout(20):
            await self.task
        return self.close


def conversing(body, turns=None, faults=None, terms=None):
    """Run `body(connect, simulator)` in virtual time; `connect()` makes a client."""

    async def main():
        async with Simulator(
            turns or (SimulatedTurn(),), faults=faults, terms=terms, key=KEY, host="live.example", port=80
        ) as simulator:
            clients = []

            async def connect(query="", **headers):
                service = "google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
                given = {"x-goog-api-key": KEY} if not query else {}
                url = f"ws://live.example/ws/{service}{query}"
                socket = await net.connect_websocket(url, headers=given | headers, longest_message=1 << 22)
                clients.append(Client(socket))
                return clients[-1]

            try:
                await body(connect, simulator)
            finally:
                for client in clients:
                    await client.socket.close()
                    await client.task

    run_virtual(main(), network=MemoryNetwork())


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        (None, {"realtimeInput": {"text": "x"}}, "setup must be the first"),
        (None, "{", "Invalid JSON"),
        (None, "[]", "Invalid JSON"),
        (SETUP, SETUP, "sent already"),
        (SETUP, {"mystery": {}}, '"mystery"'),
        (SETUP, {"realtimeInput": {"mystery": {}}}, "\"mystery\" at 'realtimeInput'"),
        (SETUP, {"realtimeInput": {"audio": {"data": "AAA=", "rate": 16}}}, '"rate"'),
        (SETUP, {"realtimeInput": {"text": "x"}, "toolResponse": {}}, "oneof"),
        (SETUP, {"realtimeInput": {"activityStart": {}}}, "activity control"),
        (SETUP, {"realtimeInput": {"activityEnd": {}}}, "activity control"),
        (
            {"setup": {**SETUP["setup"], **MANUAL}},
            {"realtimeInput": {"audioStreamEnd": True}},
            "audioStreamEnd",
        ),
        (SETUP, {"realtimeInput": {"audio": {"data": "!", "mimeType": "audio/pcm"}}}, "Base64"),
        (SETUP, {"realtimeInput": {"audio": {"data": "AAA=", "mimeType": "audio/mp3"}}}, "mime type"),
        (None, {"setup": {**SETUP["setup"], "sorcery": 1}}, '"sorcery"'),
        (None, {"setup": {**SETUP["setup"], "generationConfig": {"sorcery": 1}}}, '"sorcery"'),
    ],
)
def test_what_breaks_the_rules_is_answered_with_1007(first, then, said):
    async def body(connect, simulator):
        client = await connect()
        if first is not None:
            await client.send(first)
            await asyncio.sleep(0.1)
        await client.send(then)
        code, reason = await client.closed()
        assert code == 1007
        assert said in reason

    conversing(body)


def test_nothing_may_be_sent_before_the_acknowledgement():
    async def body(connect, simulator):
        client = await connect()
        await client.send(SETUP, ASK)
        assert (await client.closed())[0] == 1007

    conversing(body, faults=Faults(ack_s=1))


@pytest.mark.parametrize("query", ["", f"?key={KEY}", "?key=wrong"])
def test_the_key_is_taken_from_a_header_or_the_query(query):
    async def body(connect, simulator):
        client = await connect(query)
        if "wrong" in query:
            code, reason = await client.closed()
            assert (code, "API key not valid" in reason) == (1007, True)
        else:
            await client.opened()

    conversing(body)


def test_a_turn_ends_when_its_audio_would_have_been_played():
    async def body(connect, simulator):
        client = await connect()
        await client.opened()
        begun = client.times[-1]
        await client.send(ASK)
        await asyncio.sleep(5)
        assert client.names() == ["modelTurn", "generationComplete", "turnComplete"]
        assert all(isinstance(raw, bytes) for raw in client.frames)
        at = {
            next(iter(one.get("serverContent", {"": 0}))): t
            for one, t in zip(client.messages, client.times, strict=True)
        }
        assert at["generationComplete"] - begun < 0.5
        assert at["turnComplete"] - begun >= speech_ms(GREETING) / 1000
        parts = [one["modelTurn"]["parts"] for one in client.content() if "modelTurn" in one]
        assert {len(one) for one in parts} == {1, 2}
        assert parts[0] == [{"text": "The caller wants something.", "thought": True}]
        pieces = [base64.b64decode(one["inlineData"]["data"]) for some in parts[1:] for one in some]
        assert len({len(one) % 2 for one in pieces}) == 2, "some cut a sample in half"
        assert sum(map(len, pieces)) == speech_ms(GREETING) * 48
        (usage,) = (one for one in client.messages if "usageMetadata" in one)
        assert "serverContent" in usage
        words = [
            one["outputTranscription"]["text"] for one in client.content() if "outputTranscription" in one
        ]
        assert "".join(words) == GREETING

    conversing(body)


@pytest.mark.parametrize("when_s", [0.05, 1.0])
def test_speech_interrupts_while_a_turn_is_made_or_played(when_s):
    async def body(connect, simulator):
        client = await connect()
        await client.opened()
        await client.send(ASK)
        await asyncio.sleep(when_s)
        await client.speak(200)
        names = client.names()
        assert names[names.index("interrupted") :] == ["interrupted", "turnComplete"]

    conversing(body)


@pytest.mark.parametrize("deaf", [True, False])
def test_a_turn_that_nothing_may_interrupt_is_or_is_not(deaf):
    async def body(connect, simulator):
        client = await connect()
        await client.opened(realtimeInputConfig={"activityHandling": "NO_INTERRUPTION"})
        await client.send(ASK)
        await asyncio.sleep(0.5)
        await client.speak(200)
        assert ("interrupted" in client.names()) is deaf

    conversing(body, faults=Faults(deaf_to_no_interruption=deaf))


def test_a_model_waits_for_the_results_of_functions():
    turn = SimulatedTurn("When?", "Now.", SimulatedTool("hours"))

    async def body(connect, simulator):
        client = await connect()
        await client.opened()
        await client.speak(200, then_s=10)
        assert client.names() == []
        (call,) = (one["toolCall"]["functionCalls"][0] for one in client.messages if "toolCall" in one)
        assert (call["name"], call["args"]) == ("hours", {})
        answer = {"id": call["id"], "name": "hours", "response": {"output": "8"}}
        await client.send({"toolResponse": {"functionResponses": [answer]}})
        await asyncio.sleep(1)
        assert client.names() == ["modelTurn", "generationComplete", "turnComplete"]
        await client.send({"toolResponse": {"functionResponses": [answer]}})
        assert (await client.closed())[0] == 1008

    conversing(body, (turn,))


def test_an_interruption_cancels_calls():
    async def body(connect, simulator):
        client = await connect()
        await client.opened()
        await client.speak(200, then_s=1)
        await client.speak(200)
        (cancelled,) = (
            one["toolCallCancellation"] for one in client.messages if "toolCallCancellation" in one
        )
        assert cancelled == {"ids": ["call-1"]}
        assert client.names() == ["interrupted", "turnComplete"]

    conversing(body, (SimulatedTurn("When?", "Now.", SimulatedTool("hours")),))


def test_words_may_come_after_the_end_of_a_turn():
    async def body(connect, simulator):
        client = await connect()
        await client.opened()
        await client.send(ASK)
        await asyncio.sleep(5)
        assert client.content()[-1] == {"outputTranscription": {"text": GREETING}}

    conversing(body, faults=Faults(last_transcript=True))


def test_a_connection_is_told_to_go_away_and_is_resumed_elsewhere():
    async def body(connect, simulator):
        client = await connect()
        await client.opened(sessionResumption={})
        await client.send(ASK)
        await asyncio.sleep(5)
        given = [
            one["sessionResumptionUpdate"] for one in client.messages if "sessionResumptionUpdate" in one
        ]
        assert len({one["newHandle"] for one in given}) == 2
        handle = given[-1]["newHandle"]
        hasty = await connect()
        await hasty.send({"setup": {**SETUP["setup"], "sessionResumption": {"handle": handle}}})
        assert (await hasty.closed())[0] == 1011
        stale = await connect()
        await stale.send(
            {"setup": {**SETUP["setup"], "sessionResumption": {"handle": given[0]["newHandle"]}}}
        )
        assert (await stale.closed())[0] == 1008
        assert (await client.closed())[0] == 1008
        (away,) = (t for one, t in zip(client.messages, client.times, strict=True) if "goAway" in one)
        assert asyncio.get_running_loop().time() - away == pytest.approx(5, abs=0.1)
        again = await connect()
        await again.opened(sessionResumption={"handle": handle})
        assert simulator.connections[-1].model is simulator.connections[0].model
        assert ("model", GREETING) in simulator.connections[-1].model.history

    conversing(body, terms=Terms(connection_s=15, notice_s=5))


def test_a_session_without_compression_is_closed_after_its_time():
    async def body(connect, simulator):
        client = await connect()
        await client.send({"setup": {"model": "models/simulated"}})
        assert (await client.closed())[0] == 1008
        assert asyncio.get_running_loop().time() == pytest.approx(10, abs=0.1)

    conversing(body, terms=Terms(session_s=10))


@pytest.mark.parametrize("older", [True, False])
def test_turns_of_the_conversation_are_taken_in_the_call_by_older_models_alone(older):
    said = {
        "clientContent": {
            "turns": [{"role": "user", "parts": [{"text": 'Say "Two."'}]}],
            "turnComplete": True,
        }
    }

    async def body(connect, simulator):
        client = await connect()
        await client.opened()
        await client.send(ASK)
        await asyncio.sleep(0.5)
        await client.send(said)
        await asyncio.sleep(2)
        if older:
            assert client.names()[-4:] == ["turnComplete", "modelTurn", "generationComplete", "turnComplete"]
            assert "interrupted" in client.names()
        else:
            assert (await client.closed())[0] == 1007

    conversing(body, terms=Terms(content_in_calls=older))


def test_a_promised_history_is_taken_without_an_answer():
    history = {
        "clientContent": {"turns": [{"role": "model", "parts": [{"text": "Hello."}]}], "turnComplete": True}
    }

    async def body(connect, simulator):
        client = await connect()
        await client.opened(historyConfig={"initialHistoryInClientContent": True})
        await client.send(history)
        await asyncio.sleep(2)
        assert client.names() == []
        assert simulator.connections[0].model.history == [("model", "Hello.")]
        await client.send(history)
        assert (await client.closed())[0] == 1007

    conversing(body)


def test_pongs_come_late():
    async def body(connect, simulator):
        client = await connect()
        begun = asyncio.get_running_loop().time()
        await (await client.socket.ping())
        assert asyncio.get_running_loop().time() - begun == pytest.approx(9, abs=0.1)

    conversing(body, faults=Faults(pong_s=9))


@pytest.mark.parametrize("code", [1011, None])
def test_a_connection_is_lost_in_mid_turn_without_a_word(code):
    async def body(connect, simulator):
        client = await connect()
        await client.opened()
        await client.send(ASK)
        assert (await client.closed())[0] == (code or 1006)
        assert client.names() == ["modelTurn"]
        assert not any("goAway" in one for one in client.messages)

    conversing(body, faults=Faults(drop=0, drop_code=code))
