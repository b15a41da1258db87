"""The commands of the documentation are true: each is run, in order, and says what is shown.

A block that has a mark ``<!-- file: NAME -->`` is written to that file first.  ``...`` in
the shown output means anything.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from tests.test_docs import Block, blocks_of, check_block, reason_not_to_run

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["command-line.md", "free-storage.md", "move-house.md", "personal-data.md"]


class Bash:
    """A shell in which commands are run one after the other."""

    def __init__(self, folder: Path) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._process = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env={**os.environ, "PATH": path, "TERM": "dumb"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )

    def __call__(self, command: str) -> list[str]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{command}\necho =end=\n")
        self._process.stdin.flush()
        lines: list[str] = []
        for line in self._process.stdout:
            if line == "=end=\n":
                return [each for each in lines if "Killed" not in each]
            lines.append(line.rstrip("\n"))
        raise AssertionError(lines)

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def commands_of(block: Block) -> list[tuple[str, list[str]]]:
    """The commands of a block, each with the lines that it is to print."""
    found: list[tuple[str, list[str]]] = []
    for line in block.code.splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        else:
            found[-1][1].append(line)
    return found


def fits(shown: list[str], printed: list[str]) -> bool:
    pattern = "\n".join(re.escape(line).replace(re.escape("..."), ".*") for line in shown)
    return re.fullmatch(pattern, "\n".join(printed)) is not None


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_of_a_page(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = ModuleType("page_of_commands")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    ran = 0
    with closing(Bash(tmp_path)) as bash, asyncio.Runner() as runner:
        for block in blocks_of(DOCS / name):
            for file in block.all_of("file"):
                tmp_path.joinpath(file).write_text(block.code)
            if block.language == "python" and not reason_not_to_run(block):
                check_block(block, vars(module), runner)
            if block.language == "console":
                for command, shown in commands_of(block):
                    printed = bash(command)
                    assert fits(shown, printed), f"{block}: {command}\n" + "\n".join(printed)
                    ran += 1
    assert ran > 1
