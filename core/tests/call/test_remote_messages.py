"""`on_message` as a URL, over HTTP and over a socket, in whole calls on a network in memory (TL-07)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve

from patter import Agent, ConfigError, MessageWebhook
from patter.agent import LLM_ERROR_MESSAGE
from patter.call.remote_messages import LONGEST_ANSWER, RemoteMessages, _frame, _spoken
from patter.errors import InputError, ProviderDisconnected, ProviderError, ProviderTimeout
from patter.messages import CallerMessage

HOST = "agent.example.com"
HTTP = f"http://{HOST}:8080/turn?key=hidden"
SOCKET = f"ws://{HOST}:8081/turn"
SECRET = "a secret that is shared"


@asynccontextmanager
async def http_server(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_post("/turn", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, 8080).start()
    try:
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def socket_server(handler: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[None]:
    server = await serve(handler, HOST, 8081)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()


def signature(body: bytes) -> str:
    return hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


# -- http


@pytest.mark.behaviour("TL-07")
@pytest.mark.parametrize("form", ["plain", "json", "unlabelled"])
async def test_each_turn_is_posted_and_the_answer_is_spoken(simcall: Any, form: str) -> None:
    seen: list[tuple[dict[str, Any], str | None, str]] = []

    async def turn(request: web.Request) -> web.Response:
        body = await request.read()
        assert request.headers["X-Patter-Signature"] == signature(body)
        seen.append((json.loads(body), request.headers["Content-Type"], request.query["key"]))
        text = f"You are number {len(seen)}."
        if form == "plain":
            return web.Response(text=text)
        if form == "json":
            return web.json_response({"text": text, "more": 1})
        return web.Response(body=json.dumps({"text": text}).encode())

    agent = {"llm": None, "on_message": MessageWebhook(HTTP, secret=SECRET), "first_message": "Hello."}
    async with http_server(turn), simcall(**agent, caller="+15550007777") as call:
        await call.agent_says("Hello.")
        await call.caller_says("Who am I?")
        await call.agent_says("You are number 1.")
        await call.quiet(500)
        await call.caller_says("And now?")
        await call.agent_says("You are number 2.")
        await call.quiet(500)
        call_id = call.call.id
    first, second = (body for body, *_ in seen)
    assert first == {
        "text": "Who am I?",
        "call_id": call_id,
        "caller": "+15550007777",
        "callee": "+15550001234",
        "history": [{"role": "assistant", "content": "Hello."}],
    }
    assert second["text"] == "And now?"
    assert second["history"] == [
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Who am I?"},
        {"role": "assistant", "content": "You are number 1."},
    ]
    assert {(kind, key) for _, kind, key in seen} == {("application/json", "hidden")}


@pytest.mark.behaviour("TL-07")
async def test_without_a_secret_nothing_is_signed(simcall: Any) -> None:
    async def turn(request: web.Request) -> web.Response:
        return web.Response(text="Signed." if "X-Patter-Signature" in request.headers else "Not signed.")

    async with http_server(turn), simcall(llm=None, on_message=HTTP) as call:
        await call.caller_says("Is it signed?")
        await call.agent_says("Not signed.")


TOO_LONG = "x" * (LONGEST_ANSWER + 1)


@pytest.mark.behaviour("TL-07")
@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (lambda: web.Response(status=500, text="a stack trace"), ProviderError, "HTTP 500"),
        (
            lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1/"}),
            ProviderError,
            "redirect",
        ),
        (lambda: web.Response(text=TOO_LONG), ProviderError, "longer than 65536 bytes"),
        (lambda: web.json_response({"text": TOO_LONG}), ProviderError, "longer than 65536 bytes"),
        (lambda: web.json_response({"text": 5}), ProviderError, "must answer with"),
        (lambda: web.json_response(["text"]), ProviderError, "must answer with"),
        (lambda: web.Response(text="{", content_type="application/json"), ProviderError, "no JSON"),
        (lambda: web.Response(body=b"\xff\xfe"), ProviderError, "UTF-8"),
        (lambda: web.Response(text="<p>Hi", content_type="text/html"), ProviderError, "a page"),
    ],
)
async def test_what_is_no_answer_is_not_spoken_and_not_asked_for_again(
    simcall: Any, answer: Any, kind: type[Exception], says: str
) -> None:
    asked: list[None] = []

    async def turn(request: web.Request) -> web.Response:
        asked.append(None)
        return answer() if len(asked) == 1 else web.Response(text="Here I am.")  # type: ignore[no-any-return]

    async with http_server(turn), simcall(llm=None, on_message=HTTP) as call:
        await call.caller_says("Is somebody there?")
        await call.agent_says(LLM_ERROR_MESSAGE)
        await call.quiet(500)
        assert len(asked) == 1
        await call.caller_says("And now?")
        await call.agent_says("Here I am.")
        assert call.heard == f"{LLM_ERROR_MESSAGE} Here I am."
    (failure,) = call.failures
    assert isinstance(failure.error, kind)
    assert says in str(failure.error)
    assert "hidden" not in str(failure.error)


@pytest.mark.behaviour("TL-07")
def test_the_longest_answer_is_taken() -> None:
    text = "x" * LONGEST_ANSWER
    assert _spoken(text.encode(), "text/plain", HOST) == text


async def test_a_server_that_is_silent_or_not_there_is_given_up(simcall: Any) -> None:
    async def turn(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response(text="too late")

    async with simcall(llm=None, on_message=HTTP, limit_s=60) as call:
        await call.caller_says("Is somebody there?")
        await call.agent_says(LLM_ERROR_MESSAGE)
        await call.quiet(500)
        async with http_server(turn):
            await call.caller_says("And now?")
            await call.agent_says(LLM_ERROR_MESSAGE)
            await call.quiet(500)
    assert [type(one.error) for one in call.failures] == [ProviderDisconnected, ProviderTimeout]


# -- sockets


@pytest.mark.behaviour("TL-07")
async def test_a_socket_streams_its_answer_until_it_is_done(simcall: Any) -> None:
    seen: list[dict[str, Any]] = []

    async def turn(socket: ServerConnection) -> None:
        body = await socket.recv()
        assert isinstance(body, str)
        assert socket.request is not None
        assert socket.request.headers["X-Patter-Signature"] == signature(body.encode())
        seen.append(json.loads(body))
        for piece in ("There is a table ", "at eight. ", "Shall I ", "book it?"):
            await socket.send(json.dumps({"text": piece}))
            await asyncio.sleep(1.0)
        await socket.send(json.dumps({"done": True}))
        await socket.send(json.dumps({"text": "This is said to nobody."}))

    webhook = MessageWebhook(SOCKET, secret=SECRET)
    async with socket_server(turn), simcall(llm=None, on_message=webhook) as call:
        await call.caller_says("Is there a table?")
        before = asyncio.get_running_loop().time()
        await call.agent_says("There is a table at eight.")
        # spoken as it comes: the answer is complete after 4 s, and that much of it takes over a second to say
        assert next(one.start for one in call.timeline if one.who == "agent") - before < 2.5
        await call.agent_says("Shall I book it?")
        await call.quiet(500)
        await call.caller_says("Yes please.")
        await call.agent_says("Shall I book it?")
    assert [one["text"] for one in seen] == ["Is there a table?", "Yes please."]
    assert seen[1]["history"][1] == {
        "role": "assistant",
        "content": "There is a table at eight. Shall I book it?",
    }
    assert "nobody" not in call.heard


@pytest.mark.behaviour("TL-07")
async def test_what_a_socket_says_is_interrupted_like_anything_else(simcall: Any) -> None:
    closed: list[float] = []
    loop = asyncio.get_running_loop()

    async def turn(socket: ServerConnection) -> None:
        told = json.loads(await socket.recv())
        if told["text"] == "Stop it.":
            (before,) = [one for one in told["history"] if one["role"] == "assistant"]
            heard.append(before["content"])
            await socket.send(json.dumps({"text": "I stopped.", "done": True}))
            return
        for number in range(200):
            await socket.send(json.dumps({"text": f"This is sentence number {number} of many. "}))
        await socket.wait_closed()
        closed.append(loop.time())

    heard: list[str] = []
    async with socket_server(turn), simcall(llm=None, on_message=SOCKET) as call:
        await call.caller_says("Talk to me.")
        await call.agent_says("sentence number 1 of")
        onset = loop.time()
        await call.caller_says("Stop it.")
        assert call.silent_after_ms <= 500
        await call.agent_says("I stopped.")
        (stopped,) = closed
        assert stopped - onset < 1.0
        line = next(line for line in call.transcript if line.role == "assistant")
        assert line.interrupted
        assert heard == [line.text]
        assert "number 9" not in line.text
    assert call.failures == []


@pytest.mark.behaviour("TL-07")
@pytest.mark.parametrize(
    ("frames", "kind", "says"),
    [
        (["no json"], ProviderError, "no JSON"),
        (['{"text": 5}'], ProviderError, "must answer with"),
        ([b"\x00"], ProviderError, "no text"),
        ([json.dumps({"text": "x" * 40_000})] * 2, ProviderError, "longer than 65536 bytes"),
        (["[" * 100_000], ProviderError, "no JSON"),
        ([], ProviderDisconnected, "before its answer was done"),
    ],
)
async def test_frames_that_are_no_answer_are_refused(
    simcall: Any, frames: list[Any], kind: type[Exception], says: str
) -> None:
    async def turn(socket: ServerConnection) -> None:
        await socket.recv()
        for frame in frames:
            await socket.send(frame)

    message = CallerMessage("Hello?", "call_1", "+15550007777", "+15550001234")
    async with socket_server(turn):
        remote = RemoteMessages(MessageWebhook(SOCKET))
        with pytest.raises(kind, match=says):
            [piece async for piece in remote.answer(message)]
        await remote.close()
        if len(frames) < 2:
            async with simcall(llm=None, on_message=SOCKET) as call:
                await call.caller_says("Is somebody there?")
                await call.agent_says(LLM_ERROR_MESSAGE)


async def test_a_socket_that_falls_silent_is_given_up_and_closed(simcall: Any) -> None:
    closed: list[None] = []

    async def turn(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(json.dumps({"text": "One moment. "}))
        await socket.wait_closed()
        closed.append(None)

    async with socket_server(turn), simcall(llm=None, on_message=SOCKET, limit_s=60) as call:
        await call.caller_says("Is there a table?")
        await call.agent_says("One moment.")
        await call.agent_says(LLM_ERROR_MESSAGE)
        assert closed == [None]
    (failure,) = call.failures
    assert isinstance(failure.error, ProviderTimeout)


def test_a_frame_may_hold_nothing_or_both() -> None:
    assert _frame("{}", HOST) == {}
    assert _frame('{"text": "All.", "done": true}', HOST) == {"text": "All.", "done": True}
    with pytest.raises(InputError):
        _frame("5", HOST)


# -- the real network


@pytest.mark.behaviour("TL-07")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("streams", [False, True])
def test_over_real_sockets_the_address_is_checked_when_it_is_dialled(host: str, streams: bool) -> None:
    async def turn(request: web.Request) -> web.StreamResponse:
        told = await request.json()
        if not streams:
            return web.json_response({"text": told["text"]})
        raise AssertionError("this is not for the socket")

    async def socket_turn(socket: ServerConnection) -> None:
        told = json.loads(await socket.recv())
        for word in told["text"].split(" "):
            await socket.send(json.dumps({"text": word}))
        await socket.send(json.dumps({"done": True}))

    async def ask(url: str, *allow_hosts: str) -> list[str]:
        remote = RemoteMessages(MessageWebhook(url, secret=SECRET, allow_hosts=allow_hosts))
        message = CallerMessage("Grüße an alle", "call_1", "+15550007777", "+15550001234")
        try:
            return [piece async for piece in remote.answer(message)]
        finally:
            await remote.close()

    async def scenario() -> None:
        app = web.Application()
        app.router.add_post("/turn", turn)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server = await serve(socket_turn, "127.0.0.1", 0)
        try:
            port = server.sockets[0].getsockname()[1] if streams else runner.addresses[0][1]
            url = f"{'ws' if streams else 'http'}://{host}:{port}/turn"
            said = ["Grüße", "an", "alle"] if streams else ["Grüße an alle"]
            assert await ask(url, host) == said
            with pytest.raises((ConfigError, ProviderError), match="is not a public address"):
                await ask(url)
        finally:
            server.close()
            await server.wait_closed()
            await runner.cleanup()

    asyncio.run(scenario())


# -- the address


@pytest.mark.behaviour("TL-07")
@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_unencrypted_addresses_warn(caplog: pytest.LogCaptureFixture, scheme: str) -> None:
    with caplog.at_level(logging.WARNING):
        Agent(stt="fake", on_message=f"{scheme}://{HOST}/turn?key=hidden")
    assert f"use {scheme}s://" in caplog.text
    assert "hidden" not in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        Agent(stt="fake", on_message=f"{scheme}s://{HOST}/turn")
    assert caplog.text == ""


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/turn",
        "ws://10.0.0.1/turn",
        "https://[::1]/turn",
        "wss://0x7f000001/turn",
        "http://2130706433/",
        "http://169.254.169.254/latest",
        "https://user:word@agent.example.com/",
        "file:///etc/passwd",
    ],
)
def test_addresses_that_are_not_public_are_refused_unless_named(url: str) -> None:
    with pytest.raises(ConfigError):
        Agent(stt="fake", on_message=url)
    allowed = MessageWebhook("http://127.0.0.1:9/turn", allow_hosts=["127.0.0.1"])
    assert allowed.host == "127.0.0.1"
    with pytest.raises(ConfigError):
        MessageWebhook(url, allow_hosts=["localhost"])


def test_neither_secret_nor_address_shows() -> None:
    webhook = MessageWebhook(HTTP.replace("http:", "https:"), secret=SECRET)
    for shown in (repr(webhook), str(webhook), repr(Agent(stt="fake", on_message=webhook))):
        assert SECRET not in shown
        assert "hidden" not in shown
    with pytest.raises(ConfigError, match="secret is empty"):
        MessageWebhook(f"https://{HOST}/", secret="")
