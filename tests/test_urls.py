"""Storages by URL, and what is said where there is none."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import (
    FileSessionStorage,
    MemorySessionStorage,
    SQLiteSessionStorage,
    storage_from_url,
)
from sessionkit.storages import urls

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("url", ["memory:", "memory://", "MEMORY:"])
def test_memory(url: str) -> None:
    assert isinstance(storage_from_url(url), MemorySessionStorage)


@pytest.mark.parametrize("form", ["file:{}", "file://{}", "FILE:{}"])
def test_a_folder(tmp_path: Path, form: str) -> None:
    storage = storage_from_url(form.format(tmp_path / "a%20b"))
    assert isinstance(storage, FileSessionStorage)
    assert repr(storage) == f"FileSessionStorage('{tmp_path / 'a b'}')"
    storage.sync.close()


def test_a_folder_beside_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage_from_url("file:sessions").sync.close()
    assert (tmp_path / "sessions").is_dir()


def test_an_sqlite_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///bot%3F.db", f"sqlite:///{tmp_path}/bot?.db".replace("?", "%3F")):
        storage = storage_from_url(url)
        assert isinstance(storage, SQLiteSessionStorage)
        storage.sync.write("1", 1)
        storage.sync.close()
    assert (tmp_path / "bot?.db").is_file()


@pytest.mark.parametrize("url", ["sqlite:", "sqlite://", "sqlite:///:memory:"])
def test_an_sqlite_database_in_memory(url: str) -> None:
    with storage_from_url(url) as storage:
        assert ":memory:" in repr(storage)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("", "'' is not a storage URL"),
        ("bot.db", "'bot.db' is not a storage URL: write 'sqlite:///bot.db' or 'file:bot.db'"),
        ("memory:cache", "'memory:' takes no path, and there is 'cache' after it"),
        ("file:", "'file:' needs the path of a directory: file:sessions"),
        ("file://", "'file:' needs the path of a directory"),
        ("sqlite:bot.db", "write three slashes before a relative path: sqlite:///bot.db"),
        ("sqlite://bot.db", "write three slashes before a relative path: sqlite:///bot.db"),
        ("sqlite:///", "path"),
        ("sqlite:///bot.db?table=x", "there are no options to give after '?'"),
        ("memory:?ttl=5", "and there is 'ttl=5': make the storage yourself"),
        ("postgresql+asyncpg://h/db", "are written sqlalchemy+postgresql+asyncpg:"),
        ("gopher:x", "known are memory:, file:, sqlite: and what installed extras add"),
    ],
)
def test_what_is_not_a_storage_url_is_reported(
    url: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as caught:
        storage_from_url(url)
    assert text in str(caught.value)
    assert "install sessionkit" not in str(caught.value)
    assert not list(tmp_path.iterdir())


class Elsewhere:
    """What an adapter registers: a function of the URL."""

    def __init__(self, url: str) -> None:
        self.url = url


def test_adapters_bring_schemes_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("gopher", f"{__name__}:Elsewhere", urls.ENTRY_POINTS)

    def installed(**selection: Any) -> EntryPoints:
        return EntryPoints([entry]).select(**selection)

    monkeypatch.setattr(urls, "entry_points", installed)
    assert storage_from_url("gopher://host?x=1").url == "gopher://host?x=1"
    assert storage_from_url("Gopher:x").url == "Gopher:x"
    with pytest.raises(ValueError, match="for mongodb: URLs; they come with the extra 'mongo'"):
        storage_from_url("mongodb://h")
