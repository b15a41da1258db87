"""Two calls at once: at each point of the first one, the second one runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeAlias

from sessionkit._types import ANY
from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._concurrency.actors import Actor
from sessionkit.testing._concurrency.case import FIRST, Case
from sessionkit.testing._concurrency.ops import Op, Outcome, delete, write
from sessionkit.testing._concurrency.patience import Patience
from sessionkit.testing._concurrency.places import choose
from sessionkit.testing._history import History
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._subject import Subject

_FAREWELL: Final = 1.0
_MOST_STOPS: Final = 20

Sides: TypeAlias = tuple[Actor, Actor]
Arena: TypeAlias = Callable[[Subject, History], AbstractAsyncContextManager[Sides]]


async def race(
    subject: Subject, arena: Arena, cases: Iterable[Case], most: int = _MOST_STOPS
) -> None:
    """Let each case end as if its calls came one after the other, wherever the first is stopped.

    Raises:
        BrokenPromise: One did not; its history is that of this one alone.
    """
    offered = await subject.capabilities() | {"read", "write", "delete"}
    most = most * 20 if subject.thorough else most
    patience = Patience()
    for case in cases:
        if case.methods <= offered:
            await _race_one(subject, arena, case, most, patience)


async def _race_one(
    subject: Subject, arena: Arena, case: Case, most: int, patience: Patience
) -> None:
    stop = 0
    quiet = History()
    try:
        async with arena(subject, quiet) as sides:
            for number, stop in enumerate(await _stops(subject, sides, case, most)):
                with quiet.summed_up(None):
                    await _meet(subject, sides, _numbered(case, number + 1), stop, patience)
                    await _clear(sides, _numbered(case, number + 1))
    except BrokenPromise:
        subject.start_history()  # the same again, alone: that is shorter to read
        async with arena(subject, subject.history) as sides:
            await _meet(subject, sides, case, stop, Patience())
        raise


async def _stops(subject: Subject, sides: Sides, case: Case, most: int) -> list[int]:
    case = _numbered(case, 0)
    await _prepare(subject, sides, case)
    places = await sides[FIRST].places(case.first)
    await _clear(sides, case)
    return choose(places, most)


async def _clear(sides: Sides, case: Case) -> None:
    # Else a listing would come to more and more points.
    for key in case.keys:
        await sides[FIRST].do(delete(key))


def _numbered(case: Case, number: int) -> Case:
    return case.with_keys({key: f"{key}-{number}" for key in case.keys})


async def _prepare(subject: Subject, sides: Sides, case: Case) -> None:
    if case.expired:
        for key in case.expired:
            await sides[FIRST].do(await _write_mortal(subject, key))
        await subject.pass_time(subject.limits.ttl or subject.lifetime)
    for who, op in case.before:
        await sides[who].do(op)


async def _write_mortal(subject: Subject, key: str) -> Op:
    if subject.limits.ttl is not None:
        return write(key, {"n": 0})
    if "supports_expiry" not in await subject.capabilities():
        msg = "nothing expires: no timeout is declared by Limits(ttl=...), nor supports_expiry"
        raise LeftOut(msg)
    expires = subject.now() + subject.lifetime
    return Op("write_if", (key, {"n": 0}, ANY), (("expires", expires),))


async def _meet(subject: Subject, sides: Sides, case: Case, stop: int, patience: Patience) -> None:
    first, second = sides
    await _prepare(subject, sides, case)
    await first.start(case.first, stop)
    meanwhile = asyncio.ensure_future(second.do(case.second))
    try:
        await patience.wait(meanwhile, second)
        outcomes = [await first.finish(), await meanwhile]
    finally:
        await _let_go(meanwhile)
    outcomes += [await sides[who].do(op) for who, op in case.then]
    told = [outcome.told for outcome in outcomes]
    if not case.allows(told):
        expected, got = case.explain(told)
        raise BrokenPromise(first.history.lines, expected=expected, got=got)


async def _let_go(call: asyncio.Future[Outcome]) -> None:
    """Wait until *call* has ended, but not for long: its side may be needed again."""
    done, _ = await asyncio.wait((call,), timeout=_FAREWELL)
    if done:
        call.exception()  # what the first side raised is what counts
    call.cancel()
