"""Two calls at once, what is stored before, and what may come of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from sessionkit.testing._broken import ALTERNATIVE
from sessionkit.testing._concurrency.model import CONFLICT, Model, Told
from sessionkit.testing._concurrency.ops import LISTINGS, STORED, Op, look, read, write
from sessionkit.testing._equal import alike
from sessionkit.testing._kinds import is_dict
from sessionkit.testing._show import show

FIRST: Final = 0
SECOND: Final = 1

Step: TypeAlias = tuple[int, Op]


@dataclass(frozen=True)
class Case:
    """Two calls at once.

    Attributes:
        first: Is stopped at each point that it comes to.
        second: Runs while the first one stands.
        stored: What is stored before: key to value.
        after: What the first side does at the end.
        expired: Keys under which a value is stored before that has expired.
    """

    first: Op
    second: Op
    stored: Mapping[str, Any]
    after: tuple[Op, ...] = ()
    expired: tuple[str, ...] = ()

    @property
    def methods(self) -> frozenset[str]:
        """The methods that it takes."""
        return frozenset(op.method for op in (self.first, self.second, *self.after))

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that it is about."""
        called = [key for op in (self.first, self.second) for key in op.keys]
        return tuple(dict.fromkeys([*self.stored, *self.expired, *called]))

    @property
    def before(self) -> list[Step]:
        """What is done before, one after the other."""
        steps = [(FIRST, write(key, value)) for key, value in self.stored.items()]
        sides = ((FIRST, self.first), (SECOND, self.second))
        return steps + [(who, look(op.args[0])) for who, op in sides if op.takes_seen]

    @property
    def then(self) -> list[Step]:
        """What is done after both calls, one after the other."""
        return [(FIRST, op) for op in self.after] + [(SECOND, read(key)) for key in self.keys]

    def with_keys(self, names: Mapping[str, str]) -> Case:
        """Return the same case with other keys."""
        return replace(
            self,
            first=self.first.with_keys(names),
            second=self.second.with_keys(names),
            stored={names[key]: value for key, value in self.stored.items()},
            after=tuple(op.with_keys(names) for op in self.after),
            expired=tuple(names[key] for key in self.expired),
        )

    def allowed(self) -> list[list[Told]]:
        """Return what may come of both calls and of what is done then: one list per order."""
        sides = ((FIRST, self.first), (SECOND, self.second))
        lists: list[list[Told]] = []
        for order in (sides, sides[::-1]):
            model = Model()
            for who, op in self.before:
                model.do(who, op)
            told = {who: model.do(who, op) for who, op in order}
            lists.append([told[FIRST], told[SECOND], *(model.do(*step) for step in self.then)])
        return lists

    def allows(self, told: Iterable[Told]) -> bool:
        """Return whether *told* is what may come of it."""
        found = self._of_these_keys(told)
        return any(alike(found, each) for each in self.allowed())

    def explain(self, told: Iterable[Told]) -> tuple[str, str]:
        """Return, for people, what was expected and what was got."""
        expected = [self._describe(each) for each in self.allowed()]
        return ALTERNATIVE.join(dict.fromkeys(expected)), self._describe(self._of_these_keys(told))

    def _of_these_keys(self, told: Iterable[Told]) -> list[Told]:
        # A storage serves many cases: what a listing says of other keys is no matter.
        ops = [self.first, self.second, *(op for _, op in self.then)]
        return [
            (kind, _only(self.keys, answer) if op.method in LISTINGS else answer)
            for op, (kind, answer) in zip(ops, told, strict=True)
        ]

    def _describe(self, told: list[Told]) -> str:
        steps = [("the first", self.first), ("the second", self.second)]
        steps += [("then", op) for _, op in self.then]
        parts = [_describe(who, op, each) for (who, op), each in zip(steps, told, strict=True)]
        return ", ".join(part for part in parts if part)


def _only(keys: Iterable[str], answer: Any) -> Any:
    if is_dict(answer):
        return {key: answer[key] for key in keys if key in answer}
    return sorted(key for key in answer if key in keys)


def _describe(who: str, op: Op, told: Told) -> str:
    if told == CONFLICT:
        return f"{who} is refused"
    if told[1] == STORED:
        return f"{who} goes through"
    if told[1] is None and not op.method.startswith("read"):
        return ""
    call = f"{op.method}({show(op.args[0])})" if op.args else f"{op.method}()"
    return f"{call} gives {show(told[1])}"
