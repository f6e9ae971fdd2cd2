"""However a call ends, it ends once, says why, and leaves nothing: hang-ups, lost sockets, shutdown, failures."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from patter import Accept, LLMRecord, STTRecord, TTSRecord, hookimpl
from patter.audio.formats import MULAW_8K
from patter.errors import ProviderAuthError, ProviderDisconnected
from patter.net import session
from patter.providers.carrier import CallStatus
from patter.providers.llm import LLM, Text
from patter.providers.stt import STT
from patter.providers.tts import TTS
from patter_twilio.simulator import CallbackFaults, Faults, StreamFaults


def test_the_caller_hangs_up_in_mid_sentence(carrier):
    async def scenario():
        async with carrier.loopback() as served:
            call = await served.ring_and_greet()
            await call.say(carrier.written("a story"))
            await served.hears(call, "part 2")
            call.hangup()
            await served.ended(call, total=1)
            (summary,) = served.summaries
            assert (summary.outcome, summary.reason) == (
                CallStatus.COMPLETED,
                "the caller or carrier hung up",
            )
            assert summary.transcript[-1].interrupted
            assert served.simulator.requests == []  # nobody hangs up at the carrier what the carrier ended

    asyncio.run(scenario())


@pytest.mark.behaviour("CC-17")
def test_end_call_hangs_up_at_the_carrier_and_is_harmless_afterwards(carrier):
    async def scenario():
        async with carrier.loopback() as served:
            call, other = await served.ring_and_greet(), await served.ring_and_greet()
            call_id = served.line(call).call.id
            async with asyncio.timeout(5):
                await served.phone.end_call(call_id)
                await served.phone.end_call(call_id)
                await served.phone.end_call("call_unknown")
            await served.ended(call, total=1)
            assert call.status == "completed"
            assert [request.form for request in served.simulator.requests] == [(("Status", "completed"),)]
            assert served.phone.calls.get(call_id).status is CallStatus.COMPLETED
            await served.talk(other, "still here")
            other.hangup()
            await served.ended(other, total=2)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "faults", [StreamFaults(drop_after_s=0.3), StreamFaults(omit_stop=True)], ids=["dropped", "no-stop"]
)
def test_a_lost_socket_ends_the_call_like_a_stop(carrier, faults):
    async def scenario():
        async with carrier.loopback(faults=Faults(stream=faults)) as served:
            call = await served.ring()
            await served.hears(call, "Hello.")
            if faults.omit_stop:
                call.hangup()
            await served.ended(call, total=1)
            (summary,) = served.summaries
            assert (summary.connected, summary.outcome) == (True, CallStatus.COMPLETED)
            assert summary.reason == "the media socket closed"

    asyncio.run(scenario())


def test_status_reports_twice_and_in_any_order_end_a_call_once(carrier):
    async def scenario():
        callbacks = CallbackFaults(reorder=True, duplicate=True)
        async with carrier.loopback(faults=Faults(callbacks=callbacks)) as served:
            status = served.phone.webhook_url("twilio", "status")
            calls = [await served.ring(status_callback=status) for _ in range(2)]
            for call in calls:
                await served.hears(call, "Hello.")
                call.hangup()
            await served.ended(*calls, total=2)
            for call in calls:
                posts = [event for _, event in call.events if event == "posted /webhooks/twilio/status 204"]
                assert len(posts) >= 2
            assert [summary.outcome for summary in served.summaries] == [CallStatus.COMPLETED] * 2

    asyncio.run(scenario())


def test_a_terminal_report_while_the_media_is_up_leaves_the_end_to_the_media(carrier):
    async def scenario():
        async with carrier.loopback() as served:
            call = await served.ring_and_greet()
            form = [*call.form(), ("CallStatus", "completed"), ("SequenceNumber", "9")]
            form = [field for field in form if field != ("CallStatus", "in-progress")]
            url = served.phone.webhook_url("twilio", "status")
            for _ in range(2):
                assert (await served.simulator.post(url, form))[0] == 204
            await served.talk(call, "the line still works")
            call.hangup()
            await served.ended(call, total=1)

    asyncio.run(scenario())


def test_an_answered_call_whose_media_never_connects_fails_in_its_time(carrier):
    callbacks = []

    class Watch:
        @hookimpl
        async def patter_call_started(self, call):
            callbacks.append(call)

    async def scenario():
        async with carrier.loopback(media_timeout_s=0.3, plugins=[Watch()]) as served:
            began = time.monotonic()
            _, url = await served.offer_by_hand()
            await carrier.until(lambda: served.summaries)
            assert 0.3 <= time.monotonic() - began < 1.0
            (summary,) = served.summaries
            assert (summary.connected, summary.outcome) == (False, CallStatus.FAILED)
            assert "never connected" in summary.reason
            await served.settled()
            # Its token is worth nothing any more.
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await served.simulator.connect(url)
            assert caught.value.status == 403
        assert callbacks == []

    asyncio.run(scenario())


def test_a_media_socket_that_never_sends_start_fails_in_its_time(carrier):
    async def scenario():
        async with carrier.loopback(media_timeout_s=0.3) as served:
            _, url = await served.offer_by_hand()
            socket = await served.simulator.connect(url)
            await socket.send_str('{"event":"connected","protocol":"Call","version":"1.0.0"}')
            async with asyncio.timeout(3):
                message = await socket.receive()
            assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
            await carrier.until(lambda: served.summaries)
            assert (served.summaries[0].connected, served.summaries[0].outcome) == (False, CallStatus.FAILED)
            await socket.close()

    asyncio.run(scenario())


def test_disconnect_closes_media_sockets_with_1001_and_serving_again_works(carrier):
    async def scenario():
        async with carrier.loopback() as served:
            for round_ in (1, 2):
                calls = [await served.ring_and_greet(), await served.ring_and_greet()]
                began = time.monotonic()
                await served.phone.disconnect()
                assert time.monotonic() - began < 3.0
                for call in calls:
                    async with asyncio.timeout(5):
                        await call.wait_closed()
                    assert call.stream.close_code == 1001
                assert len(served.summaries) == 2 * round_
                assert served.summaries[-1].reason == "the server is shutting down"
                await served.phone.disconnect()
                await served.phone.start(carrier.agent(), port=0)

    asyncio.run(scenario())


class HangingTTS(TTS):
    """Speaks nothing and does not close."""

    def output_format(self):
        return MULAW_8K

    async def synthesize(self, text):
        return
        yield b""

    async def close(self):
        await asyncio.Event().wait()


class HangingHook:
    """Never comes back, and keeps for how long it was let."""

    def __init__(self):
        self.had_s = []

    @hookimpl
    async def patter_call_ended(self, call, summary):
        began = time.monotonic()
        try:
            await asyncio.Event().wait()
        finally:
            self.had_s.append(time.monotonic() - began)


def test_shutdown_refuses_new_calls_and_is_bounded_though_a_provider_and_a_hook_hang(carrier):
    async def scenario():
        hook = HangingHook()
        agent = carrier.agent(tts=TTSRecord("hanging", HangingTTS))
        async with carrier.loopback(agent, plugins=[hook], unavailable_message="Call later.") as served:
            calls = [await served.ring(), await served.ring()]
            began = time.monotonic()
            stopping = asyncio.create_task(served.phone.disconnect())
            await carrier.until(lambda: not served.phone.switchboard.ready)
            refused = await served.ring()
            await stopping
            assert time.monotonic() - began < 10.0
            for call in [*calls, refused]:
                async with asyncio.timeout(5):
                    await call.wait_closed()
            assert [call.stream.close_code for call in calls] == [1001, 1001]
            assert (refused.streams, refused.spoken) == ([], ["Call later."])
            assert hook.had_s == pytest.approx([3.0] * 3, abs=0.3)

    asyncio.run(scenario())


@pytest.mark.behaviour("LC-10")
def test_health_and_readiness_while_serving_full_and_draining(carrier):
    async def scenario():
        async with carrier.loopback(max_calls=1) as served, session() as http:
            url = served.phone.url

            async def asked(path):
                async with http.get(url + path) as response:
                    return response.status

            assert (await asked("/health"), await asked("/ready")) == (200, 200)
            call = await served.ring_and_greet()
            assert (await asked("/health"), await asked("/ready")) == (200, 503)
            call.hangup()
            await served.ended(call, total=1)
            assert await asked("/ready") == 200
            served.phone.switchboard.ready = False  # as before `ready` and while draining
            assert (await asked("/health"), await asked("/ready")) == (200, 503)

    asyncio.run(scenario())


class Broken(LLM):
    """Fails in mid-sentence."""

    async def stream(self, messages, tools, *, cancel_event, call_id):
        yield Text("Let me think about ")
        raise ProviderDisconnected("the connection was lost", provider="broken")

    async def close(self):
        return None


def test_a_model_that_fails_in_mid_sentence_costs_a_sentence_and_not_the_call(carrier):
    failures = []

    async def scenario():
        agent = carrier.agent(llm=LLMRecord("broken", Broken), llm_error_message="Say that again please.")
        async with carrier.loopback(agent) as served:
            call = await served.ring_and_greet()
            served.line(call).call.on("failed", failures.append)
            await call.say(carrier.written("what is new"))
            await served.hears(call, "Say that again please.")
            await served.listening(call)
            await call.say(carrier.written("what else"))
            await carrier.until(lambda: served.heard(call).count("Say that again please.") == 2)
            call.hangup()
            await served.ended(call, total=1)
            assert {(failure.kind, type(failure.error)) for failure in failures} == {
                ("llm", ProviderDisconnected)
            }

    asyncio.run(scenario())


class Deaf(STT):
    """Refuses its key."""

    def input_formats(self):
        return [MULAW_8K]

    async def connect(self, audio_format):
        raise ProviderAuthError("the key is wrong", provider="deaf")

    def send_audio(self, chunk):
        return None

    async def receive(self):
        raise AssertionError("never connected")
        yield

    async def close(self):
        return None


def test_a_recogniser_that_cannot_be_had_ends_its_call_as_failed_and_no_other(carrier):
    class Choose:
        @hookimpl
        def patter_incoming_call(self, call):
            if call.caller.endswith("66"):
                return Accept(carrier.agent(stt=STTRecord("deaf", Deaf)))
            return None

    async def scenario():
        async with carrier.loopback(plugins=[Choose()]) as served:
            call = await served.ring_and_greet()
            failing = await served.ring("+15550000066")
            await served.ended(failing, total=1)
            (summary,) = served.summaries
            assert (summary.outcome, summary.reason) == (CallStatus.FAILED, "stt STTRecord 'deaf' failed")
            assert failing.status == "completed"
            await served.talk(call, "is anybody there")
            call.hangup()
            await served.ended(call, total=2)

    asyncio.run(scenario())
