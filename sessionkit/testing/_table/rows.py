"""Promises as data: a name, a sentence, a hint, and the steps that show whether it is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import combinations
from typing import Any, Final, TypeAlias

from sessionkit.errors import SessionError
from sessionkit.testing._capabilities import METHODS
from sessionkit.testing._client import Client
from sessionkit.testing._equal import alike
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._ops import Op, Span
from sessionkit.testing._promises import Check, Promise, register
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject
from sessionkit.testing._trial import Step, Trial

Program: TypeAlias = Sequence[Op | Step]
"""What is done; what each step must answer, a model knows.

A step whose method the storage does not have is left out.
"""

FALSY: Final[tuple[Any, ...]] = ({}, [], 0, "", False, 0.0)
LISTING: Final = ("iter_keys", "iter_items")
REVISIONS: Final = ("read_with_revision", "write_if")

REFUSALS = (SessionError, ValueError, TypeError, OverflowError)
"""What a storage raises if it cannot store something."""


def promised(
    name: str,
    sentence: str,
    hint: str,
    steps: Program | Callable[[Subject], Program],
    *,
    needs: tuple[str, ...] = (),
) -> None:
    """Add a promise that is kept if each of *steps* answers as the model does."""

    async def check(subject: Subject) -> None:
        await run(subject, steps(subject) if callable(steps) else steps)

    _add(name, sentence, hint, check, needs)


def promised_of(
    name: str,
    sentence: str,
    hint: str,
    cases: Sequence[Any],
    steps: Callable[[Sequence[Any]], Program],
    *,
    needs: tuple[str, ...] = (),
    most: int = 1,
    allowed: Callable[[Subject, Any], bool] = lambda _subject, _case: True,
) -> None:
    """Add a promise of many cases; its report shows the fewest of them that break it.

    Args:
        name: Its name.
        sentence: What a storage must keep to.
        hint: What usually breaks it.
        cases: Such as keys or values.
        steps: Returns what is done with some of them on one storage; see ``each``.
        needs: What a storage must offer.
        most: How many cases it may take to break it.
        allowed: Whether a case is inside the limits.
    """

    async def check(subject: Subject) -> None:
        some = [case for case in cases if allowed(subject, case)]
        if not some:
            msg = "declared by Limits: none of the cases is allowed"
            raise LeftOut(msg)
        await with_fewest(subject, some, lambda few: run(subject, steps(few)), most=most)

    _add(name, sentence, hint, check, needs)


def _add(name: str, sentence: str, hint: str, check: Check, needs: tuple[str, ...]) -> None:
    register(Promise(name, sentence, hint, "table", needs, (), 30.0, check))


def each(steps: Callable[[Any], Program]) -> Callable[[Sequence[Any]], Program]:
    """Return what does *steps* of one case after the other."""
    return lambda cases: [step for case in cases for step in steps(case)]


async def run(subject: Subject, program: Program) -> None:
    """Do *program*, and break the promise unless each step answers as the model does."""
    steps = [step if isinstance(step, Step) else Step(step) for step in program]
    optional = {step.op.method for step in steps}.intersection(METHODS)
    missing = optional and optional - await subject.capabilities()
    async with Trial(subject, dict.fromkeys(step.place for step in steps)) as trial:
        for step in steps:
            if step.op.method not in missing:
                await trial.take(step)


async def with_fewest(
    subject: Subject,
    cases: Sequence[Any],
    check: Callable[[Sequence[Any]], Awaitable[None]],
    *,
    most: int = 1,
) -> None:
    """Run *check* with all cases on one storage; if it fails, with as few as still fail.

    What is raised has the history of the shortest run that failed.
    """
    try:
        await check(cases)
    except Exception:
        history = subject.history
        for count in range(1, most + 1):
            for few in combinations(cases, count):
                subject.start_history()
                await check(few)
        subject.history = history
        raise


# Steps.

REOPEN: Final = Step(Op("reopen"))
PURGE: Final = Op("purge_expired")


def second(op: Op) -> Step:
    """Do *op* on another opening of the same namespace, which is open from the beginning."""
    return Step(op, "second")


def elsewhere(op: Op) -> Step:
    """Do *op* in another namespace."""
    return Step(op, "elsewhere")


def view(op: Op) -> Step:
    """Do *op* on the view for threads."""
    return Step(op, "sync")


def changed(op: Op) -> Step:
    """Do *op*, and change the object that was written or read."""
    return Step(op, changes=True)


def lists(prefix: str | None = "") -> Iterable[Op]:
    """List keys and items."""
    return [Op(method, (prefix,)) for method in LISTING]


def wait(span: Span | float) -> Op:
    """Let time pass, so many seconds."""
    return Op("wait", (span,))


def update(key: str, value: Any) -> Op:
    """Read, and write on condition of what was read: that must go through."""
    return Op("update", (key, value))


def number_keys(keys: Iterable[str]) -> list[Op]:
    """Write a value of its own under each of *keys*."""
    return [Op("write", (key, {"n": number})) for number, key in enumerate(keys, 1)]


async def expect_both_or_none(subject: Subject, methods: tuple[str, ...]) -> None:
    """Break the promise if the storage has only one of two methods."""
    offered = (await subject.capabilities()).intersection(methods)
    async with subject.client() as storage:
        if len(offered) == 1:
            storage.fail(expected="both methods or none", got=f"only {next(iter(offered))}()")


async def expect_stored_or_refused(
    storage: Client,
    write: Callable[[], Awaitable[Any]],
    key: str,
    *,
    new: Any,
    old: Any,
    errors: tuple[type[Exception], ...] = (Exception,),
) -> bool:
    """Break the promise unless *write* stores *new*, or raises and leaves *old* alone.

    Returns:
        Whether it was stored.
    """
    try:
        await write()
    except errors:
        await storage.expect_read(key, old)
        return False
    found = await storage.read(key)
    if not alike(found, new):
        expected = f"an error from the write, or else all of it: {show(new)}"
        storage.fail(expected=expected, got=show(found))
    return True
