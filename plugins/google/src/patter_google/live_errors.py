"""What the vendor's closes mean: there are no messages of errors, only close codes with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from patter.errors import ProviderAuthError, ProviderDisconnected, ProviderError, RateLimitedError
from patter.providers.vendor_socket import close_code
from patter.redaction import redact

if TYPE_CHECKING:
    from websockets.exceptions import ConnectionClosed

PROVIDER: Final = "gemini-live"

_KEY_WORDS: Final = ("api key", "api_key", "unauthenticated", "permission", "unregistered callers")
_QUOTA_WORDS: Final = ("quota", "resource_exhausted", "resource exhausted", "rate limit", "billing")
#: codes with which a message or a setting is refused
_REFUSED: Final = (1007, 1008)


def opening_error(closed: ConnectionClosed, key: str) -> ProviderError:
    """The exception for a close in place of a session."""
    code = close_code(closed)
    said = redact(closed.rcvd.reason, [key]) if closed.rcvd is not None else ""
    known = said.lower()
    kind: type[ProviderError] = ProviderDisconnected
    hint = ""
    if any(word in known for word in _KEY_WORDS):
        kind, hint = ProviderAuthError, "; check GEMINI_API_KEY"
    elif any(word in known for word in _QUOTA_WORDS):
        kind = RateLimitedError
    elif closed.rcvd is not None and closed.rcvd.code in _REFUSED:
        kind = ProviderError
    return kind(
        f"{PROVIDER} refused the session ({code}): {said or 'no reason given'}{hint}",
        provider=PROVIDER,
        vendor_code=code,
    )
