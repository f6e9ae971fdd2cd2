"""The kit's check of lost connections, on a small STT over a real loopback socket: right, and wrong in each way."""

from __future__ import annotations

import pytest

# pytester forgets what an inner session imported, and numpy cannot be imported twice
import patter.testing.pytest_phone  # noqa: F401

pytest_plugins = ["pytester"]

CHECK = "test_a_lost_connection_is_told_and_leaves_nothing_to_be_told_twice"

HEADER = """
import asyncio
from contextlib import asynccontextmanager

import pytest
import patter
from patter.audio.formats import MULAW_8K
from patter.errors import ProviderDisconnected
from patter.plugins import ProviderConfig
from patter.providers.stt import STT, Final
from patter.testing.conformance import STTConformance

AUDIO, ASK = b"a", b"f"


class Server:
    # Answers each "f" with the number of bytes that it heard since the last one.
    def __init__(self):
        self.writers = set()

    async def handle(self, reader, writer):
        self.writers.add(writer)
        heard = 0
        try:
            while kind := await reader.read(1):
                if kind == AUDIO:
                    heard += len(await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")))
                else:
                    writer.write(f"{heard}\\n".encode())
                    heard = 0
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    def cut(self):
        for writer in self.writers:
            writer.transport.abort()


class Config(ProviderConfig):
    port: int = 0


class Good(STT):
    def __init__(self, config, context):
        self.port = config.port
        self.writer = None
        self.closed = False

    def input_formats(self):
        return (MULAW_8K,)

    async def connect(self, audio_format):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    def send_audio(self, chunk):
        self.send(AUDIO + len(chunk).to_bytes(2, "big") + chunk)

    async def finalize(self):
        self.send(ASK)

    def send(self, data):
        if self.writer is None or self.writer.is_closing():
            raise ProviderDisconnected("the connection is lost")
        self.writer.write(data)

    async def receive(self):
        while not self.closed:
            try:
                line = await self.reader.readline()
            except ConnectionError:
                line = b""
            if not line and not self.closed:
                self.writer.close()
                raise ProviderDisconnected("the connection is lost")
            if line:
                yield Final("eight thousand" if line == b"8000\\n" else "")

    async def close(self):
        self.closed = True
        if self.writer is not None:
            self.writer.close()


BODY
class Plugin:
    @patter.hookimpl
    def patter_register_stt(self):
        return [patter.STTRecord("wire", Mine, config=Config)]


class TestIt(STTConformance):
    spec = "wire"
    plugins = (Plugin(),)
    words = "eight thousand"

    def speech(self, audio_format):
        return bytes(8000)

    @pytest.fixture
    def server(self):
        @asynccontextmanager
        async def serving():
            self.vendor = Server()
            server = await asyncio.start_server(self.vendor.handle, "127.0.0.1", 0)
            async with server:
                yield {"port": server.sockets[0].getsockname()[1]}
                self.vendor.cut()

        return serving

    async def drop_connection(self):
        self.vendor.cut()
"""

WRONG = {
    "says nothing of it": (
        """
class Mine(Good):
    async def receive(self):
        try:
            async for event in super().receive():
                yield event
        except ProviderDisconnected:
            await asyncio.Event().wait()
""",
        "TimeoutError",
    ),
    "ends as if it had been closed": (
        """
class Mine(Good):
    async def receive(self):
        try:
            async for event in super().receive():
                yield event
        except ProviderDisconnected:
            return
""",
        "isinstance(None, ProviderDisconnected)",
    ),
    "takes audio that goes nowhere": (
        """
class Mine(Good):
    def send(self, data):
        if not self.writer.is_closing():
            self.writer.write(data)
""",
        "DID NOT RAISE",
    ),
    "tells its last final once more": (
        """
class Mine(Good):
    async def receive(self):
        try:
            async for event in super().receive():
                yield event
        except ProviderDisconnected:
            yield event
            raise
""",
        "2 == 1",
    ),
}


def outcome(pytester: pytest.Pytester, body: str, header: str = HEADER) -> tuple[str, str]:
    """What became of the check, and why."""
    pytester.makepyfile(header.replace("BODY", body))
    result = pytester.inline_run(
        "-p", "no:asyncio", "-p", "no:anyio", "-p", "no:cacheprovider", "-q", "-k", CHECK
    )
    (report,) = (one for one in result.getreports("pytest_runtest_logreport") if one.when == "call")
    assert report.nodeid.endswith(CHECK)
    return report.outcome, str(report.longrepr)


def test_an_stt_that_keeps_the_contract_passes(pytester: pytest.Pytester) -> None:
    assert outcome(pytester, "class Mine(Good): pass\n")[0] == "passed"


@pytest.mark.parametrize("fault", sorted(WRONG))
def test_an_stt_that_breaks_it_fails(pytester: pytest.Pytester, fault: str) -> None:
    body, why = WRONG[fault]

    became, text = outcome(pytester, body)

    assert became == "failed"
    assert why in text


def test_without_a_connection_to_drop_it_is_skipped(pytester: pytest.Pytester) -> None:
    header = HEADER.replace("async def drop_connection", "async def other")

    became, text = outcome(pytester, "class Mine(Good): pass\n", header)

    assert became == "skipped"
    assert "no connection that can be lost" in text
