"""The usual mistakes of docs/storages.md are reported as the page says."""

from __future__ import annotations

import asyncio
import inspect
import re
from typing import Any

import pytest

from sessionkit.testing import BrokenPromise
from sessionkit.testing._asking import ask_for
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import promises
from sessionkit.testing._subject import Subject
from tests.test_docs import ROOT, blocks_of

PAGE = ROOT / "docs" / "storages.md"
HEADING = "### Usual mistakes"
NEXT = "### Optional capabilities"


def section() -> tuple[dict[str, Any], list[str]]:
    """What the section defines, and the outputs that it shows."""
    lines = PAGE.read_text("utf-8").splitlines()
    begin = lines.index(HEADING)
    end = lines.index(NEXT)
    defined: dict[str, Any] = {}
    shown: list[str] = []
    for block in blocks_of(PAGE):
        if block.language == "python" and "class DictStorage" in block.code:
            definition = block.code[: block.code.index("def open_storage")]
            exec(f"import json\n{definition}", defined)
        elif begin < block.line < end and block.language == "python":
            exec(block.code, defined)
        elif begin < block.line < end:
            shown.append(block.code.strip())
    return defined, shown


DEFINED, SHOWN = section()
CORRECT = {"DictStorage", "JSONStorage"}
MISTAKES = [name for name, kind in DEFINED.items() if inspect.isclass(kind) and name not in CORRECT]


def first_broken(kind: Any) -> str | None:
    """What is reported of the first promise that is broken."""

    def open_storage(namespace: str) -> Any:
        return kind(DEFINED["places"].setdefault(namespace, {}))

    with Subject(open_storage, damage=DEFINED["damage"]) as subject:
        for promise in promises():
            try:
                asyncio.run(ask_for(promise, subject))
            except LeftOut:
                continue
            except BrokenPromise as error:
                return re.sub(r" at 0x[0-9a-f]+", "", str(error))
    return None


def test_each_mistake_is_followed_by_its_report() -> None:
    assert len(MISTAKES) == len(SHOWN) >= 8


@pytest.mark.parametrize("number", range(len(MISTAKES)), ids=MISTAKES)
def test_a_mistake_is_reported_as_the_page_says(number: int) -> None:
    assert first_broken(DEFINED[MISTAKES[number]]) == SHOWN[number]


def test_without_a_mistake_nothing_is_reported() -> None:
    assert first_broken(DEFINED["JSONStorage"]) is None
