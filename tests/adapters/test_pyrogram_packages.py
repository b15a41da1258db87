"""Which package the adapter runs on, and what it says where there is none."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.adapters.pyrogram_raw import NAME, PACKAGE

# isort: split
from sessionkit_pyrogram import _packages

HOME = os.environ.get("SESSIONKIT_PYROGRAM_HOME")

IMPORT = """\
import sys
for name in {hidden!r}:
    sys.modules[name] = None
try:
    import sessionkit_pyrogram
except ImportError as error:
    print(error.name, error)
"""


def test_only_the_package_under_test_is_seen() -> None:
    assert [each.__name__ for each in _packages.INSTALLED] == [NAME]


@pytest.mark.skipif(HOME is None, reason="pyrogram itself, as it is installed")
def test_the_fork_is_the_one_that_was_installed_for_the_test() -> None:
    assert Path(str(PACKAGE.__file__)).is_relative_to(str(HOME))


def imported(folder: Path, *hidden: str) -> str:
    """What the import prints, in an interpreter where some packages are not there."""
    command = [sys.executable, "-c", IMPORT.format(hidden=hidden)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_missing_library_is_named_with_what_installs_it(tmp_path: Path) -> None:
    said = imported(tmp_path, "pyrogram", "hydrogram")

    assert said == (
        "pyrogram sessionkit_pyrogram needs pyrogram, or one of kurigram, pyrofork, pyrotgfork "
        "and hydrogram instead. pyrogram comes with the extra 'pyrogram': "
        'python -m pip install "<checkout>[pyrogram]"\n'
    )


def test_a_folder_that_bears_a_package_s_name_is_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "hydrogram").mkdir()

    assert imported(tmp_path, "pyrogram").startswith("pyrogram sessionkit_pyrogram needs pyrogram")


BOTH = """\
import asyncio
import hydrogram, pyrogram
from sessionkit import session
from sessionkit_pyrogram import _packages, session_filter

async def main():
    for package in (hydrogram, pyrogram):
        app = package.Client("bot", api_id=1, api_hash="h", in_memory=True)
        assert _packages.package_of(app) is package
        assert {package.StopPropagation, package.ContinuePropagation} <= set(_packages.SIGNALS)
        assert isinstance(session_filter(session(int), bool), package.filters.Filter)

asyncio.run(main())
print("both")
"""


@pytest.mark.skipif(NAME != "hydrogram", reason="only hydrogram can be installed beside pyrogram")
def test_pyrogram_and_hydrogram_may_be_installed_side_by_side(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BOTH]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.stdout == "both\n", done.stderr


def test_a_client_of_either_package_is_known() -> None:
    async def main() -> object:
        app = PACKAGE.Client("bot", api_id=1, api_hash="h", in_memory=True)
        return _packages.package_of(app)

    assert asyncio.run(main()) is PACKAGE
