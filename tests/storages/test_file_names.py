"""Which file a key gets: any key, no two keys in one, on any system."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionkit.storages._file.names import Place, grammy_place_of, key_at, place_of
from sessionkit.storages.file import FileSessionStorage

CONFUSABLE = [
    "a", "A", "aa", "aA", "Aa", "a/b", "a\\b", "a:b", "a%2fb", "a%2Fb", "%41", "%61", "%",
    "..", ".", "../a", "../../evil", "/a", "/etc/passwd", "a/../b", "a/", "~", "a~b",
    "con", "CON", "nul", "aux", "prn", "com1", "lpt9", "con.txt", "conx", "con ", "%63on",
    "a.", "a ", " a", "a..", "ab..", ".a", "a.json", "a.key", "\x00", "a\x00b", "a\n",
    "é", "e\u0301", "ﬁ", "fi", "\u017f", "s", "S", "ß", "ss", "\u0131", "i", "İ",
    "\u212a", "k", "K",
    "\ud800", "\udfff", "\ud83d\ude00", "😀", "\ufffd", "\u202e", "\ufeff", "🍕" * 100,
    "x" * 250, "x" * 251, "x" * 1000, "X" * 1000, "x" * 999 + "X", "Ж" * 1000, "0" * 5000,
    "-1", "-100", "3/-100", "3/-100/t12", "b7/3", "424242", "escaped", ".sessionkit",
]  # fmt: skip
KEYS = (
    st.sampled_from(CONFUSABLE)
    | st.text(st.characters(), min_size=1, max_size=400)
    | st.text("aAbB./\\%~ é\u0301\ud800", min_size=1, max_size=8)
)
DEVICES = {"con", "prn", "aux", "nul"} | {f"{d}{n}" for d in ("com", "lpt") for n in range(10)}


def on_a_careless_system(place: Place) -> str:
    """Return a name as a system sees it that ignores case and composes accents."""
    return unicodedata.normalize("NFC", f"{place.folder}/{place.file}").casefold()


@given(st.lists(KEYS, min_size=2, unique=True))
@settings(max_examples=100, deadline=None)
def test_no_two_keys_share_a_file_even_where_case_and_accents_do_not_count(
    keys: list[str],
) -> None:
    assert len({on_a_careless_system(place_of(key)) for key in keys}) == len(keys)


def test_no_two_confusable_keys_share_a_file() -> None:
    assert len({on_a_careless_system(place_of(key)) for key in CONFUSABLE}) == len(CONFUSABLE)


@given(KEYS)
@settings(max_examples=100, deadline=None)
def test_a_name_is_safe_on_every_system(key: str) -> None:
    place = place_of(key)

    *parents, folder = place.folder.split("/")
    assert parents in ([], ["escaped"])
    for part in (folder, place.stem):
        assert part.isascii()
        assert set(part) <= set("0123456789abcdefghijklmnopqrstuvwxyz_-%~")
        assert part not in DEVICES
    assert 1 <= len(folder) <= 2
    assert 1 <= len(place.stem) <= 250


@given(KEYS)
@settings(max_examples=100, deadline=None)
def test_a_name_tells_its_key_unless_it_is_too_long(key: str) -> None:
    place = place_of(key)

    if place.is_hashed:
        assert len(place.stem) == 250
        assert len(key.encode("utf-8", "surrogatepass")) * 3 > 250
    else:
        assert key_at(place) == key


@given(KEYS)
@settings(max_examples=100, deadline=None)
def test_a_place_of_grammy_is_never_that_of_another_key(key: str) -> None:
    place = grammy_place_of(key)

    if place is not None:
        assert key_at(place) == key
        assert not place.is_escaped
        assert len(place.folder) <= 2
        assert place.folder not in {".", ".."}
        assert not set("/\0") & set(place.folder + place.stem)


@pytest.mark.parametrize(
    "place",
    [
        Place("escaped/61", "%61"),  # "a" needs no escape
        Place("escaped/2F", "a%2F"),  # we write small digits
        Place("escaped/ff", "%ff"),  # no UTF-8
        Place("escaped/xx", "%41"),  # the wrong folder
        Place("escaped/", ""),
        Place("42", "424243"),
        Place("é", "é"),  # accents can be written in two ways
    ],
)
def test_a_file_of_a_stranger_has_no_key(place: Place) -> None:
    assert key_at(place) is None


def test_ordinary_keys_stay_readable_and_others_nearly_so() -> None:
    assert place_of("424242") == ("42", "424242")
    assert place_of("-1001234567890") == ("90", "-1001234567890")
    assert place_of("7") == ("7", "7")
    assert place_of("3/-100") == ("escaped/00", "3%2f-100")
    assert place_of("A") == ("escaped/41", "%41")
    assert place_of("con") == ("escaped/on", "%63on")
    assert place_of("x" * 1000).stem.startswith("x" * 180)


@given(st.dictionaries(KEYS, st.integers(), min_size=1, max_size=5))
@settings(max_examples=20, deadline=None)
def test_any_keys_come_back_and_nothing_leaves_the_folder(entries: dict[str, int]) -> None:
    with TemporaryDirectory() as parent:
        folder = Path(parent, "sessions")
        storage = FileSessionStorage(folder).sync

        for key, value in entries.items():
            storage.write(key, value)

        assert {key: storage.read(key) for key in entries} == entries
        assert dict(storage.iter_items()) == entries
        assert sorted(storage.iter_keys()) == sorted(entries)
        assert [path.name for path in Path(parent).iterdir()] == ["sessions"]


def test_all_confusable_keys_live_side_by_side(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path / "sessions").sync
    for number, key in enumerate(CONFUSABLE):
        storage.write(key, number)

    assert [storage.read(key) for key in CONFUSABLE] == list(range(len(CONFUSABLE)))
    for key in CONFUSABLE[::2]:
        storage.delete(key)
    assert sorted(storage.iter_keys()) == sorted(CONFUSABLE[1::2])
    assert [path.name for path in tmp_path.iterdir()] == ["sessions"]
