"""An update that comes twice counts once: what is stored, what runs, what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
import threading
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from sessionkit import (
    REPEATED,
    FileSessionStorage,
    MemorySessionStorage,
    MultiSession,
    Once,
    RepeatedUpdateError,
    SessionClosedError,
    SessionConflictError,
    SessionDecodeError,
    SessionEncodeError,
    SessionError,
    SessionLockTimeoutError,
    SessionWriteError,
    SQLiteSessionStorage,
    enhance_storage,
    lazy_session,
    multi_session,
    session,
)
from sessionkit.adapters import Binding, any_number_of_times
from tests.core import Clocked, Live, Oops, Remote, free, listed, make_storage, run, until, zero
from tests.once.updates import HOUR, Update, at, count, count_lazily, counting

DAY = 24 * HOUR


def ids_in(value: Any) -> dict[str, Any]:
    """The ids of a stored value: done, without the hours, and begun."""
    ids = value["__u"]
    done = [each for text in ids.get("done", {}).values() for each in text.split()]
    return {"done": done, "begun": sorted(ids.get("begun", {}))}


# What a repeat does


def test_a_repeat_does_not_run_the_handler() -> None:
    async def scenario() -> None:
        assert await sessions(Update(1), count) == 1
        assert await sessions(Update(1), count) is REPEATED
        assert await sessions(Update(2), count) == 2
        assert await sessions.get(5) == {"n": 2}
        assert free(sessions)

    sessions = counting()
    run(scenario())


def test_updates_of_other_bots_and_chats_are_others() -> None:
    async def scenario() -> list[Any]:
        updates = [Update(1), Update(1, bot=43), Update(1, bot=None), Update(1, chat=6)]
        return [await sessions(update, count) for update in updates]

    sessions = counting()
    assert run(scenario()) == [1, 2, 3, 1]


def test_what_fails_or_discards_runs_again() -> None:
    async def fails(ctx: Any) -> None:
        await count(ctx)
        raise Oops

    async def discards(ctx: Any) -> int:
        sessions.of(ctx).discard()
        return await count(ctx)

    async def scenario() -> None:
        with pytest.raises(Oops):
            await sessions(Update(1), fails)
        assert await sessions(Update(1), discards) == 1
        assert await sessions(Update(1), count) == 1
        assert await sessions(Update(1), fails) is REPEATED

    sessions = counting()
    run(scenario())


def test_what_saves_in_spite_of_an_error_is_done() -> None:
    async def fails(ctx: Any) -> None:
        await count(ctx)
        raise Oops

    async def scenario() -> None:
        with pytest.raises(Oops):
            await sessions(Update(1), fails)
        assert await sessions(Update(1), fails) is REPEATED
        assert await sessions.get(5) == {"n": 1}

    sessions = counting(save_on_error=Oops)
    run(scenario())


@pytest.mark.parametrize("always", [False, True])
def test_what_changes_nothing_runs_again_unless_it_always_writes(always: bool) -> None:
    async def look(ctx: Any) -> str:
        return f"{ctx.session}"

    async def scenario() -> None:
        assert await sessions(Update(1), look) == "{'n': 0}"
        repeated = await sessions(Update(1), look)
        assert repeated is REPEATED if always else repeated == "{'n': 0}"
        assert not await sessions.exists(5)  # what initial gives is not stored
        await sessions(Update(2), count)
        await sessions(Update(3), look)
        repeated = await sessions(Update(3), look)
        assert repeated is REPEATED if always else repeated == "{'n': 1}"

    sessions = counting(once=Once(always=always))
    run(scenario())


@pytest.mark.parametrize("pauses", [False, True])
def test_what_saved_before_its_end_runs_again_and_knows_it(pauses: bool) -> None:
    async def handler(ctx: Any) -> None:
        opened = sessions.of(ctx)
        known.append(opened.redelivered)
        await count(ctx)
        if pauses:
            async with opened.paused():
                pass
        else:
            await opened.save()
        assert ids_in(storage.read("5"))["begun"] == ["42:1"]
        if len(known) == 1:
            raise Oops

    async def scenario() -> None:
        with pytest.raises(Oops):
            await sessions(Update(1), handler)
        assert await sessions(Update(1), handler) is None
        assert ids_in(storage.read("5")) == {"done": ["42:1"], "begun": []}
        assert await sessions(Update(1), handler) is REPEATED
        assert known == [False, True]
        assert await sessions.get(5) == {"n": 2}

    known: list[bool] = []
    storage = MemorySessionStorage()
    sessions = counting(storage)
    run(scenario())


def test_the_session_tells_the_id() -> None:
    async def told(ctx: Any) -> Any:
        return sessions.of(ctx).update_id

    async def scenario() -> None:
        assert await sessions(Update(1), told) == "42:1"
        assert await plain(Update(1), lambda ctx: plain.of(ctx).update_id) is None
        async with sessions.open(5) as opened:
            assert (opened.update_id, opened.redelivered) == (None, False)

    sessions = counting()
    plain = session()
    run(scenario())


def test_opening_the_session_of_a_repeat_raises() -> None:
    async def scenario() -> None:
        async with sessions.open(Update(1)) as opened:
            opened.data["n"] += 1
        repeat = Update(1)
        with pytest.raises(RepeatedUpdateError, match="42:1 was handled already") as caught:
            async with sessions.open(repeat):
                raise AssertionError
        assert caught.value.update_id == "42:1"
        assert caught.value.key == "5"
        assert caught.value.ctx is repeat
        assert pickle.loads(pickle.dumps(caught.value)).ctx is None
        assert free(sessions)
        assert not hasattr(repeat, "session")

    sessions = counting()
    run(scenario())


def test_another_handler_of_the_same_delivery_goes_on() -> None:
    async def scenario() -> None:
        update = Update(1)
        assert [await sessions(update, count) for _ in range(3)] == [1, 2, 3]
        assert await sessions(Update(1), count) is REPEATED

    sessions = counting()
    run(scenario())


def test_by_key_there_are_no_ids_and_none_is_lost() -> None:
    async def scenario() -> None:
        await sessions(Update(1), count)
        async with sessions.open(5) as opened:
            opened.data["n"] += 10
        async with sessions.open(5) as opened:
            opened.data = {"n": 20}
        async with sessions.open(5) as opened:
            opened.reset()
        await sessions.update(5, lambda data: {"n": data["n"] + 30})
        async with sessions.open_many(5, 6) as (first, second):
            first.data["n"] += 1
            second.data["n"] += 1
        assert await sessions.get(5) == {"n": 31}
        assert await sessions(Update(1), count) is REPEATED
        assert storage.read("6") == {"n": 1}

    storage = MemorySessionStorage()
    sessions = counting(storage)
    run(scenario())


def test_a_release_without_once_keeps_the_ids() -> None:
    async def scenario() -> None:
        await new(Update(1), count)
        assert await old(Update(1), count) == 2
        assert await new(Update(1), count) is REPEATED
        assert await new.get(5) == {"n": 2}

    storage = MemorySessionStorage()
    new, old = counting(storage), session(initial=zero, storage=storage)
    run(scenario())


# Where it is stored


@pytest.mark.parametrize("kind", ["memory", "file", "sqlite"])
@pytest.mark.parametrize("enhanced", [False, True])
def test_ids_survive_a_restart_in_every_storage(kind: str, enhanced: bool, tmp_path: Any) -> None:
    async def handle(number: int, handler: Any) -> Any:
        storage: Any = kept if kind == "memory" else make_storage(kind, tmp_path)
        if enhanced:
            storage = enhance_storage(storage, ttl=2 * DAY, migrations={1: dict})
        sessions = counting(storage)
        try:
            return await sessions(Update(number), handler)
        finally:
            if kind != "memory":
                await storage.close()

    async def delete(ctx: Any) -> None:
        del ctx.session

    async def scenario() -> None:
        assert await handle(1, count) == 1
        assert await handle(2, count) == 2
        assert await handle(2, count) is REPEATED
        assert await handle(3, delete) is None
        for number in (1, 2, 3):
            assert await handle(number, count) is REPEATED
        assert await handle(4, count) == 1
        assert await handle(3, delete) is REPEATED

    kept = MemorySessionStorage()
    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["memory", "file", "sqlite"])
def test_threads_have_the_same_ids(kind: str, tmp_path: Any) -> None:
    def handler(ctx: Any) -> int:
        ctx.session["n"] += 1
        opened = sessions.sync.of(ctx)
        assert (opened.update_id, opened.redelivered) == ("42:1", False)
        return int(ctx.session["n"])

    storage = make_storage(kind, tmp_path)
    sessions = counting(storage)
    assert sessions.sync(Update(1), handler) == 1
    assert sessions.sync(Update(1), handler) is REPEATED
    assert asyncio.run(sessions(Update(1), count)) is REPEATED
    storage.sync.close()


def test_a_deleted_session_is_missing_though_its_ids_are_there() -> None:
    async def delete(ctx: Any) -> None:
        await sessions.of(ctx).delete()

    async def scenario() -> None:
        await sessions(Update(1), count)
        await sessions(Update(2, chat=6), count)
        await sessions(Update(3), delete)
        assert storage.read("5")["__d"] is None
        assert not await sessions.exists(5)
        assert await sessions.get(5) == {"n": 0}
        assert await sessions.count() == 1
        assert await listed(sessions.keys()) == ["6"]
        assert await listed(plain.keys()) == ["5", "6"]  # it is not asked to look
        assert [key async for key, _ in plain.items()] == ["6"]
        async with sessions.open(5) as opened:
            assert opened.is_new
        await sessions.delete(6)
        assert storage.read("6")["__d"] is None
        assert await sessions(Update(2, chat=6), count) is REPEATED

    storage = MemorySessionStorage()
    sessions, plain = counting(storage), session(storage=storage)
    run(scenario())


def test_deleting_what_nobody_can_read_works() -> None:
    async def scenario() -> None:
        with pytest.raises(SessionDecodeError):
            await sessions.get(5)
        await sessions.delete(5)
        assert await sessions.get(5) == {"n": 0}

    storage = MemorySessionStorage()
    storage.write("5", {"__d": {"n": 1}, "__u": [7]})
    sessions = counting(storage)
    run(scenario())


@pytest.mark.parametrize("ids", [[7], "x", {"done": []}, {"begun": 1}, {"moved": "5"}])
def test_ids_in_another_form_are_refused_and_kept(ids: Any) -> None:
    async def scenario() -> None:
        with pytest.raises(SessionDecodeError, match="not in the form of this release") as caught:
            await sessions(Update(1), count)
        assert caught.value.key == "5"
        assert storage.read("5") == {"__d": {"n": 1}, "__u": ids}

    storage = MemorySessionStorage()
    storage.write("5", {"__d": {"n": 1}, "__u": ids})
    sessions = counting(storage)
    run(scenario())


def test_what_other_releases_keep_beside_the_data_stays() -> None:
    async def delete(ctx: Any) -> None:
        del ctx.session

    async def scenario() -> None:
        await sessions(Update(1), count)
        value = storage.read("5")
        assert (value["__d"], value["__x"]) == ({"n": 2}, 7)
        await sessions(Update(2), delete)
        assert storage.read("5").keys() == {"__d", "__u"}  # that belonged to the data

    storage = MemorySessionStorage()
    storage.write("5", {"__d": {"n": 1}, "__x": 7})
    sessions = counting(storage)
    run(scenario())


# How long


def test_ids_are_kept_for_a_day_and_the_newest_longer() -> None:
    async def scenario() -> None:
        for number in range(1, 8):
            await sessions(Update(number), count)
        clock.now += 25 * HOUR
        await sessions(Update(8), count)
        assert ids_in(storage.read("5"))["done"] == [f"42:{n}" for n in (5, 6, 7, 8)]
        clock.now += 24 * HOUR
        await sessions(Update(9), count)
        await sessions(Update(10), count)
        assert ids_in(storage.read("5"))["done"] == [f"42:{n}" for n in (6, 7, 8, 9, 10)]

    clock = Clocked()
    storage = MemorySessionStorage()
    sessions = counting(storage, once=at(clock, keep=4))
    run(scenario())


@pytest.mark.parametrize("hours", [23.99, 25.01])
def test_no_id_is_forgotten_within_a_day(hours: float) -> None:
    async def scenario() -> None:
        assert await sessions(Update(1), count) == 1
        clock.now += hours * HOUR
        assert await sessions(Update(2), count) == 2
        repeated = await sessions(Update(1), count)
        assert repeated is REPEATED if hours < 24 else repeated == 3

    clock = Clocked()
    sessions = counting(once=at(clock, keep=0))
    run(scenario())


@pytest.mark.parametrize("keep", [0, 20])
def test_no_id_is_lost_where_clocks_disagree(keep: int) -> None:
    async def scenario() -> None:
        for number, hours in enumerate((0, 1, 0, 1, 2, 0), start=1):
            clock.now = begin + hours * HOUR
            await sessions(Update(number), count)
        for number in range(1, 7):
            assert await sessions(Update(number), count) is REPEATED

    clock = Clocked()
    begin = clock.now
    sessions = counting(once=at(clock, keep=keep))
    run(scenario())


def test_begun_ids_expire_as_well() -> None:
    async def begins(ctx: Any) -> None:
        ctx.session["n"] += 1
        await sessions.of(ctx).save()
        raise Oops

    async def scenario() -> None:
        with pytest.raises(Oops):
            await sessions(Update(1), begins)
        clock.now += 26 * HOUR
        await sessions(Update(2), count)
        assert ids_in(storage.read("5"))["begun"] == []

    clock = Clocked()
    storage = MemorySessionStorage()
    sessions = counting(storage, once=at(clock))
    run(scenario())


@pytest.mark.parametrize("enhanced", [False, True])
def test_what_a_deleted_session_left_expires(enhanced: bool) -> None:
    async def delete(ctx: Any) -> None:
        del ctx.session

    async def scenario() -> None:
        await sessions(Update(1), count)
        clock.now += 2 * HOUR
        await sessions(Update(2), delete)
        clock.now += 23 * HOUR
        assert await sessions(Update(2), count) is REPEATED
        clock.now += 3 * HOUR
        assert await sessions.purge_expired() == 1
        assert list(inner.iter_keys("")) == []

    clock = Clocked()
    inner = MemorySessionStorage(clock=clock)
    storage: Any = enhance_storage(inner, ttl=2 * DAY, clock=clock) if enhanced else inner
    sessions = counting(storage, once=at(clock))
    run(scenario())


def test_storages_that_purge_nothing_are_swept_nevertheless(tmp_path: Any) -> None:
    class PurgesNothing:
        """A storage of a user's own, over files: with revisions and a listing."""

        def __init__(self) -> None:
            inner = FileSessionStorage(tmp_path / "sessions").sync
            self.read, self.write, self.delete = inner.read, inner.write, inner.delete
            self.read_with_revision, self.write_if = inner.read_with_revision, inner.write_if
            self.iter_keys, self.iter_items = inner.iter_keys, inner.iter_items

    async def delete(ctx: Any) -> None:
        del ctx.session

    async def scenario() -> None:
        await sessions(Update(1), delete)
        await sessions(Update(2), count)
        await sessions(Update(3), delete)
        clock.now += 26 * HOUR
        assert await sessions.purge_expired() == 1
        assert list(storage.iter_keys("")) == []

    clock = Clocked()
    storage: Any = PurgesNothing()
    sessions = counting(storage, once=at(clock))
    run(scenario())


def without_expiry() -> Any:
    storage = MemorySessionStorage()
    names = ("read", "write", "delete", "read_with_revision", "write_if", "iter_keys", "iter_items")
    return SimpleNamespace(**{name: getattr(storage, name) for name in names})


@pytest.mark.parametrize("knows_expiry", [False, True])
def test_what_deleted_sessions_left_is_swept_or_expires(tmp_path: Any, knows_expiry: bool) -> None:
    async def delete(ctx: Any) -> None:
        del ctx.session

    async def scenario() -> None:
        sessions = counting(storage, once=at(clock))
        await sessions(Update(1), count)
        await sessions(Update(2), delete)
        await sessions(Update(3, chat=6), count)
        assert await sessions.purge_expired() == 0
        clock.now += 26 * HOUR
        assert await sessions.purge_expired() == 1
        assert list(blocking.iter_keys()) == ["6"]

    clock = Clocked()
    storage: Any = without_expiry()
    if knows_expiry:
        storage = FileSessionStorage(tmp_path / "sessions", clock=clock)
    blocking = getattr(storage, "sync", storage)
    asyncio.run(scenario())


def test_a_delete_long_after_the_last_update_leaves_nothing() -> None:
    async def scenario() -> None:
        await sessions(Update(1), count)
        clock.now += 26 * HOUR
        await sessions.delete(5)
        assert storage.read("5") is None

    clock = Clocked()
    storage = MemorySessionStorage()
    sessions = counting(storage, once=at(clock))
    run(scenario())


def test_a_session_with_all_that_it_keeps_grows_by_less_than_a_kilobyte() -> None:
    async def scenario() -> None:
        for number in range(100):
            clock.now += 26 * HOUR
            await sessions(Update(4_294_967_000 + number, bot=8_000_000_000), count)
        value = storage.read("5")
        assert len(ids_in(value)["done"]) == 20
        assert len(json.dumps(value)) - len(json.dumps({"n": 100})) <= 1000

    clock = Clocked()
    storage = MemorySessionStorage()
    sessions = counting(storage, once=at(clock))
    run(scenario())


# Identity


def test_an_identity_of_ones_own() -> None:
    async def scenario() -> None:
        assert await sessions({"chat": 5, "id": "a b%"}, handler) == 1
        assert await sessions({"chat": 5, "id": "a b%"}, handler) is REPEATED
        assert await sessions({"chat": 5, "id": "a"}, handler) == 2
        assert await sessions({"chat": 5, "id": 7}, handler) == 3
        assert await sessions({"chat": 5, "id": 7}, handler) is REPEATED
        assert await sessions({"chat": 5, "id": None}, handler) == 4
        assert await sessions({"chat": 5, "id": None}, handler) == 5
        wrong: Any = [True, "", 1.5, b""]
        for each in wrong:
            with pytest.raises(SessionError, match="identity of an update must be a non-empty str"):
                await sessions({"chat": 5, "id": each}, handler)
        assert free(sessions)

    async def handler(ctx: Any) -> int:
        return await count(type("At", (), {"session": ctx["session"]}))

    async def later(ctx: Any) -> Any:
        await asyncio.sleep(0)
        return ctx["id"]

    def now(ctx: Any) -> Any:
        return ctx["id"]

    def chat(ctx: Any) -> Any:
        return ctx["chat"]

    for identity in (now, later):
        sessions: Any = counting(get_session_key=chat, once=Once(identity=identity))
        run(scenario())


def test_the_id_is_found_where_frameworks_have_it() -> None:
    class Holder:
        def __init__(self, update: Any, bot: Any = None) -> None:
            self.update = update
            if bot is not None:
                self.bot = bot

    class Bot:
        token = "42:secret"

    class Part:
        def __init__(self, identity: str | None) -> None:
            self.chat = {"id": 5}
            self.update_identity = identity

    raw = {"update_id": 1, "bot_id": 44, "message": {"chat": {"id": 5}}}

    async def scenario() -> None:
        told = [await sessions(ctx, lambda c: sessions.of(c).update_id) for ctx in contexts]
        assert told == ["44:1", "42:1", "43:1", "7:7", None]

    contexts = [
        raw,
        Holder(raw, Bot()),
        Holder(Update(1, bot=43)),
        Part("7:7"),
        Part(None),
    ]
    sessions = counting(attribute="data")
    run(scenario())


def test_what_has_no_id_is_refused() -> None:
    class Message:
        chat = {"id": 5}  # noqa: RUF012

    async def scenario() -> None:
        with pytest.raises(SessionError, match=r"no update_id in this Message.*Once\(identity"):
            await sessions(Message(), count)
        assert free(sessions)

    sessions = counting()
    run(scenario())


def test_updates_without_a_key_have_no_session_and_no_id() -> None:
    class Inline:
        update_id = 1
        inline_query = {"id": "1", "from": {"id": 3}}  # noqa: RUF012

    async def scenario() -> None:
        for _ in range(2):
            assert await sessions(Inline(), lambda _: "ran") == "ran"

    sessions = counting()
    run(scenario())


# Refused at set-up


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: session(storage=Live(), once=True), TypeError, "read_with_revision"),
        (lambda: session(once="yes"), TypeError, "once must be True, False or Once"),  # type: ignore[call-overload]
        (lambda: Once(ttl=HOUR), ValueError, "Telegram delivers an update again for 24 hours"),
        (lambda: Once(ttl=0), ValueError, "ttl"),
        (lambda: Once(keep=-1), ValueError, "keep must be a whole number from 0"),
        (lambda: Once(keep=1.5), TypeError, "keep must be a whole number from 0"),  # type: ignore[arg-type]
        (lambda: Once(identity="id"), TypeError, "identity must be a function"),  # type: ignore[arg-type]
        (lambda: Once(clock=5), TypeError, "clock must be a function"),  # type: ignore[arg-type]
        (lambda: counting(MemorySessionStorage(ttl=HOUR)), ValueError, "keeps data for 3600 s"),
        (lambda: counting(enhance_storage(MemorySessionStorage(), ttl=60)), ValueError, "60 s"),
        (
            lambda: counting(MemorySessionStorage(ttl=DAY), once=Once(ttl=2 * DAY)),
            ValueError,
            "for 172800 s",
        ),
        (lambda: counting().with_storage(Live()), TypeError, "two processes could handle"),
    ],
)
def test_refused_at_set_up(make: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        make()


@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_data_that_expires_within_a_day_is_refused(kind: str, tmp_path: Any) -> None:
    storage = make_storage(kind, tmp_path, ttl=HOUR)
    for each in (storage, storage.sync, enhance_storage(storage)):
        with pytest.raises(ValueError, match="keeps data for 3600 s"):
            counting(each)
    storage.sync.close()


def test_what_once_shows_and_where_it_goes() -> None:
    assert repr(Once(ttl=2 * DAY)) == "Once(keep=20, ttl=172800, always=False)"
    assert repr(REPEATED) == "REPEATED"
    off = session(once=False)
    assert off._settings.once is None
    moved = counting().with_storage(SQLiteSessionStorage(":memory:"))
    assert moved._settings.once is not None
    moved.storage.sync.close()


# Repeats while the first run is under way


@pytest.mark.parametrize("lock", [True, False])
@pytest.mark.parametrize("fails", [False, True])
def test_a_repeat_waits_for_how_the_first_run_ends(lock: bool, fails: bool) -> None:
    async def slow(ctx: Any) -> None:
        await count(ctx)
        async with sessions.of(ctx).paused():
            paused.set()
            await go_on.wait()
        if fails:
            raise Oops

    async def scenario() -> None:
        first = asyncio.create_task(sessions(Update(1), slow))
        await paused.wait()
        repeat = asyncio.create_task(sessions(Update(1), count))
        assert await sessions(Update(2), count) == 2  # others go through
        await until(lambda: sessions._settings.once.delivery.claims.waiting)
        go_on.set()
        if fails:
            with pytest.raises(Oops):
                await first
            assert await repeat == 3
        else:
            await first
            assert await repeat is REPEATED
        assert free(sessions)

    paused, go_on = asyncio.Event(), asyncio.Event()
    sessions = counting(lock=lock)
    run(scenario())


def test_a_repeat_waits_no_longer_than_the_lock_timeout() -> None:
    async def slow(ctx: Any) -> None:
        await go_on.wait()
        await count(ctx)

    async def scenario() -> None:
        first = asyncio.create_task(sessions(Update(1), slow))
        await asyncio.sleep(0)
        with pytest.raises(SessionLockTimeoutError, match="'5 in update 42:1'"):
            await sessions(Update(1), count)
        repeat = asyncio.create_task(sessions(Update(1), count))
        await asyncio.sleep(0)
        repeat.cancel()
        go_on.set()
        await first
        with contextlib.suppress(asyncio.CancelledError):
            await repeat
        assert await sessions(Update(1), count) is REPEATED
        assert free(sessions)

    go_on = asyncio.Event()
    sessions = counting(lock_timeout=5)
    run(scenario())


def test_another_process_that_handled_it_first_wins() -> None:
    async def slow(ctx: Any) -> str:
        await count(ctx)
        assert await there(Update(1), count) == 1
        return "ran"

    async def scenario() -> None:
        assert await here(Update(1), slow) == "ran"
        assert storage.value("5")["__d"] == {"n": 1}
        assert free(here)

    def merge(base: Any, theirs: Any, mine: Any) -> Any:
        raise AssertionError

    ways: list[Any] = ["raise", "overwrite", merge]
    for on_conflict in ways:
        storage = Remote()
        here = counting(storage, on_conflict=on_conflict)
        there = counting(Elsewhere(storage))
        run(scenario())


class Elsewhere:
    """The same storage as another process sees it: with locks of its own."""

    def __init__(self, storage: Remote) -> None:
        self.read, self.write, self.delete = storage.read, storage.write, storage.delete
        self.read_with_revision, self.write_if = storage.read_with_revision, storage.write_if


@pytest.mark.parametrize("verb", ["save", "reload", "pause"])
def test_a_handler_whose_update_was_handled_elsewhere_ends(verb: str) -> None:
    async def slow(ctx: Any) -> None:
        opened = here.of(ctx)
        await count(ctx)
        if verb == "pause":
            async with opened.paused():
                assert await there(Update(1), count) == 2  # one was saved for the pause
        else:
            assert await there(Update(1), count) == 1
            await (opened.save() if verb == "save" else opened.reload())
        raise AssertionError

    async def scenario() -> None:
        assert await here(Update(1), slow) is REPEATED
        assert free(here)

    storage = Remote()
    here, there = counting(storage), counting(Elsewhere(storage))
    run(scenario())


@pytest.mark.parametrize("on_conflict", ["raise", "overwrite", "merge"])
def test_a_conflict_with_another_update_is_settled_as_ever(on_conflict: str) -> None:
    def merge(base: Any, theirs: Any, mine: Any) -> Any:
        return {"n": theirs["n"] + mine["n"] - (base or {"n": 0})["n"]}

    async def slow(ctx: Any) -> str:
        await count(ctx)
        assert await there(Update(2), count) == 1
        return "ran"

    async def scenario() -> None:
        if on_conflict == "raise":
            with pytest.raises(SessionConflictError):
                await here(Update(1), slow)
        else:
            assert await here(Update(1), slow) == "ran"
            assert await here(Update(1), count) is REPEATED
        assert await here(Update(2), count) is REPEATED
        assert await here.get(5) == {"n": {"raise": 1, "overwrite": 1, "merge": 2}[on_conflict]}

    storage = Remote()
    how: Any = merge if on_conflict == "merge" else on_conflict
    here, there = counting(storage, on_conflict=how), counting(Elsewhere(storage))
    run(scenario())


# Lazy


def test_an_untouched_lazy_session_costs_nothing_and_repeats() -> None:
    async def scenario() -> None:
        for _ in range(2):
            assert await sessions(Update(1), lambda _: "ran") == "ran"
        assert storage.calls == []

    storage = Remote()
    sessions = counting(storage, lazy=True)
    run(scenario())


def test_a_lazy_session_ends_its_handler_where_it_is_read() -> None:
    async def handler(ctx: Any) -> int:
        with pytest.raises(SessionError, match=r"await ctx\.session first"):
            _ = sessions.of(ctx).redelivered
        assert sessions.of(ctx).update_id is None
        counted = await count_lazily(ctx)
        assert (sessions.of(ctx).update_id, sessions.of(ctx).redelivered) == ("42:1", False)
        return counted

    async def scenario() -> None:
        assert await sessions(Update(1), handler) == 1
        assert await sessions(Update(1), handler) is REPEATED
        assert await sessions(Update(1), stubborn) == "ran"
        assert await sessions.get(5) == {"n": 1}
        assert free(sessions)

    async def stubborn(ctx: Any) -> str:
        for _ in range(2):
            with pytest.raises(RepeatedUpdateError):
                await ctx.session
        return "ran"

    sessions = counting(lazy=True)
    run(scenario())


def test_what_is_assigned_without_reading_is_read_first() -> None:
    async def assign(ctx: Any) -> str:
        ctx.session = {"n": next(values)}
        return "ran"

    async def scenario() -> None:
        assert await sessions(Update(1), assign) == "ran"
        assert await sessions(Update(1), assign) == "ran"  # only its end can tell
        assert storage.value("5")["__d"] == {"n": 10}
        assert await sessions(Update(2), assign) == "ran"
        assert storage.value("5")["__d"] == {"n": 30}
        async with sessions.open(5) as opened:
            opened.data = {"n": 40}
        assert ids_in(storage.value("5"))["done"] == ["42:1", "42:2"]
        assert free(sessions)

    values = iter((10, 20, 30))
    storage = Remote()
    sessions: Any = counting(storage, lazy=True)
    run(scenario())


def test_what_is_assigned_without_reading_replaces_whatever_is_there() -> None:
    async def assign(ctx: Any) -> None:
        ctx.session = {"n": 10}
        await sessions.of(ctx).save()
        ctx.session = {"n": 20}
        assert await there(Update(2), count) == 11

    async def scenario() -> None:
        await sessions(Update(1), assign)
        assert storage.value("5")["__d"] == {"n": 20}
        assert sorted(ids_in(storage.value("5"))["done"]) == ["42:1", "42:2"]

    storage = Remote()
    sessions: Any = counting(storage, lazy=True)
    there = counting(Elsewhere(storage))
    run(scenario())


# Moves


async def to_nine(ctx: Any) -> None:
    await count(ctx)
    opened: Any = ctx.sessions.of(ctx)
    await opened.move(9, merged)
    opened.data["n"] += 10


def merged(theirs: Any, mine: Any) -> Any:
    return {"n": theirs["n"] + mine["n"]}


async def moving(sessions: Any, number: int, handler: Any = to_nine, chat: int = 5) -> Any:
    update: Any = Update(number, chat=chat)
    update.sessions = sessions
    return await sessions(update, handler)


@pytest.mark.parametrize("storage", [MemorySessionStorage, Remote])
@pytest.mark.parametrize("before", [0, 1])
def test_a_repeat_looks_where_the_session_has_moved(storage: Any, before: int) -> None:
    async def scenario() -> None:
        for number in range(before):
            await sessions(Update(100 + number), count)
        assert await moving(sessions, 1) is None
        assert await sessions.get(9) == {"n": 11 + before}
        assert await moving(sessions, 1) is REPEATED
        assert await moving(counting(inner), 1) is REPEATED
        assert await moving(sessions, 2) is None
        assert await sessions.get(9) == {"n": 22 + before}
        for number in (1, 2):
            assert await moving(sessions, number) is REPEATED
        for number in range(before):
            assert await sessions(Update(100 + number), count) is REPEATED
            assert await sessions(Update(100 + number, chat=9), count) is REPEATED
        assert free(sessions)

    inner = storage()
    sessions = counting(inner)
    run(scenario())


@pytest.mark.parametrize("storage", [MemorySessionStorage, Remote])
def test_a_repeat_follows_several_moves_and_stops_at_a_ring(storage: Any) -> None:
    async def around(ctx: Any) -> None:
        opened: Any = ctx.sessions.of(ctx)
        for key in (6, 7):
            await count(ctx)
            await opened.move(key)
            ctx.session = opened.data

    async def scenario() -> None:
        assert await moving(sessions, 1, around) is None
        assert await moving(sessions, 1, around) is REPEATED
        await sessions.move(7, 5)
        assert await moving(sessions, 1, around) is REPEATED
        assert await sessions(Update(2), count) == 3
        assert await sessions(Update(2, chat=7), count) is REPEATED
        assert free(sessions)

    sessions = counting(storage())
    run(scenario())


def test_a_repeat_whose_move_was_forgotten_ends_where_it_moves() -> None:
    async def scenario() -> None:
        assert await moving(sessions, 1) is None
        storage.delete("5")  # by a release without once=
        assert await moving(sessions, 1) is REPEATED
        assert await sessions.get(9) == {"n": 11}
        assert free(sessions)

    storage = MemorySessionStorage()
    sessions = counting(storage)
    run(scenario())


def test_a_chat_that_moves_takes_its_ids_along() -> None:
    async def scenario() -> None:
        await sessions(Update(1, chat=-5), count)
        await sessions(Update(2, chat=-1005), count)
        await sessions.move_chat(-5, -1005, merged)
        assert await sessions.get(-1005) == {"n": 2}
        assert ids_in(storage.read("-1005"))["done"] == ["42:2", "42:1"]
        for number in (1, 2):
            for chat in (-5, -1005):
                assert await counting(storage)(Update(number, chat=chat), count) is REPEATED
        assert await sessions.count() == 1

    storage = MemorySessionStorage()
    sessions = counting(storage)
    run(scenario())


def test_a_session_opened_by_key_moves_without_an_id() -> None:
    async def scenario() -> None:
        async with sessions.open(5) as opened:
            opened.data["n"] += 1
            await opened.move(9)
            opened.data["n"] += 1
        assert (storage.read("5"), storage.read("9")) == (None, {"n": 2})

    storage = MemorySessionStorage()
    sessions = counting(storage)
    run(scenario())


def test_a_move_that_clashes_leaves_the_ids_where_they_were() -> None:
    async def clash(theirs: Any, mine: Any) -> Any:
        await there(Update(7), count)
        return merged(theirs, mine)

    async def scenario() -> None:
        await here(Update(1), count)
        await here(Update(2, chat=9), count)
        async with here.open(5) as opened:
            with pytest.raises(SessionConflictError, match="changed elsewhere while it moved"):
                await opened.move(9, clash)
            opened.discard()
        assert ids_in(storage.value("9"))["done"] == ["42:2"]
        assert ids_in(storage.value("5"))["done"] == ["42:1", "42:7"]

    storage = Remote()
    here, there = counting(storage), counting(Elsewhere(storage))
    run(scenario())


def test_a_moved_fragment_is_looked_for() -> None:
    async def handler(ctx: Any) -> None:
        ctx.session.cart["n"] += 1
        await declared.cart.of(ctx).move(9)

    async def scenario() -> None:
        assert await sessions(Update(1), handler) is None
        assert await sessions(Update(1), handler) is REPEATED
        assert await declared.cart.get(9) == {"n": 1}

    class declared(MultiSession):
        cart = session(initial=zero, storage=MemorySessionStorage(), once=True)

    sessions: Any = multi_session(declared)
    run(scenario())


# Rare ways


def test_a_multi_session_of_what_has_no_id_is_refused() -> None:
    class Message:
        chat = {"id": 5}  # noqa: RUF012

    async def scenario() -> None:
        with pytest.raises(SessionError, match="no update_id in this Message"):
            await sessions(Message(), count)

    sessions: Any = multi_session(Shop)
    run(scenario())


def test_a_fragment_without_a_key_carries_no_id() -> None:
    async def handler(ctx: Any) -> str:
        ctx.session.other["n"] += 1
        return "ran"

    async def scenario() -> None:
        for _ in range(2):
            assert await sessions(Update(1), handler) == "ran"

    sessions: Any = multi_session(
        cart=session(initial=zero, prefix="c:", once=True, get_session_key=lambda _: None),
        other=session(initial=zero, prefix="o:", once=True),
    )
    run(scenario())


def test_a_claim_that_is_gone_is_not_given_back() -> None:
    async def forked(ctx: Any) -> None:
        sessions._settings.once.claims.held.clear()

    sessions = counting()
    run(sessions(Update(1), forked))


@pytest.mark.parametrize("enhanced", [False, True])
def test_data_that_looks_like_an_envelope_comes_back(enhanced: bool) -> None:
    async def put(ctx: Any) -> None:
        ctx.session = {"__d": 1, "__u": 2}

    async def scenario() -> None:
        await sessions(Update(1), put)
        assert await sessions(Update(1), put) is REPEATED
        assert await sessions.get(5) == {"__d": 1, "__u": 2}

    inner = MemorySessionStorage()
    sessions = counting(enhance_storage(inner) if enhanced else inner)
    run(scenario())


def test_any_value_in_memory_has_ids_as_well() -> None:
    async def put(ctx: Any) -> None:
        ctx.session["at"] = datetime(2026, 11, 30, tzinfo=UTC)

    async def look(ctx: Any) -> Any:
        return ctx.session["at"].year

    async def put_and_fail(ctx: Any) -> None:
        await put(ctx)
        await sessions.of(ctx).save()
        raise Oops

    async def scenario() -> None:
        with pytest.raises(Oops):
            await sessions(Update(1), put_and_fail)
        await sessions(Update(1), put)
        assert await sessions(Update(1), put) is REPEATED
        assert await sessions(Update(2), look) == 2026
        assert await sessions(Update(2), look) == 2026  # it is unchanged

    sessions = counting()
    run(scenario())


@pytest.mark.parametrize("options", [{}, {"ttl": 2 * DAY}, {"max_entries": 2}, {"plain": True}])
def test_memory_shows_what_is_stored_with_its_ids(options: dict[str, Any]) -> None:
    async def clash(ctx: Any) -> None:
        await count(ctx)
        storage.write("5", whole)

    async def ends_alone(ctx: Any) -> None:
        await count(ctx)
        storage.close()

    async def scenario() -> None:
        assert [await sessions(Update(number), count) for number in (1, 2)] == [1, 2]
        for shown in (
            storage.read("5"),
            dict(storage.iter_items())["5"],
            storage.read_entries(["5"])["5"].value,
        ):
            assert shown == whole
            shown["__u"]["done"].clear()  # it is a copy
        assert await sessions(Update(2), count) is REPEATED
        with pytest.raises(SessionConflictError):
            await sessions(Update(3), clash)
        assert await sessions(Update(2), count) is REPEATED
        assert await sessions(Update(3), count) == 3
        if "ttl" in options:
            clock.now += 3 * DAY
            assert storage.read("5") is None
            assert await sessions(Update(3), count) == 1
            clock.now += 3 * DAY
            assert await sessions(Update(3), count) == 1
        with pytest.raises(SessionClosedError):
            await sessions(Update(4), ends_alone)
        with pytest.raises(SessionClosedError):
            await sessions(Update(4), count)

    clock = Clocked()
    storage = MemorySessionStorage(clock=clock, **options)
    sessions = counting(storage, once=at(clock))
    hour = str(int(clock.now) // HOUR)
    whole = {"__d": {"n": 2}, "__u": {"done": {hour: " 42:1 42:2 "}}}
    run(scenario())


def test_ids_go_with_what_they_were_stored_with() -> None:
    async def replaced(ctx: Any) -> int:
        storage.write("5", {"n": 7})  # by a program that knows of no ids
        await sessions.of(ctx).reload()
        return await count(ctx)

    async def scenario() -> None:
        assert await sessions(Update(1), count) == 1
        assert await sessions(Update(2), replaced) == 8
        assert ids_in(storage.read("5")) == {"done": ["42:2"], "begun": []}

    storage = MemorySessionStorage()
    sessions = counting(storage)
    run(scenario())


def test_data_that_looks_like_an_envelope_has_ids_as_well() -> None:
    async def count_within(ctx: Any) -> int:
        ctx.session["__d"] += 1
        return int(ctx.session["__d"])

    async def scenario() -> None:
        assert await sessions(Update(1), count_within) == 1
        assert await sessions(Update(1), count_within) is REPEATED
        assert await sessions(Update(2), count_within) == 2
        assert await sessions.get(5) == {"__d": 2}

    sessions = counting(initial=lambda: {"__d": 0})
    run(scenario())


def test_an_envelope_in_another_order_is_the_same() -> None:
    async def look(ctx: Any) -> bool:
        return sessions.of(ctx).is_changed

    async def scenario() -> None:
        assert await sessions(Update(1), look) is REPEATED
        assert not await sessions(Update(2), look)
        assert await sessions(Update(3), count) == 2

    storage = MemorySessionStorage()
    hour = str(int(time.time()) // HOUR)
    storage.write("5", {"__u": {"done": {hour: " 42:1 "}}, "__d": {"n": 1}})
    sessions = counting(storage)
    run(scenario())


@pytest.mark.parametrize("on_conflict", ["raise", "overwrite"])
def test_without_a_lock_two_updates_clash(on_conflict: Any) -> None:
    async def slow(ctx: Any) -> str:
        await count(ctx)
        assert await sessions(Update(2), count) == 1
        return "ran"

    async def scenario() -> None:
        if on_conflict == "raise":
            with pytest.raises(SessionConflictError):
                await sessions(Update(1), slow)
        else:
            assert await sessions(Update(1), slow) == "ran"
        await sessions.update(5, meddle)
        assert await sessions.get(5) == {"n": 102}
        assert await sessions(Update(2), count) is REPEATED

    async def meddle(data: Any) -> Any:
        if data["n"] == 1:
            await sessions(Update(3), count)
        return {"n": data["n"] + 100}

    sessions = counting(lock=False, on_conflict=on_conflict)
    run(scenario())


@pytest.mark.parametrize("on_conflict", ["raise", "overwrite", "merge"])
def test_an_enhanced_storage_settles_conflicts_as_well(on_conflict: str) -> None:
    def merge(base: Any, theirs: Any, mine: Any) -> Any:
        return {"n": theirs["n"] + mine["n"]}

    async def slow(ctx: Any) -> str:
        await count(ctx)
        for number in others:
            await there(Update(number), count)
        return "ran"

    async def scenario() -> None:
        others.append(1)
        assert await here(Update(1), slow) == "ran"  # handled there
        others[:] = [3]
        if on_conflict == "raise":
            with pytest.raises(SessionConflictError):
                await here(Update(2), slow)
        else:
            assert await here(Update(2), slow) == "ran"
            assert await here(Update(2), count) is REPEATED
        assert await here(Update(3), count) is REPEATED

    others: list[int] = []
    storage = Remote()
    how: Any = merge if on_conflict == "merge" else on_conflict
    here = counting(enhance_storage(storage, ttl=2 * DAY), on_conflict=how)
    there = counting(enhance_storage(Elsewhere(storage), ttl=2 * DAY))
    run(scenario())


def test_another_process_that_ends_during_the_merge_wins() -> None:
    class Late(Elsewhere):
        """Lets something happen before a read."""

        reads = 0

        async def read_with_revision(self, key: str) -> Any:
            self.reads += 1
            if self.reads == 3:  # to begin, to look for ids, to merge
                await there(Update(1), count)
            return await storage.read_with_revision(key)

    def merge(base: Any, theirs: Any, mine: Any) -> Any:
        return {"n": 100}

    async def slow(ctx: Any) -> str:
        await count(ctx)
        await there(Update(2), count)
        return "ran"

    async def scenario() -> None:
        assert await here(Update(1), slow) == "ran"
        assert storage.value("5")["__d"] == {"n": 2}

    storage = Remote()
    late: Any = Late(storage)
    del late.read_with_revision
    here, there = counting(late, on_conflict=merge), counting(Elsewhere(storage))
    run(scenario())


def test_data_that_expires_while_it_is_open_is_written() -> None:
    async def slow(ctx: Any) -> None:
        await count(ctx)
        clock.now += 3 * DAY
        await inner.delete("5")

    async def scenario() -> None:
        await sessions(Update(1), count)
        await sessions(Update(2), slow)
        assert await sessions(Update(2), slow) is REPEATED

    clock = Clocked()
    inner = Remote()
    sessions = counting(enhance_storage(inner, ttl=2 * DAY, clock=clock), once=at(clock))
    run(scenario())


def test_what_is_written_meanwhile_is_not_swept() -> None:
    async def delete(ctx: Any) -> None:
        del ctx.session

    async def scenario() -> None:
        await sessions(Update(1), count)
        rules = sessions._settings.once
        assert not await rules._remove("5")
        await sessions(Update(2), delete)
        clock.now += 2 * DAY
        storage.write_if = clash  # type: ignore[method-assign]
        assert not await rules._remove("5")

    async def clash(*_: Any) -> Any:
        raise SessionConflictError("changed", key="5")

    clock = Clocked()
    storage = Remote()
    sessions = counting(storage, once=at(clock))
    run(scenario())


def test_threads_wait_for_a_run_of_the_same_update() -> None:
    def slow(ctx: Any) -> None:
        begun.set()
        assert go_on.wait(10)
        ctx.session["n"] += 1

    def handle() -> None:
        results.append(sessions.sync(Update(1), slow))

    begun, go_on = threading.Event(), threading.Event()
    results: list[Any] = []
    sessions = counting()
    threads = [threading.Thread(target=handle) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    while not sessions._settings.once.claims.waiting:
        time.sleep(0)
    go_on.set()
    for thread in threads:
        thread.join()
    assert results == [None, REPEATED]


# Several sessions


class Shop(MultiSession):
    prefs = session(initial=zero, prefix="p:")
    cart = session(initial=zero, prefix="c:", once=True)
    other = session(initial=zero, prefix="o:", once=True)


async def shop(ctx: Any) -> int:
    for fragment in (ctx.session.prefs, ctx.session.cart, ctx.session.other):
        fragment["n"] += 1
    return int(ctx.session.cart["n"])


def test_the_first_fragment_with_once_carries_the_id_and_is_written_last() -> None:
    async def scenario() -> None:
        assert await sessions(Update(1), shop) == 1
        assert await sessions(Update(1), shop) is REPEATED
        assert {key: value.get("__d", value) for key, (value, _) in storage.values.items()} == {
            "p:5": {"n": 1},
            "c:5": {"n": 1},
            "o:5": {"n": 1},
        }
        assert "__u" in storage.value("c:5")
        assert "__u" not in storage.value("o:5")
        written = [key for verb, key in storage.calls if verb == "write"]
        assert written[-1] == "c:5"
        storage.fail("write")  # that of the preferences
        with pytest.raises(SessionWriteError, match="but other was"):
            await sessions(Update(2), shop)
        assert storage.value("c:5")["__d"] == {"n": 1}
        assert await sessions(Update(2), shop) == 2
        assert storage.value("p:5") == {"n": 2}

    storage = Remote()
    sessions: Any = multi_session(Shop).with_storage(storage)
    run(scenario())


def test_of_fragments_only_what_changed_is_written_and_all_are_encoded_first() -> None:
    async def only_cart(ctx: Any) -> None:
        ctx.session.cart["n"] += 1

    async def unfit(ctx: Any) -> None:
        ctx.session.prefs["n"] += 1
        ctx.session.cart["n"] = {1, 2}

    async def scenario() -> None:
        await sessions(Update(1), only_cart)
        assert await sessions(Update(1), only_cart) is REPEATED
        with pytest.raises(SessionEncodeError):
            await sessions(Update(2), unfit)
        assert [key for key, _ in storage.values.items()] == ["c:5"]
        await sessions(Update(2), only_cart)
        assert storage.value("c:5")["__d"] == {"n": 2}

    storage = Remote()
    sessions: Any = multi_session(Shop).with_storage(storage)
    run(scenario())


def test_a_multi_session_whose_update_was_handled_elsewhere_ends_well() -> None:
    async def slow(ctx: Any) -> str:
        await shop(ctx)
        assert await there(Update(1), shop) == 1
        return "ran"

    async def scenario() -> None:
        assert await here(Update(1), slow) == "ran"
        assert storage.value("c:5")["__d"] == {"n": 1}

    storage = Remote()
    there: Any = multi_session(Shop).with_storage(Elsewhere(storage))
    shared: Any = {"on_conflict": "overwrite"}
    here = multi_session(
        prefs=session(initial=zero, prefix="p:", storage=storage, **shared),
        cart=session(initial=zero, prefix="c:", storage=storage, once=True),
        other=session(initial=zero, prefix="o:", storage=storage, **shared),
    )
    run(scenario())


def test_a_lazy_fragment_carries_the_id_once_it_is_touched() -> None:
    async def touch(ctx: Any) -> int:
        ctx.session.other["n"] += 1
        data = await ctx.session.cart
        data["n"] += 1
        return int(data["n"])

    async def leave(ctx: Any) -> str:
        ctx.session.other["n"] += 1
        return "ran"

    async def scenario() -> None:
        assert await sessions(Update(1), touch) == 1
        assert await sessions(Update(1), touch) is REPEATED
        assert storage.value("o:5") == {"n": 1}
        for _ in range(2):
            assert await sessions(Update(2), leave) == "ran"

    storage = Remote()
    sessions = multi_session(
        cart=lazy_session(initial=zero, prefix="c:", storage=storage, once=True),
        other=session(initial=zero, prefix="o:", storage=storage, once=True),
    )
    run(scenario())


def test_sessions_opened_inside_of_others_leave_the_id_to_these() -> None:
    async def outer(ctx: Any) -> Any:
        ctx.session["n"] += 1
        return await inner(ctx, handler)

    async def handler(ctx: Any) -> Any:
        ctx.other["n"] += 1
        return first.of(ctx).update_id, inner.of(ctx).update_id

    async def scenario() -> None:
        assert await first(Update(1), outer) == ("42:1", None)
        assert storage.read("i:5") == {"n": 1}
        assert await first(Update(1), outer) is REPEATED
        assert await inner(Update(1), lambda ctx: inner.of(ctx).update_id) == "42:1"

    storage = MemorySessionStorage()
    first = counting(storage)
    inner = counting(storage, prefix="i:", attribute="other")
    run(scenario())


def test_error_handlers_leave_no_id() -> None:
    async def scenario() -> None:
        failed = Update(1)
        with any_number_of_times(failed):
            assert await sessions(failed, count) == 1
        assert await sessions(Update(1), count) == 2

    sessions = counting()
    run(scenario())


# Bindings


def test_a_binding_returns_the_mark_and_ends_what_it_wraps() -> None:
    class Stop(Exception):
        pass

    async def handler(ctx: Any, session: Any) -> int:
        session.data["n"] += 1
        return int(session.data["n"])

    def handler_sync(ctx: Any, session: Any) -> int:
        session.data["n"] += 1
        return int(session.data["n"])

    async def scenario() -> None:
        assert await quiet.inject(handler)(Update(1)) == 1
        assert await quiet.inject(handler)(Update(1)) is None
        assert await quiet.run(Update(1), lambda given: given) is REPEATED
        with pytest.raises(Stop):
            await stopping.inject(handler)(Update(1))

    sessions = counting()
    quiet = Binding(sessions)
    stopping = Binding(sessions, stop=Stop)
    assert quiet.has_once
    assert not Binding(session()).has_once
    run(scenario())
    assert quiet.inject(handler_sync)(Update(2)) == 2
    assert quiet.inject(handler_sync)(Update(2)) is None
    with pytest.raises(Stop):
        stopping.inject(handler_sync)(Update(2))


def test_frameworks_without_ids_need_an_identity() -> None:
    named = {"cart": counting(prefix="c:"), "prefs": counting(prefix="p:")}
    with pytest.raises(TypeError, match=r"sessions 'cart' have once=True.*Once\(identity"):
        Binding(None, named, has_update_ids=False)
    Binding(counting(once=Once(identity=id)), has_update_ids=False)
