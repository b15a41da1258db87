"""Imports go down, as docs/architecture.md draws them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sessionkit

PACKAGE = Path(sessionkit.__file__).parent
GROUND = {
    *("_checks", "_types", "_drive", "_seconds", "_frozen", "_reading", "_origin", "_optional"),
    *("errors", "codecs"),
}
ALLOWED = {
    "_locks": GROUND,
    "_convert": GROUND,
    "_enhance": GROUND,
    "storages": GROUND,
    "_life": GROUND | {"_locks", "_convert", "keys"},
    "_setup": GROUND | {"_life", "_locks", "_convert", "storages", "keys"},
    "testing": GROUND | {"_locks", "enhance", "storages"},
}


def imported_by(path: Path) -> set[str]:
    """The rooms that a module imports at run time, by the first name below the package."""
    tree = ast.parse(path.read_text("utf-8"))
    for_checkers = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ]
    skipped = {id(node) for block in for_checkers for node in ast.walk(block)}
    modules = {
        node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and id(node) not in skipped
    }
    return {module.split(".")[1] for module in modules if module.startswith("sessionkit.")}


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    modules = sorted((PACKAGE / room).rglob("*.py"))

    assert modules
    for module in modules:
        assert imported_by(module) - {room} <= ALLOWED[room], module


def test_only_what_draws_at_random_needs_hypothesis() -> None:
    text = "\nfrom hypothesis import"
    importing = [path for path in PACKAGE.rglob("*.py") if text in path.read_text("utf-8")]

    assert {path.relative_to(PACKAGE).as_posix() for path in importing} == {
        "testing/_codecs/generated.py",
        "testing/_machine/search.py",
    }


ADAPTERS = sorted(PACKAGE.parent.joinpath("adapters").glob("*/*.py"))


@pytest.mark.parametrize(
    "module", ADAPTERS, ids=lambda module: f"{module.parent.name}.{module.stem}"
)
def test_an_adapter_uses_only_what_is_public(module: Path) -> None:
    assert imported_by(module) <= {"adapters", "types"}


def test_every_adapter_was_looked_at() -> None:
    assert {module.parent.name for module in ADAPTERS} >= {"sessionkit_aiogram", "sessionkit_ptb"}
