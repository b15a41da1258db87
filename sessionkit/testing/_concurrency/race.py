"""Several who use a storage at once, and whether one order of their calls explains all answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Final, TypeAlias

from sessionkit.protocols import ANY
from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._concurrency.actors import Actor
from sessionkit.testing._concurrency.drive import Drive, writes
from sessionkit.testing._concurrency.places import choose
from sessionkit.testing._concurrency.plan import KEYS, Lead, Pair, Plan
from sessionkit.testing._concurrency.processes import opened_by
from sessionkit.testing._concurrency.tasks import in_tasks
from sessionkit.testing._concurrency.threads import in_threads
from sessionkit.testing._concurrency.wait_policy import WaitPolicy
from sessionkit.testing._concurrency.workers import check_shared, workers
from sessionkit.testing._history import History
from sessionkit.testing._linearizable.verdict import Violation, judge
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._ops import Op, delete, look, write, write_if
from sessionkit.testing._subject import Subject

NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "tasks": (),
    "threads": ("threads",),
    "processes": ("shared",),
}
"""Who may use a storage at once, and what it must offer for that."""

_TRIES: Final = 40
"""How often a plan that fails may be tried again, to make it shorter."""

_REVISIONS: Final = frozenset({"read_with_revision", "write_if"})

Arena: TypeAlias = Callable[[Subject, History], AbstractAsyncContextManager[Sequence[Actor]]]


@asynccontextmanager
async def arena_of(
    subject: Subject, who: str, count: int, *, in_turn: bool = False
) -> AsyncGenerator[Arena, None]:
    """Return what opens a storage for *count* tasks, threads or processes.

    Calls of which some overlap (not *in_turn*) need data that others see at once.

    Raises:
        LeftOut: Processes do not share the data, or only later.
    """
    if who == "processes":
        if not in_turn:
            subject.lag.check_none()
        async with workers(subject, count) as others:
            await check_shared(subject, others[0])
            yield partial(opened_by, workers=others)
    else:
        yield partial({"tasks": in_tasks, "threads": in_threads}[who], count=count)


class Race:
    """Tries plans over the storage under test.

    Args:
        subject: The storage under test.
        arena: Opens it.
        capabilities: What it offers.
        expires: Whether values may be stored that have expired.
        hints: What usually is the mistake, by the operation that fits nowhere.

    Attributes:
        offered: The methods that may be called.
    """

    def __init__(
        self,
        subject: Subject,
        arena: Arena,
        capabilities: frozenset[str],
        *,
        expires: bool,
        hints: Mapping[str, str] | None = None,
    ) -> None:
        self._subject = subject
        self._arena = arena
        self._hints = hints or {}
        self._waits = subject.kept(WaitPolicy)
        self.offered = capabilities | {"read", "write", "delete"}
        if not self.offered.issuperset(_REVISIONS):
            self.offered -= _REVISIONS
        self._expiring = self._expiring_write() if expires and subject.uses_clock else None

    def _expiring_write(self) -> tuple[Op, float] | None:
        """Return a write of what expires, and after how many seconds it has."""
        if self._subject.limits.ttl is not None:
            return write("1", {"n": 0}), self._subject.limits.ttl
        if self.offered.issuperset({"supports_expiry", "write_if"}):
            return write_if("1", {"n": 0}, ANY), self._subject.lifetime
        return None

    async def run(self, plans: Iterable[Plan]) -> None:
        """Try *plans* until one fails.

        Raises:
            BrokenPromise: No order explains what was seen; its history is that of a short plan.
        """
        self._subject.start_history()
        failed = await self._first_failure(plans)
        if failed is not None:
            raise await self._shown(failed[0]) or failed[1]

    # Where calls can be paused.

    async def stops(self, pairs: Iterable[Pair], most: int) -> list[Plan]:
        """Return the plans of all *pairs*, with the first call paused at most points.

        Raises:
            LeftOut: Nothing expires, and it must.
        """
        found: list[Plan] = []
        async with self._arena(self._subject, History()) as actors:
            for pair in pairs:
                if pair.methods <= self.offered:
                    drive = Drive(actors, self._waits, {key: key for key in KEYS})
                    await self._prepare(drive, pair.plan())
                    if pair.first.takes_seen:
                        await actors[0].do(look(pair.first.keys[0]))
                    places = await actors[0].places(pair.first)
                    found += [pair.plan(stop) for stop in choose(places, most)]
                    for key in pair.plan().keys:  # else a listing would come to more points
                        await actors[0].do(delete(key))
        return found

    async def leads(self, samples: Iterable[Op], removing: frozenset[str], most: int) -> list[Lead]:
        """Return the points where a client can be paused in one of *samples*.

        Those of *removing* might remove what has expired, when they come upon it.
        """
        found: list[Lead] = []
        async with self._arena(self._subject, History()) as actors:
            for op in samples:
                if op.method in self.offered:
                    actor = actors[0]
                    await actor.do(write("1", {"n": 1}))
                    if op.takes_seen:
                        await actor.do(look("1"))
                    stops = choose(await actor.places(op), most)
                    purges = op.method == "purge_expired" and self._expiring is not None
                    found += [] if purges else [Lead(op.method, stop) for stop in stops]
                    if self._expiring is not None and op.method in removing:
                        drive = Drive(actors, self._waits, {"1": "1"})
                        await self._let_expire(drive, "1")
                        stops = choose(await actor.places(op), most)
                        found += [Lead(op.method, stop, expired=True) for stop in stops]
        return found

    # Trying.

    async def _first_failure(self, plans: Iterable[Plan]) -> tuple[Plan, BrokenPromise] | None:
        """Return the first plan that fails, and how."""
        quiet = History()
        plan = Plan(())
        try:
            async with self._arena(self._subject, quiet) as actors:
                for number, plan in enumerate(plans):
                    with quiet.summed_up(None):
                        names = {key: f"{key}-{number}" for key in KEYS}
                        await self._try(actors, plan, quiet, names)
                        for key in plan.keys:
                            await actors[0].do(delete(names[key]))
        except BrokenPromise as error:
            return plan, error
        return None

    async def _shown(self, plan: Plan) -> BrokenPromise | None:
        """Make *plan* shorter and run it again, alone; return how it fails, None if it does not."""
        tries = _TRIES
        shorter = plan.shorter()
        while tries and (candidate := next(shorter, None)) is not None:
            tries -= 1
            if await self._failure(candidate, History()) is not None:
                plan, shorter = candidate, candidate.shorter()
        self._subject.start_history()
        return await self._failure(plan, self._subject.history)

    async def _failure(self, plan: Plan, history: History) -> BrokenPromise | None:
        try:
            async with self._arena(self._subject, history) as actors:
                await self._try(actors, plan, history, {key: key for key in KEYS})
        except BrokenPromise as error:
            return error
        return None

    async def _try(
        self, actors: Sequence[Actor], plan: Plan, history: History, names: Mapping[str, str]
    ) -> None:
        drive = Drive(actors, self._waits, names)
        now = self._subject.now()
        await self._prepare(drive, plan)
        looks = "read_with_revision" in self.offered
        await drive.run(plan, looks=looks, catch_up=self._subject.lag.catch_up)
        ttl = self._subject.limits.ttl if self._subject.uses_clock else None
        verdict = judge(drive.log.operations, ttl=ttl, now=now, whole=True)
        if verdict.violation is not None:
            raise self._broken(history, verdict.violation)

    async def _prepare(self, drive: Drive, plan: Plan) -> None:
        for key in plan.expired:
            await self._let_expire(drive, key)
        await drive.store(writes(plan.stored))

    async def _let_expire(self, drive: Drive, key: str) -> None:
        if self._expiring is None:
            msg = "nothing expires: no timeout is declared by Limits(ttl=...), nor supports_expiry"
            raise LeftOut(msg)
        op, seconds = self._expiring
        op = op.with_keys({"1": key})
        if op.method == "write_if":
            op = op._replace(options=(("expires", self._subject.now() + seconds),))
        await drive.store([op])
        await self._subject.pass_time(seconds)
        drive.passed(seconds)

    def _broken(self, history: History, violation: Violation) -> BrokenPromise:
        culprit = violation.culprit
        allowed = " or ".join(violation.allowed)
        could = f": the last one could {allowed}" if allowed else ""
        return BrokenPromise(
            history.lines,
            expected=f"an order of the calls that explains all answers{could}",
            got=f"none: {str(culprit.client).strip()}: {culprit}, which fits nowhere",
            violation=violation,
            hint=self._hints.get(culprit.op),
        )
