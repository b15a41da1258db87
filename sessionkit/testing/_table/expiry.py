"""What expires: by the storage's own timeout, ``Limits(ttl=...)``, or by ``expires=...``."""

from __future__ import annotations

from typing import Any, Final

from sessionkit.protocols import ANY
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._ops import (
    Instant,
    Op,
    Seen,
    Span,
    delete,
    has,
    look,
    read,
    read_many,
    touch,
    write,
    write_if,
    write_many,
)
from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject
from sessionkit.testing._table.rows import (
    LISTING,
    PURGE,
    REOPEN,
    REVISIONS,
    Program,
    each,
    lists,
    number_keys,
    promised,
    promised_of,
    update,
    wait,
)

_1: Final[Any] = {"n": 1}
_2: Final[Any] = {"n": 2}
_3: Final[Any] = {"n": 3}
_4: Final[Any] = {"n": 4}
_TIMEOUT: Final = ("ttl", "time")
_EXPIRY: Final = ("supports_expiry", *REVISIONS)
_TIMED: Final = (*_EXPIRY, "time")
_TEN_YEARS: Final = 10 * 366 * 86_400.0
_AN_INSTANT: Final = wait(0.01)

_TTL: Final = wait(Span("ttl"))
_HALF: Final = wait(Span("ttl", 1 / 2))
_LIFE: Final = wait(Span("lifetime"))
_HALF_LIFE: Final = wait(Span("lifetime", 1 / 2))


def ttl_of(subject: Subject) -> float:
    """Return the declared timeout, which must be there."""
    assert subject.limits.ttl is not None
    return subject.limits.ttl


def _until(key: str, value: Any, expires: Span | float, expected: Any = ANY) -> Op:
    return write_if(key, value, expected)._replace(options=(("expires", expires),))


_MORTAL: Final = _until("1", _1, Span("lifetime"))
_TIMED_OUT: Final = (write("1", _1), _TTL)
_EXPIRED: Final = (_MORTAL, _LIFE)

# What both have in common.

_ROUNDS: Final = "'now > expires' instead of 'now >= expires', or times are rounded to seconds."
_NO_LOOK: Final = "the expiry is kept, and this method does not look at it."
_NOTHING: Final = "For a conditional write, what has expired counts as nothing: None is taken."
_ROW: Final = "write_if() with None asks for a row and not for a row that lives."

promised(
    "timeout_is_exact",
    "At the very instant of its timeout a value is gone, and just before it is not.",
    _ROUNDS,
    [write("1", _1), wait(Span("ttl", 1, -0.01)), read("1"), _AN_INSTANT, read("1")],
    needs=("ttl", "clock"),
)
promised(
    "expiry_is_exact",
    "At the very instant of its expiry a value is gone, and just before it is not.",
    _ROUNDS,
    [_MORTAL, wait(Span("lifetime", 1, -0.01)), read("1"), _AN_INSTANT, read("1")],
    needs=(*_EXPIRY, "clock"),
)
promised(
    "timeout_outlives_closing",
    "A timeout goes on while the storage is closed.",
    "the expiry is kept in memory, or in the time since the process began (monotonic).",
    [write("1", _1), _HALF, REOPEN, read("1"), _HALF, read("1")],
    needs=(*_TIMEOUT, "durable"),
)
promised(
    "expiry_outlives_closing",
    "An expiry holds while the storage is closed.",
    "the expiry is kept in memory, and not with the value.",
    [_MORTAL, _HALF_LIFE, REOPEN, read("1"), _HALF_LIFE, read("1")],
    needs=(*_TIMED, "durable"),
)
promised(
    "has_knows_timeouts",
    "has() is False for what has expired.",
    "has() does not look at the expiry.",
    [*_TIMED_OUT, has("1")],
    needs=(*_TIMEOUT, "has"),
)
promised(
    "has_knows_expiry",
    "has() is False for a value whose expiry is over.",
    _NO_LOOK,
    [*_EXPIRED, has("1")],
    needs=(*_TIMED, "has"),
)
promised(
    "listing_knows_timeouts",
    "What has expired is not listed.",
    "iter_keys() or iter_items() does not look at the expiry.",
    [*_TIMED_OUT, write("2", _2), *lists()],
    needs=(*_TIMEOUT, *LISTING),
)
promised(
    "listing_knows_expiry",
    "A value whose expiry is over is not listed.",
    _NO_LOOK,
    [*_EXPIRED, write("2", _2), *lists()],
    needs=(*_TIMED, *LISTING),
)
promised(
    "read_many_knows_timeouts",
    "read_many() leaves out what has expired.",
    "read_many() does not look at the expiry.",
    [*_TIMED_OUT, write("2", _2), read_many("1", "2")],
    needs=(*_TIMEOUT, "read_many"),
)
promised(
    "read_many_knows_expiry",
    "read_many() leaves out a value whose expiry is over.",
    _NO_LOOK,
    [*_EXPIRED, write("2", _2), read_many("1", "2")],
    needs=(*_TIMED, "read_many"),
)
promised(
    "touch_revives_nothing",
    "touch() never brings back what has expired.",
    "touch() sets the expiry of a row without looking whether it lives.",
    [*_TIMED_OUT, touch("1"), read("1")],
    needs=(*_TIMEOUT, "touch"),
)
promised(
    "touch_knows_expiry",
    "touch() never brings back a value whose expiry is over.",
    _NO_LOOK,
    [*_EXPIRED, touch("1"), read("1")],
    needs=(*_TIMED, "touch"),
)
promised(
    "expired_counts_as_nothing",
    _NOTHING,
    _ROW,
    [*_TIMED_OUT, write_if("1", _2, None), read("1")],
    needs=(*_TIMEOUT, *REVISIONS),
)
promised(
    "past_expiry_counts_as_nothing",
    _NOTHING,
    _ROW,
    [*_EXPIRED, look("1"), write_if("1", _2, None), read("1")],
    needs=_TIMED,
)

_MEANWHILE: Final = (
    "what expires while a session is open would fail its update: write_if() has to take the "
    "revision of a value that has expired since, removed or not. A revision may carry the expiry."
)
_WITH_AND_WITHOUT_PURGE: Final[tuple[Program, ...]] = ([], [PURGE])
promised_of(
    "revision_outlives_its_value",
    "The revision of a value stays the condition of a write when the value expires.",
    _MEANWHILE,
    _WITH_AND_WITHOUT_PURGE,
    each(
        lambda purge: [
            write("1", _1),
            look("1"),
            _TTL,
            *purge,
            write_if("1", _2, Seen(holds=True)),
            read("1"),
        ]
    ),
    needs=(*_TIMEOUT, *REVISIONS),
)
promised_of(
    "revision_outlives_its_expiry",
    "The revision of a value stays the condition of a write when its expiry is over.",
    _MEANWHILE,
    _WITH_AND_WITHOUT_PURGE,
    each(
        lambda purge: [
            _MORTAL,
            look("1"),
            _LIFE,
            *purge,
            write_if("1", _2, Seen(holds=True)),
            read("1"),
        ]
    ),
    needs=_TIMED,
)
promised_of(
    "successor_of_expired_is_kept",
    "What was written after a value expired has another revision than that had.",
    "revisions are counted per value, and the count starts again.",
    _WITH_AND_WITHOUT_PURGE,
    each(
        lambda purge: [
            write("1", _1),
            look("1"),
            _TTL,
            *purge,
            write_if("1", _2, None),
            write_if("1", _3, Seen(1)),
            read("1"),
        ]
    ),
    needs=(*_TIMEOUT, *REVISIONS),
)

# The storage's own timeout.


@promise(
    "Without a timeout, values stay.",
    hint="the storage has a timeout by default. If it is meant, declare Limits(ttl=...).",
    needs=("clock",),
)
async def without_timeout_values_stay(subject: Subject) -> None:
    if subject.limits.ttl is not None:
        msg = "a timeout is declared by Limits(ttl=...)"
        raise LeftOut(msg)
    async with subject.client() as storage:
        await storage.write("1", _1)
        await subject.pass_time(_TEN_YEARS)
        await storage.expect_read("1", _1)


promised(
    "value_lives_until_its_timeout",
    "A value lives as long as declared after its last write.",
    "the timeout is counted in another unit, or from the first write.",
    [write("1", _1), _HALF, read("1"), write("1", _2), wait(Span("ttl", 3 / 4)), read("1")],
    needs=_TIMEOUT,
)
promised(
    "value_is_gone_after_its_timeout",
    "A value is gone after its timeout.",
    "the timeout is not looked at by read(), or counted in another unit.",
    [*_TIMED_OUT, read("1")],
    needs=_TIMEOUT,
)
promised(
    "reading_does_not_renew",
    "Reading does not renew a timeout.",
    "read() or has() renews the expiry.",
    [write("1", _1), _HALF, read("1"), has("1"), _HALF, read("1")],
    needs=_TIMEOUT,
)
promised(
    "expired_can_be_written_again",
    "A value that has expired can be written again, and lives its full time.",
    "the old expiry stays with the key.",
    [*_TIMED_OUT, write("1", _2), read("1"), _HALF, read("1")],
    needs=_TIMEOUT,
)
promised(
    "expired_can_be_deleted",
    "Deleting a value that has expired is not an error.",
    "delete() looks the value up first, and raises if there is none.",
    [*_TIMED_OUT, delete("1"), read("1")],
    needs=_TIMEOUT,
)
promised(
    "write_many_sets_timeouts",
    "The timeout of values from write_many() begins with the batch.",
    "write_many() sets no expiry, or keeps that of the old value.",
    [
        *(write("1", _1), _HALF, write_many({"1": _2, "2": _2})),
        *(_HALF, read("1"), _HALF, read("1"), read("2")),
    ],
    needs=(*_TIMEOUT, "write_many"),
)
promised(
    "revisions_know_timeouts",
    "read_with_revision() gives None as the value of what has expired.",
    "read_with_revision() does not look at the expiry.",
    [*_TIMED_OUT, look("1")],
    needs=(*_TIMEOUT, *REVISIONS),
)
promised(
    "revision_of_expired_is_taken",
    "What read_with_revision() gives for an expired value can be the condition of a write.",
    "the revision of the expired value is given, and write_if() does not take it.",
    [*_TIMED_OUT, update("1", _2), read("1")],
    needs=(*_TIMEOUT, *REVISIONS),
)
promised(
    "conditional_write_sets_timeout",
    "A conditional write restarts the timeout.",
    "write_if() sets no expiry, or keeps that of the old value.",
    [
        *(write_if("1", _1, None), _HALF, write_if("1", _2)),
        *(_HALF, read("1"), _HALF, read("1")),
    ],
    needs=(*_TIMEOUT, *REVISIONS),
)
promised(
    "touch_renews",
    "touch() restarts the timeout, and changes no data.",
    "touch() sets no new expiry, or writes an old value back.",
    [write("1", _1), _HALF, touch("1"), _HALF, read("1"), _HALF, read("1")],
    needs=(*_TIMEOUT, "touch"),
)
promised(
    "purge_counts_what_it_removes",
    "purge_expired() removes what has expired, counts it, and keeps the rest.",
    "it counts or removes values that live, or one that was written again.",
    [
        *number_keys(["1", "2", "3"]),
        _TTL,
        *(write("2", _4), write("4", _4)),
        *(Op("purge_expired", (2,)), Op("purge_expired", (0,))),
        *map(read, ("1", "2", "4")),
    ],
    needs=(*_TIMEOUT, "purge_expired"),
)

# An expiry beside the value.


@promise(
    "supports_expiry = True needs read_with_revision() and write_if().",
    hint="the declaration is there, and the methods that it speaks of are not.",
    needs=("supports_expiry",),
)
async def expiry_needs_conditional_writes(subject: Subject) -> None:
    missing = sorted(set(_EXPIRY) - await subject.capabilities())
    async with subject.client() as storage:
        if missing:
            storage.fail(expected=" and ".join(REVISIONS), got=f"no {', '.join(missing)}")


_SHORT: Final = Span("shorter", 1 / 2)
promised(
    "value_is_gone_at_its_expiry",
    "A value with an expiry lives until then, and is gone after it.",
    "expires is ignored, or taken for a span or for milliseconds: it is a time, in seconds "
    "since the epoch.",
    [
        *(_until("1", _1, Span("lifetime"), None), _HALF_LIFE, read("1")),
        *(_HALF_LIFE, read("1")),
    ],
    needs=_TIMED,
)
promised(
    "expiry_in_the_past_is_gone_at_once",
    "A value whose expiry lies in the past is not there.",
    "the expiry is looked at only when time passes, or a negative span, or 0.0, is taken for none.",
    [
        *(_until("1", _1, -10.0, None), read("1")),
        *(_until("2", _1, Instant(0.0), None), read("2")),
    ],
    needs=_TIMED,
)
promised(
    "plain_write_removes_the_expiry",
    "A write without expiry takes the old expiry away.",
    "write() replaces the value and leaves the expiry of the old one.",
    [_until("1", _1, _SHORT, None), write("1", _2), wait(_SHORT), read("1")],
    needs=_TIMED,
)
promised(
    "conditional_write_removes_the_expiry",
    "A conditional write without expiry takes the old expiry away.",
    "write_if() replaces the value and leaves the expiry of the old one.",
    [_until("1", _1, _SHORT, None), write_if("1", _2), wait(_SHORT), read("1")],
    needs=_TIMED,
)
promised(
    "purge_knows_expiry",
    "purge_expired() removes and counts the values whose expiry is over, and keeps the rest.",
    "it counts or removes values that live, or one that was written again.",
    [
        *(_MORTAL, _until("2", _2, Span("lifetime", 2)), _until("3", _1, Span("lifetime"))),
        *(_LIFE, write("3", _3)),
        *(Op("purge_expired", (1,)), Op("purge_expired", (0,))),
        *map(read, ("1", "2", "3")),
    ],
    needs=(*_TIMED, "purge_expired"),
)

# Where nothing expires.

promised(
    "touch_reports_and_changes_nothing",
    "touch() is True if something is stored, False if not; it changes and makes no data.",
    "touch() gives nothing back, or writes a value.",
    [
        *(touch("1"), read("1")),
        *(write("1", _1), touch("1"), read("1")),
        *(write("1", {}), touch("1"), read("1")),
    ],
    needs=("touch",),
)
promised(
    "purge_keeps_what_lives",
    "purge_expired() removes nothing that has not expired, and returns 0 then.",
    "it gives nothing back, counts all values, or removes those without a timeout.",
    [write("1", _1), write("2", {}), Op("purge_expired", (0,)), read("1"), read("2")],
    needs=("purge_expired",),
)
promised(
    "renew_changes_no_data",
    "renew() changes no data, whether its revision is fresh or stale.",
    "renew() writes back a value that it has read before, without a condition.",
    [
        *(write_if("1", _1, None), Op("renew", ("1", Seen())), read("1")),
        *(write("1", _2), Op("renew", ("1", Seen())), read("1")),
        *(delete("1"), Op("renew", ("1", Seen())), read("1")),
    ],
    needs=("renew", *REVISIONS),
)
