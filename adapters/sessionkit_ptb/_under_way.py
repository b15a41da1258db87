"""The sessions of one update, from its first handler to the end of the last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sessionkit.adapters import Binding
from sessionkit.types import Hold


class UnderWay:
    """The sessions of an update that an application handles.

    They are opened once, by the first handler that matches, and end when all
    who have to do with the update have left: ``Application.process_update``,
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
        """Whether all who have to do with the update have left."""
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
        for context in self._contexts:
            self._use.show_on(context)

    def show_on(self, context: object) -> None:
        """Let *context* show the sessions as soon as they are open, until they end."""
        self._contexts.append(context)
        if self._opened is not None:
            self._use.show_on(context)

    def fail(self, error: BaseException | None) -> None:
        """Note an error of a handler, so that nothing is saved."""
        if error is not None:
            self._use.fail(error)

    def hold(self) -> Hold:
        """Keep the sessions open for one party more; ``leave`` must follow."""
        hold = self._use.hold()
        self._parties += 1
        return hold

    def leave(self) -> None:
        """One party less."""
        self._parties -= 1

    async def end(self, hold: Hold | None = None) -> None:
        """Save and close with the last party: that of *hold*, or of the update itself."""
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


def has_sessions(update: object) -> bool:
    """Whether sessions can be opened on *update*: a text or number would be taken for a key."""
    return update is not None and not isinstance(update, str | int)
