"""A project outside the checkout sees the types that the package promises.

The files in ``consumer`` are that project.  mypy and pyright, both strict, may
report exactly the lines that say so, in files named ``*_errors.py``::

    sessions.opne(1)  # expect: mypy,pyright
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.adapters.test_readme import bots, pasted

pytestmark = pytest.mark.thorough  # asked in CI of what is installed

CONSUMER = Path(__file__).parent / "consumer"
CHECKERS = ("mypy", "pyright")
EXPECTATION = re.compile(r"#\s*expect:\s*(?P<checkers>.*?)\s*$")
PROJECT = """\
[tool.mypy]
strict = true
files = ["."]

[tool.pyright]
typeCheckingMode = "strict"
include = ["."]
"""


class Line(NamedTuple):
    """Where something is, or should be, reported."""

    file: str
    number: int

    def __str__(self) -> str:
        return f"{self.file}:{self.number}"


def run(tool: str, *arguments: str, project: Path) -> str:
    command = [sys.executable, "-m", tool, *arguments]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, f"{tool} failed:\n{done.stdout}{done.stderr}"
    return done.stdout


def reported_by_mypy(project: Path, python: Path) -> dict[Line, str]:
    options = ["--output=json", f"--python-executable={python}", "--cache-dir=.mypy_cache"]
    found = map(json.loads, filter(None, run("mypy", *options, project=project).splitlines()))
    return {
        Line(Path(each["file"]).as_posix(), each["line"]): each["message"]
        for each in found
        if each["severity"] == "error"
    }


def reported_by_pyright(project: Path, python: Path) -> dict[Line, str]:
    output = run("pyright", "--outputjson", f"--pythonpath={python}", project=project)
    found = json.loads(output)["generalDiagnostics"]
    return {
        Line(
            Path(each["file"]).resolve().relative_to(project.resolve()).as_posix(),
            each["range"]["start"]["line"] + 1,
        ): each["message"]
        for each in found
        if each["severity"] != "information"
    }


def expected_of(checker: str, project: Path) -> set[Line]:
    expected: set[Line] = set()
    for file in project.rglob("*.py"):
        for number, text in enumerate(file.read_text("utf-8").splitlines(), 1):
            if mark := EXPECTATION.search(text):
                checkers = re.split(r"\s*,\s*", mark["checkers"])
                where = Line(file.relative_to(project).as_posix(), number)
                assert set(checkers) <= set(CHECKERS), f"{where}: no such checker in {checkers}"
                assert file.stem.endswith("_errors"), f"{where}: belongs in a *_errors.py"
                if checker in checkers:
                    expected.add(where)
    return expected


def disagreements(checker: str, project: Path, python: Path) -> list[str]:
    """Return what *checker* reports and should not, and the other way round."""
    check = {"mypy": reported_by_mypy, "pyright": reported_by_pyright}[checker]
    reported = check(project, python)
    expected = expected_of(checker, project)
    surplus = [f"{where}: {reported[where]}" for where in reported.keys() - expected]
    missing = [f"{where}: not reported" for where in expected - reported.keys()]
    return sorted(surplus + missing)


def make_project(folder: Path, **files: str) -> Path:
    project = folder / "project"
    project.mkdir()
    project.joinpath("pyproject.toml").write_text(PROJECT, "utf-8")
    for name, text in files.items():
        project.joinpath(f"{name}.py").write_text(text, "utf-8")
    return project


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_consumer_sees_exactly_the_promised_types(
    checker: str, installed_in: Path, tmp_path: Path
) -> None:
    project = make_project(tmp_path)
    shutil.copytree(CONSUMER, project, dirs_exist_ok=True)

    assert disagreements(checker, project, installed_in) == []


def test_the_bots_of_the_readme_are_typed(installed_in: Path, tmp_path: Path) -> None:
    project = make_project(tmp_path, **{f"{name}_bot": pasted(name) for name in bots()})

    assert disagreements("mypy", project, installed_in) == []


@pytest.mark.parametrize("checker", CHECKERS)
def test_neither_surplus_nor_missing_reports_go_unnoticed(
    checker: str, installed_in: Path, tmp_path: Path
) -> None:
    project = make_project(
        tmp_path,
        fine="from sessionkit.errors import SessionError\nx: int = SessionError('')\n",
        marked_errors=f"y: int = 1  # expect: {checker}\nz: int = ''  # expect: {checker}\n",
    )

    found = disagreements(checker, project, installed_in)

    assert [line.split(" ", 1)[0] for line in found] == ["fine.py:2:", "marked_errors.py:1:"]


@pytest.mark.parametrize(
    ("name", "mark"), [("fine", "expect: mypy"), ("mistyped_errors", "expect: mipy")]
)
def test_a_mark_that_would_not_be_looked_at_is_refused(
    name: str, mark: str, tmp_path: Path
) -> None:
    project = make_project(tmp_path, **{name: f"x = 1  # {mark}\n"})

    with pytest.raises(AssertionError, match=name):
        expected_of("mypy", project)
