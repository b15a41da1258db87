"""Whether an order explains a history, and where that ends."""

from __future__ import annotations

from collections.abc import Collection, Generator, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any, Final

from sessionkit.testing._equal import alike
from sessionkit.testing._linearizable.operation import ANY_REVISION, GIVING, SILENT, Operation
from sessionkit.testing._linearizable.picture import as_page, as_svg
from sessionkit.testing._linearizable.search import HistoryTooLargeError, explain
from sessionkit.testing._linearizable.timeline import as_text
from sessionkit.testing._show import show

_RECENT: Final = 30
"""How many operations before an answer that does not fit are looked at one by one."""


_STORING: Final = frozenset({"write", "write_if", "delete"})


@dataclass(frozen=True)
class Violation:
    """Answers that no order of the operations explains.

    Attributes:
        key: The key that they are about.
        window: The fewest operations that show it, in the order in which they were called:
            whatever became of others of late, these do not fit together.  Those are among
            them that wrote what was read, or could have been.
        culprit: The first answer with which there was no order any more; one of the window.
        explained: What was answered before, as far as it belongs to the window, in an order
            that explains it.
        allowed: For people, what the culprit could have given.
    """

    key: Hashable
    window: tuple[Operation, ...]
    culprit: Operation
    explained: tuple[Operation, ...]
    allowed: tuple[str, ...]

    def __str__(self) -> str:
        return as_text(self.window, self.culprit, self.explained, self.allowed)

    def as_svg(self) -> str:
        """Return a picture of the window, to be put into a page."""
        return as_svg(self.window, self.culprit, self.explained, self.allowed)


@dataclass(frozen=True)
class Linearization:
    """What ``linearizable`` found; true if an order explains the history.

    Attributes:
        orders: For each key an order of its operations that explains all answers; operations
            of which it is unknown whether they took effect are in it if they must have.
            Empty if there is a key without one.
        violation: The first answer that nothing explains; None if there is none.
    """

    orders: Mapping[Hashable, tuple[Operation, ...]] = field(repr=False)
    violation: Violation | None = None

    @property
    def ok(self) -> bool:
        """Whether an order explains the history."""
        return self.violation is None

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        if self.violation is None:
            return f"An order explains all answers (keys: {len(self.orders)})."
        head = f"No order of the calls explains what was answered of key {show(self.violation.key)}"
        return f"{head}.\n\n{self.violation}"

    def as_html(self) -> str:
        """Return a page of its own with a picture of the violation: nothing is loaded."""
        head = escape(str(self).partition("\n")[0])
        picture = "" if self.violation is None else self.violation.as_svg()
        return as_page("Linearizability", f"<p>{head}</p>\n{picture}")


def linearizable(
    history: Iterable[Operation], *, ttl: float | None = None, now: float = 0.0
) -> Linearization:
    """Tell whether each operation can have taken effect at one instant between call and answer.

    The search is exact: if there is an order that explains all answers, it is found.  Keys are
    looked at one by one, which is enough.  Nothing is stored at the beginning.  Times that are
    equal count as overlapping.  Everything that may have changed a key has to be in the
    history, and each revision that is expected must have come from an operation in it.

    Args:
        history: The operations of all clients, in any order.
        ttl: Seconds after its last write or touch, after which the storage lets a value
            without an expiry of its own expire.
        now: What the fake clock shows at the beginning, if there are expiries.

    Raises:
        HistoryTooLargeError: Too many operations of one key overlap to try all orders.
    """
    return judge(history, ttl=ttl, now=now)


def judge(
    history: Iterable[Operation], *, ttl: float | None, now: float, whole: bool = False
) -> Linearization:
    """Do the same; with *whole* a window has all operations of the key, up to the culprit."""
    asking = _Judge(ttl, now)
    orders: dict[Hashable, tuple[Operation, ...]] = {}
    violations: list[Violation] = []
    for key, operations in _by_key(history):
        order = asking.order(operations)
        if order is None:
            violations.append(asking.violation(key, operations, whole=whole))
        else:
            orders[key] = tuple(order)
    if violations:
        return Linearization({}, min(violations, key=lambda each: each.culprit.end))
    return Linearization(orders)


def _by_key(
    history: Iterable[Operation],
) -> Generator[tuple[Hashable, list[Operation]], None, None]:
    listed = list(history)
    passing = [each for each in listed if each.op == "advance"]
    for key in dict.fromkeys(each.key for each in listed if each.op != "advance"):
        own = [each for each in listed if each.key == key and each.op != "advance"]
        yield key, [*own, *passing]


class _Judge:
    """Asks again and again, for a little less each time."""

    def __init__(self, ttl: float | None, now: float) -> None:
        self._ttl = ttl
        self._now = now

    def order(
        self, operations: Sequence[Operation], loose: Collection[Operation] = ()
    ) -> list[Operation] | None:
        return explain(operations, loose=loose, ttl=self._ttl, now=self._now)

    def violation(
        self, key: Hashable, operations: Sequence[Operation], *, whole: bool
    ) -> Violation:
        known, culprit = self._first_failure(operations)
        allowed = self._allowed(known, culprit)
        if whole:
            window = sorted(known, key=lambda each: each.called)
        else:
            core = [*self._core(known, culprit), culprit]
            window = _with_origins(core, [other for _, other in allowed], known)
        before = self.order([each for each in known if each is not culprit])
        then = [each for each in operations if each.called <= culprit.end]
        ended_as = {id(each): ended for each, ended in zip(known, then, strict=True)}

        def as_it_ended(some: Iterable[Operation]) -> tuple[Operation, ...]:
            return tuple(ended_as[id(each)] for each in some)

        return Violation(
            key,
            as_it_ended(window),
            culprit,
            as_it_ended(each for each in before or () if _is_in(each, window)),
            tuple(text for text, _ in allowed),
        )

    def _first_failure(self, operations: Sequence[Operation]) -> tuple[list[Operation], Operation]:
        """Return what had been called when the first answer came that does not fit, and that."""
        answers = sorted(
            (each for each in operations if each.end < float("inf")), key=lambda each: each.end
        )
        fits, fails = 0, len(answers)
        while fails - fits > 1:
            middle = (fits + fails) // 2
            if self._fails(_up_to(operations, answers[:middle])):
                fails = middle
            else:
                fits = middle
        return _up_to(operations, answers[:fails]), answers[fails - 1]

    def _core(self, operations: Sequence[Operation], culprit: Operation) -> list[Operation]:
        """Return the fewest operations that do not fit, whatever became of others of late."""
        others = [
            each
            for each in sorted(operations, key=lambda each: each.called)
            if each.fate != "unknown" and each.op != "advance" and each is not culprit
        ]
        loose: list[Operation] = []
        core = others[-_RECENT:]
        for each in sorted(core, key=lambda each: each.op not in GIVING):
            if self._fails(operations, [*loose, each]):
                loose.append(each)
                core.remove(each)
        return core

    def _allowed(
        self, operations: Sequence[Operation], culprit: Operation
    ) -> list[tuple[str, Operation]]:
        """Return what would have fitted in the place of the culprit, first what came last."""
        rest = [each for each in operations if each is not culprit]
        return [
            (text, other)
            for text, other in _alternatives(culprit, operations[-_RECENT:])
            if not self._fails([*rest, other])
        ]

    def _fails(self, operations: Sequence[Operation], loose: Collection[Operation] = ()) -> bool:
        try:
            return self.order(operations, loose) is None
        except HistoryTooLargeError:
            return False


def _up_to(operations: Sequence[Operation], answers: Sequence[Operation]) -> list[Operation]:
    """Return what was known when the last of *answers* came."""
    now = answers[-1].end if answers else 0.0
    return [
        each if _is_in(each, answers) or each.fate == "unknown" else _unanswered(each)
        for each in operations
        if each.called <= now
    ]


def _unanswered(operation: Operation) -> Operation:
    return replace(operation, fate="unknown", result=None, answered=None)


def _is_in(one: Operation, operations: Collection[Operation]) -> bool:
    return any(each is one for each in operations)


def _with_origins(
    shown: list[Operation], possible: Sequence[Operation], operations: Sequence[Operation]
) -> list[Operation]:
    """Add where the values and revisions come from that *shown* ones know, or could have.

    What must not be noticed and was under way meanwhile is added, too: it may be to blame.
    """
    for each in shown:  # grows meanwhile
        shown += _origins(each, shown, operations)
    for each in possible:
        shown += _origins(each, shown, operations)
    silent = [each for each in operations if each.op in SILENT and not _is_in(each, shown)]
    shown += [each for each in silent if any(_overlap(each, other) for other in shown)]
    first = min(each.called for each in shown)
    shown += [each for each in operations if each.op == "advance" and each.called > first]
    return sorted(shown, key=lambda each: each.called)


def _origins(
    one: Operation, shown: Sequence[Operation], operations: Sequence[Operation]
) -> list[Operation]:
    found = [each for each in operations if _is_origin(each, one)]
    return [] if any(_is_in(each, shown) for each in found) else found[-1:]


def _overlap(one: Operation, other: Operation) -> bool:
    return one.called <= other.end and other.called <= one.end


def _is_origin(one: Operation, of: Operation) -> bool:
    if one.called > of.end or one is of:
        return False
    if of.op in ("read", "read_with_revision") and of.fate == "answered":
        value = of.result[0] if of.op == "read_with_revision" else of.result
        return one.op in _STORING and alike(one.args[0] if one.args else None, value)
    if of.op == "write_if" and one.op == "read_with_revision" and one.fate == "answered":
        return one.result[1] is not None and one.result[1] == of.args[1]
    return False


def _alternatives(
    culprit: Operation, operations: Sequence[Operation]
) -> Generator[tuple[str, Operation], None, None]:
    if culprit.op == "write_if":
        refused = culprit.fate == "refused"
        yield (
            "have gone through" if refused else "have been refused",
            replace(culprit, fate="answered" if refused else "refused", result=None),
        )
    elif culprit.op in ("has", "touch"):
        other = not culprit.result
        yield f"have given {other}", replace(culprit, result=other)
    else:
        looks = culprit.op == "read_with_revision"
        for value in _values(operations):
            text = f"have given {show(value)}{' and its revision' if looks else ''}"
            yield text, replace(culprit, result=(value, ANY_REVISION) if looks else value)


def _values(operations: Sequence[Operation]) -> list[Any]:
    values: list[Any] = [None]
    for each in operations:
        writes = each.op in ("write", "write_if")
        if writes and not any(alike(each.args[0], known) for known in values):
            values.append(each.args[0])
    return values
