"""Where a call may be transferred to (CC-10). Pure.

A model, a tool or an application names the number; this is the one place that says whether it may be dialled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from patter.errors import ConfigError, InputError
from patter.redaction import mask_number

#: ITU-T E.164: a plus sign and at most 15 digits, the first of which is not 0
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}\Z")
_SIP: Final = re.compile(r"sips?:[A-Za-z0-9_.!~*'()&=+$,%-]{1,64}@[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?\Z")
_PREFIX: Final = re.compile(r"(?:\+[1-9][0-9]{0,14}|sips?:[A-Za-z0-9_.!~*'()&=+$,%@-]{0,318})\Z")


def is_number(text: str) -> bool:
    """Whether `text` is a number in E.164 form."""
    return _E164.match(text) is not None


def is_sip_address(text: str) -> bool:
    """Whether `text` is a SIP address such as ``sip:desk@pbx.example.com``."""
    return _SIP.match(text) is not None


class TransferPolicy:
    """The allow-list of one agent.

    `allowed_numbers` are whole numbers, `allowed_prefixes` their beginnings; a number on either list is allowed. Both
    None allow every number; a list that is set and empty allows none. `sip` says that the carrier can reach SIP
    addresses.

    Raises `ConfigError` for an entry that is neither a number nor a SIP address.
    """

    def __init__(
        self,
        allowed_numbers: Sequence[str] | None = None,
        allowed_prefixes: Sequence[str] | None = None,
        *,
        sip: bool = False,
    ) -> None:
        for number in allowed_numbers or ():
            if not (_E164.match(number) or _SIP.match(number)):
                raise ConfigError(f"transfer_allowed_numbers: {number!r} is no number such as +15550001234")
        for prefix in allowed_prefixes or ():
            if not _PREFIX.match(prefix):
                raise ConfigError(f"transfer_allowed_prefixes: {prefix!r} is no beginning such as +1555")
        self._unlimited = allowed_numbers is None and allowed_prefixes is None
        self._numbers = frozenset(allowed_numbers or ())
        self._prefixes = tuple(allowed_prefixes or ())
        self._sip = sip

    def check(self, number: str) -> str:
        """The number as it may be dialled. Raises `InputError`, in words for the model, for one that may not be."""
        number = str(number).strip()
        if not _E164.match(number) and not (self._sip and _SIP.match(number)):
            raise InputError("number: must be in international form with a plus sign, such as +15550001234")
        if self._unlimited or number in self._numbers or number.startswith(self._prefixes):
            return number
        raise InputError(f"calls may not be transferred to {mask_number(number)}")
