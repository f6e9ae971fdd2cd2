"""What is said of a failure whose text may carry a key."""

from __future__ import annotations

import pytest

from patter.errors import ProviderAuthError, RateLimitedError
from patter.prewarm.failures import without_text


class Answered(Exception):
    """An exception of some library."""

    def __init__(self, **attributes: object) -> None:
        super().__init__("wss://vendor.example?api_key=SECRET")
        for name, value in attributes.items():
            setattr(self, name, value)


class Response:
    """An answer of some library."""

    status_code = 403
    text = "SECRET"


class Hostile(Exception):
    """One whose properties fail."""

    @property
    def status(self) -> int:
        """Raises."""
        raise RuntimeError("SECRET")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Answered(), "Answered"),
        (Answered(status=401), "Answered, HTTP 401"),
        (Answered(status_code=503), "Answered, HTTP 503"),
        (Answered(response=Response()), "Answered, HTTP 403"),
        (Answered(status="SECRET"), "Answered"),
        (Answered(status=True), "Answered"),
        (Answered(status=99999), "Answered"),
        (Answered(status="٤٠١"), "Answered"),
        (ProviderAuthError("SECRET", vendor_code="401"), "ProviderAuthError, HTTP 401"),
        (RateLimitedError("SECRET", vendor_code="quota SECRET"), "RateLimitedError"),
        (Hostile(), "Hostile"),
    ],
)
def test_kind_and_status_are_said_and_nothing_else(error: Exception, said: str) -> None:
    assert without_text(error) == said
