"""What sessions ask of the storage under test, in the history."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from sessionkit._drive import is_awaitable
from sessionkit.testing._calls import Call
from sessionkit.testing._history import History, Line
from sessionkit.testing._kinds import is_pair
from sessionkit.testing._show import show
from sessionkit.testing.faulty import FaultyStorage

_SILENT: Final = frozenset({"write", "write_many", "delete", "close"})


class ToldStorage(FaultyStorage):
    """Writes down what sessions ask of a storage, and fails when it is told to.

    Args:
        inner: The user's storage.
        history: Where its use is written down, as comments: sessions call it, not people.
        name: Its name there.
    """

    def __init__(self, inner: Any, history: History, name: str = "storage") -> None:
        super().__init__(inner)
        self._history = history
        self._name = name

    def _call(self, call: Call) -> Any:
        line = self._history.begin(f"#   {self._name}.{call.method}({self._shown(call)})")
        try:
            answer = super()._call(call)
        except BaseException as error:
            line.outcome = f"raised {show(error)}"
            raise
        if is_awaitable(answer):
            return self._told_later(line, call, answer)
        self._tell(line, call, answer)
        return answer

    async def _told_later(self, line: Line, call: Call, answer: Awaitable[Any]) -> Any:
        try:
            found = await answer
        except BaseException as error:
            line.outcome = f"raised {show(error)}"
            raise
        self._tell(line, call, found)
        return found

    def _shown(self, call: Call) -> str:
        shown = [show(each) for each in call.args]
        if call.method in ("write_if", "renew"):
            shown[-1] = self._history.revision_name(call.args[-1])
        return ", ".join([*shown, *(f"{name}={value}" for name, value in call.options)])

    def _tell(self, line: Line, call: Call, answer: Any) -> None:
        if call.method in _SILENT:
            line.outcome = None
        elif call.method == "write_if":
            line.outcome = f"-> {self._history.revision_name(answer)}"
        elif call.method == "read_with_revision" and is_pair(answer):
            revision = self._history.revision_name(answer[1])
            line.outcome = f"-> ({show(answer[0])}, {revision})"
        else:
            line.outcome = f"-> {show(answer)}"
