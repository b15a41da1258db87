"""Steps that close the storage and open it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from sessionkit.testing._machine.step import Choose, Pools
from sessionkit.testing._machine.trial import Place, Trial


@dataclass(frozen=True)
class Reopen:
    """The storage is closed and opened again."""

    place: Place

    @classmethod
    def drawn(cls, choose: Choose, pools: Pools) -> Self:
        """Return such a step at random."""
        return cls(choose(pools.places))

    async def take(self, trial: Trial) -> None:
        """Close and open."""
        await trial.reopen(self.place)
