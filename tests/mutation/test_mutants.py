"""The list of mutants can be read, and what it lists is code."""

from __future__ import annotations

import ast

import pytest

from tests.mutation.__main__ import read
from tests.mutation.mutants import ROOT, Mutant, changes

SOURCE = """
def is_new(known, key, *, strict: bool = True):
    if strict and key not in known:
        raise KeyError(key)
    return len(known) + 1
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("strict and key not in known", "(strict) or (key not in known)"),
        ("key not in known", "(key) in (known)"),
        ("raise KeyError(key)", "pass"),
        ("True", "False"),
        ("return len(known) + 1", "return None"),
        ("len(known) + 1", "(len(known)) - (1)"),
        ("1", "2"),
    ],
)
def test_a_change_is_found_again_by_its_text(before: str, after: str) -> None:
    mutant = Mutant("a.py", "is_new", before, after, 1)

    assert mutant.apply(SOURCE) == SOURCE.replace(before, after, 1)
    assert mutant.apply(SOURCE.replace("is_new", "is_old")) is None
    assert mutant.apply(SOURCE.replace(before, "other")) is None


def test_nothing_else_is_changed() -> None:
    assert len(list(changes("a.py", SOURCE))) == 7


def test_the_list_has_code_in_it() -> None:
    listed = [mutant for mutant, _ in read()]

    assert len(set(listed)) == len(listed) >= 200
    for mutant in listed:
        path = ROOT / mutant.file
        changed = mutant.apply(path.read_text("utf-8")) if path.exists() else None
        if changed is not None:  # else the code was rewritten since
            ast.parse(changed)
