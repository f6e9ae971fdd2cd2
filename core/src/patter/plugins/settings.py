"""What decides which plugins are loaded, and the environment variables behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from patter.errors import ConfigError
from patter.plugins._metadata import normalized
from patter.records import PROVIDER_KINDS


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable of core, as the documentation shows it."""

    name: str
    help: str
    default: str


ALLOW = Variable(
    "PATTER_PLUGINS", "Load only these plugins or distributions (commas); empty for none.", "all"
)
BLOCK = Variable("PATTER_DISABLE_PLUGINS", "Do not load these plugins or distributions (commas).", "none")
NO_AUTOLOAD = Variable("PATTER_DISABLE_PLUGIN_AUTOLOAD", "1 loads no installed plugin by itself.", "0")
STRICT = Variable("PATTER_STRICT_PLUGINS", "1 turns a plugin that fails to load into an error.", "0")

VARIABLES: tuple[Variable, ...] = (ALLOW, BLOCK, NO_AUTOLOAD, STRICT)

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("", "0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """Which installed plugins take part.

    Names of plugins and of distributions mean the same in `allow` and `block`. `prefer` maps a provider, such as
    ``"stt:deepgram"``, to the distribution (or the name of a registered plugin) that provides it when two claim it.
    """

    autoload: bool = True
    allow: frozenset[str] | None = None
    block: frozenset[str] = frozenset()
    strict: bool = False
    prefer: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        environ: Mapping[str, str],
        *,
        autoload: bool | None = None,
        allow: Iterable[str] | None = None,
        block: Iterable[str] | None = None,
        strict: bool | None = None,
        prefer: Mapping[str, str] | None = None,
    ) -> PluginSettings:
        """Settings from arguments, and from the environment where an argument is None. Raises `ConfigError`."""
        if allow is None and ALLOW.name in environ:
            allow = environ[ALLOW.name].split(",")
        if block is None:
            block = environ.get(BLOCK.name, "").split(",")
        return cls(
            autoload=not _flag(environ, NO_AUTOLOAD) if autoload is None else autoload,
            allow=None if allow is None else _names(allow, "allow"),
            block=_names(block, "block"),
            strict=_flag(environ, STRICT) if strict is None else strict,
            prefer=_preferences(prefer or {}),
        )

    def blocks(self, name: str, dist: str) -> bool:
        """Whether the plugin `name` of the distribution `dist` must stay out."""
        names = {normalized(name), normalized(dist)}
        return bool(names & self.block) or (self.allow is not None and not names & self.allow)

    def prefers(self, dist: str) -> bool:
        """Whether any preference names this distribution."""
        return normalized(dist) in {normalized(choice) for choice in self.prefer.values()}


def _flag(environ: Mapping[str, str], variable: Variable) -> bool:
    value = environ.get(variable.name, "").strip().lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ConfigError(f"{variable.name}={value!r} is neither 1 nor 0")


def _names(names: Iterable[str], option: str) -> frozenset[str]:
    if isinstance(names, str):
        raise ConfigError(f"{option}={names!r}: give a sequence of names, such as [{names!r}]")
    return frozenset(normalized(name.strip()) for name in names if name.strip())


def _preferences(prefer: Mapping[str, str]) -> Mapping[str, str]:
    for key in prefer:
        kind, _, name = key.partition(":")
        if kind not in PROVIDER_KINDS or not name:
            near = get_close_matches(kind, PROVIDER_KINDS, n=1)
            example = f"{near[0] if near else 'stt'}:{name or 'deepgram'}"
            raise ConfigError(f"prefer: {key!r} is no provider; write kind and name, such as {example!r}")
    return dict(prefer)
