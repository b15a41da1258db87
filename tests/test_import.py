"""``import sessionkit`` loads what every bot needs; the rest is loaded when it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sessionkit

WHEN_USED = {
    "a storage by URL": {"sessionkit.storages.urls", "urllib.parse", "importlib.metadata"},
    "SQLite": {"sessionkit.storages.sqlite", "sqlite3"},
    "files": {"sessionkit.storages.file", "pathlib", "hashlib"},
    "bytes on disk": {"sessionkit.codecs", "json", "pickle"},
    "types": {"sessionkit._data.converters", "decimal", "uuid", "zoneinfo", "platform"},
    "timeouts": {"sessionkit.enhance"},
    "several sessions": {"sessionkit._api.multi", "sessionkit._api.fragments"},
    "merging": {"sessionkit._session.conflict", "sessionkit._data.unknown"},
    "mistakes": {"difflib"},
    "adapters": {"sessionkit.adapters", "sessionkit._integration"},
    "the terminal": {"argparse", "sessionkit._cli"},
    "tests": {"sessionkit.testing"},
}


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    program = (
        "import asyncio, sys; before = set(sys.modules); import sessionkit; "
        "print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return set(done.stdout.decode().split())


@pytest.mark.parametrize("need", WHEN_USED)
def test_what_only_some_bots_need_is_not_loaded(need: str, loaded: set[str]) -> None:
    assert "sessionkit._api.sessions" in loaded
    assert not loaded & WHEN_USED[need]


def test_all_public_names_are_there() -> None:
    assert set(sessionkit.__all__) <= set(dir(sessionkit))
    for name in sessionkit.__all__:
        assert getattr(sessionkit, name) is getattr(sessionkit, name)
    for name in ("sesion", "Storage"):
        with pytest.raises(AttributeError, match=f"module 'sessionkit' has no attribute '{name}'"):
            getattr(sessionkit, name)
