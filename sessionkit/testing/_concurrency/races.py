"""Calls at once, among tasks, threads and processes: chosen pairs, and small random histories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from sessionkit.testing._concurrency.plan import CLIENTS, Begin, Draw, Pair, Plan
from sessionkit.testing._concurrency.race import NEEDS, Race, arena_of
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._ops import (
    Op,
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
from sessionkit.testing._promises import TIMEOUTS, Check, Promise, register
from sessionkit.testing._subject import Subject

_A: Final = {"n": 2}
_B: Final = {"n": 3}
_STORED: Final = ("1",)
_BOTH: Final = ("1", "2")

_TWO_CONDITIONAL: Final = (
    Pair(write_if("1", _A), write_if("1", _B), _STORED),
    Pair(write_if("1", _A, None), write_if("1", _B, None), ()),
    Pair(write_if("1", _A), write_if("1", None), _STORED),
    Pair(write_if("1", None), write_if("1", _B), _STORED),
)
_CONDITIONAL_AND_PLAIN: Final = (
    Pair(write_if("1", _A), write("1", _B), _STORED),
    Pair(write_if("1", _A), delete("1"), _STORED),
    Pair(write_if("1", _A, None), write("1", _B), ()),
    Pair(write_if("1", None), write("1", _B), _STORED),
    Pair(write("1", _A), write_if("1", _B), _STORED),
    Pair(delete("1"), write_if("1", _B), _STORED),
    Pair(write_if("1", _A), write_many({"1": _B}), _STORED),
    Pair(write_many({"1": _A}), write_if("1", _B), _STORED),
)
_READING_AND_WRITING: Final = (
    Pair(write("1", _A), read("1"), _STORED),
    Pair(read("1"), write("1", _B), _STORED),
    Pair(read("1"), delete("1"), _STORED),
    Pair(delete("1"), read("1"), _STORED),
    Pair(write_if("1", _A), read("1"), _STORED),
    Pair(write("1", _A), has("1"), _STORED),
    Pair(has("1"), write("1", _B), _STORED),
    Pair(has("1"), delete("1"), _STORED),
    Pair(read_many("1"), write("1", _B), _STORED),
    Pair(read_many("1"), delete("1"), _STORED),
    Pair(write("1", _A), read_many("1"), _STORED),
)
_VALUE_AND_REVISION: Final = (
    Pair(look("1"), write("1", _B), _STORED, after=(write_if("1", _A),)),
    Pair(look("1"), delete("1"), _STORED, after=(write_if("1", _A),)),
    Pair(look("1"), write("1", _B), (), after=(write_if("1", _A),)),
)
_DIFFERENT_KEYS: Final = (
    Pair(write("1", _A), write("2", _B), ()),
    Pair(write("1", _A), write("2", _B), _BOTH),
    Pair(write("1", _A), delete("2"), _BOTH),
    Pair(delete("1"), write("2", _B), _BOTH),
    Pair(write_if("1", _A), write("2", _B), _BOTH),
    Pair(write_if("1", _A), write_if("2", _B), _BOTH),
    Pair(write_many({"1": _A}), write("2", _B), _BOTH),
)
_LISTING: Final = (
    Pair(Op("iter_keys"), write("1", _B), _BOTH),
    Pair(Op("iter_keys"), write("1", _B), ("2",)),
    Pair(Op("iter_keys"), delete("1"), _BOTH),
    Pair(Op("iter_items"), write("1", _B), _BOTH),
    Pair(Op("iter_items"), write("1", _B), ("2",)),
    Pair(Op("iter_items"), delete("1"), _BOTH),
    Pair(write("1", _A), Op("iter_keys"), _BOTH),
    Pair(write("1", _A), Op("iter_items"), _BOTH),
)
_TOUCHING: Final = (
    Pair(touch("1"), write("1", _B), _STORED),
    Pair(touch("1"), delete("1"), _STORED),
    Pair(write("1", _A), touch("1"), _STORED),
)
_EXPIRED: Final = (
    Pair(Op("purge_expired"), write("1", _B), (), expired=("1",)),
    Pair(Op("purge_expired"), write_if("1", _B, None), (), expired=("1",)),
    Pair(read("1"), write("1", _B), (), expired=("1",)),
    Pair(touch("1"), write("1", _B), (), expired=("1",)),
    Pair(Op("iter_items"), write("1", _B), (), expired=("1",)),
)

_REVISIONS: Final = ("read_with_revision", "write_if")


class _Group(NamedTuple):
    name: str
    sentence: str
    trap: str
    pairs: Sequence[Pair]
    needs: tuple[str, ...] = ()
    most_in_processes: int = 0


_GROUPS: Final = (
    _Group(
        "one_of_two_conditional_writes_wins",
        "If two {who} write on the same condition at once, one goes through and the other gets "
        "SessionConflictError.",
        "comparing and storing are two steps",
        _TWO_CONDITIONAL,
        _REVISIONS,
        2,
    ),
    _Group(
        "conditional_write_notices_plain_one",
        "A conditional write notices a plain write or delete that another of the {who} does "
        "at the same time.",
        "comparing and storing are two steps, or value and revision are stored one after the other",
        _CONDITIONAL_AND_PLAIN,
        _REVISIONS,
        2,
    ),
    _Group(
        "reading_sees_old_or_new",
        "While one of the {who} writes or deletes, another reads the old value or the new one: "
        "nothing torn, nothing missing, no error.",
        "the old value is removed or cut before the new one is there, or read() looks first "
        "whether there is a value and then fetches it",
        _READING_AND_WRITING,
        (),
        4,
    ),
    _Group(
        "value_and_revision_belong_together",
        "What read_with_revision() gives belongs together, whatever other {who} write meanwhile.",
        "value and revision are fetched one after the other",
        _VALUE_AND_REVISION,
        _REVISIONS,
        1,
    ),
    _Group(
        "writes_of_different_keys_all_land",
        "If two {who} write different keys at once, both values are stored.",
        "all values are read, changed and written back together",
        _DIFFERENT_KEYS,
        (),
        3,
    ),
    _Group(
        "listing_survives_writes",
        "A listing goes on while other {who} write: it gives each key once, with the old value "
        "or the new one.",
        "the listing goes over the stored mapping itself instead of a copy, or fetches values of "
        "keys that are gone",
        _LISTING,
        ("iter_keys",),
    ),
    _Group(
        "touching_changes_no_data",
        "touch() brings no old data back that other {who} replace or delete at the same time.",
        "touch() reads the value and writes it back",
        _TOUCHING,
        ("touch",),
    ),
)
_EXPIRY = _Group(
    "new_value_in_place_of_expired_stays",
    "A value that is written where another one has expired stays, whatever other {who} read or "
    "purge at the same time.",
    "what has expired is looked for first and deleted later, by its key alone",
    _EXPIRED,
    ("clock",),
)

_REMEDIES: Final = {
    "tasks": "with an await in between: hold an asyncio.Lock, or leave it to the database",
    "threads": "and another thread comes in between: hold a threading.Lock",
    "processes": "and another process comes in between: leave it to the database, or lock a file",
}

_STOPS: Final[Mapping[str, int]] = {"tasks": 20, "threads": 20, "processes": 10}
"""At how many points the first call of a pair is paused."""


def _add(name: str, sentence: str, hint: str, needs: tuple[str, ...], check: Check) -> None:
    register(
        Promise(name, sentence, hint, "concurrency", needs, (), TIMEOUTS["concurrency"], check)
    )


def _add_pairs(group: _Group, who: str) -> None:
    async def check(subject: Subject) -> None:
        pairs, most = group.pairs, _STOPS[who] * (20 if subject.thorough else 1)
        if who == "processes" and not subject.thorough:
            pairs = pairs[: group.most_in_processes]
        async with arena_of(subject, who, 2) as arena:
            race = Race(subject, arena, await subject.capabilities(), expires=True)
            await race.run(await race.stops(pairs, most))

    needs = (*group.needs, *NEEDS[who])
    hint = f"{group.trap}, {_REMEDIES[who]}."
    _add(f"{group.name}_among_{who}", group.sentence.format(who=who), hint, needs, check)


for _who in NEEDS:
    for _group in _GROUPS:
        if _who != "processes" or _group.most_in_processes:
            _add_pairs(_group, _who)
for _who in ("tasks", "threads"):
    _add_pairs(_EXPIRY, _who)

# What is written in one process and read in another, one call after the other.

_WAYS_TO_LOOK: Final = (
    read("1"),
    has("1"),
    read_many("1"),
    look("1"),
    Op("iter_keys"),
    Op("iter_items"),
)


def _is_seen_by(op: Op) -> Plan:
    calls = ((0, op), (1, write("1", _A)), (0, op), (1, delete("1")), (0, op))
    return Plan(tuple(Begin(who, call) for who, call in calls), ("1",))


async def _check_seen(subject: Subject) -> None:
    async with arena_of(subject, "processes", 2, in_turn=True) as arena:
        race = Race(subject, arena, await subject.capabilities(), expires=False)
        await race.run(_is_seen_by(op) for op in _WAYS_TO_LOOK if op.method in race.offered)


_add(
    "writes_are_seen_by_other_processes",
    "What one process has written or deleted, another one that has the storage open sees at once.",
    "values are kept in a cache of the process, or are written later than write() returns.",
    NEEDS["processes"],
    _check_seen,
)

# Drawn at random.

_MOST_STOPS: Final = 6
_PLANS: Final[Mapping[str, int]] = {"tasks": 75, "threads": 60, "processes": 6}
_SAMPLES: Final = (
    read("1"),
    write("1", {"n": 2}),
    has("1"),
    touch("1"),
    read_many("1"),
    write_many({"1": {"n": 3}}),
    look("1"),
    write_if("1", {"n": 4}),
    Op("purge_expired"),
    delete("1"),
)
"""A call of each method, to find its points."""

_REMOVING: Final = frozenset({"read", "has", "touch", "read_many", "purge_expired"})
"""Methods that might remove what has expired, when they come upon it."""

_HINTS: Final[Mapping[str, str]] = {
    "write_if": "comparing and storing are two steps, and somebody else comes in between: "
    "do both under one lock, or leave it to the database.",
}

_SENTENCE: Final = (
    "Whatever several {who} do at once, each call takes effect at one instant between its "
    "beginning and its end: an order of the calls explains all answers."
)
_HINT: Final = (
    "a call works in several steps, and others see what is in between; or an answer comes from a "
    "copy (a cache, a replica, what was fetched before) that is older than what somebody saw."
)


def _add_random(who: str) -> None:
    async def check(subject: Subject) -> None:
        async with arena_of(subject, who, CLIENTS) as arena:
            offered, expires = await subject.capabilities(), who != "processes"
            race = Race(subject, arena, offered, expires=expires, hints=_HINTS)
            leads = await race.leads(_SAMPLES, _REMOVING, _MOST_STOPS)
            if not leads:
                msg = "its methods never let others run, so calls cannot overlap"
                raise LeftOut(msg)
            draw = Draw(subject.random(), race.offered, leads)
            await race.run(draw.plans(_PLANS[who] * (20 if subject.thorough else 1)))

    name = f"an_order_explains_all_answers_among_{who}"
    _add(name, _SENTENCE.format(who=who), _HINT, NEEDS[who], check)


for _who in NEEDS:
    _add_random(_who)
