"""One call of a storage, and what came of it: the same for all who make calls."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias

from sessionkit._storage.sync_or_async import discard, is_awaitable
from sessionkit.errors import SessionConflictError
from sessionkit.protocols import Expected
from sessionkit.testing._kinds import each_of, is_async_iterable, is_dict, is_list, is_pair
from sessionkit.testing._show import show

OPTIONAL: Final = (
    "has",
    "iter_keys",
    "iter_items",
    "read_many",
    "write_many",
    "read_with_revision",
    "read_tracked",
    "write_if",
    "touch",
    "renew",
    "purge_expired",
    "close",
)
"""The methods that a storage may have beside ``read``, ``write`` and ``delete``."""

LISTINGS: Final = frozenset({"iter_keys", "iter_items"})
WITHOUT_KEY: Final = LISTINGS | {"purge_expired", "close"}
SILENT: Final = frozenset({"write", "delete", "write_many", "close", "purge_expired", "renew"})
"""The methods of which no answer is expected, or none that could be compared."""

_READS: Final = frozenset({"read", "read_many", "read_with_revision", "read_tracked"})

STORED: Final = "went through"
"""What a conditional write answers here: revisions do not travel between processes."""


class Seen(NamedTuple):
    """In the place of an expected revision: one that was read before under the same key.

    Attributes:
        age: 0 for the newest, more for older ones.
        holds: Whether it must still be taken, even where that is open in general.
    """

    age: int = 0
    holds: bool = False

    def __repr__(self) -> str:
        return "revision"


SEEN: Final = Seen()


class Span(NamedTuple):
    """A part of the time that a value lives.

    Attributes:
        of: "ttl": of the declared timeout; "lifetime": of that which a check chooses;
            "shorter": of the shorter one.
        part: How much of it.
        more: Seconds beside that.
    """

    of: Literal["ttl", "lifetime", "shorter"]
    part: float = 1.0
    more: float = 0.0


class Instant(float):
    """A time in seconds since the epoch, shown by how far away it was."""

    _span: float | None

    def __new__(cls, time: float, span: float | None = None) -> Self:
        """Return *time*, which is *span* seconds from now if that says more."""
        made = super().__new__(cls, time)
        made._span = span
        return made

    def __repr__(self) -> str:
        return repr(float(self)) if self._span is None else f"clock() + {self._span:g}"


class Op(NamedTuple):
    """A call of a storage's method; ``repr`` shows it as Python, ``str`` with its storage."""

    method: str
    args: tuple[Any, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        return f"{self.method}({', '.join([*map(repr, self.args), *self.shown_options])})"

    def __str__(self) -> str:
        shown = [*map(show, self.args), *self.shown_options]
        call = f"storage.{self.method}({', '.join(shown)})"
        if self.method in LISTINGS:
            return f"list({call})"
        return f"_, revision = {call}" if self.method == "read_with_revision" else call

    @property
    def shown_options(self) -> list[str]:
        """The options, as Python."""
        return [f"{name}={value!r}" for name, value in self.options]

    @property
    def operation(self) -> str:
        """``"read"``, ``"write"`` or ``"delete"``, by any method; else the method."""
        if self.method in _READS:
            return "read"
        if self.method == "write_if":
            return "delete" if self.args[1] is None else "write"
        return "write" if self.method == "write_many" else self.method

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that it is about; none for a listing, which is about all of them."""
        if self.method in WITHOUT_KEY:
            return ()
        if self.method in ("read_many", "write_many"):
            return tuple(self.args[0])
        return (self.args[0],)

    @property
    def written(self) -> list[tuple[str, Any]]:
        """The pairs of key and value that it is to store."""
        if self.operation != "write":
            return []
        return list(self.args[0].items()) if self.method == "write_many" else [self.args[:2]]

    @property
    def takes_seen(self) -> bool:
        """Whether it needs a revision that was read before."""
        return any(isinstance(arg, Seen) for arg in self.args)

    def copied(self) -> Op:
        """Return the call with values that nobody can change later."""
        if self.method == "renew":
            return self  # a revision is the storage's own
        return self._replace(args=(*copy.deepcopy(self.args[:2]), *self.args[2:]))

    def for_users(self) -> Op:
        """Return the same call with nothing in it that is the kit's own."""
        return self._replace(options=tuple((name, float(value)) for name, value in self.options))

    def with_keys(self, names: Mapping[str, str]) -> Op:
        """Return the same call with other keys."""
        keys = tuple(_renamed(arg, names) for arg in self.args[:1])
        return self._replace(args=keys + self.args[1:])

    def call(self, storage: Any, seen: Mapping[str, Any] | None = None) -> Any:
        """Call the method, with the revision that was *seen* under its key."""
        args = self.args
        if seen is not None:
            args = tuple(seen[args[0]] if isinstance(arg, Seen) else arg for arg in args)
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


def has(key: str) -> Op:
    """Return a call of ``has``."""
    return Op("has", (key,))


def read_many(*keys: str) -> Op:
    """Return a call of ``read_many``."""
    return Op("read_many", ([*keys],))


def write_many(values: Mapping[str, Any]) -> Op:
    """Return a call of ``write_many``."""
    return Op("write_many", (values,))


def touch(key: str) -> Op:
    """Return a call of ``touch``."""
    return Op("touch", (key,))


Kind: TypeAlias = Literal["answer", "conflict", "error"]


class Outcome(NamedTuple):
    """What came of a call.

    Attributes:
        kind: It answered, raised ``SessionConflictError``, or raised something else.
        answer: What it answered, without revisions; None otherwise.
        text: The same for people.
        error: What it raised, if it did so in this process.
        revision: The revision that it gave; None if that does not travel between processes.
    """

    kind: Kind
    answer: Any = None
    text: str | None = None
    error: BaseException | None = None
    revision: Any = None


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


def seen_by(op: Op, seen: Mapping[str, Any]) -> Any:
    """Return the revision that *op*, which has answered, gave."""
    return seen[op.args[0]] if op.method == "read_with_revision" else None


async def perform(storage: Any, op: Op, seen: dict[str, Any]) -> Any:
    """Do *op* in this task; what is read with its revision is remembered in *seen*."""
    answer = op.call(storage, seen)
    if is_awaitable(answer):
        answer = await answer
    if op.method in LISTINGS:
        answer = [item async for item in each_of(answer)]
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
    return _without_none(op, dict(answer)) if op.method == "read_many" else answer


def _listed(op: Op, items: Iterable[Any]) -> Any:
    listed = list(items)
    keys = listed if op.method == "iter_keys" else [key for key, _ in listed]
    twice = [key for key, times in Counter(keys).items() if times > 1]
    if twice:
        msg = f"{op.method}() gave {', '.join(map(repr, twice))} more than once"
        raise ValueError(msg)
    return sorted(listed) if op.method == "iter_keys" else _without_none(op, dict(listed))


def _without_none(op: Op, found: dict[str, Any]) -> dict[str, Any]:
    missing = [key for key, value in found.items() if value is None]
    if missing:
        msg = f"{op.method}() gave None under {', '.join(map(repr, missing))}: leave it out"
        raise ValueError(msg)
    return found
