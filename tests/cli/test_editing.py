"""``set``, ``delete``, ``purge``, ``migrate``, ``backup``: changes that lose no update."""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path

import pytest

from sessionkit import FileSessionStorage, SQLiteSessionStorage
from sessionkit.types import Entry
from tests.cli.conftest import Shell

FAR = 4102444800.0
SQLITE = "sqlite:///bot.db"
BOTH = pytest.mark.parametrize("url", [SQLITE, "file:sessions"])

TYPED = """
from dataclasses import dataclass
from sessionkit import session
@dataclass
class Pizza:
    count: int = 0
sessions = session(Pizza, storage="sqlite:///bot.db")
"""
MIGRATING = """
from sessionkit import enhance_storage, session, storage_from_url
def to_1(data):
    return {**data, "age": 1}
def to_2(data):
    return {**data, "old": data["name"]}
storage = storage_from_url("sqlite:///bot.db")
sessions = session(dict, storage=enhance_storage(storage, ttl=3600, migrations={1: to_1, 2: to_2}))
"""


@pytest.fixture(autouse=True)
def stored(shell: Shell) -> None:
    entries = [Entry("5", {"count": 1}), Entry("6", {"count": 2}, FAR)]
    shell.sqlite(*entries)
    shell.file(*entries)


def editor(shell: Shell, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Let ``$EDITOR`` be a program that does *body* with the text it was given."""
    script = shell.folder / "editor.py"
    script.write_text(f"import sys, pathlib\ndraft = pathlib.Path(sys.argv[1])\n{body}")
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")


@BOTH
def test_set_replaces_makes_and_keeps_the_expiry(shell: Shell, url: str) -> None:
    assert shell("set", url, "5", '{"count": 7}').err == "changed 5\n"
    assert shell("set", url, "6", '{"count": 8}').code == 0
    assert shell("set", url, "new", "[1]").err == "made new\n"
    assert [line for line in shell("export", url).lines if '"6"' in line] == [
        '{"key":"6","value":{"count":8},"expires":4102444800.0}'
    ]
    assert shell("get", url, "5").json == {"count": 7}
    assert "nothing was written" in shell("set", url, "5", '{"count": 7}').err


def test_set_takes_a_file_or_standard_input(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.folder.joinpath("data.json").write_text('{"from": "file"}')
    assert shell("set", SQLITE, "5", "--file", "data.json").code == 0
    assert shell("get", SQLITE, "5").json == {"from": "file"}
    monkeypatch.setattr("sys.stdin", io.StringIO('{"from": "input"}'))
    assert shell("set", SQLITE, "6", "-").code == 0
    assert shell("get", SQLITE, "6").json == {"from": "input"}


def test_set_opens_an_editor(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    editor(shell, monkeypatch, "draft.write_text(draft.read_text().replace('1', '41'))")

    assert shell("set", SQLITE, "5").err == "changed 5\n"
    assert shell("get", SQLITE, "5").json == {"count": 41}


def test_an_editor_begins_with_an_empty_object_where_nothing_is_stored(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor(shell, monkeypatch, "assert draft.read_text() == '{}\\n'; draft.write_text('[2]')")

    assert shell("set", SQLITE, "new").err == "made new\n"


def test_an_edit_loses_no_update_that_came_meanwhile(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = """
from sessionkit import SQLiteSessionStorage
with SQLiteSessionStorage("bot.db") as bot:
    bot.sync.write("5", {"count": 2, "name": "Ann"})
draft.write_text('{"count": 100}')
print(draft, file=open("where", "w"))
"""
    editor(shell, monkeypatch, body)

    done = shell("set", SQLITE, "5")

    assert done.code == 3
    draft = shell.folder.joinpath("where").read_text().strip()
    assert "somebody else wrote '5' in between, and nothing was changed" in done.err
    assert f"Your text was kept in {draft}" in done.err
    assert '-  "count": 1' in done.err
    assert '+  "name": "Ann"' in done.err
    assert shell("get", SQLITE, "5").json == {"count": 2, "name": "Ann"}
    assert shell("set", SQLITE, "5", "--file", draft).code == 0
    Path(draft).unlink()


def test_an_edit_of_what_expires_is_conditional_too(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = """
from sessionkit import SQLiteSessionStorage
with SQLiteSessionStorage("bot.db") as bot:
    bot.sync.delete("6")
draft.write_text('{"count": 100}')
print(draft, file=open("where", "w"))
"""
    editor(shell, monkeypatch, body)

    assert shell("set", SQLITE, "6").code == 3
    assert shell("get", SQLITE, "6").code == 1
    Path(shell.folder.joinpath("where").read_text().strip()).unlink()


@pytest.mark.parametrize(
    ("body", "text"),
    [("sys.exit(4)", "the editor ended with 4"), ("draft.write_text('{')", "that is not JSON")],
)
def test_an_edit_that_failed_changes_nothing(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, body: str, text: str
) -> None:
    editor(shell, monkeypatch, f"print(draft, file=open('where', 'w')); {body}")

    done = shell("set", SQLITE, "5")

    assert (done.code, text in done.err) == (2, True)
    draft = Path(shell.folder.joinpath("where").read_text().strip())
    assert draft.exists() is (f"Your text was kept in {draft}" in done.err)
    draft.unlink(missing_ok=True)
    assert shell("get", SQLITE, "5").json == {"count": 1}


def test_an_editor_that_is_not_there(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "no-such-editor")
    assert "'no-such-editor' cannot be started" in shell("set", SQLITE, "5").err
    monkeypatch.delenv("EDITOR")
    assert "set EDITOR to edit it" in shell("set", SQLITE, "5").err


def test_data_is_held_to_the_type_of_the_sessions(shell: Shell) -> None:
    shell.program(TYPED)
    before = shell.files()
    wrong = shell("set", "bot:sessions", "5", '{"count": "many"}')
    assert wrong.code == 2
    assert "count" in wrong.err
    assert shell.files()["bot.db"] == before["bot.db"]
    assert shell("set", "bot:sessions", "5", '{"count": 3}').code == 0
    assert shell("get", "bot:sessions", "5").json == {"count": 3}
    assert shell("set", SQLITE, "5", '{"count": "many"}').code == 0
    assert shell("get", "bot:sessions", "5").code == 128


def test_what_other_releases_keep_beside_the_data_is_kept(shell: Shell) -> None:
    shell.program(TYPED)
    shell.sqlite(Entry("7", {"__d": {"count": 1}, "__u": [4]}))

    assert shell("get", "bot:sessions", "7").json == {"count": 1}
    assert shell("set", "bot:sessions", "7", '{"count": 2}').code == 0
    assert shell("get", SQLITE, "7").json == {"__d": {"count": 2}, "__u": [4]}


def test_delete(shell: Shell) -> None:
    assert shell("delete", SQLITE, "5", "--dry-run").err == "would delete 1\n"
    done = shell("delete", SQLITE, "5", "nobody")
    assert (done.code, done.err) == (1, "deleted 1\nnothing is stored under 'nobody'\n")
    assert shell("ls", SQLITE).lines == ["6"]


def test_delete_removes_what_is_damaged(shell: Shell) -> None:
    shell.folder.joinpath("sessions", "5", "5.json").write_text("{")
    assert shell("get", "file:sessions", "5").code == 128
    assert shell("delete", "file:sessions", "5").code == 0
    assert shell("ls", "file:sessions").lines == ["6"]


@BOTH
def test_purge(shell: Shell, url: str) -> None:
    old = [Entry("old", 1, 1000.0), Entry("older", 1, 999.0)]
    (shell.sqlite if url == SQLITE else shell.file)(*old)
    assert shell("purge", url, "--json").json == {"purged": 2}
    assert shell("purge", url).err == "removed 0 expired sessions\n"


def test_purge_of_sessions_with_timeouts(shell: Shell) -> None:
    shell.program(MIGRATING)
    shell.sqlite(Entry("gone", {"__d": {}, "v": 2, "e": 1000}))
    assert shell("purge", "bot:sessions").err == "removed 1 expired sessions\n"
    assert sorted(shell("ls", SQLITE).lines) == ["5", "6"]


def test_migrate_runs_all_migrations_now(shell: Shell) -> None:
    shell.program(MIGRATING)
    shell("delete", SQLITE, "5", "6")
    shell.sqlite(
        Entry("1", {"name": "Ann"}),
        Entry("2", {"__d": {"name": "Bob", "age": 5}, "v": 1}),
        Entry("3", {"__d": {"name": "Cy"}, "v": 2}),
        Entry("4", {"__d": {}, "v": 1}),
        Entry("5", {"__d": {}, "v": 99}),
    )
    dry = shell("migrate", "bot:sessions", "--dry-run")
    assert dry.code == 1
    assert dry.err.startswith("2 would be migrated, 1 were at the newest version\n")
    assert shell("get", SQLITE, "1").json == {"name": "Ann"}

    done = shell("migrate", "bot:sessions")
    assert done.code == 1
    assert done.err.startswith("2 migrated, 1 were at the newest version\n")
    assert sorted(line.partition(":")[0] for line in done.err.splitlines()[1:]) == ["4", "5"]
    stored = shell("get", SQLITE, "2").json
    assert (stored["v"], stored["__d"]) == (2, {"name": "Bob", "age": 5, "old": "Bob"})

    again = shell("migrate", "bot:sessions", "--json").json
    assert (again["migrated"], again["current"], len(again["failed"])) == (0, 3, 2)


def test_a_migration_that_somebody_else_was_quicker_to_make(shell: Shell) -> None:
    shell("delete", SQLITE, "6")
    racing = """
    if data.get("count") == 1:
        with SQLiteSessionStorage("bot.db") as bot:
            bot.sync.write("5", {"__d": {"count": 2}, "v": 2})
"""
    shell.program(
        MIGRATING.replace("def to_1(data):\n", f"def to_1(data):{racing}")
        .replace('data["name"]', "1")
        .replace("import ", "import SQLiteSessionStorage, ", 1)
    )
    assert shell("migrate", "bot:sessions").err.startswith("0 migrated, 1 were")
    assert shell("get", SQLITE, "5").json["__d"] == {"count": 2}


@BOTH
def test_backup(shell: Shell, url: str) -> None:
    assert shell("backup", url, "copy").err == "copy is complete\n"
    opener = SQLiteSessionStorage if url == SQLITE else FileSessionStorage
    with opener(shell.folder / "copy") as storage:
        assert storage.sync.read("5") == {"count": 1}
    before = shell.files()
    again = shell("backup", url, "copy")
    assert again.code == 2
    assert "there is something" in again.err
    assert shell.files() == before


def test_storages_that_can_do_little(shell: Shell) -> None:
    shell.program("""
class Least:
    rows = {"5": 1}
    async def read(self, key): return self.rows.get(key)
    async def write(self, key, value): self.rows[key] = value
    async def delete(self, key): self.rows.pop(key, None)
storage = Least()
""")
    assert shell("get", "bot:storage", "5").json == 1
    assert shell("delete", "bot:storage", "5").err == "deleted 1\n"
    assert shell("delete", "bot:storage", "6").code == 1
    for command, text in {
        "ls": "cannot list what is in it (Least has no iter_keys)",
        "stats": "cannot list what is in it (Least has no iter_items)",
        "purge": "keeps no expiry",
        "migrate": "has no migrations",
    }.items():
        done = shell(command, "bot:storage")
        assert (done.code, text in done.err) == (2, True)
    assert "has no backup of its own" in shell("backup", "bot:storage", "copy").err
    assert "on condition that nobody wrote" in shell("set", "bot:storage", "5", "2").err


def test_the_bot_goes_on_while_one_of_its_sessions_is_edited(shell: Shell) -> None:
    """Both count in one session: neither loses what the other added."""
    shell.program(TYPED)

    async def bot() -> int:
        from sessionkit import session, storage_from_url

        async with storage_from_url(SQLITE) as storage:
            sessions = session(dict[str, int], storage=storage)

            async def add() -> None:
                await sessions.update(5, lambda data: {"count": data["count"] + 1})

            editing = asyncio.create_task(
                asyncio.to_thread(shell, "set", "bot:sessions", "5", '{"count": 1000}')
            )
            before = 0
            while not editing.done():
                await add()
                before += 1
            done = await editing
            final = (await sessions.get(5))["count"]
            assert done.code in (0, 3), done.err
            assert final >= 1000 if done.code == 0 else final == 1 + before
            return done.code

    asyncio.run(bot())


ENHANCED = """
from dataclasses import dataclass
from sessionkit import enhance_storage, session, storage_from_url
@dataclass
class Pizza:
    count: int = 0
storage = storage_from_url("sqlite:///bot.db")
migrations = {1: lambda data: {"count": data["count"] + 100}}
sessions = session(Pizza, storage=enhance_storage(storage, ttl=3600, migrations=migrations))
inner = session(Pizza, storage=enhance_storage(storage), prefix="5")
both = [sessions, inner]
"""


def test_sessions_with_timeouts_and_migrations_show_and_take_their_data(shell: Shell) -> None:
    shell.program(ENHANCED)
    assert shell("get", "bot:sessions", "5").json == {"count": 101}
    assert shell("set", "bot:sessions", "5", '{"count": 7}').code == 0
    stored = shell("get", SQLITE, "5").json
    assert (stored["__d"], stored["v"], "e" in stored) == ({"count": 7}, 1, True)
    assert shell("set", "bot:sessions", "5", '{"count": "many"}').code == 2
    assert sorted(shell("ls", "bot:both").lines) == ["5", "6"]
    assert shell("migrate", "bot:sessions").err == ("1 migrated, 1 were at the newest version\n")


def test_envelopes_are_copied_as_they_are(shell: Shell) -> None:
    shell.program(ENHANCED)
    shell.file(Entry("7", {"__d": {"count": 1}, "v": 1}), path="other")
    assert shell("copy", "file:other", "bot:sessions").err == "copied 1\nverified 1\n"
    assert shell("get", "bot:sessions", "7").json == {"count": 1}
