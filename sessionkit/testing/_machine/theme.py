"""What one search looks for: of which steps its histories are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any, Final, Self

from sessionkit.testing._checked import Value
from sessionkit.testing._machine import draws
from sessionkit.testing._machine.draws import Draw, Pools
from sessionkit.testing._machine.pools import COUNTED, ORDINARY
from sessionkit.testing._ops import Op, read
from sessionkit.testing._subject import Subject
from sessionkit.testing._trial import Place, Step

_OPTIONAL: Final[tuple[tuple[Draw, tuple[str, ...]], ...]] = (
    (draws.read_several, ("read_many",)),
    (draws.write_several, ("write_many",)),
    (draws.listing, ("iter_keys", "iter_items")),
)
_TIMED: Final[tuple[tuple[Draw, str], ...]] = (
    (draws.write_until, "supports_expiry"),
    (draws.touch, "touch"),
    (draws.touch, "touch"),
    (draws.purge, "purge_expired"),
)


@dataclass(frozen=True)
class Theme:
    """What one search looks for.

    Attributes:
        kinds: The kinds of steps; one that is there twice comes twice as often.
        pools: What the steps are drawn from.
    """

    kinds: tuple[Draw, ...]
    pools: Pools

    def audit(self) -> Sequence[Step]:
        """Return the steps that end each history: everything is asked for once more.

        It is asked for by ``read``, by a listing, and by what the theme is about: steps
        take their time.
        What lists comes first, what reads after it, and what writes last: a storage that
        drops what has expired when it is read would hide that it tells of it otherwise.
        """
        pools, kinds = self.pools, self.kinds
        steps = [step for place in pools.places for step in self._audit_at(place)]
        steps += [Step(Op("reopen")), *self.reads()] if draws.reopen in kinds else []
        steps += [Step(Op("touch", (key,))) for key in pools.keys if draws.touch in kinds]
        if draws.write_if_missing in kinds:
            steps += [Step(Op("write_if", (key, Value.NEW, None))) for key in pools.keys]
        return steps

    def reads(self, place: Place = "storage") -> list[Step]:
        """Return a read of each key."""
        return [Step(read(key), place) for key in self.pools.keys]

    def _audit_at(self, place: Place) -> list[Step]:
        batch = Step(Op("read_many", ([*self.pools.keys],)), place)
        batches = [batch] * self.kinds.count(draws.read_several)
        return [*self._listings(place), *batches, *self.reads(place)]

    def _listings(self, place: Place) -> list[Step]:
        methods = self.pools.offered("iter_items", "iter_keys")
        of_all = [Step(Op(method, ("",)), place) for method in methods]
        if draws.listing not in self.kinds:
            return of_all
        prefixes = zip(self.pools.keys, cycle(methods), strict=False)
        return of_all + [Step(Op(method, (prefix,)), place) for prefix, method in prefixes]


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
    kinds: tuple[Draw, ...]
    places: tuple[Place, ...]
    capabilities: frozenset[str]
    expire: bool

    def add(self, *kinds: Draw) -> Self:
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
        return (
            self.add(draws.reopen) if limits.durable and not limits.eventually_consistent else self
        )

    def timed(self) -> Self:
        """Return the plan with the passing of time."""
        offered = [kind for kind, need in _TIMED if need in self.capabilities]
        if self.subject.limits.ttl is None:
            offered += [draws.write_until, draws.write_until]  # nothing else expires
        return self.add(*[draws.wait] * 4, *offered)

    def outlived(self) -> Self:
        """Return the plan with so much time that everything is gone, if values expire at all."""
        if not self.expire:
            return self
        timed = self.add(draws.outlive)
        return timed.add(draws.write_until) if "supports_expiry" in self.capabilities else timed

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
        (draws.write, draws.read, draws.delete, draws.write),
        ("storage",),
        capabilities,
        expire=may_expire and subject.uses_clock,
    )
