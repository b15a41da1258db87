"""What one search looks for: of which steps its histories are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any, Final, Self

from sessionkit.testing._machine.pools import COUNTED, ORDINARY, Stand
from sessionkit.testing._machine.step import Pools, Step
from sessionkit.testing._machine.steps.conditions import WriteIfMissing
from sessionkit.testing._machine.steps.opening import Reopen
from sessionkit.testing._machine.steps.passing import PassAll, PassTime, Purge, Touch, WriteUntil
from sessionkit.testing._machine.steps.reading import Listing, Read, ReadSeveral
from sessionkit.testing._machine.steps.writing import Delete, Write, WriteSeveral
from sessionkit.testing._machine.trial import Place
from sessionkit.testing._subject import Subject

_OPTIONAL: Final[tuple[tuple[type[Step], tuple[str, ...]], ...]] = (
    (ReadSeveral, ("read_many",)),
    (WriteSeveral, ("write_many",)),
    (Listing, ("iter_keys", "iter_items")),
)
_TIMED: Final[tuple[tuple[type[Step], str], ...]] = (
    (WriteUntil, "supports_expiry"),
    (Touch, "touch"),
    (Touch, "touch"),
    (Purge, "purge_expired"),
)


@dataclass(frozen=True)
class Theme:
    """What one search looks for.

    Attributes:
        kinds: The kinds of steps; one that is there twice comes twice as often.
        pools: What the steps are drawn from.
    """

    kinds: tuple[type[Step], ...]
    pools: Pools

    def audit(self) -> Sequence[Step]:
        """Return the steps that end each history: everything is asked for once more.

        It is asked for by ``read``, by a listing, and by what the theme is about: steps
        take their time.
        What lists comes first, what reads after it, and what writes last: a storage that
        drops what has expired when it is read would hide that it tells of it otherwise.
        """
        pools, kinds = self.pools, self.kinds
        reads: list[Step] = [Read("storage", key, "read") for key in pools.keys]
        steps = [step for place in pools.places for step in self._audit_at(place)]
        steps += [Reopen("storage"), *reads] if Reopen in kinds else []
        steps += [Touch("storage", key) for key in pools.keys if Touch in kinds]
        steps += [
            WriteIfMissing("storage", key, Stand.NEW)
            for key in pools.keys
            if WriteIfMissing in kinds
        ]
        return steps

    def _audit_at(self, place: Place) -> list[Step]:
        return [
            *self._listings(place),
            *(ReadSeveral(place, self.pools.keys) for kind in self.kinds if kind is ReadSeveral),
            *(Read(place, key, "read") for key in self.pools.keys),
        ]

    def _listings(self, place: Place) -> list[Step]:
        ways = self.pools.offered("iter_items", "iter_keys")
        of_all: list[Step] = [Listing(place, "", way) for way in ways]
        if Listing not in self.kinds:
            return of_all
        prefixes = zip(self.pools.keys, cycle(ways), strict=False)
        return of_all + [Listing(place, prefix, way) for prefix, way in prefixes]


@dataclass(frozen=True)
class Plan:
    """A theme in the making: it grows by what the storage offers.

    Attributes:
        kinds: The kinds of steps.
        places: Where they are done.
        capabilities: What the storage offers.
        expire: Whether its values expire, by a clock that can be moved.
    """

    subject: Subject
    kinds: tuple[type[Step], ...]
    places: tuple[Place, ...]
    capabilities: frozenset[str]
    expire: bool

    def add(self, *kinds: type[Step]) -> Self:
        """Return the plan with more kinds of steps."""
        return replace(self, kinds=(*self.kinds, *kinds))

    def at(self, place: Place) -> Self:
        """Return the plan with one place more."""
        return replace(self, places=(*self.places, place))

    def shared(self) -> Self:
        """Return the plan with a second opening, if it must see the same data at once."""
        limits = self.subject.limits
        return self.at("second") if limits.shared and not limits.eventually_consistent else self

    def reopened(self) -> Self:
        """Return the plan with closing and opening again, if the data must outlive that."""
        limits = self.subject.limits
        return self.add(Reopen) if limits.durable and not limits.eventually_consistent else self

    def timed(self) -> Self:
        """Return the plan with the passing of time."""
        offered = [kind for kind, need in _TIMED if need in self.capabilities]
        if self.subject.limits.ttl is None:
            offered += [WriteUntil, WriteUntil]  # nothing else expires
        return self.add(PassTime, PassTime, PassTime, PassTime, *offered)

    def outlived(self) -> Self:
        """Return the plan with so much time that everything is gone, if values expire at all."""
        if not self.expire:
            return self
        timed = self.add(PassAll)
        return timed.add(WriteUntil) if "supports_expiry" in self.capabilities else timed

    def theme(
        self,
        *,
        keys: tuple[str, ...] = ORDINARY,
        values: tuple[Any, ...] = COUNTED,
    ) -> Theme:
        """Return the theme with what is to be written."""
        return Theme(self.kinds, Pools(keys, values, self.places, self.capabilities))


async def plan(subject: Subject) -> Plan:
    """Return a plan of writing, reading and deleting, in all ways that the storage offers."""
    bare = await bare_plan(subject)
    offered = [kind for kind, names in _OPTIONAL if not bare.capabilities.isdisjoint(names)]
    return bare.add(*offered)


async def bare_plan(subject: Subject) -> Plan:
    """Return a plan of writing, reading and deleting, one key at a time."""
    capabilities = await subject.capabilities()
    may_expire = subject.limits.ttl is not None or "supports_expiry" in capabilities
    return Plan(
        subject,
        (Write, Read, Delete, Write),
        ("storage",),
        capabilities,
        expire=may_expire and subject.uses_clock,
    )
