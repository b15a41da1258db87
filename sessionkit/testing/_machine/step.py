"""What a step of a history is, and what it is drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

from sessionkit.testing._machine.pools import prefixes_of
from sessionkit.testing._machine.trial import Place, Trial

T = TypeVar("T")


class Choose(Protocol):
    """Draws one of the options; the first one is the simplest."""

    def __call__(self, options: Sequence[T], /) -> T:
        """Return one of *options*."""
        ...


@dataclass(frozen=True)
class Pools:
    """What steps are drawn from.

    Attributes:
        keys: The keys of the history.
        values: The values that are written, and what stands for one.
        places: Where steps are done.
        capabilities: What the storage offers.
    """

    keys: tuple[str, ...]
    values: tuple[Any, ...]
    places: tuple[Place, ...]
    capabilities: frozenset[str]

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Prefixes for listings."""
        return prefixes_of(self.keys)

    def offered(self, *methods: str) -> tuple[str, ...]:
        """Return those of *methods* that the storage has."""
        always = {"read", "write", "delete"}
        return tuple(name for name in methods if name in always or name in self.capabilities)


class Step(Protocol):
    """One step of a history: plain data, so that it can be shown smaller and done again."""

    @classmethod
    def drawn(cls, choose: Choose, pools: Pools) -> Self:
        """Return a step at random."""
        ...

    async def take(self, trial: Trial) -> None:
        """Do it, and break the promise unless the storage answers as the model does.

        A step that makes no sense as things are does nothing.
        """
        ...
