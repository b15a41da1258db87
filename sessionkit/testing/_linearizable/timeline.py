"""A window of a history as text: a row for each client, time runs to the right."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from sessionkit.testing._linearizable.operation import Operation

_WIDEST: Final = 100
_MARK: Final = "  <- fits nowhere"


class Bar(NamedTuple):
    """An operation in its row.

    Attributes:
        operation: The operation.
        row: The number of its row.
        start: The number of the event with which it begins.
        end: The number of the event with which it ends.
        is_open: Whether it has not ended: it may take effect later.
    """

    operation: Operation
    row: int
    start: int
    end: int
    is_open: bool


class Chart(NamedTuple):
    """What is when, counted in events: calls and answers.

    Attributes:
        rows: The names of the rows; a client has more than one if its operations overlap.
        bars: The operations.
        events: How many events there are.
    """

    rows: tuple[str, ...]
    bars: tuple[Bar, ...]
    events: int


def chart(window: Sequence[Operation]) -> Chart:
    """Return when the operations of *window* begin and end, relative to each other."""
    times = sorted(
        [(each.called, 0, number) for number, each in enumerate(window)]
        + [(each.end, 1, number) for number, each in enumerate(window) if each.end < math.inf]
    )
    started = {number: event for event, (_, kind, number) in enumerate(times) if kind == 0}
    ended = {number: event for event, (_, kind, number) in enumerate(times) if kind == 1}
    rows: list[tuple[str, int]] = []
    bars: list[Bar] = []
    for number, each in sorted(enumerate(window), key=lambda pair: started[pair[0]]):
        start, end = started[number], ended.get(number, len(times))
        row = _row_of(rows, str(each.client), start, end)
        bars.append(Bar(each, row, start, end, number not in ended))
    return _in_order(rows, bars, len(times) + 1)


def _row_of(rows: list[tuple[str, int]], name: str, start: int, end: int) -> int:
    for number, (owner, busy_until) in enumerate(rows):
        if owner == name and busy_until < start:
            rows[number] = name, end
            return number
    rows.append((name, end))
    return len(rows) - 1


def _in_order(rows: Sequence[tuple[str, int]], bars: Sequence[Bar], events: int) -> Chart:
    """Sort the rows, so that those of one client are next to each other."""
    first = {name: number for number, (name, _) in reversed([*enumerate(rows)])}
    order = sorted(range(len(rows)), key=lambda number: (first[rows[number][0]], number))
    placed = [bar._replace(row=order.index(bar.row)) for bar in bars]
    return Chart(tuple(rows[number][0] for number in order), tuple(placed), events)


def columns(shown: Chart, width: Callable[[Bar], float], gap: float) -> list[float]:
    """Return the position of each event, so that each bar is as wide as it must be."""
    found = [0.0] * shown.events
    for event in range(1, shown.events):
        least = [found[event - 1] + gap]
        least += [found[bar.start] + width(bar) for bar in shown.bars if bar.end == event]
        found[event] = max(least)
    return found


def as_text(
    window: Sequence[Operation],
    culprit: Operation,
    explained: Sequence[Operation],
    allowed: Sequence[str],
) -> str:
    """Return the window as a picture of characters, and what is wrong with it."""
    shown = chart(window)
    lines = _drawn(shown, culprit, str)
    if max(map(len, lines)) > _WIDEST:
        numbers = {id(bar.operation): str(n) for n, bar in enumerate(shown.bars, 1)}
        lines = _drawn(shown, culprit, lambda each: numbers[id(each)])
        lines += ["", *(f"{n}: {_said(bar.operation)}" for n, bar in enumerate(shown.bars, 1))]
    return "\n".join([*lines, "", *conclusion(culprit, explained, allowed)])


def conclusion(
    culprit: Operation, explained: Sequence[Operation], allowed: Sequence[str]
) -> list[str]:
    """Return, line by line, what can be explained and what cannot."""
    lines: list[str] = []
    if explained:
        lines.append("What was answered before can be explained, in this order:")
        lines += [f"  {number}. {_said(each)}" for number, each in enumerate(explained, 1)]
    could = f": it could {' or '.join(allowed)}" if allowed else ""
    return [*lines, f"{_said(culprit)} fits nowhere{could}."]


def _said(operation: Operation) -> str:
    return f"{str(operation.client).strip()}: {operation}"


def _drawn(shown: Chart, culprit: Operation, label: Callable[[Operation], str]) -> list[str]:
    at = columns(shown, lambda bar: len(label(bar.operation)) + 6, 2)
    margin = max(map(len, shown.rows)) + 2
    lines = [[name.ljust(margin)] for name in shown.rows]
    marks = [""] * len(lines)
    for bar in shown.bars:
        width = int(at[bar.end] - at[bar.start]) - 1
        text = f"|- {label(bar.operation)} ".ljust(width, "-") + ("..." if bar.is_open else "|")
        line = lines[bar.row]
        line.append(" " * (margin + int(at[bar.start]) - sum(map(len, line))) + text)
        if bar.operation is culprit:
            marks[bar.row] = _MARK
    return ["".join(line) + mark for line, mark in zip(lines, marks, strict=True)]
