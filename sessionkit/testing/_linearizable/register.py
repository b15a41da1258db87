"""What one key may answer: the simplest storage there can be, as a function of its state."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from sessionkit.protocols import ANY
from sessionkit.testing._equal import alike
from sessionkit.testing._kinds import is_dict, is_sequence
from sessionkit.testing._linearizable.operation import ANY_REVISION, OBSERVING, Operation

NOTHING: Final = 0
"""The number of no value."""

UNSEEN: Final = 0
"""The number of a revision that nobody has seen yet."""

_UNCONDITIONAL: Final = -1
_ABSENT: Final = -2


class Step(NamedTuple):
    """An operation, with numbers for values and revisions: equal ones have the same.

    Attributes:
        op: Its name.
        value: What it writes or gave.
        revision: The revision that it gave or expects.
        flag: What ``has`` or ``touch`` gave.
        seconds: How long ``advance`` is.
        expires: When what it writes expires.
        fate: What came of it.
    """

    op: str
    value: int
    revision: int
    flag: bool
    seconds: float
    expires: float | None
    fate: str


class State(NamedTuple):
    """What is stored under the key.

    Attributes:
        value: Its value, expired or not.
        revision: The revision of that.
        doubtful: Whether it may have another revision by now.
        expires: When it expires.
        own_expiry: Whether that is its own, not the storage's timeout.
        now: The time.
    """

    value: int = NOTHING
    revision: int = UNSEEN
    doubtful: bool = False
    expires: float | None = None
    own_expiry: bool = False
    now: float = 0.0

    @property
    def visible(self) -> int:
        """The value that must be read."""
        gone = self.expires is not None and self.now >= self.expires
        return NOTHING if gone else self.value


class Numbers:
    """Numbers for things that may have no hash, from 1: equal ones have the same."""

    def __init__(self) -> None:
        self._known: dict[Hashable, int] = {}
        self._others: list[tuple[Any, int]] = []

    def of(self, thing: Any) -> int:
        """Return the number of *thing*."""
        fresh = len(self._known) + len(self._others) + 1
        try:
            return self._known.setdefault(_frozen(thing), fresh)
        except TypeError:  # no hash
            for known, number in self._others:
                if alike(known, thing):
                    return number
            self._others.append((thing, fresh))
            return fresh


def _frozen(thing: Any) -> Hashable:
    """Return something with a hash that is equal if *thing* is alike."""
    kind: Any = thing.__class__
    if is_dict(thing):
        items = ((_frozen(key), _frozen(value)) for key, value in thing.items())
        return kind, frozenset(items)
    return kind, tuple(map(_frozen, thing)) if is_sequence(thing) else thing


Move: TypeAlias = Callable[["Register", State, Step, int], State | None]


class Register:
    """What may become of one key, step by step.

    A revision that a client gives or was given belongs to one value.  Which write it came
    with is open until somebody sees it: then it is that of the value which is stored.

    Args:
        operations: All operations on the key, in the order in which they were called.
        ttl: Seconds after which the storage lets a value expire.
    """

    def __init__(self, operations: Sequence[Operation], ttl: float | None) -> None:
        self._ttl = ttl
        self._may_expire = ttl is not None or any(each.expires is not None for each in operations)
        self._values = Numbers()
        self._revisions = Numbers()
        self.steps = [self._step(operation) for operation in operations]

    def firm(self, steps: Sequence[int]) -> None:
        """Let what the *steps* of these numbers saw of revisions count, and nothing else."""
        self._mentions: dict[int, int] = {}
        self._meanings: dict[int, set[int]] = {}
        for number in steps:
            step = self.steps[number]
            if step.revision > UNSEEN:
                self._mentions[step.revision] = self._mentions.get(step.revision, 0) | 1 << number
                if step.op == "read_with_revision":
                    self._meanings.setdefault(step.revision, set()).add(step.value)

    def after(self, state: State, step: Step, done: int) -> State | None:
        """Return what is stored after *step*, None if it cannot come of *state*.

        *done* has a bit for each step that came before.
        """
        return _MOVES[step.op](self, state, step, done)

    def _step(self, operation: Operation) -> Step:
        op, args, result = operation.op, operation.args, operation.result
        value, revision, flag, seconds = NOTHING, UNSEEN, False, 0.0
        if op in ("write", "write_if"):
            value = self._number(args[0])
            revision = self._expected(args[1]) if op == "write_if" else UNSEEN
        elif op == "advance":
            seconds = args[0]
        elif op == "read" and operation.fate == "answered":
            value = self._number(result)
        elif op == "read_with_revision" and operation.fate == "answered":
            value = self._number(result[0])
            if result[1] is not None and result[1] is not ANY_REVISION:
                revision = self._revisions.of(result[1])
        else:
            flag = bool(result)
        return Step(op, value, revision, flag, seconds, operation.expires, operation.fate)

    def _number(self, value: Any) -> int:
        return NOTHING if value is None else self._values.of(value)

    def _expected(self, expected: Any) -> int:
        if expected is ANY:
            return _UNCONDITIONAL
        return _ABSENT if expected is None else self._revisions.of(expected)

    def _could_be(self, revision: int, value: int, done: int) -> bool:
        """Return whether a value that nobody has looked at can have *revision*.

        One that was seen before belongs to that value; an equal one may have it again.
        """
        if not self._mentions.get(revision, 0) & done:
            return True
        return self._meanings.get(revision, set()) <= {value}

    # What comes of each operation.

    def _read(self, state: State, step: Step, _done: int) -> State | None:
        return state if state.visible == step.value else None

    def _look(self, state: State, step: Step, done: int) -> State | None:
        if state.visible != step.value:
            return None
        if step.revision == UNSEEN or step.value == NOTHING:
            return state
        if state.revision == step.revision:
            return state._replace(doubtful=False)
        is_open = state.revision == UNSEEN or state.doubtful
        if not is_open or not self._could_be(step.revision, step.value, done):
            return None
        return state._replace(revision=step.revision, doubtful=False)

    def _has(self, state: State, step: Step, _done: int) -> State | None:
        return state if (state.visible != NOTHING) is step.flag else None

    def _write(self, state: State, step: Step, _done: int) -> State:
        if step.value == NOTHING:
            return self._delete(state, step, _done)
        own = step.expires is not None
        expires = step.expires if own else self._timeout(state)
        return State(step.value, expires=expires, own_expiry=own, now=state.now)

    def _delete(self, state: State, _step: Step, _done: int) -> State:
        return State(now=state.now)

    def _write_if(self, state: State, step: Step, done: int) -> State | None:
        may_hold, may_fail = self._condition(state, step.revision, done)
        if step.fate == "refused":
            return state if may_fail else None
        return self._write(state, step, done) if may_hold else None

    def _condition(self, state: State, expected: int, done: int) -> tuple[bool, bool]:
        if expected in (_UNCONDITIONAL, _ABSENT):
            holds = expected == _UNCONDITIONAL or state.visible == NOTHING
            return holds, not holds
        if state.visible == NOTHING:  # what was purged and what was deleted look the same
            return self._may_expire, True
        if state.revision == expected:
            return True, state.doubtful
        is_open = state.revision == UNSEEN or state.doubtful
        return is_open and self._could_be(expected, state.value, done), True

    def _touch(self, state: State, step: Step, _done: int) -> State | None:
        if step.fate == "answered" and (state.visible != NOTHING) is not step.flag:
            return None
        if state.visible == NOTHING:
            return state
        renewed = state.expires if state.own_expiry else self._timeout(state)
        return state._replace(expires=renewed, doubtful=True)

    def _purge(self, state: State, _step: Step, _done: int) -> State:
        return state

    def _advance(self, state: State, step: Step, _done: int) -> State:
        return state._replace(now=state.now + step.seconds)

    def _timeout(self, state: State) -> float | None:
        return None if self._ttl is None else state.now + self._ttl


_MOVES: Final[dict[str, Move]] = {
    "read": Register._read,
    "read_with_revision": Register._look,
    "has": Register._has,
    "write": Register._write,
    "delete": Register._delete,
    "write_if": Register._write_if,
    "touch": Register._touch,
    "purge_expired": Register._purge,
    "advance": Register._advance,
}


def says_nothing(operation: Operation) -> bool:
    """Return whether *operation* neither changes anything nor was answered."""
    return operation.fate == "unknown" and operation.op in OBSERVING
