"""What must not happen, happens: each piece of bad input costs at most its own call, and leaves nothing."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager

import aiohttp
import pytest

from patter import Accept, STTRecord, hookimpl
from patter.net import session
from patter.providers.carrier import CallStatus
from patter_twilio.carrier import TwilioCarrier
from patter_twilio.simulator import Faults, StreamFaults

STREAM = "MZ" + "0" * 32


def media(payload, **fields):
    return json.dumps({"event": "media", "streamSid": STREAM, "media": {"payload": payload}, **fields})


MALFORMED = (
    '{"event":"media"',
    "[]",
    "null",
    "",
    "\x00\x00",
    '{"event":"surprise"}',
    '{"event":["media"]}',
    '{"event":"start","start":{}}',
    '{"event":"mark","mark":{"name":7}}',
    '{"event":"dtmf","dtmf":{"digit":"99"}}',
    "[" * 10_000,
    media("AAAA"),  # of another stream
    media("%%%%"),
    media("A" * 40_000),
    "x" * 100_000,
    "x" * (1024 * 1024 + 1),
    b"\x00\x01\x02",
    b"{}",
)


@asynccontextmanager
async def beside_a_good_call(carrier, agent=None, **options):
    """A phone with a call that goes on, whatever happens to others."""
    async with carrier.loopback(agent, **options) as served:
        good = await served.ring()
        await served.hears(good, "Hello.")
        await served.listening(good)
        yield served
        await served.talk(good, "this call goes on")
        before = len(served.summaries)
        good.hangup()
        await served.ended(good, total=before + 1)
        assert served.heard(good) == "Hello. You said this call goes on. "


def start(served, call_sid):
    return json.dumps(
        {
            "event": "start",
            "sequenceNumber": "1",
            "streamSid": STREAM,
            "start": {
                "accountSid": served.simulator.account.account_sid,
                "streamSid": STREAM,
                "callSid": call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            },
        }
    )


async def refused(served, url, status=403):
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await served.simulator.connect(url)
    assert caught.value.status == status


async def closed(socket):
    """Wait for the server's close."""
    async with asyncio.timeout(5):
        async for _ in socket:
            pass
    await socket.close()


def test_malformed_unknown_binary_and_oversized_messages_cost_no_word(carrier, caplog):
    async def scenario():
        async with beside_a_good_call(carrier) as served:
            served.simulator.faults = Faults(stream=StreamFaults(malformed_every=1, malformed=MALFORMED))
            call = await served.ring_and_greet()
            await served.talk(call, "every word of this is heard exactly once", "and of this")
            assert call.stream._chunk > len(MALFORMED)
            call.hangup()
            await served.ended(call, total=1)
            assert served.summaries[0].outcome is CallStatus.COMPLETED

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert max(len(record.getMessage()) for record in caplog.records) < 1000


def test_a_message_above_4_mib_ends_its_own_call_with_1009(carrier):
    async def scenario():
        async with beside_a_good_call(carrier) as served:
            huge = StreamFaults(malformed_every=10, malformed=("x" * (4 * 1024 * 1024 + 1),))
            served.simulator.faults = Faults(stream=huge)
            call = await served.ring()
            await served.ended(call, total=1)
            assert call.stream.close_code == 1009
            assert (served.summaries[0].connected, served.summaries[0].outcome) == (
                True,
                CallStatus.COMPLETED,
            )

    asyncio.run(scenario())


@pytest.mark.behaviour("SC-04")
def test_no_token_a_wrong_one_a_used_one_and_a_foreign_one_are_refused_before_the_upgrade(carrier):
    async def scenario():
        async with beside_a_good_call(carrier) as served:
            sid, url = await served.offer_by_hand()
            base = url.rpartition("/")[0]
            for wrong in (base, f"{base}/", f"{base}/{'0' * 64}", f"{base}/{'x' * 5000}", f"{base}/%00"):
                await refused(served, wrong, 404 if wrong.endswith("/") else 403)
            socket = await served.simulator.connect(url)
            await refused(served, url)  # used up by the connection, before its start
            await socket.send_str(start(served, sid))
            await carrier.until(
                lambda: any(line.call.carrier_call_id == sid for line in served.phone.switchboard.lines())
            )
            await refused(served, url)
            await socket.close()
            await carrier.until(lambda: len(served.summaries) == 1)
            await refused(served, url)
            await served.settled()

    asyncio.run(scenario())


def test_a_start_of_another_call_is_refused_and_that_other_call_is_untouched(carrier):
    async def scenario():
        async with beside_a_good_call(carrier) as served:
            (line,) = served.phone.switchboard.lines()
            for foreign in (line.call.carrier_call_id, served.simulator.new_sid("CA")):
                before = len(served.summaries)
                _, url = await served.offer_by_hand()
                socket = await served.simulator.connect(url)
                await socket.send_str(start(served, foreign))
                await closed(socket)
                await carrier.until(lambda before=before: len(served.summaries) == before + 1)
                summary = served.summaries[-1]
                assert (summary.connected, summary.outcome) == (False, CallStatus.FAILED)
                await served.settled()
            assert served.phone.switchboard.lines() == (line,)

    asyncio.run(scenario())


def test_a_carrier_that_asks_twice_gets_one_call_with_one_stream(carrier):
    """A webhook is repeated when its answer was late; both answers lead to the same call."""

    async def scenario():
        async with beside_a_good_call(carrier) as served:
            sid, first = await served.offer_by_hand()
            form = [("CallSid", sid), ("AccountSid", served.simulator.account.account_sid)]
            voice = served.phone.webhook_url("twilio", "voice")
            _, document = await served.simulator.post(voice, form)
            second = document.partition('url="')[2].partition('"')[0]
            assert len(served.phone.switchboard.lines()) == 2
            socket = await served.simulator.connect(second)
            await refused(served, first)
            await socket.send_str(start(served, sid))
            async with asyncio.timeout(5):
                heard = json.loads((await socket.receive()).data)
            assert heard["event"] == "media"
            await socket.close()
            await carrier.until(lambda: len(served.summaries) == 1)
            assert served.summaries[0].connected
            await served.settled()

    asyncio.run(scenario())


@pytest.mark.parametrize("signature", [None, "", "bm90IGEgc2lnbmF0dXJl", "\u20ac"])
def test_a_bad_or_missing_signature_starts_nothing(carrier, signature):
    async def scenario():
        async with beside_a_good_call(carrier) as served, session() as http:
            _, url = await served.offer_by_hand()
            calls, summaries = len(served.phone.switchboard.lines()), len(served.summaries)
            headers = {} if signature is None else {"X-Twilio-Signature": signature}
            form = {"CallSid": served.simulator.new_sid("CA"), "CallStatus": "completed"}
            for name in ("voice", "status", "amd"):
                webhook = served.phone.webhook_url("twilio", name)
                async with http.post(webhook, data=form, headers=headers) as response:
                    assert response.status == 403
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await http.ws_connect(url, headers=headers)
            assert caught.value.status == 403
            assert (len(served.phone.switchboard.lines()), len(served.summaries)) == (calls, summaries)
            # The token was not used up by that.
            socket = await served.simulator.connect(url)
            await socket.close()
            await carrier.until(lambda: len(served.summaries) == summaries + 1)

    asyncio.run(scenario())


def test_webhooks_that_make_no_sense_are_answered_400_and_413_and_start_nothing(carrier):
    async def scenario():
        async with beside_a_good_call(carrier) as served:
            account = ("AccountSid", served.simulator.account.account_sid)
            sid = ("CallSid", served.simulator.new_sid("CA"))
            voice = served.phone.webhook_url("twilio", "voice")
            status = served.phone.webhook_url("twilio", "status")
            for url, form, answer in (
                (voice, [account], 400),
                (voice, [account, ("CallSid", "CA1; DROP")], 400),
                (voice, [sid, ("AccountSid", "AC" + "1" * 32)], 400),
                (voice, [sid, account, ("Direction", "outbound-api")], 400),
                (status, [sid, account, ("CallStatus", "surprised")], 400),
                (voice, [sid, account, ("From", "x" * 300_000)], 413),
            ):
                assert (await served.simulator.post(url, form))[0] == answer
            # A report about a call that nobody knows is fine.
            assert (await served.simulator.post(status, [sid, account, ("CallStatus", "completed")]))[
                0
            ] == 204
            assert len(served.phone.switchboard.lines()) == 1

    asyncio.run(scenario())


class Choose:
    """Calls to special numbers get an agent that cannot work."""

    def __init__(self, **agents):
        self.agents = agents

    @hookimpl
    def patter_incoming_call(self, call):
        agent = self.agents.get(f"n{call.caller[-2:]}")
        return None if agent is None else Accept(agent)


class Unmakeable:
    def __init__(self):
        raise RuntimeError("no room for this provider")


@pytest.mark.behaviour("CC-21")
def test_a_call_that_is_full_refused_or_cannot_be_set_up_hears_the_message(carrier, caplog):
    class NoVoice(TwilioCarrier):
        async def speak_and_hangup(self, carrier_call_id, message):
            return False

    async def scenario(message):
        unknown = carrier.agent(stt="nosuch/model")
        unmakeable = carrier.agent(stt=STTRecord("unmakeable", Unmakeable))
        choose = Choose(n01=unknown, n02=unmakeable)
        async with beside_a_good_call(
            carrier, plugins=[choose], max_calls=2, unavailable_message=message
        ) as served:
            not_answered = await served.ring("+15550000001")
            await carrier.until(lambda: len(served.summaries) == 1)
            await asyncio.wait_for(not_answered.wait_closed(), 5)
            assert (not_answered.spoken, not_answered.streams) == ([message] if message else [], [])

            answered = await served.ring("+15550000002")
            await asyncio.wait_for(answered.wait_closed(), 5)
            assert answered.spoken == ([message] if message else [])
            assert (len(answered.streams), answered.status) == (1, "completed")

            filling = await served.ring()
            full = await served.ring()
            await asyncio.wait_for(full.wait_closed(), 5)
            assert (full.spoken, full.streams) == ([message] if message else [], [])
            filling.hangup()
            await served.ended(filling, total=4)
            # one was answered, and could not be set up when its media was up
            assert sorted(summary.connected for summary in served.summaries) == [False, False, True, True]

            trunk = served.phone.switchboard.trunks["twilio"]
            mute = NoVoice(trunk.carrier._config, None)
            served.phone.add_trunk(trunk.record, mute)
            hung_up = await served.ring("+15550000002")
            await asyncio.wait_for(hung_up.wait_closed(), 5)
            assert (hung_up.spoken, hung_up.status) == ([], "completed")
            await mute.close()
            served.phone.add_trunk(trunk.record, trunk.carrier)
            await served.settled()

    for message in ("Busy.", ""):
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            asyncio.run(scenario(message))
        logged = "\n".join(record.getMessage() for record in caplog.records)
        for part in ("nosuch", "no room for this provider", "the phone is full", "cannot speak"):
            assert part in logged, part
