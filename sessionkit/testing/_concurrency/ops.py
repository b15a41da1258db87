"""One call of a storage, and what came of it, the same for tasks, threads and processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from sessionkit._drive import discard, is_awaitable
from sessionkit._types import Expected
from sessionkit.errors import SessionConflictError
from sessionkit.testing._client import _each
from sessionkit.testing._kinds import is_async_iterable, is_dict, is_list, is_pair
from sessionkit.testing._show import show

LISTINGS: Final = frozenset({"iter_keys", "iter_items"})
SILENT: Final = frozenset({"write", "delete", "write_many", "close", "purge_expired", "renew"})
"""The methods of which no answer is expected, or none that could be compared."""

STORED: Final = "went through"
"""What a conditional write answers here: revisions do not travel between processes."""


class Mark(Enum):
    """Stands for what each side has to find out by itself."""

    SEEN = "revision"

    def __repr__(self) -> str:
        return self.value


SEEN: Final = Mark.SEEN
"""The revision that the same side read last under the key."""


class Op(NamedTuple):
    """A call of a storage's method; ``str`` shows it as Python."""

    method: str
    args: tuple[Any, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        shown = [*map(show, self.args), *(f"{name}={value}" for name, value in self.options)]
        call = f"storage.{self.method}({', '.join(shown)})"
        if self.method in LISTINGS:
            return f"list({call})"
        return f"_, revision = {call}" if self.method == "read_with_revision" else call

    def with_keys(self, names: Mapping[str, str]) -> Op:
        """Return the same call with other keys."""
        keys = tuple(_renamed(arg, names) for arg in self.args[:1])
        return self._replace(args=keys + self.args[1:])

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that it is about; none for a listing."""
        first = self.args[0] if self.args else ()
        return (first,) if isinstance(first, str) else tuple(first)

    @property
    def takes_seen(self) -> bool:
        """Whether it needs the revision that was read before."""
        return SEEN in self.args

    def call(self, storage: Any, seen: Mapping[str, Any]) -> Any:
        """Call the method, with the revision that was *seen*."""
        args = [seen[self.args[0]] if arg is SEEN else arg for arg in self.args]
        return getattr(storage, self.method)(*args, **dict(self.options))


def _renamed(arg: Any, names: Mapping[str, str]) -> Any:
    if is_dict(arg):
        return {names.get(key, key): value for key, value in arg.items()}
    if is_list(arg):
        return [names.get(key, key) for key in arg]
    return names.get(arg, arg)


def read(key: str) -> Op:
    """Return a call of ``read``."""
    return Op("read", (key,))


def write(key: str, value: Any) -> Op:
    """Return a call of ``write``."""
    return Op("write", (key, value))


def delete(key: str) -> Op:
    """Return a call of ``delete``."""
    return Op("delete", (key,))


def look(key: str) -> Op:
    """Return a call of ``read_with_revision``."""
    return Op("read_with_revision", (key,))


def write_if(key: str, value: Any, expected: Expected = SEEN) -> Op:
    """Return a call of ``write_if``."""
    return Op("write_if", (key, value, expected))


Kind: TypeAlias = Literal["answer", "conflict", "error"]


class Outcome(NamedTuple):
    """What came of a call.

    Attributes:
        kind: It answered, raised ``SessionConflictError``, or raised something else.
        answer: What it answered, without revisions; None otherwise.
        text: The same for people.
        error: What it raised, if it did so in this process.
    """

    kind: Kind
    answer: Any = None
    text: str | None = None
    error: BaseException | None = None

    @property
    def told(self) -> tuple[Kind, Any]:
        """What a model can tell beforehand."""
        return self.kind, self.answer


def answered(answer: Any) -> Outcome:
    """Return the outcome of a call that answered."""
    if answer is None:
        return Outcome("answer")
    return Outcome("answer", answer, answer if answer == STORED else f"-> {show(answer)}")


def raised(error: BaseException) -> Outcome:
    """Return the outcome of a call that raised."""
    if isinstance(error, SessionConflictError):
        return Outcome("conflict", None, "raised SessionConflictError", error)
    return Outcome("error", None, f"raised {show(error)}", error)


async def perform(storage: Any, op: Op, seen: dict[str, Any]) -> Any:
    """Do *op* in this task; what is read with its revision is remembered in *seen*."""
    answer = op.call(storage, seen)
    if is_awaitable(answer):
        answer = await answer
    if op.method in LISTINGS:
        answer = [item async for item in _each(answer)]
    return _digest(op, answer, seen)


def perform_blocking(storage: Any, op: Op, seen: dict[str, Any]) -> Any:
    """Do *op* on this thread, otherwise as ``perform``.

    Raises:
        TypeError: The method answers with an awaitable.
    """
    answer = op.call(storage, seen)
    if is_awaitable(answer) or is_async_iterable(answer):
        discard(answer)
        msg = f"{op.method}() must block on a thread, and answers with an awaitable"
        raise TypeError(msg)
    return _digest(op, list(answer) if op.method in LISTINGS else answer, seen)


def _digest(op: Op, answer: Any, seen: dict[str, Any]) -> Any:
    if op.method in SILENT:
        return None
    if op.method == "write_if":
        return STORED
    if op.method == "read_with_revision":
        if not is_pair(answer):
            msg = f"read_with_revision() must give a tuple of value and revision, not {answer!r}"
            raise TypeError(msg)
        value, seen[op.args[0]] = answer
        return value
    if op.method in LISTINGS:
        return _listed(op, answer)
    return dict(answer) if op.method == "read_many" else answer


def _listed(op: Op, items: Iterable[Any]) -> Any:
    listed = list(items)
    keys = listed if op.method == "iter_keys" else [key for key, _ in listed]
    twice = [key for key, times in Counter(keys).items() if times > 1]
    if twice:
        msg = f"{op.method}() gave {', '.join(map(repr, twice))} more than once"
        raise ValueError(msg)
    return sorted(listed) if op.method == "iter_keys" else dict(listed)
