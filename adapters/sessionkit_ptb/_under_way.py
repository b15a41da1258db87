"""The sessions of one update, from its first handler to the end of the last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from telegram import Update

from sessionkit.adapters import Binding
from sessionkit.types import Hold

if TYPE_CHECKING:
    import asyncio
    from contextlib import AbstractContextManager


class UnderWay:
    """The sessions of an update that an application handles.

    They are opened once, by the first handler that matches, and end with the
    last reference to them: ``Application.process_update``,
    and the tasks that it or handlers started for it.
    """

    def __init__(self, binding: Binding, update: object) -> None:
        self.update = update
        self.could_not_open = False
        self._binding = binding
        self._use = binding.open(update)
        self._opened: Mapping[str, Any] | None = None
        self._contexts: list[object] = []
        self._parties = 1

    @property
    def is_open(self) -> bool:
        """Whether a handler has matched, and the sessions could be had."""
        return self._opened is not None

    @property
    def is_over(self) -> bool:
        """Whether the reference count is zero."""
        return not self._parties

    async def begin(self) -> None:
        """Open the sessions, unless they are or were; show them on the contexts known by now."""
        if self._opened is not None or self.is_over:
            return
        try:
            self._opened = await self._use.begin()
        except BaseException:
            self.could_not_open = True
            raise
        for context in (*self._contexts, *_parts_of(self.update)):
            self._use.show_on(context)

    def ending(self) -> AbstractContextManager[None]:
        """End the update quietly if it was handled already: ``with``."""
        return self._binding.ending(self.update)

    def show_on(self, context: object) -> None:
        """Let *context* show the sessions as soon as they are open, until they end."""
        self._contexts.append(context)
        if self._opened is not None:
            self._use.show_on(context)

    def fail(self, error: BaseException | None) -> None:
        """Note an error of a handler, so that nothing is saved."""
        if error is not None:
            self._use.fail(error)

    def hold(self, task: asyncio.Task[Any]) -> Hold:
        """Add a reference, held by a task; ``leave`` must follow."""
        hold = self._use.hold(task)
        self._parties += 1
        return hold

    def leave(self) -> None:
        """Release one reference."""
        self._parties -= 1

    async def end(self, hold: Hold | None = None) -> None:
        """Release one reference, *hold* or the update's own; the last one saves and closes."""
        try:
            if hold is not None:
                await hold.release()
            elif self._opened is not None:
                await self._use.close()
            elif not self.could_not_open:
                await self._binding.follow(self.update)
        finally:
            if self.is_over:
                self._contexts.clear()


def _parts_of(update: object) -> list[object]:
    """What handlers may pass on of an update: its message, and the query of a button."""
    if not isinstance(update, Update):
        return []
    parts = (update.effective_message, update.callback_query)
    return [part for part in parts if part is not None]


def has_sessions(update: object) -> bool:
    """Whether sessions can be opened on *update*: a text or number would be taken for a key."""
    return update is not None and not isinstance(update, str | int)
