"""What is done with a running call at Twilio: voicemail, machine detection, recording, transfer."""

from __future__ import annotations

import asyncio
from xml.etree import ElementTree

import pytest

from patter.providers.carrier import CallStatus
from patter_twilio.simulator import CallbackFaults, Callee, Faults, RestFault

TO = "+15550004444"
MESSAGE = "Please ring Acme back."


async def dialled(served):
    async with asyncio.timeout(5):
        return await served.simulator.next_dialled()


def recording_requests(served):
    return [request for request in served.simulator.requests if request.path.endswith("/Recordings.json")]


@pytest.mark.behaviour("CC-14")
@pytest.mark.parametrize("detection_s", [0.0, 0.4])
@pytest.mark.parametrize("answered_by", ["machine_end_beep", "machine_end_silence", "machine_end_other"])
def test_a_machine_hears_the_message_once_and_is_hung_up_on(carrier, answered_by, detection_s):
    async def scenario():
        callee = Callee(answered_by=answered_by, detection_s=detection_s)
        faults = Faults(callbacks=CallbackFaults(reorder=True, duplicate=True))
        async with carrier.loopback(callee=callee, faults=faults) as served:
            calling = asyncio.create_task(served.phone.call(TO, voicemail_message=MESSAGE))
            call = await dialled(served)
            async with asyncio.timeout(10):
                result = await calling
            await served.ended(call, total=1)
            assert call.spoken == [MESSAGE]
            assert served.heard(call) == ""
            assert (result.outcome, result.status, result.transcript) == (
                "voicemail",
                CallStatus.COMPLETED,
                (),
            )
            assert (result.machine_detection.result, result.machine_detection.raw) == ("machine", answered_by)
            assert dict(served.simulator.requests[0].form)["MachineDetection"] == "DetectMessageEnd"
            # one request to dial, one to speak: Twilio hangs up by itself
            (_, spoken) = served.simulator.requests
            verbs = [verb.tag for verb in ElementTree.fromstring(dict(spoken.form)["Twiml"])]
            assert verbs == ["Say", "Hangup"]

    asyncio.run(scenario())


@pytest.mark.behaviour("CC-13", "CC-14")
def test_human_and_machine_at_a_time_get_what_is_theirs(carrier):
    async def scenario():
        told = {}
        async with carrier.loopback(callee=Callee(detection_s=0.3)) as served:

            def place():
                return asyncio.create_task(
                    served.phone.call(
                        TO,
                        voicemail_message=MESSAGE,
                        on_machine_detection=lambda call, detection: told.update({call.id: detection}),
                    )
                )

            first = place()
            human = await dialled(served)
            served.simulator.callee = Callee(answered_by="machine_end_beep", detection_s=0.3)
            second = place()
            machine = await dialled(served)
            await served.greeted(human)
            await served.talk(human, "yes this is me")
            human.hangup()
            await served.ended(human, machine, total=2)
            results = await asyncio.gather(first, second)
            assert [result.outcome for result in results] == ["answered", "voicemail"]
            assert [told[result.call_id].result for result in results] == ["human", "machine"]
            assert (human.spoken, machine.spoken) == ([], [MESSAGE])
            assert served.heard(machine) == ""

    asyncio.run(scenario())


@pytest.mark.behaviour("CC-15")
@pytest.mark.parametrize("fault", [None, RestFault(500), RestFault(400, 21220), RestFault(0, delay_s=3)])
def test_an_answered_call_is_recorded_once_and_talks_on_if_that_fails(carrier, fault):
    async def scenario():
        async with carrier.loopback(recording=True) as served:
            if fault is not None:
                served.simulator.fail_next(fault)
            call = await served.ring_and_greet()
            await served.talk(call, "one")
            call.hangup()
            await served.ended(call, total=1)
            assert len(recording_requests(served)) == 1
            assert [(one.channels, one.track) for one in call.recordings] == (
                [("dual", "both")] if fault is None else []
            )
            assert served.summaries[0].duration_s < 3
            assert call.streams[0].warnings == []

    asyncio.run(scenario())


@pytest.mark.behaviour("CC-12")
@pytest.mark.parametrize("number", ["+15550005555", "sip:desk@pbx.example.com"])
def test_a_transferred_caller_is_not_hung_up_on(carrier, number):
    async def scenario():
        async with carrier.loopback() as served:
            call = await served.ring_and_greet()
            await served.line(call).call.transfer(number)
            await carrier.until(lambda: served.summaries and call.dialled)
            assert call.dialled == [number]
            assert call.status == "in-progress"
            (summary,) = served.summaries
            assert (summary.outcome, summary.reason) == (CallStatus.COMPLETED, "transferred")
            record = served.phone.calls.get(summary.call_id)
            assert (record.status, record.reason) == (CallStatus.COMPLETED, "transferred")
            assert len(served.simulator.requests) == 1
            call.hangup()
            await served.ended(call, total=1)

    asyncio.run(scenario())
