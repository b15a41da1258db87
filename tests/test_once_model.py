"""Random schedules of deliveries, processes that die, and cancellations, beside a model.

Each update does some steps and may fail.  It is delivered several times: one after the
other, at the same time, in another process, after a crash.  A process here is a set of locks
and claims over the one storage that all share, and it dies by being cancelled where it waits
and never run again.

What must hold, for each update, whatever the schedule:

- If no run of it ended well, its end was never counted; else it was counted once.  (Where
  sessions are deleted, what was counted may be gone, and is not counted again; where a run was
  cancelled or clashed in ``move()``, it may be in both places, as without ``once=``.)
- What it saved before its end was counted at most once for each run that came so far.
- A run that ended well is the last one: no later one calls the handler.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionkit import REPEATED, SessionConflictError
from tests.core import Oops, Remote, run
from tests.once.updates import Update, counting

CHATS: Final = (5, 6)
OTHERS: Final = (7, 8)
"""Keys to which sessions are moved."""


def nothing() -> dict[str, Any]:
    return {"ends": {}, "saves": {}}


@dataclass(frozen=True)
class Plan:
    """What the handler of an update does, each time it runs."""

    chat: int
    steps: tuple[str, ...]
    fails: bool

    def __str__(self) -> str:
        return f"{self.chat}: {', '.join(self.steps)}{' fails' if self.fails else ''}"


STEPS = st.lists(
    st.sampled_from(["save", "pause", "wait", "replace", "delete", "move", "revert"]), max_size=3
)
PLANS = st.builds(Plan, st.sampled_from(CHATS), STEPS.map(tuple), st.booleans())


@dataclass
class Seen:
    """What is known of the runs of one update."""

    runs: int = 0
    ended: int = 0
    """Runs that ended well; one of them has written, others were overtaken."""
    repeated: int = 0
    cut: int = 0
    clashed: int = 0


class Elsewhere:
    """The shared storage as one process sees it: with locks of its own."""

    def __init__(self, storage: Remote) -> None:
        self.read, self.write, self.delete = storage.read, storage.write, storage.delete
        self.read_with_revision, self.write_if = storage.read_with_revision, storage.write_if


@dataclass
class World:
    plans: list[Plan]
    lazy: bool
    storage: Remote = field(default_factory=Remote)
    seen: defaultdict[int, Seen] = field(default_factory=lambda: defaultdict(Seen))
    processes: list[Any] = field(default_factory=list[Any])
    alone: bool = True
    """Whether one update runs at a time."""

    def start(self) -> None:
        """Start the processes, or start them again."""
        self.processes = [
            counting(Elsewhere(self.storage), initial=nothing, lazy=self.lazy) for _ in range(2)
        ]

    async def deliver(self, number: int, process: int, ticks: int) -> None:
        """Deliver an update to a process; cancel it after so many steps of the loop."""
        sessions = self.processes[process]
        task = asyncio.create_task(self._handle(sessions, number))
        for _ in range(ticks):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    async def handle(self, number: int, process: int) -> None:
        await self._handle(self.processes[process], number)

    async def _handle(self, sessions: Any, number: int) -> None:
        plan = self.plans[number]
        seen = self.seen[number]
        ran = False

        async def handler(ctx: Any) -> str:
            nonlocal ran
            if self.lazy:
                await sessions.of(ctx)  # a repeat ends here
            assert not self.is_done(number), "it was counted, and runs again"
            seen.runs += 1
            ran = True
            await self._follow(plan, number, ctx, sessions)
            return "ran"

        try:
            result = await sessions(Update(number, chat=plan.chat), handler)
        except Oops:
            return
        except SessionConflictError:
            seen.clashed += 1
            return
        except asyncio.CancelledError:
            seen.cut += 1  # perhaps while its end was written
            return
        if result is REPEATED:
            seen.repeated += 1
        elif ran:
            seen.ended += 1

    async def _follow(self, plan: Plan, number: int, ctx: Any, sessions: Any) -> None:  # noqa: C901
        opened = sessions.of(ctx)
        name = str(number)

        async def data() -> Any:
            found = opened.data
            return await found if self.lazy else found

        async def mark(kind: str) -> None:
            marks = (await data())[kind]
            marks[name] = marks.get(name, 0) + 1

        for step in plan.steps:
            match step:
                case "save":
                    await mark("saves")
                    await opened.save()
                case "pause":
                    await mark("saves")
                    async with opened.paused():
                        await asyncio.sleep(0)
                case "wait":
                    await asyncio.sleep(0)
                case "replace":
                    opened.data = dict(await data())
                case "revert":
                    await data()
                    opened.revert()
                case "delete":
                    await opened.delete()
                    opened.reset()
                case _:
                    await opened.move(OTHERS[CHATS.index(plan.chat)], merged)
        await mark("ends")
        if plan.fails and self.seen[number].runs == 1:
            raise Oops

    def is_done(self, number: int) -> bool:
        """Whether an update cannot run any more; others that run meanwhile may have read before."""
        return self.alone and (
            bool(self.seen[number].ended) or str(number) in self.counted()["ends"]
        )

    def counted(self) -> dict[str, Counter[str]]:
        """What is stored, in all sessions together."""
        found = {"ends": Counter[str](), "saves": Counter[str]()}
        for value, _ in self.storage.values.values():
            data: dict[str, dict[str, int]] = value.get("__d", value) or {}
            for kind, marks in data.items():
                found[kind].update(marks)
        return found

    def check(self) -> None:
        counted = self.counted()
        stored, saved = counted["ends"], counted["saves"]
        for number, plan in enumerate(self.plans):
            seen, name = self.seen[number], str(number)
            before = sum(step in {"save", "pause"} for step in plan.steps)
            if self._may_be_in_two_places(plan.chat):
                continue
            assert stored[name] <= 1, f"{plan} counted {stored[name]} times"
            if not self._deletes(plan.chat):
                assert stored[name] >= bool(seen.ended), f"{plan}: it is lost, {seen}"
                assert seen.ended or seen.cut or not stored[name], f"{plan}: {seen}"
            assert saved[name] <= seen.runs * before, f"{plan}: saved {saved[name]} of {seen}"

    def _deletes(self, chat: int) -> bool:
        """Whether what was counted may be gone."""
        return any(plan.chat == chat and "delete" in plan.steps for plan in self.plans)

    def _may_be_in_two_places(self, chat: int) -> bool:
        """Whether a run ended between the two writes of a move, or could not undo the first."""
        return any(
            plan.chat == chat
            and "move" in plan.steps
            and (self.seen[number].cut or self.seen[number].clashed)
            for number, plan in enumerate(self.plans)
        )


def merged(theirs: Any, mine: Any) -> Any:
    def sums(kind: str) -> dict[str, int]:
        return dict(Counter[str](theirs[kind]) + Counter[str](mine[kind]))

    return {"ends": sums("ends"), "saves": sums("saves")}


ACTIONS = st.one_of(
    st.tuples(st.just("handle"), st.integers(0, 3), st.integers(0, 1)),
    st.tuples(st.just("cancel"), st.integers(0, 3), st.integers(0, 1), st.integers(0, 30)),
    st.tuples(st.just("together"), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)))),
    st.tuples(st.just("restart")),
)


def runs(lazy: bool, examples: int) -> Callable[[], None]:
    @settings(max_examples=examples, deadline=None)
    @given(st.lists(PLANS, min_size=4, max_size=4), st.lists(ACTIONS, max_size=8))
    def check(plans: list[Plan], actions: list[Any]) -> None:
        async def scenario() -> None:
            world = World(plans, lazy)
            world.start()
            for action, *arguments in actions:
                match action:
                    case "handle":
                        await world.handle(*arguments)
                    case "cancel":
                        await world.deliver(*arguments)
                    case "together":
                        world.alone = False
                        await asyncio.gather(*(world.handle(*each) for each in arguments[0]))
                        world.alone = True
                    case _:
                        world.start()
                world.check()
            for number in range(len(plans)):  # until all is done
                for _ in range(3):
                    await world.handle(number, 0)
                assert world.seen[number].ended or world.seen[number].repeated
            world.check()

        run(scenario())

    return check


@pytest.mark.parametrize("lazy", [False, True], ids=["strict", "lazy"])
def test_random_schedules(lazy: bool) -> None:
    runs(lazy, 60)()


@pytest.mark.thorough
@pytest.mark.parametrize("lazy", [False, True], ids=["strict", "lazy"])
def test_many_random_schedules(lazy: bool) -> None:
    runs(lazy, 3000)()
