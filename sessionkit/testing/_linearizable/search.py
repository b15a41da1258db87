"""The search for an order of operations that explains all answers.

It is the one of Wing and Gong, with the memory that Lowe gave it: of two ways that have done
the same operations and left the same state, one is enough.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Generator, Sequence
from typing import Final, NamedTuple, TypeAlias

from sessionkit.testing._linearizable.operation import Operation
from sessionkit.testing._linearizable.register import Register, State, says_nothing

MOST: Final = 1_000_000
"""How many states a search looks at before it gives up."""


class HistoryTooLargeError(ValueError):
    """Raised if a history cannot be decided: too many operations of one key overlap.

    Unanswered writes overlap with all that comes after them.
    """


class _Move(NamedTuple):
    """One operation that comes next, or is left out for good."""

    number: int
    takes_effect: bool
    done: int
    state: State


_Moves: TypeAlias = Generator[_Move, None, None]


def explain(
    operations: Sequence[Operation],
    *,
    loose: Collection[Operation] = (),
    ttl: float | None,
    now: float,
) -> list[Operation] | None:
    """Return the operations of one key in an order that explains them, None if none does.

    Args:
        operations: The operations.
        loose: Those of them of which it shall not matter whether they took effect.
        ttl: Seconds after which the storage lets a value expire.
        now: What the fake clock shows at the beginning.

    Raises:
        HistoryTooLargeError: There are too many orders.
    """
    told = [each for each in operations if not says_nothing(each)]
    told.sort(key=lambda each: each.called)
    return _Search(told, {id(each) for each in loose}, ttl).run(State(now=now))


class _Search:
    def __init__(self, operations: list[Operation], loose: set[int], ttl: float | None) -> None:
        self._operations = operations
        self._register = Register(operations, ttl)
        self._loose = [id(each) in loose for each in operations]
        self._called = [each.called for each in operations]
        self._ends = [each.end for each in operations]
        must = [number for number, end in enumerate(self._ends) if end < math.inf]
        self._goal = sum(1 << number for number in must)
        self._register.firm([number for number in must if not self._loose[number]])

    def run(self, state: State) -> list[Operation] | None:
        path: list[_Move] = []
        ways = [self._moves(0, state)]
        seen = {(0, state)}
        done = 0
        while done & self._goal != self._goal:
            move = next(ways[-1], None)
            if move is None:
                ways.pop()
                if not ways:
                    return None
                path.pop()
            elif (move.done, move.state) not in seen:
                seen.add((move.done, move.state))
                self._check(len(seen))
                path.append(move)
                ways.append(self._moves(move.done, move.state))
                done = move.done
        return [self._operations[move.number] for move in path if move.takes_effect]

    def _moves(self, done: int, state: State) -> _Moves:
        for number in self._next(done):
            after = self._register.after(state, self._register.steps[number], done)
            with_it = done | 1 << number
            if after is not None:
                yield _Move(number, True, with_it, after)  # noqa: FBT003
            if self._loose[number]:
                yield _Move(number, False, with_it, state)  # noqa: FBT003

    def _next(self, done: int) -> list[int]:
        """Return those that may come next: called before any other that is left has ended."""
        first_end = math.inf
        found: list[int] = []
        for number in range((~done & done + 1).bit_length() - 1, len(self._called)):
            if done >> number & 1:
                continue
            if self._called[number] > first_end:
                break
            found.append(number)
            first_end = min(first_end, self._ends[number])
        return sorted(found, key=self._ends.__getitem__)

    def _check(self, states: int) -> None:
        if states > MOST:
            msg = (
                f"no order was found among {MOST:,} states: of key {self._operations[0].key!r} "
                f"too many operations overlap. Let fewer clients work on one key, for a shorter "
                "time, or with fewer errors that leave open what was written"
            )
            raise HistoryTooLargeError(msg)
