"""Steps that write and delete, in every way that the storage offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from sessionkit._types import ANY
from sessionkit.testing._machine.pools import fresh
from sessionkit.testing._machine.step import Choose, Pools
from sessionkit.testing._machine.trial import Place, Trial


@dataclass(frozen=True)
class Write:
    """A value is written, whatever was there."""

    place: Place
    key: str
    value: Any
    way: str

    @classmethod
    def drawn(cls, choose: Choose, pools: Pools) -> Self:
        """Return a write at random."""
        return cls(
            choose(pools.places),
            choose(pools.keys),
            choose(pools.values),
            choose(pools.offered("write", "write_many", "write_if")),
        )

    async def take(self, trial: Trial) -> None:
        """Write."""
        await write(
            trial, self.place, self.key, trial.value(self.place, self.key, self.value), self.way
        )


async def write(trial: Trial, place: Place, key: str, value: Any, way: str) -> None:
    """Write *value* itself under *key*, in one of the ways, and tell the model."""
    storage = await trial.storage(place)
    kept = fresh(value)
    if way == "write_if":
        revision = await storage.write_if(key, value, ANY)
        trial.wrote(place, key, kept)
        await see_new_revision(trial, place, key, revision)
    else:
        if way == "write_many":
            await storage.write_many({key: value})
        else:
            await storage.write(key, value)
        trial.wrote(place, key, kept)


async def see_new_revision(trial: Trial, place: Place, key: str, revision: Any) -> None:
    """Break the promise if a write under *key* gave no revision; else remember it."""
    if revision is None:
        storage = await trial.storage(place)
        storage.fail(expected="the revision of what was written", got="None")
    trial.saw(place, key, revision)


@dataclass(frozen=True)
class WriteSeveral:
    """Values are written in one go."""

    place: Place
    values: dict[str, Any]

    @classmethod
    def drawn(cls, choose: Choose, pools: Pools) -> Self:
        """Return a batch at random."""
        keys = [choose(pools.keys) for _ in range(choose((1, 2, 3)))]
        return cls(choose(pools.places), {key: choose(pools.values) for key in keys})

    async def take(self, trial: Trial) -> None:
        """Write."""
        storage = await trial.storage(self.place)
        values = {key: trial.value(self.place, key, value) for key, value in self.values.items()}
        kept = fresh(values)
        await storage.write_many(values)
        for key, value in kept.items():
            trial.wrote(self.place, key, value)


@dataclass(frozen=True)
class Delete:
    """A key is deleted, be it there or not."""

    place: Place
    key: str
    way: str

    @classmethod
    def drawn(cls, choose: Choose, pools: Pools) -> Self:
        """Return a delete at random."""
        way = choose(pools.offered("delete", "write_if"))
        return cls(choose(pools.places), choose(pools.keys), way)

    async def take(self, trial: Trial) -> None:
        """Delete."""
        storage = await trial.storage(self.place)
        if self.way == "write_if":
            revision = await storage.write_if(self.key, None, ANY)
            if revision is not None:
                storage.fail(expected="None, for a delete", got="a revision")
        else:
            await storage.delete(self.key)
        trial.wrote(self.place, self.key, None)
