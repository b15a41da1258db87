"""What commands print: for people, for pipes, and as JSON for programs."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, Final, Protocol

from sessionkit.codecs import JSONCodec

ENTRY_POINTS: Final = "sessionkit.looks"
_EVERY: Final = 0.2
_encode: Final = JSONCodec().encode


class Looks(Protocol):
    """How things are shown in a terminal; the extra ``cli`` brings colours."""

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table; all columns but the last are short, and to the right."""
        ...

    def value(self, text: str) -> None:
        """Print JSON text of several lines."""
        ...

    def status(self, text: str) -> None:
        """Replace the line of progress; an empty text removes it."""
        ...


class Output:
    """Where a command prints to.

    Results go to standard output, everything else to standard error.

    Args:
        as_json: Whether results are for programs.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._is_terminal = _is_terminal(sys.stdout)
        self.shows_progress = _is_terminal(sys.stderr)
        self._looks: Looks = _looks() if self._is_terminal else Plain()

    def line(self, text: str) -> None:
        """Print a line of the result."""
        sys.stdout.write(f"{text}\n")

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print rows: aligned under headers in a terminal, else with tabs between."""
        if self._is_terminal:
            self._looks.table(headers, rows)
        else:
            for row in rows:
                self.line("\t".join(row))

    def json(self, value: Any) -> None:
        """Print one value of JSON in one line."""
        sys.stdout.write(_encode(value).decode() + "\n")

    def value(self, value: Any) -> None:
        """Print stored data, in a terminal over several lines."""
        if self.as_json or not self._is_terminal:
            self.json(value)
        else:
            self._looks.value(pretty(value))

    def note(self, text: str) -> None:
        """Tell people something beside the result."""
        sys.stdout.flush()
        print(text, file=sys.stderr)  # noqa: T201

    def progress(self, verb: str, total: int | None = None) -> Progress:
        """Return what shows how far a command is; nothing unless somebody looks."""
        looks = self._looks if self._is_terminal else Plain()
        return Progress(verb, total, looks.status if self.shows_progress else None)


class Progress:
    """How many were done, how fast, and how long the rest will take."""

    def __init__(self, verb: str, total: int | None, show: Any) -> None:
        self._verb = verb
        self._total = total
        self._show = show
        self._done = 0
        self._begun = self._shown = time.monotonic()
        self._is_shown = False

    def add(self, number: int) -> None:
        """Note that so many more were done."""
        self._done += number
        now = time.monotonic()
        if self._show is not None and now - self._shown > _EVERY:
            self._shown, self._is_shown = now, True
            self._show(self.text(now - self._begun))

    def end(self) -> None:
        """Remove the line."""
        if self._is_shown:
            self._show("")

    def text(self, seconds: float) -> str:
        """Return the line after so many *seconds*."""
        rate = self._done / seconds if seconds > 0 else 0.0
        text = f"{self._verb} {self._done:,}"
        if self._total:
            text += f" of {self._total:,} ({min(100, 100 * self._done // self._total)} %)"
        text += f", {rate:,.0f}/s"
        if self._total and rate:
            text += f", {span(max(0.0, self._total - self._done) / rate)} left"
        return text


class Plain:
    """Looks without colours, with nothing but the standard library."""

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print columns aligned to the right, but for the last."""
        lines = [headers, *rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)][:-1]
        for line in lines:
            cells = [cell.rjust(width) for cell, width in zip(line, widths, strict=False)]
            sys.stdout.write("  ".join([*cells, line[-1]]) + "\n")

    def value(self, text: str) -> None:
        """Print the text as it is."""
        sys.stdout.write(f"{text}\n")

    def status(self, text: str) -> None:
        """Write over the last line of the terminal."""
        width = shutil.get_terminal_size().columns - 1
        end = "" if text else "\r"
        sys.stderr.write(f"\r{text[:width]:<{width}}{end}")
        sys.stderr.flush()


def _looks() -> Looks:
    if os.environ.get("TERM") != "dumb":
        for entry in entry_points(group=ENTRY_POINTS):
            try:
                made: Looks = entry.load()()
            except ImportError:  # the extra was not installed
                continue
            return made
    return Plain()


def _is_terminal(stream: Any) -> bool:
    return stream is not None and stream.isatty()


def pretty(value: Any) -> str:
    """Return data as JSON for people; what JSON cannot hold as Python shows it."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=repr)


def shown(key: str) -> str:
    """Return *key* on one line, whatever is in it."""
    return key if key.isprintable() else key.encode("unicode_escape").decode("ascii")


def size(number: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "KB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 10 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def span(seconds: float) -> str:
    """Return a span of time for people: its two largest units."""
    for name, length, smaller, part in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if seconds >= length:
            return f"{seconds // length:.0f} {name} {seconds % length // part:.0f} {smaller}"
    return f"{seconds:.0f} s"


def until(expires: float | None, now: float) -> str:
    """Return when something expires, for people."""
    return "never" if expires is None else f"in {span(max(0.0, expires - now))}"


def iso(expires: float | None) -> str | None:
    """Return an instant as ISO text in UTC."""
    if expires is None:
        return None
    from datetime import UTC, datetime  # noqa: PLC0415 (only listings of what expires)

    return datetime.fromtimestamp(expires, UTC).isoformat(timespec="milliseconds")
