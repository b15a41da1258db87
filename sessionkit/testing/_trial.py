"""One history under way: what is open, and which step is done where."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Self, TypeAlias

from sessionkit.testing._checked import Checked
from sessionkit.testing._kinds import is_dict, is_list
from sessionkit.testing._model import Model
from sessionkit.testing._ops import Op

if TYPE_CHECKING:
    from types import TracebackType

    from sessionkit.testing._subject import Subject

Place: TypeAlias = Literal["storage", "second", "sync", "elsewhere"]
"""Where a step is done: on an opening, another one, a view for threads, another namespace."""

_OF_MANY: Final = frozenset({"read_many", "iter_items", "write_many"})


class Step(NamedTuple):
    """One step of a history: plain data, so that it can be shown smaller and done again.

    Attributes:
        op: What is done: an operation of ``Checked``, or "reopen".
        place: Where.
        changes: Whether the object that was written or read is changed afterwards.
    """

    op: Op
    place: Place = "storage"
    changes: bool = False


class Trial:
    """One history under way, on namespaces of its own.

    Use it as an asynchronous context manager: it closes what it opened.

    Args:
        subject: The storage under test; its history is written on.
        places: What is opened from the beginning; all else when it is first used.
    """

    def __init__(self, subject: Subject, places: Iterable[Place] = ()) -> None:
        self._subject = subject
        self._places = places
        self._stack = AsyncExitStack()
        self._namespaces = {False: subject.namespace(), True: subject.namespace()}
        self._models = {
            other: Model(subject.model_time, subject.limits.ttl) for other in self._namespaces
        }
        self._numbers = itertools.count(1)
        self._openings: dict[Place, tuple[Checked, AsyncExitStack]] = {}
        self._last: dict[Place, dict[str, Any]] = {}

    async def __aenter__(self) -> Self:
        for place in ("storage", *self._places):
            await self.at(place)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    async def take(self, step: Step) -> None:
        """Do *step*, and break the promise unless the storage answers as the model does."""
        if step.op.method == "reopen":
            await self._close(step.place)
            await self.at(step.place)
            return
        made = await step.op.call(await self.at(step.place))
        if step.changes:
            word = "written" if "write" in step.op.method else "read"
            for each in made.values() if step.op.method in _OF_MANY else [made]:
                self._change(each, f"what was {word}")

    async def at(self, place: Place) -> Checked:
        """Return the storage as it is used at *place*, opened if need be."""
        if place not in self._openings:
            other = place == "elsewhere"
            closing = AsyncExitStack()
            if place == "sync":
                client = (await self.at("storage")).client.sync_view()
            else:
                opened = self._subject.client(self._namespaces[other])
                client = await closing.enter_async_context(opened)
                self._stack.push_async_exit(closing)
            last = self._last.setdefault(place, {})
            checked = Checked(client, self._subject, self._models[other], self._numbers, last)
            self._openings[place] = checked, closing
        return self._openings[place][0]

    async def _close(self, place: Place) -> None:
        if place in ("storage", "sync"):
            self._openings.pop("sync", None)
            place = "storage"
        opening = self._openings.pop(place, None)
        if opening is not None:
            await opening[1].aclose()

    def _change(self, value: Any, named: str) -> None:
        """Change *value*, at its deepest, if it can be changed."""
        if is_dict(value):
            inner = next((each for each in value.values() if is_dict(each) or is_list(each)), None)
            if inner is not None:
                self._change(inner, f"a part of {named}")
                return
            value["changed"] = True
        elif is_list(value):
            value.append("changed")
        else:
            return
        self._subject.history.note(f"# 'changed' is added to {named}")
