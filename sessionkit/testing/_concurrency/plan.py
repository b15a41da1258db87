"""Small histories of calls at once, drawn at random: who calls what, and who is paused where."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from sessionkit.testing._ops import Op, look, write_if

if TYPE_CHECKING:
    from random import Random

CLIENTS: Final = 3
KEYS: Final = ("1", "2")


class Begin(NamedTuple):
    """A client begins a call, up to a point of it; None: it does not stop."""

    who: int
    op: Op
    stop: int | None = None


class GoOn(NamedTuple):
    """The paused client goes on."""

    who: int


Moves: TypeAlias = tuple[Begin | GoOn, ...]


@dataclass(frozen=True)
class Plan:
    """A history to be tried.

    Attributes:
        moves: What is done, one after the other; a client that is paused at the end goes on.
        stored: The keys under which something is stored before.
        expired: The keys under which something is stored before that has expired.
    """

    moves: Moves
    stored: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()

    @property
    def keys(self) -> list[str]:
        """The keys that it is about."""
        called = [key for move in self.moves if isinstance(move, Begin) for key in move.op.keys]
        return sorted({*called, *self.stored, *self.expired})

    def shorter(self) -> Generator[Plan, None, None]:
        """Yield what is left without one move, one stop, or one thing that is stored."""
        for number, move in enumerate(self.moves):
            rest = self.moves[:number] + self.moves[number + 1 :]
            if isinstance(move, Begin) and move.stop is not None:
                yield replace(self, moves=_without_waiting(self.moves, number))
            if _is_possible(rest):
                yield replace(self, moves=rest)
        for key in self.stored:
            yield replace(self, stored=tuple(other for other in self.stored if other != key))
        for key in self.expired:
            yield replace(self, expired=tuple(other for other in self.expired if other != key))


def _without_waiting(moves: Moves, number: int) -> Moves:
    begun = moves[number]
    assert isinstance(begun, Begin)
    return (*moves[:number], begun._replace(stop=None), *moves[number + 1 :])


def _is_possible(moves: Iterable[Begin | GoOn]) -> bool:
    """Return whether every client has looked at the revisions that it needs."""
    seen: set[tuple[int, str]] = set()
    for move in moves:
        if isinstance(move, Begin):
            if move.op.takes_seen and (move.who, move.op.args[0]) not in seen:
                return False
            if move.op.method == "read_with_revision":
                seen.add((move.who, move.op.args[0]))
    return True


class Pair(NamedTuple):
    """Two calls at once.

    Attributes:
        first: Is paused at each point that it comes to.
        second: Runs while the first one is paused.
        stored: The keys under which something is stored before.
        after: What the first client does at the end.
        expired: Keys under which a value is stored before that has expired.
    """

    first: Op
    second: Op
    stored: tuple[str, ...]
    after: tuple[Op, ...] = ()
    expired: tuple[str, ...] = ()

    @property
    def methods(self) -> frozenset[str]:
        """The methods that it takes."""
        return frozenset(op.method for op in (self.first, self.second, *self.after))

    def plan(self, stop: int | None = None) -> Plan:
        """Return the history in which the first call is paused at point number *stop*."""
        calls = enumerate((self.first, self.second))
        looks = [Begin(who, look(op.keys[0])) for who, op in calls if op.takes_seen]
        meeting = (Begin(0, self.first, stop), Begin(1, self.second), GoOn(0))
        after = [Begin(0, op) for op in self.after]
        return Plan((*looks, *meeting, *after), self.stored, self.expired)


_CHANGES: Final = ("write", "write", "delete", "delete", "write_if", "write_if", "write_many")
_LOOKS: Final = ("read", "read", "read", "read_with_revision", "has", "read_many")
_USUAL: Final = frozenset({"read", "write", "delete", "read_with_revision", "write_if"})
_LEAVES_DATA: Final = frozenset({*_LOOKS, "touch", "purge_expired"})

_THEN: Final = {"read_with_revision": "write_if"}
"""What shows whether a call was right."""


class Lead(NamedTuple):
    """A call in which a client is paused while the others call.

    Attributes:
        method: What is called.
        stop: The number of the point where it is paused.
        expired: Whether what is stored has expired.
    """

    method: str
    stop: int
    expired: bool = False


class Draw:
    """Draws plans: one client is paused in a call while others call, mostly once or twice.

    Args:
        random: Where the luck comes from.
        methods: The methods that the storage has.
        leads: Where to pause.
    """

    def __init__(self, random: Random, methods: Collection[str], leads: Sequence[Lead]) -> None:
        self._random = random
        self._changes = [name for name in _CHANGES if name in methods]
        self._looks = [name for name in _LOOKS if name in methods]
        self._leads = [*leads]
        self._stops: dict[str, list[int]] = {name: [] for name in methods}
        for lead in leads:
            self._stops[lead.method].append(lead.stop)
        self._values = itertools.count(10)

    def plans(self, count: int) -> Generator[Plan, None, None]:
        """Yield so many plans, in which each lead has its turn, first the usual ones."""
        leads: list[Lead] = []
        for _ in range(count):
            if not leads:
                leads = self._random.sample(self._leads, len(self._leads))
                leads.sort(key=lambda lead: lead.method in _USUAL and not lead.expired)
            yield self._plan(leads.pop())

    def _plan(self, lead: Lead) -> Plan:
        stored = tuple(key for key in KEYS if not lead.expired and self._chance(0.75))
        first = self._calls(0, KEYS[0], lead.method, stored, lead.stop)
        keys = KEYS if self._chance(0.25) else KEYS[:1]
        rest = [
            [move for method in methods for move in self._call(who, method, keys, stored)]
            for who, methods in enumerate(self._programs(lead), 1)
        ]
        moves = [*first, *self._mixed(rest)]
        moves.insert(self._place(len(first), moves), GoOn(0))
        if self._chance(0.5):
            then = _THEN.get(lead.method, "read")
            moves += self._calls(0, KEYS[0], then, stored)
        early = [move for move in moves if self._is_early(move)]
        late = [move for move in moves if move not in early]
        return Plan((*early, *late), stored, KEYS[:1] if lead.expired else ())

    def _programs(self, lead: Lead) -> list[list[str]]:
        """Return what the others call meanwhile: they change what is there, or look repeatedly.

        Who looks twice may see something new, and then something old.
        """
        choice = self._random.choice
        if lead.method in _LEAVES_DATA or self._chance(0.6):
            changes = [choice(self._changes) for _ in range(choice((1, 1, 2)))]
            return [changes, [choice(self._looks if self._chance(0.7) else self._changes)]]
        looks = [choice(self._looks) for _ in range(choice((2, 3)))]
        return [looks[:-1], looks[-1:]]

    def _place(self, least: int, moves: Sequence[Any]) -> int:
        """Return when the paused one goes on: mostly at the end."""
        return len(moves) if self._chance(0.8) else self._random.randint(least, len(moves))

    def _mixed(self, programs: list[list[Begin]]) -> Generator[Begin | GoOn, None, None]:
        """Yield the calls of the others: mostly of the one, and then of the other."""
        in_turn = self._chance(0.6)
        while programs := [each for each in programs if each]:
            program = programs[0] if in_turn else self._random.choice(programs)
            begun = program.pop(0)
            yield begun
            if begun.stop is not None and self._chance(0.5):
                yield GoOn(begun.who)

    def _call(
        self, who: int, method: str, keys: Sequence[str], stored: Collection[str]
    ) -> list[Begin]:
        stops = self._stops[method]
        stop = self._random.choice(stops) if stops and self._chance(0.2) else None
        return self._calls(who, self._random.choice(keys), method, stored, stop)

    def _calls(
        self, who: int, key: str, method: str, stored: Collection[str], stop: int | None = None
    ) -> list[Begin]:
        op = self._op(method, key, is_stored=key in stored)
        looks = [Begin(who, look(key))] if op.takes_seen else []
        return [*looks, Begin(who, op, stop)]

    def _is_early(self, move: Begin | GoOn) -> bool:
        """Return whether a look comes before all else: then what it saw may be old."""
        if isinstance(move, GoOn) or move.op.method != "read_with_revision":
            return False
        return move.stop is None and self._chance(0.5)

    def _op(self, method: str, key: str, *, is_stored: bool) -> Op:
        value = {"n": next(self._values)}
        if method == "write_if":
            if not is_stored and self._chance(0.5):
                return write_if(key, value, None)
            return write_if(key, None if self._chance(0.25) else value)
        args: dict[str, tuple[Any, ...]] = {
            "write": (key, value),
            "write_many": (dict.fromkeys(self._keys(key), value),),
            "read_many": (self._keys(key),),
            "purge_expired": (),
        }
        return Op(method, args.get(method, (key,)))

    def _keys(self, key: str) -> list[str]:
        return [key] if self._chance(0.5) else list(KEYS)

    def _chance(self, likely: float) -> bool:
        return self._random.random() < likely
