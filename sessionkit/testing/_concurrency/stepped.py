"""An awaitable whose suspensions can be counted, and be lengthened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any

Hook = Callable[[int], None]
Pause = Callable[[int], Awaitable[None]]


def _nothing(_number: int) -> None:
    return


async def _no_pause(_number: int) -> None:
    return


class Stepped:
    """Awaits *answer*, and tells of each suspension by its number, from 0.

    Args:
        answer: What to await.
        before: Called before it is suspended.
        after: Awaited when what it waited for is there, before it goes on.
    """

    def __init__(
        self, answer: Awaitable[Any], *, before: Hook = _nothing, after: Pause = _no_pause
    ) -> None:
        self._answer = answer
        self._before = before
        self._after = after

    def __await__(self) -> Generator[Any, Any, Any]:
        steps: Any = self._answer.__await__()
        resume, given = steps.send, None
        number = 0
        while True:
            try:
                awaited = resume(given)
            except StopIteration as end:
                return end.value
            self._before(number)
            try:
                yield awaited
                yield from self._after(number).__await__()
                resume, given = steps.send, None
            except BaseException as error:  # noqa: BLE001 (a cancellation, for those who wait)
                resume, given = steps.throw, error
            number += 1
