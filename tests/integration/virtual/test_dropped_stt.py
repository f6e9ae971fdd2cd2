"""An STT over a WebSocket whose connection is lost, in whole calls: nothing lost, nothing twice (SP-02).

The recogniser of these tests is a server of its own. It counts: the caller's utterance 3 of which it got 40 frames is
"three 40" to it, so a final tells which audio came to it, and how much of it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from patter import STTRecord
from patter.audio.formats import MULAW_8K, AudioFormat
from patter.errors import ProviderDisconnected
from patter.providers.carrier import CallStatus
from patter.providers.stt import STT, Final, Interim, STTEvent
from patter.testing import Reply
from patter.testing.tones import FRAME_MS, ToneReader

HOST = "recogniser.example"
NAMES = ("zero", "one", "two", "three", "four")
#: an interim after so many frames of speech
INTERIM_FRAMES = 10
#: of a usual utterance
FRAMES = 30


class Recogniser:
    """The vendor's server. `frames` is all that it ever heard, pitch by pitch, None for silence."""

    def __init__(self) -> None:
        self.frames: list[int | None] = []
        self.connections: list[int] = []
        self.finalizes: list[float] = []
        self.refuses = 0
        self.slow_to_open_s = 0.0
        self.slow_to_answer_s = 0.0
        self.sends_again: list[str] = []
        self.finals: list[str] = []
        self.on_frames: Callable[[int], None] = lambda count: None
        self.sockets: set[web.WebSocketResponse] = set()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        await asyncio.sleep(self.slow_to_open_s)
        if self.refuses:
            self.refuses -= 1
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections.append(len(self.frames))
        self.sockets.add(socket)
        try:
            for text in self.sends_again:
                await self._send(socket, "final", text)
            await self._listen(socket)
        except ConnectionError:
            pass
        finally:
            self.sockets.discard(socket)
        return socket

    async def _listen(self, socket: web.WebSocketResponse) -> None:
        reader, heard = ToneReader(MULAW_8K), dict[int, int]()
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                for pitch in reader.feed(message.data):
                    self.frames.append(pitch)
                    if pitch is None:
                        continue
                    heard[pitch] = heard.get(pitch, 0) + 1
                    if heard[pitch] % INTERIM_FRAMES == 0:
                        await self._send(socket, "interim", _text(heard))
                self.on_frames(sum(pitch is not None for pitch in self.frames))
            elif message.type is aiohttp.WSMsgType.TEXT:
                self.finalizes.append(asyncio.get_running_loop().time())
                text = _text(heard)
                heard.clear()
                if self.slow_to_answer_s:
                    await asyncio.sleep(self.slow_to_answer_s)
                await self._send(socket, "final", text)
                self.finals.append(text)

    async def _send(self, socket: web.WebSocketResponse, kind: str, text: str) -> None:
        await socket.send_str(json.dumps({"kind": kind, "text": text}))


def _text(heard: dict[int, int]) -> str:
    return " ".join(f"{NAMES[pitch]} {count}" for pitch, count in heard.items())


class SocketSTT(STT):
    """The plugin: as a user would write it, with `send_audio` as a coroutine function."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._closed = False

    def input_formats(self) -> Sequence[AudioFormat]:
        return (MULAW_8K,)

    async def connect(self, audio_format: AudioFormat) -> None:
        self._session = aiohttp.ClientSession(connector=self._network.connector())
        try:
            self._socket = await self._session.ws_connect(f"ws://{HOST}/listen")
        except (aiohttp.ClientError, ConnectionError) as error:
            raise ProviderDisconnected(f"no connection: {error}") from error

    async def send_audio(self, chunk: bytes) -> None:
        await self._sent(lambda socket: socket.send_bytes(chunk))

    async def finalize(self) -> None:
        await self._sent(lambda socket: socket.send_str("finalize"))

    async def _sent(self, send: Callable[[aiohttp.ClientWebSocketResponse], Any]) -> None:
        if self._socket is None or self._socket.closed:
            raise ProviderDisconnected("the connection is lost")
        try:
            await send(self._socket)
        except (aiohttp.ClientError, ConnectionError) as error:
            raise ProviderDisconnected(f"the connection is lost: {error}") from error

    async def receive(self) -> AsyncIterator[STTEvent]:
        assert self._socket is not None
        async for message in self._socket:
            event = json.loads(message.data)
            yield Interim(event["text"]) if event["kind"] == "interim" else Final(event["text"])
        if not self._closed:
            raise ProviderDisconnected("the connection is lost")

    async def close(self) -> None:
        self._closed = True
        if self._socket is not None:
            await self._socket.close()
        if self._session is not None:
            await self._session.close()


@asynccontextmanager
async def calling(
    simcall: Any, network: Any, recogniser: Recogniser | None = None, **options: Any
) -> AsyncIterator[tuple[Any, Recogniser]]:
    """A call whose STT is the recogniser's."""
    recogniser = recogniser or Recogniser()
    application = web.Application()
    application.add_routes([web.get("/listen", recogniser.handle)])
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 80).start()
    try:
        record = STTRecord("socket", lambda: SocketSTT(network), interims=True)
        async with simcall(stt=record, **options) as call:
            yield call, recogniser
    finally:
        await runner.cleanup()


def drop(network: Any) -> None:
    assert network.drop(HOST, 80) == 1


def runs(recogniser: Recogniser) -> list[tuple[str, int]]:
    """The speech that the recogniser heard, on whatever connection: the utterances in order, with their frames."""
    return [
        (NAMES[pitch], len(list(frames)))
        for pitch, frames in itertools.groupby(recogniser.frames)
        if pitch is not None
    ]


def said_by_caller(call: Any) -> list[str]:
    return [entry.text for entry in call.transcript if entry.role == "user"]


def all_frames(call: Any) -> int:
    """So many frames the caller's phone sent until now."""
    return int((asyncio.get_running_loop().time() - call.started_at) * 1000 / FRAME_MS + 1e-6)


@pytest.mark.behaviour("SP-02")
@pytest.mark.parametrize("drops", [1, 2, 5])
async def test_a_connection_lost_between_utterances_is_made_anew(
    simcall: Any, patter_loop: Any, drops: int
) -> None:
    """As often as it is lost: only failures in a row count against it."""
    network = patter_loop.network
    recogniser = Recogniser()
    async with calling(simcall, network, recogniser) as (call, _):
        expected = []
        for number in range(drops):
            await call.caller_says(NAMES[number], duration_ms=FRAMES * FRAME_MS)
            await call.agent_says(f"You said: {NAMES[number]} {FRAMES}")
            expected.append(f"{NAMES[number]} {FRAMES}")
            await call.quiet(300)
            drop(network)
            await call.quiet(300)
        assert len(recogniser.frames) == pytest.approx(all_frames(call), abs=1)

    assert said_by_caller(call) == recogniser.finals == expected
    assert runs(recogniser) == [(NAMES[number], FRAMES) for number in range(drops)]
    assert len(recogniser.connections) == drops + 1
    assert [one.kind for one in call.failures] == ["stt"] * drops


@pytest.mark.behaviour("SP-02")
@pytest.mark.parametrize("after_frames", [1, 5, 10, 15, 29, 30])
async def test_a_connection_lost_in_an_utterance_loses_none_of_it(
    simcall: Any, patter_loop: Any, after_frames: int
) -> None:
    """The first part was taken by the lost connection, the rest comes to the next one, nothing to both.

    What the first had told of its part stands before the words of the rest, in one final.
    """
    network = patter_loop.network
    async with calling(simcall, network) as (call, recogniser):
        await asyncio.sleep(1)

        def cut(count: int) -> None:
            if count == after_frames:
                recogniser.on_frames = lambda count: None
                asyncio.get_running_loop().call_soon(drop, network)

        recogniser.on_frames = cut
        await call.caller_says("zero", duration_ms=FRAMES * FRAME_MS)
        await call.quiet(1500)
        assert len(recogniser.frames) == pytest.approx(all_frames(call), abs=1)

    assert runs(recogniser) == [("zero", FRAMES)]
    assert len(recogniser.connections) == 2
    told = after_frames // INTERIM_FRAMES * INTERIM_FRAMES
    rest = FRAMES - after_frames
    words = ([f"zero {told}"] if told else []) + ([f"zero {rest}"] if rest else [])
    assert said_by_caller(call) == [" ".join(words)]
    assert recogniser.finals == [f"zero {rest}" if rest else ""]


@pytest.mark.behaviour("SP-02")
async def test_a_final_that_a_lost_connection_owed_is_asked_of_the_next_one(
    simcall: Any, patter_loop: Any
) -> None:
    """Lost between `finalize()` and its answer: the turn neither waits for the watch nor is it forgotten."""
    network = patter_loop.network
    recogniser = Recogniser()
    recogniser.slow_to_answer_s = 0.5
    async with calling(simcall, network, recogniser) as (call, _):
        await call.caller_says("zero", duration_ms=FRAMES * FRAME_MS)
        while not recogniser.finalizes:
            await asyncio.sleep(0.02)
        recogniser.slow_to_answer_s = 0.0
        drop(network)
        lost = asyncio.get_running_loop().time()
        await call.agent_says(f"You said: zero {FRAMES}")
        answer = call.timeline[-1]
        assert answer.start - lost < 0.1
        await call.quiet(8000)

    assert said_by_caller(call) == [f"zero {FRAMES}"]
    assert len(recogniser.finalizes) == len(recogniser.connections) == 2
    assert [one.kind for one in call.failures] == ["stt"]


@pytest.mark.behaviour("SP-02")
@pytest.mark.parametrize("trouble", ["slow", "refused", "lost"])
async def test_what_is_said_while_it_connects_again_comes_first_and_in_order(
    simcall: Any, patter_loop: Any, trouble: str
) -> None:
    network = patter_loop.network
    async with calling(simcall, network) as (call, recogniser):
        await asyncio.sleep(1)
        # The new connection is there when all of this was said.
        recogniser.slow_to_open_s = 1.6 if trouble == "slow" else 0.6
        recogniser.refuses = int(trouble == "refused")
        drop(network)
        if trouble == "lost":
            await asyncio.sleep(0.3)
            drop(network)
        for number in range(3):
            await call.caller_says(NAMES[number], duration_ms=200)
            await asyncio.sleep(0.1)
        recogniser.slow_to_open_s = 0.0
        await call.agent_says("You said: zero 10 one 10 two 10")
        assert len(recogniser.frames) == pytest.approx(all_frames(call), abs=1)

    assert runs(recogniser) == [("zero", 10), ("one", 10), ("two", 10)]
    assert said_by_caller(call) == ["zero 10 one 10 two 10"]
    assert call.summary.lost_frames == 0
    assert len(recogniser.connections) == 2


@pytest.mark.behaviour("SP-02")
async def test_of_a_longer_gap_the_last_two_seconds_are_kept(simcall: Any, patter_loop: Any) -> None:
    network = patter_loop.network
    async with calling(simcall, network) as (call, recogniser):
        await asyncio.sleep(1)
        recogniser.slow_to_open_s = 3.5
        drop(network)
        await call.caller_says("zero", duration_ms=2000)
        await call.caller_says("one", duration_ms=1000)
        await call.agent_says("You said: zero", within_s=10)
        await call.quiet(300)
        assert len(recogniser.frames) + 75 == pytest.approx(all_frames(call), abs=3)

    # 3.5 s passed, the last 0.5 s in silence: of the first utterance its last 0.5 s were kept.
    (first, second) = runs(recogniser)
    assert second == ("one", 50)
    assert first == ("zero", pytest.approx(25, abs=2))
    assert said_by_caller(call) == [f"zero {first[1]} one 50"]
    assert call.summary.lost_frames == pytest.approx(75, abs=2)


@pytest.mark.behaviour("SP-02")
@pytest.mark.parametrize("away_s", [0.1, 3.0])
async def test_a_final_that_is_sent_again_after_a_reconnect_is_delivered_once(
    simcall: Any, patter_loop: Any, away_s: float
) -> None:
    """However long it was away; what the caller really says again counts again."""
    network = patter_loop.network
    async with calling(simcall, network) as (call, recogniser):
        for number in range(2):
            await call.caller_says(NAMES[number], duration_ms=FRAMES * FRAME_MS)
            await call.agent_says(f"You said: {NAMES[number]} {FRAMES}")
            await call.quiet(300)
        recogniser.sends_again = list(recogniser.finals)
        recogniser.slow_to_open_s = away_s
        drop(network)
        await asyncio.sleep(away_s + 1)
        assert len(said_by_caller(call)) == len(call.scene.model.requests) == 2
        await call.caller_says("once more", understood="", duration_ms=FRAMES * FRAME_MS)
        await call.agent_says(f"You said: two {FRAMES}")
        await call.quiet(300)

    assert said_by_caller(call) == [f"{name} {FRAMES}" for name in ("zero", "one", "two")]
    assert len(call.scene.model.requests) == 3


async def test_interims_are_asked_of_the_next_connection_too(simcall: Any, patter_loop: Any) -> None:
    """Lost while the agent speaks: the caller still interrupts with the first words that are understood."""
    network = patter_loop.network
    long = Reply("This is a long answer that goes on and on. " * 6)
    async with calling(simcall, network, replies=[long, "Yes?"], barge_in_mode="confirm") as (call, _):
        await call.caller_says("zero", duration_ms=FRAMES * FRAME_MS)
        await call.agent_says("This is a long answer")
        drop(network)
        await asyncio.sleep(0.3)
        await call.caller_says("one", duration_ms=FRAMES * FRAME_MS)
        await call.agent_says("Yes?")

    assert said_by_caller(call) == [f"zero {FRAMES}", f"one {FRAMES}"]
    assert call.summary.metrics["interruptions"] == 1


async def test_a_recogniser_that_stays_away_ends_the_call(simcall: Any, patter_loop: Any) -> None:
    """Two repairs in a row, the second after half a second."""
    network = patter_loop.network
    async with calling(simcall, network) as (call, recogniser):
        await asyncio.sleep(1)
        recogniser.refuses = 100
        drop(network)
        lost = asyncio.get_running_loop().time()
        summary = await call.ended()
        assert 0.4 < asyncio.get_running_loop().time() - lost < 2

    assert summary.reason.startswith("stt ")
    assert summary.reason.endswith(" failed")
    assert summary.outcome is CallStatus.FAILED
    assert recogniser.refuses == 98
