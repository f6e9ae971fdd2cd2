"""A phone on loopback with the simulated Twilio, and providers by which words travel as audio.

Speech is *written*: each character is its ASCII code for 5 ms of µ-law, and what is not a code is silence. So a caller
says any text, the recogniser reads exactly what came in, and what a caller heard can be read back: a word of another
call, a lost frame or a frame sent twice shows.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from patter import Agent, LLMRecord, Patter, STTRecord, TTSRecord, VADRecord, hookimpl
from patter.audio.formats import MULAW_8K, AudioFormat
from patter.call.types import CallSummary
from patter.providers.llm import LLM, Done, LLMChunk, Message, Text, ToolCallDelta
from patter.providers.stt import STT, Final, Interim, STTEvent
from patter.providers.tts import TTS
from patter.providers.vad import VAD, VADEvent
from patter_twilio.simulator import Callee, Faults, SimulatedCall, Simulator

NUMBER = "+15550001234"
#: µ-law bytes of one written character
WIDTH = 40
SILENCE = 0xFF
#: an exchange of one call takes well below a second; a machine under load gets this long
PATIENCE_S = 10.0


def written(text: str) -> bytes:
    """The audio of a text, whole frames of 20 ms."""
    audio = b"".join(bytes([code]) * WIDTH for code in text.encode("ascii"))
    return audio + bytes([SILENCE]) * (-len(audio) % 160)


def read(audio: bytes) -> str:
    """The text of written audio, also of audio cut short."""
    return bytes(code for code in audio[::WIDTH] if code != SILENCE).decode("ascii")


class WrittenSTT(STT):
    """Reads what was said since the last final; `finalize()` closes it."""

    def __init__(self) -> None:
        self._heard = bytearray()
        self._events: asyncio.Queue[STTEvent | None] = asyncio.Queue()
        self._interims = False

    def input_formats(self) -> Sequence[AudioFormat]:
        return [MULAW_8K]

    async def connect(self, audio_format: AudioFormat) -> None:
        assert audio_format == MULAW_8K

    def send_audio(self, chunk: bytes) -> None:
        if chunk.strip(bytes([SILENCE])):
            self._heard += chunk
            if self._interims:
                self._events.put_nowait(Interim(read(bytes(self._heard))))

    def interims_wanted(self, wanted: bool) -> None:
        self._interims = wanted

    async def finalize(self) -> None:
        self._events.put_nowait(Final(read(bytes(self._heard)), from_finalize=True))
        self._heard.clear()

    async def receive(self) -> AsyncIterator[STTEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    async def close(self) -> None:
        self._events.put_nowait(None)


class LoudVAD(VAD):
    """Any sound is speech; 100 ms of silence end it."""

    def __init__(self) -> None:
        self._samples = 0
        self._quiet_frames: int | None = None

    def process_frame(self, pcm: Any, rate: int) -> VADEvent | None:
        self._samples += len(pcm)
        if pcm.any():
            began = self._quiet_frames is None
            self._quiet_frames = 0
            return VADEvent("speech_start", self._samples - len(pcm)) if began else None
        if self._quiet_frames is None:
            return None
        self._quiet_frames += 1
        if self._quiet_frames < 5:
            return None
        self._quiet_frames = None
        return VADEvent("speech_end", self._samples)

    def reset(self) -> None:
        self._quiet_frames = None

    def close(self) -> None:
        return None


class EchoLLM(LLM):
    """Repeats the caller; "goodbye", "transfer +1…" and "story" do what they say."""

    async def stream(
        self, messages: Sequence[Message], tools: Any, *, cancel_event: asyncio.Event, call_id: str
    ) -> AsyncIterator[LLMChunk]:
        if messages[-1].role == "tool":
            yield Done()
            return
        said = next(message.content for message in reversed(messages) if message.role == "user")
        if "story" in said:
            for number in range(1, 41):
                yield Text(f"This is part {number} of a long story. ")
        else:
            yield Text(f"You said {said}. ")
        if "goodbye" in said:
            yield ToolCallDelta(0, "t1", "end_call", json.dumps({"reason": "the caller said goodbye"}))
        elif "transfer" in said:
            yield ToolCallDelta(0, "t1", "transfer_call", json.dumps({"number": said.split()[-1]}))
        yield Done()

    async def close(self) -> None:
        return None


class WrittenTTS(TTS):
    """Writes its sentences."""

    def output_format(self) -> AudioFormat:
        return MULAW_8K

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        audio = written(text.strip() + " ")
        for start in range(0, len(audio), 800):
            yield audio[start : start + 800]

    async def close(self) -> None:
        return None


@dataclass
class Endings:
    """A plugin that keeps how each call ended."""

    summaries: list[CallSummary] = field(default_factory=list)

    @hookimpl
    async def patter_call_ended(self, call: Any, summary: CallSummary) -> None:
        self.summaries.append(summary)


def agent(**options: Any) -> Agent:
    """An agent that hears and speaks written audio."""
    parts = {
        "first_message": "Hello.",
        "stt": STTRecord("written", WrittenSTT, interims=True),
        "llm": LLMRecord("echo", EchoLLM),
        "tts": TTSRecord("written", WrittenTTS),
        "vad": VADRecord("loud", LoudVAD),
    }
    return Agent(**{**parts, **options})


async def until(condition: Callable[[], object], seconds: float = PATIENCE_S) -> None:
    """Wait for something that only time or another end of a socket brings about."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"did not come true within {seconds} s: {condition}", pytrace=True)


def open_descriptors() -> set[str]:
    """The open file descriptors of this process; empty where the system does not list them."""
    listed = Path("/proc/self/fd")
    return set(os.listdir(listed)) if listed.is_dir() else set()


class Loopback:
    """A phone that serves, the carrier that rings it, and what became of the calls."""

    def __init__(self, phone: Patter, simulator: Simulator, endings: Endings) -> None:
        self.phone = phone
        self.simulator = simulator
        self.summaries = endings.summaries

    async def ring(self, caller: str = "+15550009876", **options: Any) -> SimulatedCall:
        """A call that has its media stream, or was refused."""
        url = self.phone.webhook_url("twilio", "voice")
        call = await self.simulator.place_call(url, caller, NUMBER, **options)
        async with asyncio.timeout(PATIENCE_S):
            await call.wait_started()
        return call

    async def ring_and_greet(self, caller: str = "+15550009876", **options: Any) -> SimulatedCall:
        """A call whose caller has heard the greeting and may speak."""
        call = await self.ring(caller, **options)
        await self.greeted(call)
        return call

    async def greeted(self, call: SimulatedCall) -> None:
        """Wait until the caller has heard the greeting and may speak."""
        await self.hears(call, "Hello.")
        await self.listening(call)

    async def offer_by_hand(self) -> tuple[str, str]:
        """Ask for a call as the carrier would, and open no media stream: its SID and the stream's URL."""
        sid = self.simulator.new_sid("CA")
        form = [
            ("CallSid", sid),
            ("AccountSid", self.simulator.account.account_sid),
            ("From", "+15550009876"),
            ("To", NUMBER),
        ]
        status, document = await self.simulator.post(self.phone.webhook_url("twilio", "voice"), form)
        assert status == 200
        return sid, document.partition('url="')[2].partition('"')[0]

    def line(self, call: SimulatedCall) -> Any:
        """The phone's side of a call."""
        return next(line for line in self.phone.switchboard.lines() if line.call.carrier_call_id == call.sid)

    async def hears(self, call: SimulatedCall, text: str) -> None:
        """Wait until the caller has heard a text."""
        await until(lambda: text in self.heard(call))

    def heard(self, call: SimulatedCall) -> str:
        """All that the caller has heard so far."""
        return read(b"".join(audio for _, audio in call.heard))

    async def talk(self, call: SimulatedCall, *sayings: str) -> None:
        """Say each text and hear its answer, after the greeting."""
        for saying in sayings:
            await call.say(written(saying))
            await self.hears(call, f"You said {saying}.")
            await self.listening(call)

    async def listening(self, call: SimulatedCall) -> None:
        """Wait until the agent has finished speaking."""
        await until(lambda: self.line(call).call.agent_state == "listening")

    async def ended(self, *calls: SimulatedCall, total: int) -> None:
        """Wait until calls are over at the carrier, and `total` are with the phone."""
        async with asyncio.timeout(PATIENCE_S):
            for call in calls:
                await call.wait_closed()
        await until(lambda: len(self.summaries) == total)
        await self.settled()

    async def settled(self) -> None:
        """Nothing of an ended call is left while the phone goes on serving."""
        going = {line.call.id for line in self.phone.switchboard.lines()}
        await until(lambda: not self._left(going), 2.5)

    def _left(self, going: set[str]) -> list[str]:
        tasks = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("call_")]
        active = [record.call_id for record in self.phone.calls.active()]
        paced = len(self.phone.pacer._calls) - len(going)
        left = [name for name in tasks + active if name.partition(" ")[0] not in going]
        places = self.phone.switchboard._admission.in_use - len(going)
        return left + ["a place"] * max(0, places) + ["a paced call"] * max(0, paced)


@asynccontextmanager
async def loopback(
    served: Agent | None = None,
    *,
    faults: Faults | None = None,
    callee: Callee | None = None,
    plugins: Sequence[object] = (),
    prepare: Callable[[Patter], object] = id,
    **settings: Any,
) -> AsyncIterator[Loopback]:
    """Serve on loopback; afterwards nothing may be left: no task, descriptor, timer or unread exception.

    `prepare` gets the phone before it serves.
    """
    unread: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unread.append(context))
    tasks, descriptors = asyncio.all_tasks(), open_descriptors()
    threads = set(threading.enumerate())
    endings = Endings()
    async with Simulator(faults=faults, callee=callee) as simulator:
        os.environ["TWILIO_ACCOUNT_SID"] = simulator.account.account_sid
        os.environ["TWILIO_AUTH_TOKEN"] = simulator.account.auth_token
        phone = Patter(
            carrier=f"twilio?base_url={simulator.base_url}",
            phone_number=NUMBER,
            plugins=[endings, *plugins],
            **settings,
        )
        prepare(phone)
        await phone.start(served or agent(), port=0)
        try:
            yield Loopback(phone, simulator, endings)
        finally:
            async with asyncio.timeout(12):
                await phone.disconnect()
    await until(lambda: asyncio.all_tasks() <= tasks)
    await until(lambda: open_descriptors() <= descriptors)
    # Threads of the loop's own pool live as long as the loop.
    made = {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}
    assert made <= threads
    assert phone.calls.active() == ()
    assert (phone.switchboard._admission.in_use, len(phone.switchboard._tokens)) == (0, 0)
    assert phone.pacer._timer is None
    assert [leak for summary in endings.summaries for leak in summary.leaks] == []
    ids = [summary.call_id for summary in endings.summaries]
    assert len(ids) == len(set(ids))
    assert unread == []


@pytest.fixture
def carrier(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The tools of this folder's tests."""
    for variable in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"):
        monkeypatch.setenv(variable, "set by the test")
    parts = SimpleNamespace(stt=WrittenSTT, llm=EchoLLM, tts=WrittenTTS)
    return SimpleNamespace(
        loopback=loopback, agent=agent, parts=parts, written=written, read=read, until=until, number=NUMBER
    )


@pytest.fixture(scope="session")
def onnxruntime_loaded() -> None:
    """What onnxruntime opens for the whole process is open before a test counts descriptors."""
    from patter_silero.session import SileroSession

    SileroSession()
