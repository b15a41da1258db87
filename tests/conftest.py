"""What every run says first, and which installation the packaging tests look at."""

from __future__ import annotations

import gc
import os
import platform
import signal
import sqlite3
import sys
from collections.abc import Generator, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

import sessionkit
from sessionkit.testing._machine import search
from sessionkit.testing._promises import promises
from tests.core import STORAGES, make_storage

if TYPE_CHECKING:
    from tests.grammy.bridge import Grammy

HISTORIES = {promise.name for promise in promises() if promise.layer == "machine"}

# In CI every run draws the same examples; on a desk each run draws new ones
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "desk")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough",
        action="store_true",
        help="run the tests marked as thorough too, which repeat what quicker ones ask",
    )
    parser.addoption(
        "--installed-in",
        type=Path,
        default=Path(sys.executable),
        metavar="PYTHON",
        help="look at the sessionkit installed for this interpreter; default: the running one",
    )


def pytest_report_header(config: pytest.Config) -> list[str]:
    tools = ", ".join(f"{tool} {version(tool)}" for tool in ("hypothesis", "mypy", "pyright"))
    quick = ["quick: --thorough runs the repetitions as well"] if _is_quick(config) else []
    return [
        *quick,
        f"sessionkit {sessionkit.__version__} in {Path(sessionkit.__file__).parent}",
        f"SQLite {sqlite3.sqlite_version}, {platform.machine()}, {tools}",
    ]


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Start one worker more than there are cores, since tests wait for servers and processes.

    Tests given by name end sooner than workers begin.
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()
    return 0 if _given_by_name(config) else (cores or 1) + 1


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave what is there before the first test, which stays to the end, out of collections.

    With it, each full one that a test causes would take half a second.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the thorough ones, unless they are asked for.

    ``-m thorough`` selects what a quick run leaves out, fewer histories included.
    """
    for item in items:
        if _has_fewer_histories(item) and not _is_quick(config):
            item.add_marker("thorough")
    if _is_quick(config):
        thorough = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=thorough)
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]


def _has_fewer_histories(item: pytest.Item) -> bool:
    is_asked = "fewer_histories" in getattr(item, "fixturenames", ())
    return is_asked and item.name.removeprefix("test_") in HISTORIES


def _is_quick(config: pytest.Config) -> bool:
    asked_for = config.getoption("--thorough") or "thorough" in (config.getoption("markexpr") or "")
    return not (asked_for or _given_by_name(config))


def _given_by_name(config: pytest.Config) -> bool:
    return all("::" in argument for argument in config.args)


@pytest.fixture(scope="session", autouse=True)
def interruptible_children() -> Iterator[None]:
    """A background job of a shell, or nohup, ignores SIGINT, and its children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def installed_in(pytestconfig: pytest.Config) -> Path:
    """Return the interpreter whose sessionkit is looked at."""
    python = pytestconfig.getoption("--installed-in")
    assert isinstance(python, Path)
    return python.absolute()  # resolved, it would lead out of its virtual environment


@pytest.fixture
def few_histories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try few random histories, where storages share most of what they do with others."""
    monkeypatch.setattr(search, "EXAMPLES", 4)


@pytest.fixture
def fewer_histories(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> None:
    """Let a quick run try fewer random histories on storages that keep their promises."""
    if _is_quick(pytestconfig):
        request.getfixturevalue("few_histories")


@pytest.fixture(params=STORAGES)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Each storage of the core in turn, empty."""
    made = make_storage(request.param, tmp_path)
    yield made
    made.sync.close()


@pytest.fixture(scope="session")
def running_grammy() -> Iterator[Grammy]:
    """Real grammY in a process of its own."""
    from tests.grammy import install
    from tests.grammy.bridge import Grammy

    with Grammy(install.install_or_skip()) as grammy:
        yield grammy


@pytest.fixture
def grammy(running_grammy: Grammy) -> Grammy:
    """Real grammY, without bots and storages, its clock at 0."""
    running_grammy.reset()
    return running_grammy
