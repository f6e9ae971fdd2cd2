"""Which plugin provides which name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from patter.errors import PluginConflictError
from patter.plugins._metadata import normalized
from patter.plugins.listing import Owner
from patter.records import ProviderKind, Record


@dataclass(frozen=True, slots=True)
class Claim:
    """A record and the plugin that returned it."""

    record: Record
    owner: Owner


@dataclass(frozen=True, slots=True)
class NameConflict:
    """A provider name that more than one plugin claims and no preference settles."""

    kind: ProviderKind
    name: str
    owners: tuple[Owner, ...]

    def error(self) -> PluginConflictError:
        """The error of whoever asks for that name: both plugins, and the setting that decides."""
        choice = self.owners[0].dist or self.owners[0].name
        return PluginConflictError(
            f'{self.kind} "{self.name}" is claimed by {" and by ".join(map(str, self.owners))}: choose one with '
            f'Patter(prefer={{"{self.kind}:{self.name}": "{choice}"}}), or disable one with PATTER_DISABLE_PLUGINS'
        )


class ProviderRegistry:
    """The records of all plugins by kind and name; a name has an answer only where one plugin claims it."""

    def __init__(self, prefer: Mapping[str, str]) -> None:
        self._prefer = {key: normalized(choice) for key, choice in prefer.items()}
        self._claims: dict[tuple[ProviderKind, str], list[Claim]] = {}

    def add(self, records: Iterable[Record], owner: Owner) -> None:
        """Enter the records of a plugin under their names and aliases.

        Raises:
            PluginConflictError: the plugin claims one name twice.
        """
        claims = [
            ((one.kind, name), one) for one in records for name in dict.fromkeys((one.name, *one.aliases))
        ]
        names = [key for key, _ in claims]
        for kind, name in names:
            if names.count((kind, name)) > 1:
                raise PluginConflictError(f'{owner} claims {kind} "{name}" twice')
        for key, record in claims:
            self._claims.setdefault(key, []).append(Claim(record, owner))

    def remove(self, owner: Owner) -> None:
        """Forget the records of a plugin."""
        for key, claims in list(self._claims.items()):
            kept = [claim for claim in claims if claim.owner != owner]
            if kept:
                self._claims[key] = kept
            else:
                del self._claims[key]

    def find(self, kind: ProviderKind, name: str) -> Claim | NameConflict | None:
        """Who provides that name; None when nobody does."""
        claims = self._claims.get((kind, name), [])
        choice = self._prefer.get(f"{kind}:{name}")
        if choice is not None and len(claims) > 1:
            claims = [
                one for one in claims if choice in (normalized(one.owner.dist), normalized(one.owner.name))
            ] or claims
        if not claims:
            return None
        if len(claims) == 1:
            return claims[0]
        return NameConflict(kind, name, tuple(claim.owner for claim in claims))

    def records(self, kind: ProviderKind) -> dict[str, Record]:
        """The records of a kind that can be resolved, by name, without aliases."""
        found = {}
        for one, name in sorted(self._claims):
            answer = self.find(one, name) if one == kind else None
            if isinstance(answer, Claim) and answer.record.name == name:
                found[name] = answer.record
        return found

    def names(self, kind: ProviderKind) -> tuple[str, ...]:
        """Every name of a kind, aliases and conflicts included."""
        return tuple(name for one, name in sorted(self._claims) if one == kind)

    def of(self, owner: Owner) -> tuple[Record, ...]:
        """The records of one plugin, each once."""
        found = {
            id(one.record): one.record
            for claims in self._claims.values()
            for one in claims
            if one.owner == owner
        }
        return tuple(found.values())

    @property
    def conflicts(self) -> tuple[NameConflict, ...]:
        """The names that nothing settles."""
        found = (self.find(kind, name) for kind, name in sorted(self._claims))
        return tuple(one for one in found if isinstance(one, NameConflict))
