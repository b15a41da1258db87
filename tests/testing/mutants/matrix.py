"""Which promises catch which mutants: the kill matrix of docs/storage-kit.md."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from sessionkit.testing import BrokenPromise
from sessionkit.testing._asking import ask_for
from sessionkit.testing._machine import search
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import promises
from tests.testing.mutants.registry import TOPICS, Mutant, mutants
from tests.testing.reference import promise_named

PAGE: Final = Path(__file__).parents[3] / "docs" / "storage-kit.md"
TABLE: Final = tuple(promise.name for promise in promises() if promise.layer == "table")

_HEADING: Final = "## The kill matrix"
_MOST: Final = 4
_ROW: Final = re.compile(r"\| `(?P<mutant>\w+)` \|[^|]*\|(?P<promises>[^|]*)\|")


def do_not_shorten() -> None:
    """Let the machine stop at the first history that fails, however long it is."""
    search.SHRINKING = 0.0  # type: ignore[misc]  # for this process only


def catching(mutant: Mutant, names: Iterable[str], *, seed: int = 0) -> set[str]:
    """Return those of the named promises that *mutant* breaks, each of them asked by itself."""
    return {name for name in names if asyncio.run(_breaks(mutant, name, seed))}


async def _breaks(mutant: Mutant, name: str, seed: int) -> bool:
    with mutant.subject(seed=seed) as subject:
        try:
            await ask_for(promise_named(name), subject)
        except LeftOut:
            return False
        except BrokenPromise:
            return True
    return False


def rendered() -> str:
    """Return the kill matrix as Markdown; asks each mutant for the whole table."""
    lines: list[str] = []
    for topic, heading in TOPICS.items():
        lines += [
            "",
            f"### {heading}",
            "",
            "| storage | its mistake | caught by |",
            "|---|---|---|",
        ]
        lines += [_row(mutant) for mutant in mutants() if mutant.topic == topic]
    return "\n".join([*lines, ""])


def _row(mutant: Mutant) -> str:
    found = catching(mutant, TABLE)
    others = [name for name in TABLE if name in found and name not in mutant.caught_by]
    named = [f"**{name}**" for name in mutant.caught_by] + others[:_MOST]
    more = [f"and {len(others) - _MOST} more"] if len(others) > _MOST else []
    mistake = mutant.mistake.replace("|", "\\|")
    return f"| `{mutant.name}` | {mistake} | {', '.join([*named, *more])} |"


def write_page() -> None:
    """Put the kill matrix into the page: it is the last section."""
    text = PAGE.read_text("utf-8")
    before, heading, rest = text.partition(_HEADING)
    introduction = rest.partition("\n### ")[0].rstrip()
    PAGE.write_text(f"{before}{heading}{introduction}\n{rendered()}", "utf-8")


def documented() -> Iterator[tuple[str, list[str]]]:
    """Yield the mutants of the page, and the promises that are said to catch them."""
    section = PAGE.read_text("utf-8").partition(_HEADING)[2]
    for row in _ROW.finditer(section):
        listed = [part.strip() for part in row["promises"].split(",")]
        yield row["mutant"], [part for part in listed if not part.startswith("and ")]
