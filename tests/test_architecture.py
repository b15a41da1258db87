"""Imports go down, as docs/architecture.md draws them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sessionkit

PACKAGE = Path(sessionkit.__file__).parent
GROUND = {"_storage", "_updates", "protocols", "errors", "codecs"}
ALLOWED = {
    "_storage": {"_data", "protocols", "errors", "codecs"},
    "_updates": set[str](),
    "_locks": GROUND,
    "_data": GROUND,
    "_enhance": GROUND | {"_data"},
    "storages": GROUND | {"_data", "_locks"},
    "_session": GROUND | {"_locks", "_data", "keys"},
    "_api": GROUND | {"_session", "_locks", "_data", "storages", "keys"},
    "_integration": GROUND | {"_api", "_session", "_locks", "_data", "keys"},
    "testing": GROUND | {"", "_data", "_locks", "enhance", "storages", "keys"},
}


def imported_by(path: Path, depth: int = 1) -> set[str]:
    """What a module imports, for type checkers too, by the first names below the package."""
    inside = [name.split(".")[1:] for name in imports_of(path) if name.startswith("sessionkit.")]
    return {".".join(names[:depth]) for names in inside}


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            within = PACKAGE.parent.joinpath(*module.split("."))
            for alias in node.names:
                is_module = within.joinpath(f"{alias.name}.py").exists()
                yield f"{module}.{alias.name}" if is_module else module


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    modules = sorted((PACKAGE / room).rglob("*.py"))

    assert modules
    for module in modules:
        assert imported_by(module) - {room} <= ALLOWED[room], module


def test_no_modules_import_each_other() -> None:
    paths = list(PACKAGE.rglob("*.py"))
    names = {path: path.relative_to(PACKAGE.parent).with_suffix("").parts for path in paths}
    imports = {".".join(names[path]): set(imports_of(path)) for path in paths}
    graph = {name: found & imports.keys() for name, found in imports.items()}

    TopologicalSorter(graph).prepare()  # raises CycleError, which shows the circle


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
    assert imported_by(module, depth=2) <= {
        "adapters",
        "codecs",
        "converters",
        "keys",
        "protocols",
        "types",
        "storages.authoring",
    }


def test_every_adapter_was_looked_at() -> None:
    assert {module.parent.name for module in ADAPTERS} >= {
        "sessionkit_aiogram",
        "sessionkit_ptb",
        "sessionkit_redis",
        "sessionkit_sqlalchemy",
    }
