"""Provider references: ``provider[/model][?setting=value[&setting=value…]]``.

The text is split at the first ``/``; what follows is the vendor's own name of a model and may contain ``/`` and ``:``.
Values are percent-decoded, so that a value may hold ``&`` as ``%26``; ``+`` stands for itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from patter.errors import ConfigError

LONGEST = 2048

_PROVIDER = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference. `settings` are strings as written, decoded; they are left out of `repr`."""

    provider: str
    model: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        """The reference without its settings, fit for a log."""
        return self.provider if self.model is None else f"{self.provider}/{self.model}"

    @property
    def values(self) -> dict[str, str]:
        """The settings with the model among them."""
        return dict(self.settings) if self.model is None else {"model": self.model, **self.settings}


def shown(text: str) -> str:
    """A reference as it may be quoted: without its settings, of which one may be a secret by mistake, and cut."""
    short = text.partition("?")[0]
    return short if len(short) <= 80 else short[:77] + "..."


def parse_reference(text: str) -> Reference:
    """Read a reference.

    Raises:
        ConfigError: it does not follow the grammar. The text of the error never holds the value of a setting.
    """
    if len(text) > LONGEST:
        raise ConfigError(f"the reference {shown(text)!r} is longer than {LONGEST} characters")
    path, question, query = text.strip().partition("?")
    provider, slash, model = path.partition("/")
    if not _PROVIDER.fullmatch(provider):
        raise ConfigError(
            f"{shown(text)!r} is no provider reference: write provider, provider/model or "
            "provider/model?setting=value; the provider has lower-case letters, digits and dashes"
        )
    if (slash and not model) or model != model.strip() or not model.isprintable():
        raise ConfigError(f"the reference {shown(text)!r} has no printable model after the slash")
    settings = _settings(query, shown(text)) if question else {}
    if model and "model" in settings:
        raise ConfigError(
            f"the reference {shown(text)!r} names its model twice: after the slash and as a setting"
        )
    return Reference(provider, model or None, settings)


def _settings(query: str, place: str) -> dict[str, str]:
    from urllib.parse import unquote

    settings: dict[str, str] = {}
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if not equals or not _SETTING.fullmatch(name):
            raise ConfigError(f"the reference {place!r}: its settings must be written ?name=value&name=value")
        if name in settings:
            raise ConfigError(f"the reference {place!r} sets {name!r} twice")
        try:
            settings[name] = unquote(value, errors="strict")
        except UnicodeDecodeError:
            raise ConfigError(f"the reference {place!r}: the value of {name!r} is not UTF-8") from None
    return settings
