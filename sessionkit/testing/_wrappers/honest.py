"""A wrapper offers what it can honour, says what it is, and remembers nothing wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from sessionkit._locks.table import locks_of
from sessionkit._storage.capabilities import clock_of
from sessionkit.enhance import enhance_storage
from sessionkit.testing._client import Client
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._suites import Collection
from sessionkit.testing._wrappers.inside import offered_by
from sessionkit.testing._wrappers.subject import WrapperSubject

honest: Final[Collection[WrapperSubject]] = Collection()

_TTL: Final = 60.0
_NO_MATTER: Final = {"identity"}  # who has 'wrapped' needs none
_SLIDING: Final = ("read_tracked", "renew")


@honest.promise(
    "The wrapped storage offers what the storage inside offers: nothing is lost, nothing invented.",
    hint="methods are defined whether the storage inside has them or not, or a method or "
    "declaration was forgotten: sessions look for them by name. If it is meant so, say it in "
    "offers(self, inside).",
)
async def offers_what_it_can_honour(subject: WrapperSubject) -> None:
    expected = subject.expected() - _NO_MATTER
    async with subject.client() as storage:
        got = offered_by(storage.storage) - _NO_MATTER
    if got != expected:
        lost, invented = (", ".join(sorted(names)) for names in (expected - got, got - expected))
        parts = [f"without {lost}" if lost else "", f"{invented} as well" if invented else ""]
        storage.fail(
            expected=", ".join(sorted(expected)) or "nothing beside read, write and delete",
            got=", and ".join(part for part in parts if part),
        )


@honest.promise(
    "The storage inside is the attribute 'wrapped', so that all wrappers around it share their "
    "locks.",
    hint="it has another name. Then a handler and a job that wrap the storage on their own do not "
    "wait for each other.",
)
async def wrappers_share_locks(subject: WrapperSubject) -> None:
    inner = subject.inside(subject.namespace())
    subject.history.note("storage = wrap(inner)")
    storage = await subject.wrapped(inner)
    views = [("storage", storage, inner)]
    if "sync" in subject.expected():
        views.append(("storage.sync", storage.sync, inner.sync))
    for name, outside, inside in views:
        found = getattr(outside, "wrapped", None)
        if locks_of(outside) is not locks_of(inside):
            subject.history.note(f"{name}.wrapped")
            subject.history.fail(
                expected="the storage inside", got=f"an object of {type(found).__name__}"
            )


@honest.promise(
    "With supports_expiry = True, the clock of the storage inside is passed on as 'clock'.",
    hint="enhance_storage hands expiries on only to a storage that has the same clock, and without "
    "one takes it for time.time: self.clock = storage.clock.",
)
async def clock_is_passed_on(subject: WrapperSubject) -> None:
    async with subject.client() as storage:
        if "supports_expiry" not in storage.capabilities:
            msg = "the wrapped storage does not declare supports_expiry = True"
            raise LeftOut(msg)
        clock = clock_of(storage.storage)
        if clock != subject.clock:
            storage.history.note("storage.clock")
            storage.fail(expected="the clock of the storage inside", got=repr(clock))


@honest.promise(
    "What changes behind the wrapper is read as it is now, by every method.",
    hint="the wrapper answers from a cache that other writers do not know of. If it is the only "
    "one who writes, declare Limits(shared=False).",
    needs=("shared",),
)
async def changes_behind_it_are_seen(subject: WrapperSubject) -> None:
    for name in ("read", "has", "read_many", "read_with_revision"):
        subject.start_history()
        namespace = subject.namespace()
        async with subject.client(namespace) as storage, subject.client(namespace) as second:
            if name != "read" and name not in storage.capabilities:
                continue
            await storage.write("1", {"n": 1})
            await storage.read("1")
            await _ask(storage, name)
            await second.write("1", {"n": 2})
            storage.expect(await _ask(storage, name), {"n": 2} if name != "has" else True)
            await second.delete("1")
            storage.expect(await _ask(storage, name), None if name != "has" else False)


async def _ask(storage: Client, name: str) -> Any:
    readers: dict[str, Callable[[], Awaitable[Any]]] = {
        "read": lambda: storage.read("1"),
        "has": lambda: storage.has("1"),
        "read_many": lambda: storage.read_many(["1"]),
        "read_with_revision": lambda: storage.read_with_revision("1"),
    }
    found = await readers[name]()
    if name == "read_many":
        return found.get("1")
    return found[0] if name == "read_with_revision" else found


@honest.promise(
    "Around an enhanced storage, sliding timeouts still slide.",
    hint="the wrapper does not pass on read_tracked() and renew(), which sessions use for that.",
)
async def sliding_timeouts_slide(subject: WrapperSubject) -> None:
    if not subject.offers(*_SLIDING):
        msg = "offers() says that read_tracked or renew is not passed on"
        raise LeftOut(msg)
    inner = subject.inside(subject.namespace())
    options: Any = {"ttl": _TTL, "sliding": True, "clock": subject.clock}
    storage = await _around_enhanced(subject, inner, options)
    await storage.write("1", {"n": 1})
    for _ in range(3):
        await subject.pass_time(_TTL * 0.6)
        read = storage.storage
        tracked = getattr(read, "read_with_revision", None) or read.read_tracked
        storage.history.note(f"value, revision = await storage.{tracked.__name__}('1')")
        found = tracked("1")
        value, revision = await found if hasattr(found, "__await__") else found
        storage.expect(value, {"n": 1})
        await storage.renew("1", revision)


async def _around_enhanced(subject: WrapperSubject, inner: Any, options: Any) -> Client:
    enhanced = enhance_storage(inner, **options)
    subject.history.note(f"storage = wrap(enhance_storage(inner, ttl={_TTL:g}, sliding=True))")
    try:
        return Client(await subject.wrapped(enhanced), subject.history)
    except TypeError as error:
        msg = f"the wrapper takes no enhanced storage: {error}"
        raise LeftOut(msg) from error


@honest.promise(
    "The wrapped storage can be enhanced: timeouts hold to the instant.",
    hint="values are changed on the way, or expiries (expires=...) are dropped or converted.",
)
async def it_can_be_enhanced(subject: WrapperSubject) -> None:
    async with subject.client() as bare:
        subject.history.note(f"storage = enhance_storage(storage, ttl={_TTL:g}, clock=clock)")
        try:
            made = enhance_storage(bare.storage, ttl=_TTL, clock=subject.clock)
        except TypeError as error:
            msg = "the wrapped storage is enhanced already, and enhancing does not stack"
            raise LeftOut(msg) from error
        storage = Client(made, subject.history)
        await storage.write("1", {"n": 1})
        await subject.pass_time(_TTL - 1)
        await storage.expect_read("1", {"n": 1})
        await subject.pass_time(1)
        await storage.expect_read("1", None)
