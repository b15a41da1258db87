"""Steps in which time passes, and what expires is noticed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

from sessionkit._types import ANY
from sessionkit.testing._machine.pools import fresh
from sessionkit.testing._machine.step import Choose, Pools
from sessionkit.testing._machine.steps.writing import see_new_revision
from sessionkit.testing._machine.trial import Place, Trial

_SPANS: Final = (100.0, 10.0, 1.0)
_ALMOST: Final = 0.5
_A_WHILE: Final = 1.0


@dataclass(frozen=True)
class WriteUntil:
    """A value is written that is to expire."""

    place: Place
    key: str
    value: Any
    span: float

    @classmethod
    def drawn(cls, choose: Choose, pools: Pools) -> Self:
        """Return such a write at random."""
        return cls(choose(pools.places), choose(pools.keys), choose(pools.values), choose(_SPANS))

    async def take(self, trial: Trial) -> None:
        """Write."""
        storage = await trial.storage(self.place)
        value = trial.value(self.place, self.key, self.value)
        expires = trial.subject.now() + self.span
        kept = fresh(value)
        revision = await storage.write_if(self.key, value, ANY, expires=expires)
        _show_span(trial, expires, self.span)
        trial.wrote(self.place, self.key, kept, expires)
        await see_new_revision(trial, self.place, self.key, revision)


def _show_span(trial: Trial, expires: float, span: float) -> None:
    """Let the line of the write say how long, in place of an instant nobody can read."""
    line = trial.subject.history._lines[-1]
    line.call = line.call.replace(f"expires={expires}", f"expires=clock() + {span:g}")


@dataclass(frozen=True)
class PassTime:
    """Time passes, up to an instant at which something expires, or almost.

    Also up to one that counts no more, since the value was written anew: a storage
    may still go by it.
    """

    place: Place
    which: int
    almost: bool

    @classmethod
    def drawn(cls, choose: Choose, pools: Pools) -> Self:
        """Return such a step at random."""
        return cls(choose(pools.places), choose((0, 1, 2)), choose((False, True)))

    async def take(self, trial: Trial) -> None:
        """Let time pass, if anything is to expire."""
        instants = trial.model(self.place).instants()
        if not instants:
            return
        instant = instants[min(self.which, len(instants) - 1)]
        seconds = instant - trial.subject.now() - (_ALMOST if self.almost else 0.0)
        if seconds > 0:
            await trial.subject.pass_time(seconds)


@dataclass(frozen=True)
class PassAll:
    """Time passes until all that was written to expire has been gone for a while."""

    place: Place

    @classmethod
    def drawn(cls, choose: Choose, pools: Pools) -> Self:
        """Return such a step at random."""
        return cls(choose(pools.places))

    async def take(self, trial: Trial) -> None:
        """Let time pass, if anything is to expire."""
        instants = trial.model(self.place).instants()
        if instants:
            await trial.subject.pass_time(instants[-1] - trial.subject.now() + _A_WHILE)


@dataclass(frozen=True)
class Touch:
    """The timeout of a key begins anew, if it is there."""

    place: Place
    key: str

    @classmethod
    def drawn(cls, choose: Choose, pools: Pools) -> Self:
        """Return such a step at random."""
        return cls(choose(pools.places), choose(pools.keys))

    async def take(self, trial: Trial) -> None:
        """Touch, and compare the answer; not what has an expiry beside the timeout."""
        model = trial.model(self.place)
        entry = model.entry(self.key)
        if entry is not None and entry.has_own_expiry and trial.subject.limits.ttl is not None:
            return
        storage = await trial.storage(self.place)
        trial.expect_stored(storage, self.place, self.key, await storage.touch(self.key))
        model.touch(self.key)
        trial.revisions(self.place).doubt(self.key)


@dataclass(frozen=True)
class Purge:
    """What has expired is removed for good."""

    place: Place

    @classmethod
    def drawn(cls, choose: Choose, pools: Pools) -> Self:
        """Return such a step at random."""
        return cls(choose(pools.places))

    async def take(self, trial: Trial) -> None:
        """Purge, and compare: some may be gone already, so fewer is no mistake."""
        storage = await trial.storage(self.place)
        model = trial.model(self.place)
        expired = model.expired()
        count = await storage.purge_expired()
        if type(count) is not int or not 0 <= count <= len(expired):
            storage.fail(expected=f"a number up to {len(expired)}", got=repr(count))
        for key in expired:
            model.delete(key)
            trial.revisions(self.place).doubt(key)
