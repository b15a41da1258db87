"""What storages over servers do when the server, the network or a lock lets them down."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest

from sessionkit import (
    SessionConflictError,
    SessionError,
    SessionLockLostError,
    SessionLockTimeoutError,
    SessionWriteError,
    session,
    storage_from_url,
)
from sessionkit._storage import leases
from sessionkit._storage.leases import Lease
from sessionkit.testing import FakeClock
from tests.adapters.ahead import Ahead, until
from tests.adapters.cutting_proxy import proxy
from tests.adapters.loads import (
    by_processes,
    increments,
    through_a_crash,
    through_cuts,
    total,
    zero,
)
from tests.adapters.redis_servers import until as wait_until
from tests.adapters.served import MONGO, Running, Served, each_of

WITHOUT_A_LOCK = {"mongodb", "sqlalchemy"}
UNKNOWN = "may have been written, or not"


@pytest.fixture(autouse=True)
def _collected(served: Served) -> Generator[None]:
    yield
    if served is MONGO:
        gc.collect()


@pytest.fixture
def url(running: Running, served: Served) -> str:
    server_url: str = running(served).url
    return server_url


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Ahead:
    clock = Ahead()
    monkeypatch.setattr(leases, "time", clock)
    return clock


@pytest.mark.parametrize(
    "in_flight", [64, *(pytest.param(n, marks=pytest.mark.thorough) for n in (256, 1000))]
)
@each_of("redis", "postgres")
def test_no_update_is_lost(served: Served, url: str, in_flight: int) -> None:
    async def main() -> None:
        async with served.open(url, f"counts{in_flight}") as storage:
            sessions = session(initial=zero, storage=storage)
            chats = 8 if in_flight == 64 else 1000
            assert await increments(sessions, 2000, chats, in_flight) == {"ok": 2000}
            assert await total(storage) == 2000

    asyncio.run(main())


@each_of()
def test_a_server_that_is_killed_in_a_load_loses_nothing_acknowledged(served: Served) -> None:
    async def main(server: Any) -> None:
        async with served.open(server.url, "load") as storage:
            sessions = session(initial=zero, storage=storage)
            await through_a_crash(server, sessions, storage)

    with served.start_durable() as mortal:
        asyncio.run(main(mortal))


@pytest.mark.parametrize("kind", ["tasks", "threads"])
@each_of("redis", "postgres")
def test_lost_replies_are_recognised_or_reported_never_taken_for_a_clash(
    served: Served, url: str, kind: str
) -> None:
    async def main() -> None:
        blocking = kind == "threads"
        opening = served.open_blocking if blocking else served.open
        async with proxy(url) as (cut, between), served.open(url, f"cut {kind}") as direct:
            writers = [opening(cut, f"cut {kind}") for _ in range(2)]
            options: Any = {"count": served.cuts[0], "cut": served.cuts[1]}
            await through_cuts(between, writers, direct, blocking=blocking, **options)

    asyncio.run(main())


@each_of("redis", "postgres", but={"sqlalchemy"})  # that asks more than once
def test_a_reply_that_is_lost_after_a_delete_is_reported_as_unknown(
    served: Served, url: str
) -> None:
    async def main() -> None:
        async with proxy(url) as (cut, between), served.open(cut, "gone") as storage:
            revision = await storage.write_if("gone", {"n": 1}, None)
            between.cut = 1.0
            with pytest.raises(SessionWriteError, match=UNKNOWN):
                await storage.write_if("gone", None, revision)
            between.cut = 0.0
            assert await storage.read("gone") is None

    asyncio.run(main())


@each_of("redis", "postgres", but={"sqlalchemy"})
def test_each_of_many_writes_says_whether_it_may_have_been_written(
    served: Served, url: str
) -> None:
    async def main() -> None:
        async with proxy(url) as (cut, between), served.open(cut, "many") as storage:
            keys = [str(number) for number in range(50)]  # more than there are connections
            await asyncio.gather(*(storage.write(key, {"n": 1}) for key in keys))
            between.cut = 1.0
            reported: list[list[str]] = []
            for n in (2, 3):  # first the connections are lost, then none can be made
                writes = (storage.write(key, {"n": n}) for key in keys)
                errors = await asyncio.gather(*writes, return_exceptions=True)
                reported.append([str(each) for each in errors])
            between.cut = 0.0
            written = [(await storage.read(key))["n"] == 2 for key in keys]
            assert written == [UNKNOWN in each for each in reported[0]]
            assert any(written)
            assert all("Nothing was written" in each for each in reported[1])

    asyncio.run(main())


@each_of("redis", "postgres", "mongodb", "sqlalchemy")
def test_a_silent_network_is_an_error_within_the_deadline(
    served: Served, url: str, ahead: Ahead
) -> None:
    async def main() -> None:
        async with proxy(url) as (there, between), served.open(there, "silent") as storage:
            sessions = session(initial=zero, storage=storage, lock_timeout=3600)
            await storage.write("1", {"n": 1})
            between.silent = True
            async with ahead.hurrying():
                with pytest.raises(SessionError, match="there was no answer within"):
                    await sessions.get(1)
                with pytest.raises(SessionWriteError, match=UNKNOWN):
                    await storage.write("1", {"n": 2})
            between.silent = False
            between.end()
            async with sessions.open(1) as opened:
                opened.data["n"] += 1

    ahead.run(main())


@each_of("redis", "postgres", "mongodb", but={"sqlalchemy"})  # drivers have no deadline
def test_a_silent_network_is_an_error_for_threads(served: Served, url: str) -> None:
    async def main() -> None:
        async with proxy(url) as (there, between):
            storage = served.open_blocking(there, "silent threads", deadline=1.5)
            await asyncio.to_thread(_in_time, lambda: storage.read("1"))
            between.silent = True
            with pytest.raises(SessionError, match=served.silence):
                await asyncio.to_thread(storage.read, "1")
            between.silent = False
            storage.close()

    asyncio.run(main())


def _in_time(call: Callable[[], object]) -> None:
    """Repeat a call that is late since the machine is busy."""

    def succeeds() -> bool:
        try:
            call()
        except SessionError:
            return False
        return True

    wait_until(succeeds)


@each_of("redis", "postgres", "mongodb", "sqlalchemy")
def test_no_server_at_all_is_an_error_that_names_no_password(served: Served) -> None:
    async def main() -> None:
        by_url: Any = storage_from_url(served.nowhere)
        assert "s3cret" not in repr(by_url)
        await by_url.close()
        nowhere = served.nowhere.removeprefix("sqlalchemy+")
        patience = served.patience_without_server
        async with served.open(nowhere, "nowhere", deadline=patience) as storage:
            for _ in range(2):
                with pytest.raises(SessionError, match=served.shown) as caught:
                    await storage.read("1")
                assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r} {storage!r}"

    asyncio.run(main())


@each_of("redis")
def test_processes_notice_each_clash(served: Served, url: str) -> None:
    assert _clashes_of_processes(served, url, lock=False) > 0


@each_of("redis", but=WITHOUT_A_LOCK)
def test_processes_that_share_a_lock_never_clash(served: Served, url: str) -> None:
    assert _clashes_of_processes(served, url, lock=True) == 0


def _clashes_of_processes(served: Served, url: str, *, lock: bool) -> int:
    """Let processes add 2,000 and lose none of it; return how often they clashed."""
    name = f"processes {lock}"
    successes, clashes = by_processes(
        served.name, served.url_for(url, 0), served.prefix + name, lock=lock
    )
    with served.open_blocking(url, name) as storage:
        stored = sum(value["n"] for _, value in storage.iter_items())
    assert successes + clashes == 2000
    assert stored == successes
    return clashes


@each_of("redis", "postgres", "mongodb", "sqlalchemy")
def test_what_expired_and_went_is_created_again_by_its_reader(served: Served, url: str) -> None:
    clock = FakeClock()
    with served.open_blocking(url, "lapsed", ttl=60, clock=clock) as storage:
        for key in "12345":
            storage.write(key, {"n": 1})
        revisions = [storage.read_with_revision(key)[1] for key in "12345"]
        clock.advance(60)
        assert storage.write_if("5", None, revisions[4]) is None
        assert storage.purge_expired() == 4
        for key in "34":
            storage.write(key, {"n": 3})
        assert storage.write_if("1", {"n": 2}, revisions[0]) is not None
        assert storage.write_if("2", None, revisions[1]) is None
        for key, value in (("3", {"n": 2}), ("4", None)):
            with pytest.raises(SessionConflictError):
                storage.write_if(key, value, revisions[int(key) - 1])


# Locks


def _is_renewed(lease: Lease, until_now: float) -> bool:
    return lease.until > until_now


@each_of("redis", "postgres", but=WITHOUT_A_LOCK)
def test_a_lock_is_renewed_while_it_is_held(served: Served, url: str, ahead: Ahead) -> None:
    async def main() -> None:
        make_lock, _ = served.locks
        async with served.open(url, "renewed") as storage, served.open(url, "renewed") as other:
            lock: Any = make_lock(storage)
            theirs: Any = make_lock(other, patience=0.05)
            sessions = session(initial=zero, storage=storage, lock=lock)
            async with sessions.open(1) as opened:
                lease = lock._leases._held["1"]
                for _ in range(4):
                    renewed = partial(_is_renewed, lease, lease.until)
                    served.shorten_lock(url, "renewed")
                    ahead.seconds += 12
                    await until(renewed)
                    assert served.lock_left(url, "renewed") > 20
                    with pytest.raises(SessionLockTimeoutError, match="held by process"):
                        await theirs.acquire("1")
                opened.data["n"] += 1
            await theirs.release("1", await theirs.acquire("1"))
            assert await storage.read("1") == {"n": 1}

    ahead.run(main())


@each_of("redis", "postgres", but=WITHOUT_A_LOCK)
def test_a_key_whose_locking_broke_off_is_free_again(
    served: Served, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled when the server has already given it: who waits next must not wait for it."""

    async def main() -> None:
        make_lock, _ = served.locks
        async with served.open(url, "broken off") as storage:
            lock: Any = make_lock(storage, patience=30)
            take = lock._leases._engine.take

            async def take_and_break_off(lease: Lease) -> bool:
                assert await take(lease)
                raise asyncio.CancelledError

            monkeypatch.setattr(lock._leases._engine, "take", take_and_break_off)
            with pytest.raises(asyncio.CancelledError):
                await lock.acquire("1")
            monkeypatch.undo()
            await lock.release("1", await lock.acquire("1"))

    asyncio.run(main())


@pytest.mark.parametrize("loss", ["forgotten", "blocked", "silent"])
@each_of("redis", "postgres", but=WITHOUT_A_LOCK)
def test_a_lost_lock_is_noticed_before_the_write(
    served: Served, url: str, ahead: Ahead, loss: str
) -> None:
    async def main() -> None:
        make_lock, _ = served.locks
        name = f"lost {loss}"
        async with AsyncExitStack() as stack:
            there, between = await stack.enter_async_context(proxy(url))
            storage = await stack.enter_async_context(served.open(url, name))
            through = await stack.enter_async_context(served.open(there, name))
            lock: Any = make_lock(through)
            sessions = session(initial=zero, storage=through, lock=lock)
            async with AsyncExitStack() as while_open:
                with pytest.raises(SessionLockLostError, match="Nothing was written"):
                    async with sessions.open(1) as opened:
                        opened.data["n"] += 1
                        lease = lock._leases._held["1"]
                        if loss == "blocked":
                            ahead.seconds += 31
                        elif loss == "silent":
                            between.silent = True
                            await while_open.enter_async_context(ahead.hurrying())
                            await until(lambda: ahead.monotonic() > lease.until)
                        else:
                            served.forget_lock(url, name)
                            ahead.seconds += 12
                            await until(lambda: not lock._leases._is_sure(lease))
            assert await storage.read("1") is None
            if loss == "silent":
                between.end()
            else:
                async with sessions.open(1) as opened:
                    opened.data["n"] += 1
                assert await storage.read("1") == {"n": 1}

    ahead.run(main())


@each_of("redis", "postgres", but=WITHOUT_A_LOCK)
def test_a_lock_for_threads_is_renewed_and_its_loss_noticed(
    served: Served, url: str, ahead: Ahead
) -> None:
    _, make_lock = served.locks
    with (
        served.open_blocking(url, "threads") as storage,
        served.open_blocking(url, "threads") as other,
    ):
        lock: Any = make_lock(storage, patience=None)
        sessions = session(initial=zero, storage=storage, lock=lock)
        with sessions.open(1) as opened:
            lock.release("2", lock.acquire("2"))  # the other one is renewed nevertheless
            lease = lock._leases._held["1"]
            for _ in range(4):
                renewed = partial(_is_renewed, lease, lease.until)
                served.shorten_lock(url, "threads")
                ahead.seconds += 12
                lock._wake.set()
                wait_until(renewed)
                assert served.lock_left(url, "threads") > 20
            for impatient in (make_lock(storage, patience=0.01), make_lock(other, patience=0.01)):
                with pytest.raises(SessionLockTimeoutError):
                    impatient.acquire("1")
            opened.data["n"] += 1
        with pytest.raises(SessionLockLostError), sessions.open(1) as opened:
            served.forget_lock(url, "threads")
            lock._wake.set()
            wait_until(lambda: not lock._leases._is_sure(lock._leases._held["1"]))
            opened.data["n"] += 1
        assert storage.read("1") == {"n": 1}
