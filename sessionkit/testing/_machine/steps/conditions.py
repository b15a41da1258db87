"""Steps that write on condition of a revision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

from sessionkit.errors import SessionConflictError
from sessionkit.testing._machine.pools import Stand
from sessionkit.testing._machine.revisions import Verdict
from sessionkit.testing._machine.step import Choose, Pools
from sessionkit.testing._machine.steps.reading import read_with_revision
from sessionkit.testing._machine.steps.writing import see_new_revision
from sessionkit.testing._machine.trial import Place, Trial
from sessionkit.testing._show import show_error

_AGES: Final = (0, 1, 2, 3)


class Condition(NamedTuple):
    """On what condition a write is made, and what must become of it.

    Attributes:
        revision: The expected revision.
        verdict: What must become of the write.
        reason: Why, for people.
    """

    revision: Any
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class WriteIf:
    """A value is written, or deleted, on condition of a revision that was seen before."""

    place: Place
    key: str
    value: Any
    age: int

    @classmethod
    def drawn(cls, choose: Choose, pools: Pools) -> Self:
        """Return such a write at random."""
        value = choose((*pools.values, Stand.NONE))
        return cls(choose(pools.places), choose(pools.keys), value, choose(_AGES))

    async def take(self, trial: Trial) -> None:
        """Write, if a revision was seen."""
        revisions, model = trial.revisions(self.place), trial.model(self.place)
        seen = revisions.pick(self.key, self.age)
        if seen is None:
            return
        there = model.read(self.key) is not None
        verdict = revisions.verdict(self.key, seen, model.entry(self.key), there=there)
        name = trial.subject.history.revision_name(seen.revision)
        was = "was changed" if verdict is Verdict.REFUSED else "is as it was"
        condition = Condition(seen.revision, verdict, f"{self.key!r} {was} since {name} was seen")
        await write_if(trial, self.place, self.key, self.value, condition)


@dataclass(frozen=True)
class WriteIfMissing:
    """A value is written on condition that nothing is stored."""

    place: Place
    key: str
    value: Any

    @classmethod
    def drawn(cls, choose: Choose, pools: Pools) -> Self:
        """Return such a write at random."""
        return cls(choose(pools.places), choose(pools.keys), choose((*pools.values, Stand.NONE)))

    async def take(self, trial: Trial) -> None:
        """Write."""
        model = trial.model(self.place)
        there = model.read(self.key) is not None
        expired = model.expired_for(self.key) is not None
        verdict = Verdict.REFUSED if there else Verdict.THROUGH
        missing = "has expired" if expired else "is missing"
        state = "is stored" if there else missing
        condition = Condition(None, verdict, f"{self.key!r} {state}")
        await write_if(trial, self.place, self.key, self.value, condition)


@dataclass(frozen=True)
class Update:
    """A value is read, and then written on condition of what was read."""

    place: Place
    key: str
    value: Any

    @classmethod
    def drawn(cls, choose: Choose, pools: Pools) -> Self:
        """Return such an update at random."""
        return cls(choose(pools.places), choose(pools.keys), choose((*pools.values, Stand.NONE)))

    async def take(self, trial: Trial) -> None:
        """Read and write."""
        _, revision = await read_with_revision(trial, self.place, self.key)
        condition = Condition(revision, Verdict.THROUGH, "nobody wrote since it was read")
        await write_if(trial, self.place, self.key, self.value, condition)


async def write_if(trial: Trial, place: Place, key: str, value: Any, condition: Condition) -> None:
    """Write *value*, and break the promise unless it becomes of it what the condition says."""
    storage = await trial.storage(place)
    value = trial.value(place, key, value)
    try:
        new_revision = await storage.write_if(key, value, condition.revision)
    except SessionConflictError as error:
        if condition.verdict is Verdict.THROUGH:
            storage.fail(expected=f"no error: {condition.reason}", got=show_error(error))
        return
    if condition.verdict is Verdict.REFUSED:
        storage.fail(
            expected=f"SessionConflictError: {condition.reason}", got="the write went through"
        )
    trial.wrote(place, key, value)
    if value is not None:
        await see_new_revision(trial, place, key, new_revision)
    elif new_revision is not None:
        storage.fail(expected="None, for a delete", got="a revision")
