"""Signatures of webhooks and media connections, against the vectors and the validator of Twilio's own library."""

from __future__ import annotations

import hashlib
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict
from twilio.request_validator import RequestValidator

from patter.errors import WebhookVerificationError
from patter.providers.carrier import WebhookRequest
from patter_twilio.signature import SignatureCheck, sign

TOKEN = "12345"
URL = "https://example.com/voice?foo=1&bar=2"
FORM = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675309"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
]
SIGNATURE = "BqsECoDNZ3GnqUCp/TOmlCQpQ5U="
SHARED_SETTINGS = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"


def request(
    url: str = URL,
    form: list[tuple[str, str]] = FORM,
    signature: str | None = SIGNATURE,
    method: str = "POST",
    settings: str | None = None,
) -> WebhookRequest:
    headers = {"x-twilio-signature": signature, "x-twilio-webhooks-signature-settings": settings}
    return WebhookRequest(
        method,
        url,
        {name: value for name, value in headers.items() if value is not None},
        urlencode(form).encode(),
    )


def holds(request: WebhookRequest, check: SignatureCheck | None = None) -> bool:
    try:
        (check or SignatureCheck(TOKEN)).verify(request)
    except WebhookVerificationError:
        return False
    return True


@pytest.mark.behaviour("SC-02")
def test_the_vectors_pass() -> None:
    assert holds(request())
    assert sign(TOKEN, URL, FORM, "HMAC_SHA256") == "NQ6tvHO7ABK6BhEdh4LjOzukt1lYU1lHRU3ps3I/dRo="
    assert holds(request("wss://example.com/media", [], "7PR3qMkpDyEJtMrVOY/LDyNq8J8=", "GET"))


@pytest.mark.behaviour("SC-02")
@given(st.data())
def test_one_changed_character_fails(data: st.DataObject) -> None:
    def changed(text: str) -> str:
        position = data.draw(st.integers(0, len(text) - 1))
        return text[:position] + ("x" if text[position] != "x" else "y") + text[position + 1 :]

    part = data.draw(st.sampled_from(["url", "name", "value", "signature", "token"]))
    if part == "url":
        # the scheme decides the default port; a change there is a change of the port rule, not of the address
        url = URL[:8] + changed(URL[8:])
        assert not holds(request(url))
    elif part == "signature":
        assert not holds(request(signature=changed(SIGNATURE)))
    elif part == "token":
        assert not holds(request(), SignatureCheck(changed(TOKEN)))
    else:
        index = data.draw(st.integers(0, len(FORM) - 1))
        name, value = FORM[index]
        field = (changed(name), value) if part == "name" else (name, changed(value))
        assert not holds(request(form=[*FORM[:index], field, *FORM[index + 1 :]]))


@pytest.mark.behaviour("SC-02")
@pytest.mark.parametrize(
    ("signed", "called"),
    [
        ("https://h.example:443/voice?x=1", "https://h.example/voice?x=1"),
        ("https://h.example/voice?x=1", "https://h.example:443/voice?x=1"),
        ("https://h.example/voice", "https://h.example:8443/voice"),
        ("http://127.0.0.1:80/voice", "http://127.0.0.1/voice"),
        ("wss://h.example:443/ws/t", "wss://h.example/ws/t"),
        ("http://[::1]/voice", "http://[::1]:8080/voice"),
    ],
)
def test_the_port_may_be_written_or_not(signed: str, called: str) -> None:
    assert holds(request(called, FORM, RequestValidator(TOKEN).compute_signature(signed, dict(FORM))))
    assert not holds(request(called, FORM, sign(TOKEN, signed.replace("h.example", "g.example") + "x", FORM)))


names = st.text("abAB_é1 &=", min_size=1, max_size=4)


@given(
    st.lists(st.tuples(names, st.text("ab +&=%é\u4e2d", max_size=4)), max_size=8),
    st.sampled_from([None, "sha256"]),
)
def test_any_form_is_signed_as_twilios_library_does(form: list[tuple[str, str]], variant: str | None) -> None:
    algorithm = "HMAC_SHA256" if variant else "HMAC_SHA1"
    expected = RequestValidator(TOKEN).compute_signature(URL, MultiDict(form), algorithm)
    check = SignatureCheck(TOKEN, "webhooks_sharedkey_1", TOKEN)

    assert sign(TOKEN, URL, form, algorithm) == expected
    assert holds(request(form=form, signature=expected, settings=SHARED_SETTINGS if variant else None), check)


def test_duplicate_names_sort_their_values_and_equal_ones_count_once() -> None:
    form = [("b", "2"), ("a", "z"), ("b", "1"), ("b", "2"), ("empty", "")]

    assert sign(TOKEN, URL, form) == sign(TOKEN, URL, [("a", "z"), ("b", "1"), ("b", "2"), ("empty", "")])


def test_a_missing_or_empty_signature_fails() -> None:
    assert not holds(request(signature=None))
    assert not holds(request(signature=""))
    assert not holds(request(signature="é"))


def test_a_shared_key_must_be_the_configured_one() -> None:
    signature = sign("shared", URL, FORM, "HMAC_SHA256")
    shared = SignatureCheck(TOKEN, "webhooks_sharedkey_1", "shared")

    assert holds(request(signature=signature, settings=SHARED_SETTINGS), shared)
    assert holds(request(), shared)
    assert not holds(request(signature=signature, settings=SHARED_SETTINGS))
    assert not holds(request(signature=signature, settings="key=other,algorithm=HMAC_SHA256"), shared)
    assert not holds(request(signature=signature, settings="algorithm=HMAC_MD5"), shared)
    assert not holds(request(signature=signature), shared)


def test_a_json_body_is_held_to_its_hash() -> None:
    body = b'{"property": "value", "boolean": true}'
    digest = hashlib.sha256(body).hexdigest()
    url = f"https://example.com/cb?bodySHA256={digest}"

    def arrived(body: bytes) -> WebhookRequest:
        headers = {"x-twilio-signature": "8ELzHdvX44jfed2TCDgas5zeqqI="}
        return WebhookRequest("POST", url, headers, body, {"bodySHA256": digest})

    assert digest == "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
    assert holds(arrived(body))
    assert not holds(arrived(body + b" "))
    assert not holds(arrived(b""))


def test_a_signed_address_does_not_vouch_for_an_unsigned_body() -> None:
    assert not holds(request(form=FORM, signature=sign(TOKEN, URL)))


def test_too_many_fields_fail_the_check() -> None:
    form = [(str(number), "") for number in range(300)]

    assert not holds(request(form=form, signature=sign(TOKEN, URL, form)))


def test_the_check_never_shows_its_secrets() -> None:
    check = SignatureCheck("auth-secret", "key-id", "shared-secret")

    assert "secret" not in repr(check)
    with pytest.raises(WebhookVerificationError) as caught:
        check.verify(request())
    assert "auth-secret" not in str(caught.value)
    assert SIGNATURE not in str(caught.value)
