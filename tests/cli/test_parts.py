"""Parts of commands, asked for what a whole command rarely comes to."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import MemorySessionStorage, enhance_storage, session
from sessionkit._api.personal import PersonalSource
from sessionkit._cli import doctor, main, moving, output
from sessionkit._cli.exits import CONFLICT
from sessionkit._cli.output import Plain
from sessionkit._cli.places import Place, same
from sessionkit._cli.ways import ptb, states
from sessionkit._cli.ways.found import Asked, LeftOut, json_of
from sessionkit._cli.ways.unpickle import Mark, Unpickler
from sessionkit.errors import SessionConflictError, SessionListingError
from sessionkit.types import Entry
from sessionkit_cli import RichLooks
from tests.cli.conftest import Shell

if TYPE_CHECKING:
    from pathlib import Path


class Damaged(MemorySessionStorage):
    """Its listing ends with an error, that names keys or none."""

    def __init__(self, *keys: str) -> None:
        super().__init__()
        self.error = SessionListingError("the disk is damaged", keys=keys)

    def iter_entries(self, prefix: str = "", /) -> Iterator[Entry]:
        yield from super().iter_entries(prefix)
        raise self.error


def findings(place: Place) -> list[Any]:
    async def main() -> list[Any]:
        return [finding async for finding in doctor._in_place(place) if finding is not None]

    return asyncio.run(main())


def test_damage_that_has_no_keys_is_that_of_the_storage() -> None:
    (found,) = findings(Place("bot.db", Damaged()))
    assert found == ("bot.db", "the disk is damaged", "correct it with set, or delete it")


def test_what_goes_while_doctor_looks_is_nothing_wrong() -> None:
    class Gone(MemorySessionStorage):
        def read(self, key: str, /) -> Any:
            return None

    storage = Gone()
    storage.write("1", {})
    sources = (PersonalSource(session(dict, storage=storage)),)
    assert findings(Place("here", storage, sources)) == []


def test_places_look_for_one_prefix_of_several_that_begin_alike() -> None:
    storage = MemorySessionStorage()
    kinds: list[Any] = [
        session(dict, storage=storage, prefix=prefix) for prefix in ("a", "ab", "b")
    ]
    assert Place("here", storage, tuple(map(PersonalSource, kinds))).prefixes == ("a", "b")


def test_enhanced_sessions_load_and_store_their_data_themselves() -> None:
    storage = enhance_storage(MemorySessionStorage(), ttl=60)
    place = Place("here", storage, (PersonalSource(session(dict, storage=storage)),))

    async def main() -> None:
        await place.store("1", {"n": 1}, None)
        loaded = await place.load("1")
        assert loaded is not None and loaded.data == {"n": 1}
        await place.store("1", {"n": 2}, loaded)
        with pytest.raises(SessionConflictError):
            await place.store("1", {"n": 3}, loaded)

    asyncio.run(main())


def test_values_that_json_cannot_hold_are_the_same_or_not() -> None:
    assert same(Entry("1", b"x"), Entry("1", b"x"))
    assert not same(Entry("1", b"x"), Entry("1", b"y"))


def test_an_expiry_may_move_by_the_time_of_two_calls() -> None:
    assert same(Entry("1", 1, 100.0), Entry("1", 1, 119.0))
    assert not same(Entry("1", 1, 100.0), Entry("1", 1, 121.0))
    assert not same(Entry("1", 1, 100.0), Entry("1", 1, None))


def test_migrating_leaves_keys_of_other_sessions_alone(shell: Shell) -> None:
    shell.program(
        """
from sessionkit import MultiSession, SQLiteSessionStorage, enhance_storage, session

def add(data):
    return {**data, "new": 1}

storage = enhance_storage(SQLiteSessionStorage("bot.db"), migrations={1: add})
sessions = session(dict, storage=storage, prefix="a:")
others = session(dict, storage=storage, prefix="a:b:")
both = [sessions, others]
"""
    )
    shell.sqlite(Entry("a:1", {"n": 1}), Entry("a:b:1", {"n": 2}))
    done = shell("migrate", "bot:both")
    assert done.code == 0, done.err


def test_an_export_names_what_its_listing_left_out() -> None:
    storage = Damaged("7")
    storage.write("1", {"n": 1})
    left_out: list[str] = []

    async def main() -> list[Entry]:
        return [entry async for entry in moving._readable(Place("here", storage), "", left_out)]

    assert [entry.key for entry in asyncio.run(main())] == ["1"]
    assert left_out == ["7: cannot be read, see doctor"]


def test_an_import_goes_by_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "_PAGE", 2)

    async def main() -> list[int]:
        entries = (Entry(str(number), 1) for number in range(4))
        return [len(page) async for page in moving._in_pages(entries)]

    assert asyncio.run(main()) == [2, 2]


def test_without_a_command_the_help_is_shown(shell: Shell) -> None:
    done = shell()
    assert done.code == 0
    assert done.out.startswith("usage: sessionkit")


def test_a_conflict_has_an_exit_code_of_its_own() -> None:
    assert main._code_of(SessionConflictError("changed", key="1")) == CONFLICT


def test_null_is_not_a_value() -> None:
    with pytest.raises(ValueError, match="nothing is stored"):
        json_of("null")


def test_keys_that_are_not_those_of_states_are_left_out() -> None:
    assert states._spot(["1", "x", "2"], None, user_is_last=True) is None
    (found,) = states._state_and_data("telebot:1:x:2", {"state": "s"}, None, Asked("here"))
    assert isinstance(found, LeftOut)


def test_data_without_a_state_is_taken() -> None:
    both = {"state": None, "data": {"n": 1}}
    (found,) = states._state_and_data("telebot:1:2", both, None, Asked("here"))
    assert isinstance(found, Entry)
    assert found.value == {"n": 1}


def test_parts_of_a_pickle_that_are_not_there_are_nothing(tmp_path: Path) -> None:
    tmp_path.joinpath("bot_user_data").write_bytes(pickle.dumps({3: {"n": 1}}))
    found = list(ptb._from_pickle(Asked(str(tmp_path / "bot"), bot=42)))
    assert [entry.value for entry in found if isinstance(entry, Entry)] == [{"n": 1}]


class KeepingBots(pickle.Pickler):
    """As that of python-telegram-bot, which puts a name in the place of its bot."""

    def persistent_id(self, obj: Any) -> str | None:
        return "42" if obj is Mark else None


def test_a_bot_in_a_pickle_is_a_mark() -> None:
    file = BytesIO()
    KeepingBots(file).dump([Mark])
    file.seek(0)
    (mark,) = Unpickler(file).load()
    assert mark.name == "the bot (42)"


def test_without_rich_the_extra_is_named() -> None:
    code = "import sys; sys.modules['rich'] = None; import sessionkit_cli"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "It comes with the extra 'cli'" in run.stderr


def test_a_status_that_is_not_shown_can_be_removed() -> None:
    RichLooks().status("")


def test_a_value_of_no_sessions_is_not_checked() -> None:
    Place("here", MemorySessionStorage()).check("1", object())


def test_a_terminal_that_is_dumb_has_plain_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(output._looks(), Plain)


def test_what_comes_one_by_one_is_taken_some_at_a_time() -> None:
    async def sizes(*values: Any) -> list[int]:
        storage = MemorySessionStorage()
        storage.write_entries([Entry(str(key), value) for key, value in enumerate(values)])
        return [len(page) async for page in Place("here", storage).pages()]

    assert asyncio.run(sizes(*range(501))) == [500, 1]
    assert asyncio.run(sizes(*["x" * 1_500_000] * 4)) == [3, 1]


async def numbered(number: int, read: list[str]) -> AsyncIterator[list[Entry]]:
    for each in range(number):
        read.append(str(each))
        yield [Entry(str(each), each)]


def test_a_page_is_read_while_the_one_before_is_under_way() -> None:
    read: list[str] = []
    overlapped: list[bool] = []

    async def do(page: list[Entry]) -> int:
        (entry,) = page
        for _ in range(9 * (entry.value + 1)):
            await asyncio.sleep(0)
        overlapped.append(read[-1] != entry.key)
        return int(entry.value) * 10

    async def main() -> list[tuple[list[Entry], int]]:
        return [done async for done in moving._overlapping(numbered(3, read), do)]

    expected = [([Entry(str(number), number)], number * 10) for number in range(3)]
    assert asyncio.run(main()) == expected
    assert overlapped == [True, True, False]


def test_what_is_under_way_has_ended_when_a_page_fails() -> None:
    read: list[str] = []
    ended: list[str] = []

    async def do(page: list[Entry]) -> None:
        try:
            await asyncio.sleep(0 if page[0].key == "0" else 60)
            raise ValueError(page[0].key)
        finally:
            ended.append(page[0].key)

    async def main() -> None:
        with pytest.raises(ValueError, match="0"):
            _ = [done async for done in moving._overlapping(numbered(9, read), do)]
        assert (read, ended) == (["0", "1"], ["0", "1"])

    asyncio.run(main())
