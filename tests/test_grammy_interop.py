"""What grammY wrote is read here, and what was written here is read by grammY.

Both are real: ``@grammyjs/storage-file`` and ``enhanceStorage`` on one side,
``FileSessionStorage`` and ``enhance_storage`` on the other, on one folder.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import shutil
import threading
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionkit import (
    REPEATED,
    FileSessionStorage,
    MemorySessionStorage,
    enhance_storage,
    keys,
    session,
)
from sessionkit.storages.authoring import BlockingView
from sessionkit_free import FreeSessionStorage
from sessionkit_free._keys import escaped
from sessionkit_free._tokens import Tokens
from sessionkit_free.serving import open_server
from tests.grammy import install
from tests.grammy.bridge import Grammy, Options
from tests.grammy.changes import Add, Append, Put, functions
from tests.grammy.compare import same
from tests.grammy.mirror import Mirror
from tests.grammy.process import DriverError
from tests.grammy.steps import AppendTo, Assign, DeleteField, Increment, Read, SetField, Step
from tests.grammy.updates import UPDATES
from tests.grammy.wire import UNDEFINED
from tests.once.updates import Update, count, counting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.grammy.bridge import Key
    from tests.grammy.changes import Change

install.skip_module_unless_available()

LIMITS = settings(max_examples=40, deadline=None, derandomize=True, database=None)
NOW_MS = 1_700_000_000_123
BOTH_READ = 2**53 - 1
"""The largest integer that JavaScript has exactly."""


@pytest.fixture
def grammy(grammy: Grammy) -> Grammy:
    grammy.set_clock(NOW_MS)
    return grammy


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    """Folders that do not exist yet, one for each example."""
    return (tmp_path / str(number) for number in itertools.count())


def clock() -> float:
    return NOW_MS / 1000


# --- data and keys ------------------------------------------------------------------------

ODD = st.sampled_from(["\u2028", "\ud800", "\0", "é", "e\u0301", "🍕", "__proto__", "constructor"])
TEXT = st.text(max_size=6) | ODD
NUMBERS = st.integers(-BOTH_READ, BOTH_READ) | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | NUMBERS | TEXT
DATA = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
).filter(lambda data: data is not None)

CHATS = st.integers(-(10**13), 10**13).filter(bool).map(str)
PLAIN_KEYS = st.builds("{}{}".format, st.sampled_from(["", "user-", "cart_", "p"]), CHATS)
"""What both find under the same name: digits, small letters, ``-`` and ``_``."""

ANY_KEYS = PLAIN_KEYS | st.builds("{}{}".format, st.sampled_from(["user:", "Cart ", "ж"]), CHATS)
"""What grammY can store; accents, which have two spellings, and ``/`` left out."""


def equal(one: Any, other: Any) -> bool:
    """Return whether two values are the same to JavaScript, whose numbers are all doubles."""
    return same(_doubled(one), _doubled(other))


def _doubled(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) + 0.0  # -0.0 becomes 0.0
    if isinstance(value, list):
        return [_doubled(each) for each in cast("Sequence[Any]", value)]
    if isinstance(value, dict):
        return {name: _doubled(each) for name, each in cast("dict[str, Any]", value).items()}
    return value


# --- storages -----------------------------------------------------------------------------


def test_a_file_of_grammy_is_read_here(grammy: Grammy, folders: Iterator[Path]) -> None:
    @LIMITS
    @given(st.dictionaries(ANY_KEYS, DATA, max_size=4))
    def check(values: dict[str, Any]) -> None:
        folder = next(folders)
        theirs, ours = grammy.file(folder), FileSessionStorage(folder).sync
        for key, value in values.items():
            theirs.write(key, value)

        assert set(ours.iter_keys()) == values.keys()
        assert all(equal(ours.read(key), value) for key, value in values.items())
        shutil.rmtree(folder, ignore_errors=True)

    check()


def test_a_file_of_ours_is_read_by_grammy(grammy: Grammy, folders: Iterator[Path]) -> None:
    @LIMITS
    @given(st.dictionaries(PLAIN_KEYS, DATA, max_size=4))
    def check(values: dict[str, Any]) -> None:
        folder = next(folders)
        theirs, ours = grammy.file(folder), FileSessionStorage(folder).sync
        for key, value in values.items():
            ours.write(key, value)

        assert all(equal(theirs.read(key), value) for key, value in values.items())
        for key in values:
            theirs.delete(key)
        assert list(ours.iter_keys()) == []
        shutil.rmtree(folder, ignore_errors=True)

    check()


@pytest.mark.parametrize("ttl_ms", [None, 5000])
@pytest.mark.parametrize("versions", [[], [3], [1, 12]])
def test_what_one_enhancer_wrote_is_read_by_the_other(
    grammy: Grammy, folders: Iterator[Path], ttl_ms: int | None, versions: list[int]
) -> None:
    table = {str(version): [Put("x", version)] for version in versions}

    @settings(LIMITS, max_examples=15)
    @given(PLAIN_KEYS, DATA)
    def check(key: str, value: Any) -> None:
        folder = next(folders)
        theirs = grammy.enhanced(grammy.file(folder), ttl_ms=ttl_ms, migrations=table or None)
        files = FileSessionStorage(folder, clock=clock).sync
        ours = enhance_storage(
            files,
            ttl=ttl_ms and ttl_ms / 1000,
            migrations=functions(table) or None,
            clock=clock,
        )

        theirs.write(key, value)
        assert equal(ours.read(key), value)
        by_grammy = files.read(key)

        ours.write(key, value)
        assert equal(theirs.read(key), value)
        assert equal(files.read(key), by_grammy)
        shutil.rmtree(folder, ignore_errors=True)

    check()


def test_each_migrates_what_the_other_wrote_with_an_older_version(
    grammy: Grammy, tmp_path: Path
) -> None:
    old: dict[str, Sequence[Change]] = {"1": [Put("x", 1)]}
    new: dict[str, Sequence[Change]] = {**old, "2": [Add("n", 10)], "10": [Append("log", "ten")]}
    by_grammy, here = grammy.file(tmp_path), FileSessionStorage(tmp_path).sync
    grammy.enhanced(by_grammy, migrations=old).write("5", {"n": 1})
    enhance_storage(here, migrations=functions(old)).write("6", {"n": 2})

    theirs = grammy.enhanced(by_grammy, migrations=new)
    ours = enhance_storage(here, migrations=functions(new))

    assert ours.read("5") == theirs.read("5") == {"n": 11, "log": ["ten"]}
    assert ours.read("6") == theirs.read("6") == {"n": 12, "log": ["ten"]}


def test_each_expires_what_the_other_wrote(grammy: Grammy, tmp_path: Path) -> None:
    now = NOW_MS

    def passing() -> float:
        return now / 1000

    by_grammy, here = grammy.file(tmp_path), FileSessionStorage(tmp_path, clock=passing).sync
    theirs = grammy.enhanced(by_grammy, ttl_ms=5000)
    ours = enhance_storage(here, ttl=5, clock=passing)
    theirs.write("5", {"n": 1})
    ours.write("6", {"n": 2})

    now += 4999
    grammy.set_clock(now)
    assert (ours.read("5"), theirs.read("6")) == ({"n": 1}, {"n": 2})

    now += 2
    grammy.set_clock(now)
    assert (ours.read("5"), theirs.read("6")) == (None, UNDEFINED)
    assert here.purge_expired() == 1  # grammY has deleted what it found expired


def test_the_timeout_of_our_files_is_read_by_the_enhancer_of_grammy(
    grammy: Grammy, tmp_path: Path
) -> None:
    FileSessionStorage(tmp_path, ttl=5, clock=clock).sync.write("6", {"n": 2})
    theirs = grammy.enhanced(grammy.file(tmp_path), ttl_ms=5000)

    assert theirs.read("6") == {"n": 2}
    grammy.set_clock(NOW_MS + 5001)
    assert theirs.read("6") is UNDEFINED


def test_data_of_before_there_was_an_enhancer_is_read(grammy: Grammy, tmp_path: Path) -> None:
    grammy.file(tmp_path).write("5", {"n": 1})
    ours = enhance_storage(
        FileSessionStorage(tmp_path).sync, ttl=5, migrations={1: lambda data: {**data, "x": 1}}
    )

    assert ours.read("5") == {"n": 1, "x": 1}


def test_fields_of_other_releases_do_not_hide_the_data_from_grammy(
    grammy: Grammy, tmp_path: Path
) -> None:
    by_grammy, here = grammy.file(tmp_path), FileSessionStorage(tmp_path).sync
    theirs, ours = grammy.enhanced(by_grammy, migrations={"1": [Put("x", 1)]}), enhanced(here)
    here.write("5", {"v": 1, "__d": {"n": 1}, "__u": [7]})

    assert theirs.read("5") == ours.read("5") == {"n": 1}
    ours.write("5", {"n": 2})
    assert here.read("5") == {"v": 1, "__d": {"n": 2}, "__u": [7]}
    assert theirs.read("5") == {"n": 2}
    theirs.write("5", {"n": 3})
    assert ours.read("5") == {"n": 3}
    assert here.read("5") == {"v": 1, "__d": {"n": 3}}  # grammY writes what it knows


def enhanced(storage: Any) -> Any:
    return enhance_storage(storage, migrations={1: lambda data: {**data, "x": 1}})


# --- the free storage ---------------------------------------------------------------------

FREE_KEYS = st.text(
    st.sampled_from("azAZ09-_:/@+,=.!$&'()*;[]|~ éж🍕"), min_size=1, max_size=10
).filter(lambda key: key[-1] != " " and {".", ".."}.isdisjoint(key.split("/")))
"""What JavaScript sends without loss; a space at the end is not, and of ``^`` it depends."""

FREE_TOKEN = "42:TEST"


@pytest.fixture(scope="module")
def free_url() -> Iterator[str]:
    """A server with the bots of one token on its list, in a loop on a thread of its own."""
    server = open_server(MemorySessionStorage(), bots=[FREE_TOKEN])
    started: queue.SimpleQueue[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]]
    started = queue.SimpleQueue()

    async def serve() -> None:
        ended = asyncio.Event()
        async with server.running("127.0.0.1", 0) as url:
            started.put((url, asyncio.get_running_loop(), ended))
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    url, loop, ended = started.get(timeout=60)
    yield url
    loop.call_soon_threadsafe(ended.set)
    thread.join()


@pytest.fixture
def free(free_url: str) -> Iterator[BlockingView]:
    with FreeSessionStorage(FREE_TOKEN, root_url=free_url).sync as view:
        yield view
        for key in list(view.iter_keys()):
            view.delete(key)


def test_the_client_of_grammy_and_ours_share_a_free_storage(
    grammy: Grammy, free_url: str, free: BlockingView
) -> None:
    theirs = grammy.free(FREE_TOKEN, free_url)

    @LIMITS
    @given(FREE_KEYS, FREE_KEYS, DATA, DATA)
    def check(key: str, other: str, value: Any, later: Any) -> None:
        theirs.write(key, value)
        assert equal(free.read(key), value)
        assert dict(free.iter_items()).keys() == {key}
        free.write(other, later)
        assert equal(theirs.read(other), later)
        assert theirs.keys() == {"keys": [escaped(each) for each in dict.fromkeys((key, other))]}
        theirs.delete(other)
        free.delete(key)
        assert (free.read(other), theirs.read(key)) == (None, UNDEFINED)

    check()


def test_a_free_storage_keeps_the_envelopes_of_both_enhancers(
    grammy: Grammy, free_url: str, free: BlockingView
) -> None:
    table: dict[str, Sequence[Change]] = {"1": [Put("x", 1)]}
    theirs = grammy.enhanced(grammy.free(FREE_TOKEN, free_url), ttl_ms=5000, migrations=table)
    ours = enhance_storage(free, ttl=5, migrations=functions(table), clock=clock)

    theirs.write("5", {"n": 1})
    ours.write("6", {"n": 2})
    assert (ours.read("5"), theirs.read("6")) == ({"n": 1}, {"n": 2})
    assert free.read("5") == {"__d": {"n": 1}, "v": 1, "e": NOW_MS + 5000}


def test_a_bot_of_grammy_and_one_of_ours_take_turns_on_a_free_storage(
    grammy: Grammy, free_url: str, free: BlockingView
) -> None:
    bot = grammy.bot("strict", initial={"n": 0}, storage=grammy.free(FREE_TOKEN, free_url))
    sessions = session(initial=lambda: {"n": 0}, storage=free)
    for number in range(3):
        assert bot.update([Increment("n")], chat=5).error is None
        with sessions.open(5) as opened:
            opened.data["n"] += 1
        assert theirs_then_ours(bot, sessions) == (2 * number + 2,) * 2


def theirs_then_ours(bot: Any, sessions: Any) -> tuple[int, int]:
    return bot.update([Read()], chat=5).saw[-1]["n"], sessions.sync.get(5)["n"]


def test_a_server_that_forgets_its_logins_lets_the_client_of_grammy_in_again(
    grammy: Grammy, free_url: str, free: BlockingView, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = grammy.free(FREE_TOKEN, free_url)
    theirs.write("5", {"n": 1})
    with monkeypatch.context() as patch:
        patch.setattr(Tokens, "bot_of", forgetting(Tokens.bot_of))
        assert theirs.read("5") == {"n": 1}
        assert free.read("5") == {"n": 1}


def forgetting(check: Any) -> Any:
    """A check of logins that refuses each one of before."""
    known: set[str] = set()

    def bot_of(self: Any, token: str) -> Any:
        known.add(token)
        return check(self, token) if len(known) > 1 else None

    return bot_of


def test_the_client_of_grammy_gets_the_reason_of_a_refusal(grammy: Grammy, free_url: str) -> None:
    theirs = grammy.free(FREE_TOKEN, free_url)
    with pytest.raises(DriverError, match="400: data exceeds 16384 bytes"):
        theirs.write("5", "x" * 16_382)
    with pytest.raises(DriverError, match="400: key lengths exceeds 64"):
        theirs.write("5" * 64, 1)
    theirs.write("5" * 63, "x" * 16_381)
    with pytest.raises(DriverError, match="invalid bot token"):
        grammy.free("42:other", free_url).read("5")


# --- sessions -----------------------------------------------------------------------------

STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Increment, st.just("n"), st.integers(-2, 2)),
    st.builds(AppendTo, st.just("list"), DATA),
    st.builds(SetField, st.sampled_from(["x", "y"]), DATA),
    st.builds(DeleteField, st.sampled_from(["x", "y"])),
    st.just(Read()),
    st.just(Assign({"n": 0, "list": []})),
)
TURNS = st.lists(st.tuples(st.booleans(), st.lists(STEPS, max_size=3)), max_size=6)
TABLE: Mapping[str, Sequence[Change]] = {"1": [Put("x", 1)], "2": [Append("list", "two")]}


@pytest.mark.parametrize("kind", ["strict", "lazy"])
@pytest.mark.parametrize("key", ["chat", "user"])
@pytest.mark.parametrize("is_enhanced", [False, True])
def test_a_chat_may_change_sides_at_any_update(
    grammy: Grammy,
    folders: Iterator[Path],
    kind: Literal["strict", "lazy"],
    key: Key,
    is_enhanced: bool,
) -> None:
    runner = asyncio.Runner()

    @settings(LIMITS, max_examples=12)
    @given(TURNS)
    def check(turns: list[tuple[bool, list[Step]]]) -> None:
        folder = next(folders)
        theirs: Any = grammy.file(folder)
        ours: Any = FileSessionStorage(folder, clock=clock)
        if is_enhanced:
            theirs = grammy.enhanced(theirs, ttl_ms=5000, migrations=TABLE)
            ours = enhance_storage(ours, ttl=5, migrations=functions(TABLE), clock=clock)
        options = Options({"n": 0, "list": []}, "u-" if key == "user" else None, key, theirs)
        bot = grammy.bot(kind, **vars(options))
        mirror = Mirror(kind, {"": options}, {"": ours})
        for here, steps in turns:
            if here:
                run = runner.run(mirror.update([*steps, Read()], chat=-100, user=3))
                assert run.error is None
                saw = run.saw[-1]
            else:
                outcome = bot.update([*steps, Read()], chat=-100, user=3)
                assert outcome.error is None
                saw = outcome.saw[-1]
            (other,) = runner.run(mirror.update([Read()], chat=-100, user=3)).saw
            assert equal(other, saw)
        runner.run(ours.close())
        shutil.rmtree(folder, ignore_errors=True)

    with runner:
        check()


# --- keys ---------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", UPDATES.values(), ids=UPDATES)
@pytest.mark.parametrize(
    ("key", "function", "prefix"),
    [
        ("chat", keys.chat, None),
        ("user", keys.user, "user-"),
        ("number", keys.user, "p-"),
        ("user_in_chat", keys.user_in_chat, "c-"),
    ],
)
def test_each_kind_of_update_has_the_key_that_grammy_gives_it(
    grammy: Grammy, raw: Any, key: Key, function: Any, prefix: str | None
) -> None:
    theirs = grammy.bot(key=key, prefix=prefix, initial=0).update(raw=raw)
    ours = function({"update_id": 1, **raw})

    assert {call.key for call in theirs.calls} == (
        set() if ours is None else {f"{prefix or ''}{ours}"}
    )


def test_grammy_reads_data_that_has_ids_of_updates_beside_it(
    grammy: Grammy, tmp_path: Path
) -> None:
    async def delete(ctx: Any) -> None:
        del ctx.session

    async def write() -> None:
        async with FileSessionStorage(tmp_path) as storage:
            sessions = counting(storage)
            for number in (1, 2, 3):
                await sessions(Update(number), count)
            await sessions(Update(4, chat=6), count)
            await sessions(Update(5, chat=6), delete)

    async def count_again() -> list[Any]:
        async with FileSessionStorage(tmp_path) as storage:
            sessions = counting(storage)
            return [await sessions(Update(number), count) for number in (3, 4)]

    asyncio.run(write())
    theirs = grammy.enhanced(grammy.file(tmp_path))
    bot = grammy.bot("strict", initial={"n": 100}, storage=theirs)

    assert theirs.read("5") == {"n": 3}
    assert theirs.read("6") is None  # deleted: null, and grammY does not ask for initial data
    bot.update([Assign({"n": 101})], chat=6)
    assert theirs.read("6") == {"n": 101}
    assert asyncio.run(count_again()) == [REPEATED, 4]
    bot.update([Increment("n")], chat=5)
    assert theirs.read("5") == {"n": 5}
    assert asyncio.run(count_again()) == [6, 7]  # it keeps no ids when it writes
