"""A command line in an empty folder, and a program of a user in it."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sessionkit import FileSessionStorage, SQLiteSessionStorage
from sessionkit.__main__ import main
from sessionkit.types import Entry


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Runs commands in a folder of their own."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capture = capture

    def __call__(self, *arguments: object) -> Done:
        self._capture.readouterr()
        before = set(sys.modules)
        try:
            code = main([str(each) for each in arguments])
        except SystemExit as end:  # argparse
            code = int(str(end.code))
        finally:
            self._forget(sys.modules.keys() - before)  # each command is a process of its own
        out, err = self._capture.readouterr()
        return Done(code, out, err)

    def _forget(self, imported: set[str]) -> None:
        for name in imported:
            path = Path(getattr(sys.modules[name], "__file__", None) or "/")
            if not path.is_absolute() or path.is_relative_to(self.folder):
                del sys.modules[name]

    def program(self, text: str, name: str = "bot") -> None:
        """Write a module of a user's program."""
        importlib.invalidate_caches()
        self.folder.joinpath(f"{name}.py").write_text(text)

    def files(self) -> dict[str, bytes]:
        """All files, to see that nothing was changed or made."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }

    def sqlite(self, *entries: Entry, path: str = "bot.db", **options: Any) -> None:
        """Store entries in a database."""
        with SQLiteSessionStorage(self.folder / path, **options) as storage:
            assert storage.sync.write_entries(entries) == []

    def file(self, *entries: Entry, path: str = "sessions", **options: Any) -> None:
        """Store entries in a folder."""
        with FileSessionStorage(self.folder / path, **options) as storage:
            assert storage.sync.write_entries(entries) == []


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    path = list(sys.path)
    yield Shell(tmp_path, capsys)
    sys.path[:] = path
