"""Steps that read, in every way that the storage offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from sessionkit.testing._client import Client
from sessionkit.testing._kinds import is_dict
from sessionkit.testing._machine.step import Choose, Pools
from sessionkit.testing._machine.trial import Place, Trial
from sessionkit.testing._show import show


@dataclass(frozen=True)
class Read:
    """A key is asked for."""

    place: Place
    key: str
    way: str

    @classmethod
    def drawn(cls, choose: Choose, pools: Pools) -> Self:
        """Return a question at random."""
        way = choose(pools.offered("read", "has", "read_many", "read_with_revision"))
        return cls(choose(pools.places), choose(pools.keys), way)

    async def take(self, trial: Trial) -> None:
        """Ask, and compare."""
        if self.way == "has":
            storage = await trial.storage(self.place)
            trial.expect_stored(storage, self.place, self.key, await storage.has(self.key))
        else:
            await read(trial, self.place, self.key, self.way)


async def read(trial: Trial, place: Place, key: str, way: str) -> Any:
    """Return what *key* reads as, in one of the ways; it is what the model says."""
    if way == "read_many":
        return (await read_several(trial, place, (key,))).get(key)
    if way == "read_with_revision":
        return (await read_with_revision(trial, place, key))[0]
    storage = await trial.storage(place)
    value = await storage.read(key)
    trial.expect_value(storage, place, key, value)
    return value


async def read_with_revision(trial: Trial, place: Place, key: str) -> tuple[Any, Any]:
    """Return value and revision of *key*; the value is what the model says."""
    storage = await trial.storage(place)
    value, revision = await storage.read_with_revision(key)
    trial.expect_value(storage, place, key, value)
    _check_revision(trial, storage, place, key, revision)
    if revision is not None:
        trial.saw(place, key, revision)
    return value, revision


def _check_revision(
    trial: Trial, storage: Client, place: Place, key: str, revision: object
) -> None:
    model = trial.model(place)
    if revision is None and model.read(key) is not None:
        storage.fail(expected="a revision beside the value", got="None")
    if revision is not None and model.entry(key) is None:
        storage.fail(expected="(None, None), since nothing is stored", got="a revision")


async def read_several(trial: Trial, place: Place, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return what ``read_many`` gives for *keys*; it is what the model says."""
    storage = await trial.storage(place)
    values = await storage.read_many(list(keys))
    if not is_dict(values):
        storage.fail(expected="a mapping", got=show(values))
    for key in keys:
        trial.expect_value(storage, place, key, values.get(key), of_many=True)
        if key in values and values[key] is None:
            storage.fail(expected="a mapping without the keys that are missing", got=show(values))
    if not values.keys() <= set(keys):
        storage.fail(expected="a mapping of the keys asked for", got=show(values))
    return values


@dataclass(frozen=True)
class ReadSeveral:
    """Keys are asked for in one go, some twice."""

    place: Place
    keys: tuple[str, ...]

    @classmethod
    def drawn(cls, choose: Choose, pools: Pools) -> Self:
        """Return a batch at random."""
        keys = tuple(choose(pools.keys) for _ in range(choose((0, 1, 2, 3))))
        return cls(choose(pools.places), keys)

    async def take(self, trial: Trial) -> None:
        """Ask, and compare."""
        await read_several(trial, self.place, self.keys)


@dataclass(frozen=True)
class Listing:
    """Keys, or keys and values, are listed by a prefix."""

    place: Place
    prefix: str
    way: str

    @classmethod
    def drawn(cls, choose: Choose, pools: Pools) -> Self:
        """Return a listing at random."""
        way = choose(pools.offered("iter_keys", "iter_items"))
        return cls(choose(pools.places), choose(pools.prefixes), way)

    async def take(self, trial: Trial) -> None:
        """List, and compare."""
        storage = await trial.storage(self.place)
        if self.way == "iter_keys":
            keys = await storage.keys(self.prefix)
            trial.expect_keys(storage, self.place, self.prefix, keys)
        else:
            items = await storage.items(self.prefix)
            trial.expect_pairs(storage, self.place, self.prefix, items)
