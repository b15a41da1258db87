"""Options are checked at set-up, with a text that says what to do."""

from __future__ import annotations

import asyncio
import enum
import gc
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import pytest

from sessionkit import (
    FileSessionStorage,
    MemorySessionStorage,
    SessionClosedError,
    SessionDecodeError,
    SessionEncodeError,
    SessionError,
    SQLiteSessionStorage,
    keys,
    lazy_session,
    session,
)
from tests.core import Ctx, Live, by_chat, counters, run

make: Any = session  # options of wrong types are the point here


class Halves(Live):
    def write_if(self, key: str, value: Any, expected: Any, /) -> None:
        pass


class NoWrite:
    def read(self, key: str) -> None: ...
    def delete(self, key: str) -> None: ...


async def later() -> dict[str, Any]:
    return {}


def anything(*args: Any) -> Any:
    return args


class Locks:
    def acquire(self, key: str) -> None: ...
    def release(self, key: str, held: object) -> None: ...


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"initial": {"n": 0}}, TypeError, "initial=lambda: {'n': 0}"),
    ({"initial": later}, TypeError, "initial cannot be async"),
    ({"initial": by_chat}, TypeError, "initial is called without arguments"),
    ({"storage": NoWrite()}, TypeError, "it has no method write. A storage has read(key)"),
    ({"storage": object()}, TypeError, "it has no method read, write, delete"),
    ({"storage": MemorySessionStorage}, TypeError, "is a class: MemorySessionStorage()"),
    ({"storage": Halves()}, TypeError, "has write_if(), and no read_with_revision()"),
    ({"storage": "bot.db"}, ValueError, "is not a storage URL: write 'sqlite:///bot.db'"),
    ({"storage": None}, TypeError, "storage is None: an environment variable that is not set?"),
    (
        {"storage": Path("no/bot.dat")},
        ValueError,
        "write 'sqlite:///no/bot.dat' or 'file:no/bot.dat'",
    ),
    (
        {"storage": Path("/no/50%?")},
        ValueError,
        "write 'sqlite:////no/50%25%3F' or 'file:/no/50%25%3F'",
    ),
    ({"get_session_key": "chat"}, TypeError, "get_session_key must be a function"),
    ({"prefix": 5}, TypeError, "prefix must be a str, not 5"),
    ({"attribute": "my session"}, TypeError, "attribute must be a name"),
    ({"attribute": 5}, TypeError, "attribute must be a name"),
    ({"lock": None}, TypeError, "lock must be True, False, 'file', or an object with acquire(key)"),
    ({"lock": asyncio.Lock()}, TypeError, "acquire(key) and release(key, held)"),
    ({"lock": Locks}, TypeError, "lock must be True, False, 'file', or an object"),
    ({"lock_timeout": 0}, ValueError, "lock_timeout must be positive and finite, at most"),
    ({"lock_timeout": -1.5}, ValueError, "for no timeout give None"),
    ({"lock_timeout": float("nan")}, ValueError, "lock_timeout must be positive"),
    ({"lock_timeout": float("inf")}, ValueError, "lock_timeout must be positive"),
    ({"lock_timeout": 10**400}, ValueError, "lock_timeout must be positive"),
    ({"lock_timeout": "60"}, TypeError, "a timedelta or a number of seconds, not '60'"),
    ({"lock_timeout": True}, TypeError, "a timedelta or a number of seconds, not True"),
    ({"on_conflict": "retry"}, TypeError, "on_conflict must be 'raise', 'overwrite' or a function"),
    ({"on_conflict": None}, TypeError, "on_conflict must be"),
    ({"save_on_error": [ValueError]}, TypeError, "as except takes them"),
    ({"save_on_error": 1}, TypeError, "as except takes them"),
    ({"save_on_error": (ValueError, int)}, TypeError, "as except takes them"),
    ({"converter": object()}, TypeError, "converter must have encode(data) and decode(plain)"),
    ({"prefx": "a"}, TypeError, "there is no option 'prefx': did you mean 'prefix'?"),
    ({"ttl": 5}, TypeError, "there is no option 'ttl'"),
]


@pytest.mark.parametrize(("options", "error", "text"), WRONG)
@pytest.mark.parametrize("factory", [session, lazy_session])
def test_a_wrong_option_is_refused_at_set_up(
    factory: Any, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as caught:
        factory(**options)
    assert text in str(caught.value)


RIGHT: list[dict[str, Any]] = [
    {"lock_timeout": None},
    {"lock": Locks()},
    {"initial": dict},
    {"initial": anything},
    {"save_on_error": (ValueError, KeyError)},
    {"on_conflict": anything},
]


@pytest.mark.parametrize("options", RIGHT)
def test_right_options_are_taken(options: dict[str, Any]) -> None:
    assert repr(make(**options)) == "<Sessions in <MemorySessionStorage with 0 entries>>"


def test_without_a_storage_each_sessions_has_a_memory_of_its_own() -> None:
    async def main() -> None:
        one, other = session(initial=dict[str, int]), session(initial=dict[str, int])
        await one.update(1, lambda _: {"n": 1})
        assert await other.get(1) == {}

    run(main())


def test_a_stand_in_for_tests_takes_no_more_than_the_real_storage() -> None:
    async def main() -> None:
        real = counters(Live())
        with pytest.raises(SessionEncodeError):
            await real.with_storage(MemorySessionStorage()).update(1, lambda _: {"b": b"x"})
        anything = counters(MemorySessionStorage()).with_storage(MemorySessionStorage())
        assert await anything.update(1, lambda _: {"b": b"x"}) == {"b": b"x"}
        with pytest.raises(SessionEncodeError):
            await anything.with_storage(Live()).update(1, lambda _: {"b": b"x"})
        debugged = counters(debug=True)
        assert debugged.with_storage(Live())._settings.kept is not debugged._settings.kept

    run(main())


def test_a_storage_that_counts_as_false_is_a_storage() -> None:
    class Empty(Live):
        def __bool__(self) -> bool:
            return False

    storage = Empty()
    assert session(storage=storage).storage is storage


def test_marks_that_are_not_marks_are_not_believed() -> None:
    class Odd(Live):
        def isolated(self) -> None: ...
        def any_value(self) -> None: ...
        def settles(self) -> None: ...

    backend = session(storage=Odd())._settings.backend
    assert not backend.isolated
    assert not backend.any_value


# Keys


class Chat(str, enum.Enum):  # noqa: UP042 (its str() names the member)
    MAIN = "main"


class Number(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (-100, "-100"),
        ("a", "a"),
        (Chat.MAIN, "main"),
        (Number.ONE, "1"),
        (0, "0"),
        ("\ud800", "\ud800"),
    ],
)
def test_keys_become_text(given: Any, key: str) -> None:
    async def main() -> None:
        sessions = counters()
        async with sessions.open(Ctx(given)) as opened:
            assert opened.key == key
            assert type(opened.key) is str
        async with sessions.open(given) as opened:
            assert opened.key == key

    run(main())


def test_a_key_function_may_be_async() -> None:
    async def key_of(ctx: Ctx) -> Any:
        return ctx.chat

    async def main() -> None:
        sessions = counters(get_session_key=key_of)
        await sessions(Ctx(5), lambda ctx: ctx.session.update(n=1))
        assert await sessions.get(5) == {"n": 1}

    run(main())


# Prefixes


def by_user(ctx: Any) -> Any:
    return ctx.user


def test_two_key_functions_on_one_storage_need_two_prefixes() -> None:
    storage = MemorySessionStorage()
    chats = counters(storage)
    with pytest.raises(ValueError, match="two key functions on one storage") as caught:
        counters(storage, get_session_key=by_user)
    for part in ("by_chat and by_user both have prefix=''", "prefix='user-'"):
        assert part in str(caught.value)
    assert counters(storage, get_session_key=by_user, prefix="user-")
    assert counters(storage)
    assert counters(MemorySessionStorage(), get_session_key=by_user)
    assert chats


def test_a_prefix_stays_taken_as_long_as_one_of_several_uses_it() -> None:
    storage = MemorySessionStorage()
    first = counters(storage)
    counters(storage)
    gc.collect()
    with pytest.raises(ValueError, match="two key functions"):
        counters(storage, get_session_key=by_user)
    del first
    gc.collect()
    assert counters(storage, get_session_key=by_user)


@dataclass
class Quiz:
    count: int = 0


@dataclass
class LongQuiz(Quiz):
    rounds: int = 0


@dataclass
class Pizza:
    count: int = 0


class View(TypedDict):
    count: int


def test_two_types_of_data_on_one_storage_need_two_prefixes() -> None:
    storage = MemorySessionStorage()
    quizzes = session(Quiz, storage=storage, prefix="p-")
    for new in (make, lazy_session):
        with pytest.raises(ValueError, match="two types of data on one storage") as caught:
            new(Pizza, storage=storage, prefix="p-")
        for part in ("Quiz and Pizza both have prefix='p-'", "prefix='pizza-'", "shared_prefix"):
            assert part in str(caught.value)
    for view in (Quiz, LongQuiz, View, dict, None):
        assert make(view, initial=None, storage=storage, prefix="p-")
    assert session(Pizza, storage=storage)
    assert session(Pizza, storage=MemorySessionStorage(), prefix="p-")
    assert session(Pizza, storage=storage, prefix="p-", shared_prefix=True)
    pizzas = session(Pizza)
    with pytest.raises(ValueError, match="two types"):
        session(Quiz).with_storage(pizzas.storage)
    assert quizzes


@pytest.mark.parametrize("in_thread", [False, True])
def test_closed_sessions_leave_their_prefix_to_others(*, in_thread: bool) -> None:
    storage = MemorySessionStorage()
    quizzes = session(Quiz, storage=storage)
    for _ in range(2):
        if in_thread:
            quizzes.sync.close()
        else:
            asyncio.run(quizzes.close())
    assert session(Pizza, storage=storage)


def test_sessions_can_be_made_and_listed_in_several_threads() -> None:
    storage = MemorySessionStorage()
    base = counters(storage)
    base.sync.update(1, lambda data: {"n": 1})
    errors: list[Exception] = []

    def make_some(name: int) -> None:
        try:
            made = [counters(storage, prefix=f"{name}-{n}-") for n in range(300)]
            assert len(made) == 300
            assert [list(base.sync.keys()) for _ in range(30)] == [["1"]] * 30
        except Exception as error:
            errors.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=make_some, args=(name,)) for name in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(before)
    assert not errors


def test_a_key_function_without_a_name_is_shown_as_it_is() -> None:
    class Callable_:
        def __call__(self, ctx: Any) -> str:
            return "1"

        def __repr__(self) -> str:
            return "<my keys>"

    storage = MemorySessionStorage()
    held = session(storage=storage, get_session_key=keys.chat)
    with pytest.raises(ValueError, match="chat and <my keys> both have"):
        session(storage=storage, get_session_key=Callable_())
    assert held


# Converters


@dataclass
class Point:
    x: int


class Converter:
    def encode(self, data: Point, /) -> Any:
        if data.x == 99:
            raise SessionEncodeError("mine", path=".x")
        return [data.x + 0]

    def decode(self, plain: Any, /) -> Point:
        if plain == ["mine"]:
            raise SessionDecodeError("mine")
        (x,) = plain
        return Point(int(x))


def test_a_converter_of_the_users_turns_data_into_plain_values_and_back() -> None:
    async def main() -> None:
        storage = Live()
        sessions = session(
            initial=lambda: Point(0), converter=Converter(), storage=storage, prefix="p-"
        )
        async with sessions.open(1) as opened:
            opened.data.x = 5
        assert storage.values == {"p-1": [5]}
        assert await sessions.get(1) == Point(5)
        async with sessions.open(1) as opened:
            opened.data.x += 0
        assert storage.count("write") == 1

    run(main())


@pytest.mark.parametrize("x", ["text", 99])
def test_what_a_converter_refuses_is_reported_and_the_stored_value_kept(x: Any) -> None:
    async def main() -> None:
        storage = Live(**{"1": [5], "2": ["not a number"], "3": ["mine"]})
        sessions = session(Point, converter=Converter(), storage=storage)
        with pytest.raises(SessionEncodeError) as caught:
            async with sessions.open(1) as opened:
                opened.data.x = x
        assert caught.value.key == "1"
        for key in ("2", "3"):
            with pytest.raises(SessionDecodeError) as failed:
                await sessions.get(key)
            assert failed.value.key == key
        assert storage.count("write") == 0

    run(main())


# Storages by URL or path


@pytest.mark.parametrize("name", ["a.db", "a.sqlite", "A.SQLITE3", "folder.db", "folder"])
def test_a_path_opens_a_database_or_an_existing_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    kind = FileSessionStorage if "folder" in name else SQLiteSessionStorage
    if kind is FileSessionStorage:
        path.mkdir()
    with session(initial=dict[str, int], storage=path).sync as sessions:
        sessions.update(1, lambda _: {"n": 1})
    with kind(path) as again:
        assert again.sync.read("1") == {"n": 1}
    with pytest.raises(SessionClosedError):
        sessions.get(1)


def test_a_storage_from_a_url_is_closed_with_its_sessions(tmp_path: Path) -> None:
    async def main() -> None:
        for url in ("memory:", f"file:{tmp_path}/folder", f"sqlite:///{tmp_path}/bot.db"):
            async with session(initial=dict[str, int], storage=url) as sessions:
                await sessions.update(1, lambda _: {"n": 1})
            with pytest.raises(SessionClosedError):
                await sessions.get(1)
            await sessions.close()

    asyncio.run(main())
    with session(initial=dict[str, int], storage=f"sqlite:///{tmp_path}/bot.db").sync as again:
        assert again.get(1) == {"n": 1}


def test_a_storage_of_the_users_stays_open() -> None:
    async def main() -> None:
        storage = MemorySessionStorage()
        async with counters(storage):
            pass
        assert storage.read("1") is None

    run(main())


@pytest.mark.parametrize("in_loop", [True, False])
def test_a_storage_is_not_even_opened_if_an_option_is_wrong(tmp_path: Path, in_loop: bool) -> None:
    async def main() -> None:
        attempt()

    def attempt() -> None:
        with pytest.raises(TypeError, match="prefix must be a str"):
            make(storage=f"sqlite:///{tmp_path}/bot.db", prefix=5)
        assert not list(tmp_path.iterdir())

    run(main()) if in_loop else attempt()


@pytest.mark.parametrize("in_loop", [True, False])
@pytest.mark.parametrize("scheme", ["sqlite:///{}/bot.db", "file:{}/folder"])
def test_a_storage_from_a_url_is_closed_again_if_its_prefix_is_taken(
    tmp_path: Path, in_loop: bool, scheme: str
) -> None:
    url = scheme.format(tmp_path)
    first = session(storage=url)

    async def main() -> None:
        attempt()

    def attempt() -> None:
        with pytest.raises(ValueError, match="two key functions on one storage"):
            session(storage=url, get_session_key=by_chat)

    threads = threading.active_count()
    run(main()) if in_loop else attempt()
    assert threading.active_count() <= threads
    first.sync.close()


def test_a_storage_that_cannot_be_opened_is_reported_at_set_up(tmp_path: Path) -> None:
    (tmp_path / "bot.db").write_text("no database, but long enough to be looked at" * 50)
    with pytest.raises(SessionError, match=r"bot\.db"):
        session(storage=f"sqlite:///{tmp_path}/bot.db")
    with pytest.raises(SessionError, match=r"bot\.db"):
        session(storage=SQLiteSessionStorage(tmp_path / "bot.db"))


def test_a_factory_says_what_it_is() -> None:
    sessions = session(initial=dict[str, int])
    with pytest.raises(TypeError, match=r"this is the factory; in a handler use ctx\.session"):
        sessions["n"]


def test_a_type_that_cannot_be_stored_is_refused_before_initial_is_asked_for() -> None:
    class Opaque:
        pass

    with pytest.raises(TypeError, match=r"Opaque cannot be converted"):
        session(Opaque)
    with pytest.raises(TypeError, match=r"a URL is storage=\.\.\."):
        session("sqlite:///bot.db")  # type: ignore[call-overload]  # pyright: ignore
