"""The steps of ``steps.py``, done on sessionkit as the driver does them on grammY."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from copy import deepcopy
from dataclasses import dataclass, field
from functools import singledispatch
from typing import TYPE_CHECKING, Any, cast

from sessionkit import LazySessionFlavor, NoInitialDataError
from tests.grammy import steps
from tests.grammy.doubles import ThrownError
from tests.grammy.wire import JSON, UNDEFINED

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable


@dataclass
class Run:
    """What an update did.

    Attributes:
        saw: What each step that sees something saw, in order.
        caught: What the handler caught.
        error: What the middleware raised.
        initials: How often an ``initial`` function was called.
        reads: The fragments whose data was asked for when none was assigned.
        assigned: The fragments that were assigned.
        lacked_initial: Whether ``NoInitialDataError`` stood in for grammY's ``undefined``.
    """

    saw: list[JSON] = field(default_factory=list[JSON])
    caught: list[BaseException] = field(default_factory=list[BaseException])
    error: BaseException | None = None
    initials: int = 0
    reads: set[str] = field(default_factory=set[str])
    assigned: set[str] = field(default_factory=set[str])
    lacked_initial: bool = False


class Handler:
    """One handler at work on one context."""

    def __init__(self, ctx: Any, run: Run) -> None:
        self.ctx = ctx
        self.is_mapping = isinstance(ctx, dict)
        self.run = run
        self.held: dict[str, Any] = defaultdict(lambda: UNDEFINED)
        self.tasks: list[asyncio.Task[JSON]] = []

    async def play(self, program: Iterable[steps.Step]) -> None:
        """Do one step after the other."""
        for step in program:
            await act(step, self)

    def get(self, at: str) -> Any:
        """Access the session, or the fragment *at*."""
        shown: Any = self.ctx["session"] if self.is_mapping else self.ctx.session
        return getattr(shown, at) if at else shown

    def set(self, at: str, value: Any) -> None:
        """Assign the session, or the fragment *at*."""
        if at:
            setattr(self.get(""), at, value)
        elif self.is_mapping:
            self.ctx["session"] = value
        else:
            self.ctx.session = value
        self.run.assigned.add(at)

    async def data(self, at: str) -> Any:
        """The data; UNDEFINED where there is none to begin with."""
        self.note_read(at)
        try:
            value = await self.settled(self.get(at))
            is_none = value == None  # noqa: E711 (only use makes a stand-in raise)
        except NoInitialDataError:
            self.run.lacked_initial = True
            value = UNDEFINED
            is_none = False
        return None if is_none else value

    async def settled(self, value: Any) -> Any:
        """What was got, awaited if it is to be."""
        return await value if hasattr(value, "__await__") else value

    def note_read(self, at: str) -> None:
        """Note that data was asked for: unless it was assigned, it had to be read."""
        if at not in self.run.assigned:
            self.run.reads.add(at)

    async def fields(self, at: str) -> dict[str, Any]:
        """The data, which must have fields."""
        data = await self.data(at)
        if not isinstance(data, dict):
            msg = f"{data!r} has no fields"
            raise TypeError(msg)
        return cast("dict[str, Any]", data)

    def promise(self, course: Coroutine[Any, Any, JSON]) -> Any:
        """What a promise is here: a plain context needs one that can be awaited twice."""
        if isinstance(self.ctx, LazySessionFlavor):
            return course
        self.tasks.append(asyncio.ensure_future(course))
        return self.tasks[-1]


@singledispatch
async def act(step: object, handler: Handler) -> None:
    """Do one step."""
    raise NotImplementedError(step)


@act.register
async def _(step: steps.Read, handler: Handler) -> None:
    handler.run.saw.append(deepcopy(await handler.data(step.at)))


@act.register
async def _(step: steps.Touch, handler: Handler) -> None:
    try:
        handler.held[step.at] = handler.get(step.at)
    except NoInitialDataError:
        handler.run.lacked_initial = True
        handler.held[step.at] = UNDEFINED


@act.register
async def _(step: steps.ReadTouched, handler: Handler) -> None:
    handler.note_read(step.at)
    try:
        value = await handler.settled(handler.held[step.at])
        seen = None if value == None else deepcopy(value)  # noqa: E711 (only use raises)
    except NoInitialDataError:
        handler.run.lacked_initial = True
        seen = UNDEFINED
    handler.run.saw.append(seen)


@act.register
async def _(step: steps.IsPromise, handler: Handler) -> None:
    handler.run.saw.append(hasattr(handler.get(step.at), "__await__"))


@act.register
async def _(step: steps.Assign, handler: Handler) -> None:
    handler.set(step.at, None if step.value is UNDEFINED else deepcopy(step.value))


@act.register
async def _(step: steps.AssignPromise, handler: Handler) -> None:
    handler.set(step.at, handler.promise(_later(deepcopy(step.value))))


async def _later(value: JSON) -> JSON:
    await asyncio.sleep(0)
    return None if value is UNDEFINED else value


@act.register
async def _(step: steps.AssignRejection, handler: Handler) -> None:
    handler.set(step.at, handler.promise(_rejected(step.message)))


async def _rejected(message: str) -> JSON:
    await asyncio.sleep(0)
    raise ThrownError(message)


@act.register
async def _(step: steps.AssignDerived, handler: Handler) -> None:
    handler.note_read(step.at)
    handler.set(step.at, handler.promise(_derived(handler.get(step.at), step)))


async def _derived(old: Any, step: steps.AssignDerived) -> JSON:
    data = await old
    data[step.name] = step.value
    return data if step.returns else None


@act.register
async def _(step: steps.SetField, handler: Handler) -> None:
    (await handler.fields(step.at))[step.name] = deepcopy(step.value)


@act.register
async def _(step: steps.Increment, handler: Handler) -> None:
    (await handler.fields(step.at))[step.name] += step.by


@act.register
async def _(step: steps.AppendTo, handler: Handler) -> None:
    (await handler.fields(step.at))[step.name].append(deepcopy(step.value))


@act.register
async def _(step: steps.DeleteField, handler: Handler) -> None:
    data = await handler.data(step.at)
    if isinstance(data, str | int):  # numbers and strings have no fields to delete
        return
    (await handler.fields(step.at)).pop(step.name, None)


@act.register
async def _(step: steps.Turn, handler: Handler) -> None:
    await asyncio.sleep(0)


@act.register
async def _(step: steps.Raise, handler: Handler) -> None:
    raise ThrownError(step.message)


@act.register
async def _(step: steps.Guard, handler: Handler) -> None:
    try:
        await handler.play(step.steps)
    except Exception as error:
        handler.run.caught.append(error)
