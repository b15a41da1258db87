"""One folder for grammY and us: the layout, and who reads whose files."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from sessionkit.storages.file import FileSessionStorage
from sessionkit.types import Entry

if TYPE_CHECKING:
    from pathlib import Path

# Written by @grammyjs/storage-file 2.6.0, key by key, and read off the disk.
ORDINARY = {
    "424242": ("42/424242.json", b'{\n\t"count": 1,\n\t"name": "\xd0\x96\xf0\x9f\x8d\x95"\n}'),
    "-1001234567890": ("90/-1001234567890.json", b'{\n\t"a": [\n\t\t1,\n\t\t2\n\t]\n}'),
    "7": ("7/7.json", b"5"),
    "-1": ("-1/-1.json", b"[]"),
    "user_x-1": ("-1/user_x-1.json", b'"text"'),
}
OTHER = {
    "A": ("A/A.json", b"{}"),
    "a b": (" b/a b.json", b'{\n\t"x": 1\n}'),
    ".a": (".a/.a.json", b"{}"),
    "user:5": (":5/user:5.json", b"{}"),
    "%41": ("41/%41.json", b"{}"),
    "Ж": ("Ж/Ж.json", b'{\n\t"x": 1\n}'),
    "ok🍕": ("🍕/ok🍕.json", b"[\n\t1\n]"),
    "🍕ok": ("ok/🍕ok.json", b"[\n\t2\n]"),
    "🍕1": ("\ufffd1/🍕1.json", b"3"),
}
ENHANCED = {
    "98": ("98/98.json", b'{\n\t"v": 1,\n\t"__d": {\n\t\t"n": 1\n\t}\n}'),
    "99": ("99/99.json", b'{\n\t"__d": {\n\t\t"n": 1\n\t},\n\t"e": 1795360794191\n}'),
}
ENDS = 1795360794.191
WRITTEN_BY_GRAMMY = ORDINARY | OTHER | ENHANCED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in WRITTEN_BY_GRAMMY.values():
        put(tmp_path / name, content)
    return tmp_path


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def files(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix() for path in found}
    return {name for name in names if not name.startswith(".sessionkit/")}


def test_what_grammy_wrote_is_read(folder: Path) -> None:
    storage = FileSessionStorage(folder, clock=lambda: ENDS - 1)

    async def read_all() -> dict[str, object]:
        return {key: await storage.read(key) for key in WRITTEN_BY_GRAMMY}

    expected = {key: json.loads(content) for key, (_, content) in WRITTEN_BY_GRAMMY.items()}
    assert asyncio.run(read_all()) == expected


def test_what_the_enhancer_of_grammy_wrote_ends_when_it_says(folder: Path) -> None:
    now = ENDS - 0.001
    storage = FileSessionStorage(folder, clock=lambda: now).sync
    value = {"__d": {"n": 1}, "e": 1795360794191}

    assert storage.read_entries(["99"]) == {"99": Entry("99", value, ENDS)}
    assert storage.purge_expired() == 0
    now = ENDS
    assert storage.read("99") is None
    assert storage.purge_expired() == 1
    assert not folder.joinpath("99/99.json").exists()


def test_what_grammy_wrote_is_listed_once(folder: Path) -> None:
    storage = FileSessionStorage(folder, clock=lambda: ENDS - 1).sync

    assert sorted(storage.iter_keys()) == sorted(WRITTEN_BY_GRAMMY)
    assert dict(storage.iter_items("ok")) == {"ok🍕": [1]}


def test_what_grammy_wrote_is_written_on_in_the_same_file(folder: Path) -> None:
    storage = FileSessionStorage(folder).sync
    before = files(folder)

    for number, key in enumerate(WRITTEN_BY_GRAMMY):
        storage.write(key, {"n": number})

    assert files(folder) == before
    for number, (name, _) in enumerate(WRITTEN_BY_GRAMMY.values()):
        assert folder.joinpath(name).read_bytes() == b'{"n":%d}' % number


def test_what_grammy_wrote_can_be_deleted(folder: Path) -> None:
    storage = FileSessionStorage(folder).sync

    for key in WRITTEN_BY_GRAMMY:
        storage.delete(key)

    assert files(folder) == set()
    assert list(storage.iter_keys()) == []


@pytest.mark.parametrize("key", ORDINARY)
def test_an_ordinary_key_gets_the_file_where_grammy_looks(tmp_path: Path, key: str) -> None:
    FileSessionStorage(tmp_path).sync.write(key, {"n": [1, "Ж"]})

    content = tmp_path.joinpath(ORDINARY[key][0]).read_bytes()
    assert content == '{"n":[1,"Ж"]}'.encode()


def test_another_key_gets_a_name_of_ours_if_grammy_wrote_none(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path).sync

    storage.write("user:5", 1)
    storage.write("A", 2)

    assert files(tmp_path) == {"escaped/a5/user%3a5.json", "escaped/41/%41.json"}


def test_of_two_files_for_a_key_ours_counts_and_both_are_deleted(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path).sync
    storage.write("user:5", "ours")
    put(tmp_path / ":5/user:5.json", b'"written by grammY later"')

    assert storage.read("user:5") == "ours"
    assert list(storage.iter_items()) == [("user:5", "ours")]
    storage.delete("user:5")
    assert storage.read("user:5") is None
    assert files(tmp_path) == set()


def test_where_case_does_not_count_other_names_of_grammy_are_left_alone(folder: Path) -> None:
    folder.joinpath(".SESSIONKIT").mkdir()  # what such a system would show
    storage = FileSessionStorage(folder, clock=lambda: ENDS - 1).sync

    assert {key for key in WRITTEN_BY_GRAMMY if storage.has(key)} == set(ORDINARY | ENHANCED)
    assert set(storage.iter_keys()) == set(ORDINARY | ENHANCED)


def test_an_accent_that_has_two_spellings_is_not_guessed_at(tmp_path: Path) -> None:
    put(tmp_path / "é/é.json", b"1")
    storage = FileSessionStorage(tmp_path).sync

    assert storage.read("é") is None
    assert list(storage.iter_keys()) == []


@pytest.mark.parametrize("key", ["ab..", "..", ".", "../x", "evil/../../x"])
def test_what_grammy_wrote_outside_the_folder_is_not_reached(tmp_path: Path, key: str) -> None:
    folder = tmp_path / "sessions"
    storage = FileSessionStorage(folder).sync
    for name in ("ab...json", "...json", "x.json", "sessions/..json"):
        put(tmp_path / name, b"1")

    assert storage.read(key) is None
    storage.write(key, 2)
    storage.delete(key)
    for name in ("ab...json", "...json", "x.json", "sessions/..json"):
        assert tmp_path.joinpath(name).read_bytes() == b"1"


def test_with_a_ttl_files_have_the_shape_of_the_enhancer_of_grammy(tmp_path: Path) -> None:
    FileSessionStorage(tmp_path, ttl=60, clock=lambda: 1000.25).sync.write("42", {"n": 1})

    stored = json.loads(tmp_path.joinpath("42/42.json").read_bytes())
    assert stored == {"__d": {"n": 1}, "e": 1_060_250, "ttl": 60}
