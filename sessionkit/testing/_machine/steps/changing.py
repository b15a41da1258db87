"""Steps that change a value after it was written, or read: for storages with copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from sessionkit.testing._kinds import is_dict, is_list
from sessionkit.testing._machine.step import Choose, Pools
from sessionkit.testing._machine.steps.reading import read
from sessionkit.testing._machine.steps.writing import write
from sessionkit.testing._machine.trial import Place, Trial


@dataclass(frozen=True)
class ChangeWritten:
    """A value is written, and the object then changed."""

    place: Place
    key: str
    value: Any
    way: str

    @classmethod
    def drawn(cls, choose: Choose, pools: Pools) -> Self:
        """Return such a write at random."""
        return cls(
            choose(pools.places),
            choose(pools.keys),
            choose(pools.values),
            choose(pools.offered("write", "write_many", "write_if")),
        )

    async def take(self, trial: Trial) -> None:
        """Write, and change what was written."""
        value = trial.value(self.place, self.key, self.value)
        await write(trial, self.place, self.key, value, self.way)
        change(trial, value, "what was written")


@dataclass(frozen=True)
class ChangeRead:
    """A value is read, and the object then changed."""

    place: Place
    key: str
    way: str

    @classmethod
    def drawn(cls, choose: Choose, pools: Pools) -> Self:
        """Return such a read at random."""
        way = choose(pools.offered("read", "read_many", "read_with_revision", "iter_items"))
        return cls(choose(pools.places), choose(pools.keys), way)

    async def take(self, trial: Trial) -> None:
        """Read, and change what was read."""
        if self.way == "iter_items":
            storage = await trial.storage(self.place)
            items = await storage.items(self.key)
            trial.expect_pairs(storage, self.place, self.key, items)
            value = dict(items).get(self.key)
        else:
            value = await read(trial, self.place, self.key, self.way)
        change(trial, value, "what was read")


def change(trial: Trial, value: Any, told: str) -> None:
    """Change *value*, at its deepest, if it can be changed."""
    if is_dict(value):
        inner = next((each for each in value.values() if is_dict(each) or is_list(each)), None)
        if inner is not None:
            change(trial, inner, f"a part of {told}")
            return
        value["changed"] = True
        trial.subject.history.note(f"# 'changed' is added to {told}")
    elif is_list(value):
        value.append("changed")
        trial.subject.history.note(f"# 'changed' is added to {told}")
