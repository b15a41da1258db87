"""What sessions ask of the storage under test, in the history."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from sessionkit._storage.sync_or_async import is_awaitable
from sessionkit.testing._history import History, Line
from sessionkit.testing._ops import Op
from sessionkit.testing._show import show
from sessionkit.testing.faulty import FaultyStorage


class NotedStorage(FaultyStorage):
    """Writes down what sessions ask of a storage, and fails on request.

    Args:
        inner: The user's storage.
        history: Where its use is written down, as comments: sessions call it, not people.
        name: Its name there.
    """

    def __init__(self, inner: Any, history: History, name: str = "storage") -> None:
        super().__init__(inner)
        self._history = history
        self._name = name

    def _call(self, call: Op) -> Any:
        line = self._history.begin(f"#   {self._name}.{self._history.shown(call)}")
        try:
            answer = super()._call(call)
        except BaseException as error:
            line.outcome = f"raised {show(error)}"
            raise
        if is_awaitable(answer):
            return self._noted_later(line, call, answer)
        line.outcome = self._history.gave(call, answer)
        return answer

    async def _noted_later(self, line: Line, call: Op, answer: Awaitable[Any]) -> Any:
        try:
            found = await answer
        except BaseException as error:
            line.outcome = f"raised {show(error)}"
            raise
        line.outcome = self._history.gave(call, found)
        return found
