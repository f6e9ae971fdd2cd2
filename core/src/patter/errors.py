"""Every exception Patter raises on purpose.

The tree::

    PatterError
    ├── ConfigError (ValueError)              CONFIG: something the user wrote must change
    │   ├── UnknownOptionError (TypeError)    an option that does not exist
    │   ├── ProviderNotFoundError             a provider reference that no installed plugin answers
    │   ├── PluginConflictError               two plugins claim one name
    │   └── PluginValidationError             a plugin breaks the rules of the hook specs
    ├── InputError (ValueError)               INPUT_VALIDATION: a value from outside is malformed
    ├── WebhookVerificationError              WEBHOOK_VERIFICATION: a signature or token does not hold
    ├── CallRefusedError                      PROVISION: no room, draining, or refused by a hook
    ├── ProviderError                         PROVIDER_ERROR: a vendor answered with an error
    │   ├── ProviderAuthError                 AUTH: key missing, wrong or without rights
    │   ├── ProviderDisconnected              CONNECTION: socket lost or never made
    │   ├── ProviderTimeout                   TIMEOUT: connected, but silent for too long
    │   ├── RateLimitedError                  RATE_LIMIT
    │   ├── CallGoneError                     the carrier says that the call has already ended
    │   ├── PartialStreamError                a reply broke after its first token
    │   └── AllProvidersFailedError           every provider of a fallback list failed
    └── InternalError                         INTERNAL: a defect of Patter itself

A message says what happened, where (plugin, setting, call) and what to do next. No message ever carries a key,
a token or a signature; vendor texts are passed through `patter.redaction.redact` by whoever quotes them.
"""

from __future__ import annotations

from typing import ClassVar, Literal

ErrorCode = Literal[
    "CONFIG",
    "CONNECTION",
    "AUTH",
    "TIMEOUT",
    "RATE_LIMIT",
    "WEBHOOK_VERIFICATION",
    "INPUT_VALIDATION",
    "PROVIDER_ERROR",
    "PROVISION",
    "INTERNAL",
]


class PatterError(Exception):
    """Base of the tree. `code` is stable and meant for programs; the text is meant for people."""

    code: ClassVar[ErrorCode] = "INTERNAL"


class ConfigError(PatterError, ValueError):
    """A setting, reference or combination of options that cannot work as written."""

    code: ClassVar[ErrorCode] = "CONFIG"


class UnknownOptionError(ConfigError, TypeError):
    """A keyword or configuration key that does not exist."""


class ProviderNotFoundError(ConfigError):
    """No installed plugin answers a provider reference."""


class PluginConflictError(ConfigError):
    """Two plugins claim the same name; the text names both and the setting that decides."""


class PluginValidationError(ConfigError):
    """A plugin that breaks the rules of the hook specs, for example by a misspelt hook."""


class InputError(PatterError, ValueError):
    """A value from outside (number, digit, message) that is malformed or out of bounds."""

    code: ClassVar[ErrorCode] = "INPUT_VALIDATION"


class WebhookVerificationError(PatterError):
    """A webhook or media connection without a valid signature or token."""

    code: ClassVar[ErrorCode] = "WEBHOOK_VERIFICATION"


class CallRefusedError(PatterError):
    """A call that was not accepted: full, draining or rejected by a hook."""

    code: ClassVar[ErrorCode] = "PROVISION"


class ProviderError(PatterError):
    """A provider failed. `provider` is its reference, `vendor_code` what the vendor called the failure."""

    code: ClassVar[ErrorCode] = "PROVIDER_ERROR"

    def __init__(self, message: str, *, provider: str = "", vendor_code: str | None = None) -> None:
        super().__init__(message)
        self.provider = provider
        self.vendor_code = vendor_code


class ProviderAuthError(ProviderError):
    """The vendor refused the key; retrying will not help."""

    code: ClassVar[ErrorCode] = "AUTH"


class ProviderDisconnected(ProviderError):
    """The provider's connection could not be made or was lost."""

    code: ClassVar[ErrorCode] = "CONNECTION"


class ProviderTimeout(ProviderError):
    """The provider is connected but gave no answer within its time limit."""

    code: ClassVar[ErrorCode] = "TIMEOUT"


class RateLimitedError(ProviderError):
    """The vendor asks to slow down. `retry_after_s` is the vendor's own figure in seconds, where it gave one."""

    code: ClassVar[ErrorCode] = "RATE_LIMIT"

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        vendor_code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, provider=provider, vendor_code=vendor_code)
        self.retry_after_s = retry_after_s


class CallGoneError(ProviderError):
    """The carrier says that the call has already ended; acting on it counts as success."""


class PartialStreamError(ProviderError):
    """A reply broke after its first token, so it may not be started again elsewhere."""


class AllProvidersFailedError(ProviderError):
    """Every provider of a fallback list failed before its first token."""


class InternalError(PatterError):
    """A defect of Patter itself; please report it with the text."""
