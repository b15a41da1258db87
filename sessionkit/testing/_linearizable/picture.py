"""A window of a history as a picture: SVG in a page that loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from sessionkit.testing._linearizable.operation import Operation
from sessionkit.testing._linearizable.timeline import Bar, Chart, chart, columns, conclusion

_CHAR: Final = 7.3
_GAP: Final = 20
_ROW: Final = 76
_BAR: Final = 46
_TOP: Final = 30
_DOT: Final = 9
_LONGEST: Final = 26

_STYLE: Final = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1c2430; --soft: #5b6675;
  --line: #d5dbe3; --lane: #f5f7fa; --bar: #d9e7fb; --edge: #4a7dc4; --bad: #fbdcdc;
  --bad-edge: #c62f2f; --way: #2e7d4f; --on-way: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --page: #14181f; --ink: #e6eaf0; --soft: #9aa6b5;
  --line: #333c49; --lane: #1b212a; --bar: #23405f; --edge: #7fb0ee; --bad: #5a2327;
  --bad-edge: #ff8080; --way: #6fd39b; --on-way: #10151b; } }
body { background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
pre { background: var(--lane); border: 1px solid var(--line); border-radius: 6px;
  overflow-x: auto; padding: .8rem 1rem; font-size: 13px; }
figcaption { color: var(--soft); }
figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; }
figure strong { color: var(--bad-edge); }
svg text { fill: var(--ink);
  font: 12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
svg .client { font-weight: 600; } svg text.time { fill: var(--soft); }
svg .lane { fill: var(--lane); } svg .arrow { stroke: var(--soft); fill: none; }
svg .bar { fill: var(--bar); stroke: var(--edge); stroke-width: 1.5; }
svg .bad { fill: var(--bad); stroke: var(--bad-edge); stroke-width: 2.5; }
svg .open { stroke-dasharray: 5 4; }
svg .way { fill: none; stroke: var(--way); stroke-width: 2; stroke-dasharray: 3 4; }
svg .dot { fill: var(--way); } svg .cross { fill: var(--bad-edge); }
svg .number { fill: var(--on-way); font-weight: 700; text-anchor: middle; }
"""


def as_page(title: str, body: str) -> str:
    """Return a page of HTML that needs nothing else, for light and for dark screens."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def as_svg(
    window: Sequence[Operation],
    culprit: Operation,
    explained: Sequence[Operation],
    allowed: Sequence[str],
) -> str:
    """Return the window as a figure: a row for each client, a bar for each call.

    Numbers mark an order that explains what was answered before; a cross marks what fits
    nowhere.
    """
    shown = chart(window)
    picture = _Picture(shown)
    parts = [*picture.lanes(), *(picture.bar(bar, culprit) for bar in shown.bars)]
    parts += picture.way(explained)
    parts += [picture.cross(bar) for bar in shown.bars if bar.operation is culprit]
    size = f'viewBox="0 0 {picture.width:.0f} {picture.height:.0f}" width="{picture.width:.0f}"'
    label = escape("; ".join(conclusion(culprit, explained, allowed)))
    drawn = "\n".join(parts)
    return (
        f'<figure>\n<svg xmlns="http://www.w3.org/2000/svg" {size} '
        f'role="img" aria-label="{label}">\n{drawn}\n</svg>\n'
        f"<figcaption>{_caption(culprit, explained, allowed)}</figcaption>\n</figure>"
    )


def _caption(culprit: Operation, explained: Sequence[Operation], allowed: Sequence[str]) -> str:
    *_, last = conclusion(culprit, explained, allowed)
    before = (
        "Each bar is a call, from its beginning to its answer. It takes effect at one instant "
        "in between."
    )
    order = " The numbers are an order that explains what was answered before." * bool(explained)
    return f"<strong>{escape(last)}</strong><br>{before}{order}"


class _Picture:
    """Where everything is."""

    def __init__(self, shown: Chart) -> None:
        self._shown = shown
        self._margin = max(map(len, shown.rows)) * _CHAR + 24
        self._at = columns(shown, lambda bar: max(map(len, _label(bar))) * _CHAR + 24, _GAP)
        self.width = self._margin + self._at[-1] + 24
        self.height = _TOP + len(shown.rows) * _ROW + 6

    def lanes(self) -> list[str]:
        """Return the rows with the names of the clients, and an arrow for the time."""
        left = self._margin - 8
        lanes = [
            f'<rect class="lane" x="0" y="{self._top(row) - 8}" width="{self.width:.0f}" '
            f'height="{_ROW - 6}" rx="6"/><text class="client" x="10" '
            f'y="{self._top(row) + 27}">{escape(name)}</text>'
            for row, name in enumerate(self._shown.rows)
        ]
        end = self.width - 12
        arrow = (
            f'<text class="time" x="10" y="16">time</text><path class="arrow" '
            f'd="M {left:.0f} 12 H {end:.0f} m -7 -4 l 7 4 l -7 4"/>'
        )
        return [*lanes, arrow]

    def bar(self, bar: Bar, culprit: Operation) -> str:
        """Return one call."""
        kind = "bar bad" if bar.operation is culprit else "bar open" if bar.is_open else "bar"
        x, y = self._x(bar.start), self._top(bar.row)
        width = self._x(bar.end) - x - 4
        full = escape(f"{bar.operation.client}: {bar.operation}")
        call, outcome = _label(bar)
        return (
            f'<g><title>{full}</title><rect class="{kind}" x="{x:.1f}" y="{y}" '
            f'width="{width:.1f}" height="{_BAR}" rx="7"/>'
            f'<text x="{x + 10:.1f}" y="{y + 18}">{escape(call)}</text>'
            f'<text class="time" x="{x + 10:.1f}" y="{y + 34}">{escape(outcome)}</text></g>'
        )

    def way(self, explained: Sequence[Operation]) -> list[str]:
        """Return the numbers of an order, each within its call and after the one before."""
        points: list[tuple[float, float]] = []
        x = 0.0
        for each in explained:
            bar = next(bar for bar in self._shown.bars if bar.operation is each)
            x = max(x + 2 * _DOT, self._x(bar.start) + 2 * _DOT)
            x = min(x, self._x(bar.end) - _DOT)
            points.append((x, self._top(bar.row) + _BAR))
        path = " L ".join(f"{x:.1f} {y:.1f}" for x, y in points)
        lines = [f'<path class="way" d="M {path}"/>'] if len(points) > 1 else []
        return [*lines, *(_dot("dot", *point, str(n)) for n, point in enumerate(points, 1))]

    def cross(self, bar: Bar) -> str:
        """Return the mark of what fits nowhere."""
        return _dot("cross", self._x(bar.end) - 4, self._top(bar.row), "\N{MULTIPLICATION SIGN}")

    def _x(self, event: int) -> float:
        return self._margin + self._at[event]

    def _top(self, row: int) -> int:
        return _TOP + row * _ROW


def _dot(kind: str, x: float, y: float, text: str) -> str:
    return (
        f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{_DOT}"/>'
        f'<text class="number" x="{x:.1f}" y="{y + 4:.1f}">{text}</text>'
    )


def _label(bar: Bar) -> tuple[str, str]:
    return _short(bar.operation.call), _short(bar.operation.outcome)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
