"""Signatures of Twilio's requests: webhooks, and the upgrade of a media stream.

The rules are those of https://www.twilio.com/docs/usage/webhooks/webhooks-security: an HMAC over the URL as Twilio
called it, followed by the form's names and values. Twilio is not consistent about an explicit default port, so the
address is tried with and without it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from patter.errors import WebhookVerificationError
from patter.providers.carrier import WebhookRequest

Algorithm = Literal["HMAC_SHA1", "HMAC_SHA256"]

SIGNATURE_HEADER = "x-twilio-signature"
SETTINGS_HEADER = "x-twilio-webhooks-signature-settings"

_HASHES = {"HMAC_SHA1": hashlib.sha1, "HMAC_SHA256": hashlib.sha256}
_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}


def sign(
    secret: str, url: str, form: Iterable[tuple[str, str]] = (), algorithm: Algorithm = "HMAC_SHA1"
) -> str:
    """The signature of a request to `url` with the fields of `form`: base64 of an HMAC.

    Fields are sorted by name; the values of a name that occurs more than once are sorted, and equal ones count once.
    """
    text = url + "".join(name + value for name, value in sorted(set(form)))
    digest = hmac.new(secret.encode(), text.encode("utf-8", "surrogatepass"), _HASHES[algorithm]).digest()
    return base64.b64encode(digest).decode("ascii")


def with_and_without_port(url: str) -> tuple[str, str]:
    """`url` with an explicit port (its own, else the scheme's default) and without one."""
    parts = urlsplit(url)
    host = parts.netloc
    if parts.port is not None:
        return url, _at(parts, host[: host.rindex(":")])
    port = _PORTS.get(parts.scheme)
    return (_at(parts, f"{host}:{port}") if port else url), url


def _at(parts: SplitResult, netloc: str) -> str:
    return parts._replace(netloc=netloc).geturl()


@dataclass(frozen=True)
class SignatureCheck:
    """Checks requests against an account's secrets; compares in constant time and never shows a secret.

    `shared_key_id` and `shared_key_secret` are for requests whose settings header names a SharedKey.
    """

    auth_token: str = field(repr=False)
    shared_key_id: str | None = None
    shared_key_secret: str | None = field(default=None, repr=False)

    def verify(self, request: WebhookRequest) -> None:
        """Return if the request's signature holds.

        Raises:
            WebhookVerificationError: the signature is missing or wrong, or the body is not what was signed.
        """
        given = request.headers.get(SIGNATURE_HEADER, "")
        if not given:
            raise WebhookVerificationError("Twilio request without a signature")
        secret, algorithm = self._key_for(request.headers.get(SETTINGS_HEADER, ""))
        form = self._signed_form(request)
        expected = [sign(secret, url, form, algorithm) for url in with_and_without_port(request.url)]
        # Every candidate is compared, so that the time taken says nothing about which one was near.
        holds = [hmac.compare_digest(one.encode(), given.encode("utf-8", "replace")) for one in expected]
        if not any(holds):
            raise WebhookVerificationError(
                "Twilio request with a wrong signature; check the auth token and that webhook_url is the address "
                "that Twilio calls"
            )

    def _key_for(self, settings: str) -> tuple[str, Algorithm]:
        fields = {
            name.strip(): value.strip()
            for name, _, value in (part.partition("=") for part in settings.split(","))
        }
        algorithm = fields.get("algorithm", "").upper() or "HMAC_SHA1"
        if algorithm == "HMAC_SHA1":
            return self.auth_token, "HMAC_SHA1"
        if (
            algorithm != "HMAC_SHA256"
            or self.shared_key_secret is None
            or fields.get("key") != self.shared_key_id
        ):
            raise WebhookVerificationError(
                "Twilio request signed with a key or algorithm that is not configured"
            )
        return self.shared_key_secret, "HMAC_SHA256"

    @staticmethod
    def _signed_form(request: WebhookRequest) -> list[tuple[str, str]]:
        if request.method == "GET":
            return []
        body_hash = request.query.get("bodySHA256")
        if body_hash is None:
            try:
                return request.form()
            except ValueError:
                raise WebhookVerificationError("Twilio request with a form that cannot be read") from None
        actual = hashlib.sha256(request.body).hexdigest()
        if not hmac.compare_digest(actual.encode(), body_hash.lower().encode("utf-8", "replace")):
            raise WebhookVerificationError("Twilio request with a body that does not fit its hash")
        return []
