"""What the server's error codes mean for a session."""

from __future__ import annotations

from typing import Any, Final

from patter.errors import ProviderAuthError, ProviderError, RateLimitedError
from patter.redaction import redact
from patter_openai.reply import QUOTA_CODES, error_details

PROVIDER: Final = "openai-realtime"

#: no key will do
AUTH_CODES: Final = frozenset({"invalid_api_key", "account_deactivated"})
#: a session in which one of these occurs has no more to give
FATAL_CODES: Final = AUTH_CODES | QUOTA_CODES
#: races that change nothing: what was to be stopped was over, what was to be committed was empty
BENIGN_CODES: Final = frozenset({"response_cancel_not_active", "input_audio_buffer_commit_empty"})
#: the session has lived as long as sessions do; a new one can be made
EXPIRED: Final = "session_expired"
#: the retired shape of the protocol was used
RETIRED_SHAPE: Final = "beta_api_shape_disabled"


def opening_error(error: Any) -> ProviderError:
    """The exception for an error that the server sent in place of a session."""
    message, code = error_details(error)
    text = f"the server refused the session: {redact(message)}"
    kind = ProviderError
    if code in AUTH_CODES:
        kind = ProviderAuthError
    elif code in QUOTA_CODES or code == "rate_limit_exceeded":
        kind = RateLimitedError
    return kind(text, provider=PROVIDER, vendor_code=code)


def close_detail(code: int | None, reason: str) -> str:
    """Why a socket was closed, in a word. The reason's text is the vendor's and is not quoted."""
    if code == 1001 and ("duration" in reason or "60 minutes" in reason or EXPIRED in reason):
        return EXPIRED
    if code == 4000:
        return RETIRED_SHAPE
    return "connection lost" if code is None or code == 1006 else f"code {code}"
