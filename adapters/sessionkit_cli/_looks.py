"""Tables, data and progress, by rich: it knows the terminal's width and colours, and NO_COLOR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

if TYPE_CHECKING:
    from rich.status import Status

_FIGURES: Final = "magenta"
"""Cyan, which rich gives to numbers, can hardly be read on white."""


class RichLooks:
    """How the command line shows things in a terminal."""

    def __init__(self) -> None:
        self._console = Console(theme=Theme({"json.number": _FIGURES}))
        self._errors = Console(stderr=True)
        self._status: Status | None = None

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table; long keys go on in the next line."""
        table = Table(box=None, header_style="bold", pad_edge=False)
        for header in headers[:-1]:
            table.add_column(header, justify="right", style=_FIGURES, no_wrap=True)
        table.add_column(headers[-1], overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        self._console.print(table)

    def value(self, text: str) -> None:
        """Print JSON text, coloured."""
        self._console.print_json(text)

    def status(self, text: str) -> None:
        """Show how far a command is; an empty text removes that."""
        if not text and self._status is not None:
            self._status.stop()
            self._status = None
        elif self._status is not None:
            self._status.update(text)
        elif text:
            self._status = self._errors.status(text)
            self._status.start()
