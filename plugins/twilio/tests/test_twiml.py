"""The documents, against those that Twilio's own library writes."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.twiml.voice_response import Connect, Dial, VoiceResponse

from patter_twilio import twiml


def canonical(document: object) -> str:
    return ElementTree.canonicalize(str(document), strip_text=True)


def test_connect_stream() -> None:
    expected, connect = VoiceResponse(), Connect()
    connect.stream(url="wss://voice.example.com/ws/twilio/t0")
    expected.append(connect)

    assert canonical(twiml.connect_stream("wss://voice.example.com/ws/twilio/t0")) == canonical(expected)


@pytest.mark.parametrize(("voice", "language"), [(None, None), ("Polly.Joanna", "en-GB")])
def test_say_and_hangup(voice: str | None, language: str | None) -> None:
    expected = VoiceResponse()
    expected.say("Sorry & goodbye <now>", voice=voice, language=language)
    expected.hangup()

    document = twiml.say_and_hangup("Sorry & goodbye <now>", voice=voice, language=language)

    assert canonical(document) == canonical(expected)


@pytest.mark.parametrize(("busy", "reason"), [(False, "rejected"), (True, "busy")])
def test_reject(busy: bool, reason: str) -> None:
    expected = VoiceResponse()
    expected.reject(reason=reason)

    assert canonical(twiml.reject(busy=busy)) == canonical(expected)


def test_hangup_is_all_that_an_empty_message_says() -> None:
    expected = VoiceResponse()
    expected.hangup()

    assert canonical(twiml.hangup()) == canonical(expected)
    assert twiml.say_and_hangup(" \n\x00") == twiml.hangup()


@pytest.mark.parametrize("destination", ["+15550001234", "sip:desk@pbx.example.com;transport=tls"])
def test_dial(destination: str) -> None:
    expected, dial = VoiceResponse(), Dial(timeout=20)
    if destination.startswith("sip:"):
        dial.sip(destination)
    else:
        dial.number(destination)
    expected.append(dial)

    assert canonical(twiml.dial(destination, ring_timeout_s=20)) == canonical(expected)


@pytest.mark.parametrize("destination", ["+15550001234", "sip:desk@pbx.example.com"])
def test_dial_with_a_whisper(destination: str) -> None:
    whisper, after = "https://voice.example.com/w?transfer=t&x=1", "https://voice.example.com/a?transfer=t"
    expected, dial = VoiceResponse(), Dial(timeout=30, action=after, method="POST")
    if destination.startswith("sip:"):
        dial.sip(destination, url=whisper, method="POST")
    else:
        dial.number(destination, url=whisper, method="POST")
    expected.append(dial)

    document = twiml.dial(destination, ring_timeout_s=30, whisper_url=whisper, after_url=after)

    assert canonical(document) == canonical(expected)


@pytest.mark.parametrize(("voice", "language"), [(None, None), ("Polly.Joanna", "en-GB")])
def test_say(voice: str | None, language: str | None) -> None:
    expected = VoiceResponse()
    expected.say("Ann <Lee> & her order", voice=voice, language=language)

    assert canonical(twiml.say("Ann <Lee> & her order", voice=voice, language=language)) == canonical(
        expected
    )
    assert canonical(twiml.say(" \x00")) == canonical(VoiceResponse())


HOSTILE = st.text(max_size=200) | st.sampled_from(
    ['"/><Hangup/>', "</Say><Dial>+1900</Dial><Say>", "]]>", "&#x0;", "\ud800", "<!-- -->", "a\x00b\x1bc"]
)


@pytest.mark.behaviour("SC-09")
@given(HOSTILE)
def test_no_text_adds_a_verb_or_an_attribute(text: str) -> None:
    stream = ElementTree.fromstring(twiml.connect_stream(text))
    assert [element.tag for element in stream.iter()] == ["Response", "Connect", "Stream"]
    assert list(stream[0][0].attrib) == ["url"]

    say = ElementTree.fromstring(twiml.say_and_hangup(text, voice=text, language=text))
    assert [element.tag for element in say.iter()] in (["Response", "Say", "Hangup"], ["Response", "Hangup"])

    dial = ElementTree.fromstring(twiml.dial(text, ring_timeout_s=20))
    assert [element.tag for element in dial.iter()][:2] == ["Response", "Dial"]
    assert len(list(dial.iter())) == 3

    warm = ElementTree.fromstring(twiml.dial(text, ring_timeout_s=20, whisper_url=text, after_url=text))
    assert len(list(warm.iter())) == 3
    assert set(warm[0].attrib) <= {"timeout", "action", "method"}

    whisper = ElementTree.fromstring(twiml.say(text))
    assert [element.tag for element in whisper.iter()] in (["Response", "Say"], ["Response"])


@given(st.text("a&<\u4e2d", max_size=40).map(lambda text: text * 200))
def test_a_document_never_exceeds_what_a_request_may_carry(message: str) -> None:
    document = twiml.say_and_hangup(message, voice="Polly.Joanna", language="en-GB")

    assert len(document) <= twiml.MAX_LENGTH
    said = ElementTree.fromstring(document)[0].text or ""
    assert message.strip().startswith(said)
    assert len(said) == len(message.strip()) or len(document) > twiml.MAX_LENGTH - 300
