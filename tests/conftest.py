"""What every run says first, and which installation the packaging tests look at."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import sessionkit
from tests.core import STORAGES, make_storage

# In CI every run draws the same examples; on a desk each run draws new ones
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "desk")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--installed-in",
        type=Path,
        default=Path(sys.executable),
        metavar="PYTHON",
        help="look at the sessionkit installed for this interpreter; default: the running one",
    )


def pytest_report_header() -> list[str]:
    tools = ", ".join(f"{tool} {version(tool)}" for tool in ("hypothesis", "mypy", "pyright"))
    return [
        f"sessionkit {sessionkit.__version__} in {Path(sessionkit.__file__).parent}",
        f"SQLite {sqlite3.sqlite_version}, {platform.machine()}, {tools}",
    ]


@pytest.fixture(scope="session")
def installed_in(pytestconfig: pytest.Config) -> Path:
    """Return the interpreter whose sessionkit is looked at."""
    python = pytestconfig.getoption("--installed-in")
    assert isinstance(python, Path)
    return python.absolute()  # resolved, it would lead out of its virtual environment


@pytest.fixture(params=STORAGES)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Each storage of the core in turn, empty."""
    made = make_storage(request.param, tmp_path)
    yield made
    made.sync.close()
