"""What handlers find, and what is stored after them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from sessionkit import enhance_storage, session
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._sessions.bench import WAYS, Bench, add_one, bench
from sessionkit.testing._subject import Subject
from sessionkit.testing._suites import Collection
from sessionkit.testing._table.rows import FALSY

data: Final[Collection[Subject]] = Collection()

_TTL: Final = 60.0


@data.promise(
    "A new chat begins with what initial gives.",
    hint="read() gives something else than None for a key that is not there.",
)
async def new_chat_begins_with_initial(subject: Subject) -> None:
    async with bench(subject) as at, at.sessions().open(1) as opened:
        at.expect(opened.data, {"n": 0}, "session.data")
        at.expect([opened.is_new], [True], "[session.is_new]")


@data.promise(
    "What a handler changes is stored, and the next one finds it.",
    hint="write() or write_if() does not store what read() or read_with_revision() gives.",
)
async def changes_are_stored(subject: Subject) -> None:
    for way in WAYS:
        subject.start_history()
        async with bench(subject) as at:
            await way(at, add_one)
            await way(at, add_one)
            await at.stored({"n": 2})


@data.promise(
    "What a handler changes is there after the storage was closed and opened again.",
    hint="the data is only in memory, or not everything is written before close() is through. If "
    "it is meant to be lost, declare Limits(durable=False).",
    needs=("durable",),
)
async def changes_outlive_closing(subject: Subject) -> None:
    namespace = subject.namespace()
    for expected in (1, 2):
        async with subject.client(namespace) as storage:
            await WAYS[0](Bench(storage), add_one)
            await storage.expect_read("1", {"n": expected})


@data.promise(
    "Falsy data, such as {} or 0, is data: no session starts again because of it.",
    hint="the storage asks 'if value' or 'value or None' where it means 'is not None'.",
)
async def falsy_data_is_kept(subject: Subject) -> None:
    for value in FALSY:
        subject.start_history()
        async with bench(subject, stored={"n": 1}) as at:
            sessions = at.sessions()
            async with sessions.open(1) as opened:
                opened.data = value
            at.history.note(f"# a handler has assigned {value!r} to session.data")
            at.expect(await sessions.get(1), value, "await sessions.get(1)")


@data.promise(
    "Assigning None deletes, and the chat starts again.",
    hint="delete(), or write_if(key, None, ...), does not remove the value, or stores None.",
)
async def none_deletes(subject: Subject) -> None:
    async with bench(subject, stored={"n": 1}) as at:
        sessions = at.sessions()
        async with sessions.open(1) as opened:
            opened.data = None
        at.history.note("# a handler has assigned None to session.data")
        await at.stored(None)
        at.expect(await sessions.get(1), {"n": 0}, "await sessions.get(1)")


@data.promise(
    "An update that changes nothing writes nothing.",
    hint="a value does not come back as it was written, so that it seems to be changed.",
)
async def unchanged_data_is_not_written(subject: Subject) -> None:
    for stored in (None, {"n": 1, "list": [1, 1.0, True, None], "text": "é"}):
        subject.start_history()
        for way in WAYS[:3]:
            async with bench(subject, stored=stored) as at:
                await way(at, _look)
                at.nothing_written()


def _look(found: Any) -> None:
    """Look at the data."""
    str(found)


@data.promise(
    "What is assigned to a lazy session without being read is written at once, and not read.",
    hint="write_if(key, value, ANY) does not take ANY for 'in any case'.",
)
async def lazy_assignment_reads_nothing(subject: Subject) -> None:
    async with bench(subject, stored={"n": 1}) as at:
        async with at.lazy_sessions().open(1) as opened:
            opened.data = {"n": 5}
        at.expect(at.storage.reads, [], "keys that were read")
        at.expect(len(at.storage.writes), 1, "number of writes")
        await at.stored({"n": 5})


@data.promise(
    "Sessions with different prefixes are apart, and each lists its own keys.",
    hint="keys are cut or escaped so that two become one, or iter_keys(prefix) takes the prefix "
    "for a pattern.",
)
async def prefixes_are_apart(subject: Subject) -> None:
    async with bench(subject) as at:
        carts, users = at.sessions(prefix="1-"), at.sessions("users", prefix="11-")
        for number, sessions in enumerate((carts, users), 1):
            async with sessions.open(5) as opened:
                opened.data["n"] = number
        at.expect(await carts.get(5), {"n": 1}, "await sessions.get(5)")
        at.expect(await users.get(5), {"n": 2}, "await users.get(5)")
        if "iter_keys" in at.client.capabilities:
            for sessions in (carts, users):
                listed = [key async for key, _ in sessions.items()]
                at.expect(listed, ["5"], "keys of one prefix")


class _Size(Enum):
    SMALL = "small"
    LARGE = "large"


@dataclass
class _Pizza:
    size: _Size = _Size.SMALL
    toppings: list[str] = field(default_factory=list[str])


@dataclass
class _Order:
    pizzas: list[_Pizza] = field(default_factory=list[_Pizza])
    price: Decimal = Decimal(0)
    ordered: datetime | None = None


@data.promise(
    "Data of a declared type comes back as that type: dataclasses, enums, decimals, times.",
    hint="plain values change on the way: a dict in a list, or text that looks like a time.",
)
async def declared_types_come_back(subject: Subject) -> None:
    order = _Order(
        [_Pizza(), _Pizza(_Size.LARGE, ["ham"])], Decimal("7.50"), datetime(2026, 1, 1, tzinfo=UTC)
    )
    async with bench(subject) as at:
        at.history.note("sessions = session(Order, storage=storage)")
        sessions = session(_Order, storage=at.storage)
        async with sessions.open(1) as opened:
            opened.data = order
        found = await sessions.get(1)
        if found != order:
            at.history.fail(expected=repr(order), got=repr(found))


@data.promise(
    "Migrations run once: on data that was stored before, and on none that was stored since.",
    hint="the storage changes {'__d': ..., 'v': ...}, the form in which a version is stored.",
)
async def migrations_run_once(subject: Subject) -> None:
    async with bench(subject, stored={"n": 1}) as at:
        at.history.note("storage = enhance_storage(storage, migrations={1: one_more})")
        sessions = at.sessions(storage=_enhanced(at, migrations={1: _one_more}))
        async with sessions.open(1) as opened:
            add_one(opened.data)
        at.expect(await sessions.get(1), {"n": 3}, "await sessions.get(1)")


def _enhanced(at: Bench, **options: Any) -> Any:
    try:
        return enhance_storage(at.storage, **options)
    except TypeError as error:
        msg = "the storage is enhanced already, and enhancing does not stack"
        raise LeftOut(msg) from error


def _one_more(found: dict[str, Any]) -> dict[str, Any]:
    return {"n": found["n"] + 1}


@data.promise(
    "With enhance_storage(ttl=...), data is there until its timeout; then the chat starts again.",
    hint="the storage changes {'__d': ..., 'e': ...}, the form in which a timeout is stored, or "
    "lets values expire by another clock.",
)
async def timeouts_are_kept(subject: Subject) -> None:
    async with bench(subject) as at:
        own = subject.limits.ttl
        ttl = _TTL if own is None else own / 2
        at.history.note(f"storage = enhance_storage(storage, ttl={ttl:g}, clock=clock)")
        sessions = at.sessions(storage=_enhanced(at, ttl=ttl, clock=subject.clock))
        async with sessions.open(1) as opened:
            add_one(opened.data)
        for share, expected in ((0.9, {"n": 1}), (0.1, {"n": 0})):
            at.history.note(f"clock.advance({ttl * share:g})")
            subject.clock.advance(ttl * share)
            at.expect(await sessions.get(1), expected, "await sessions.get(1)")
