"""Two calls at once, among tasks, threads and processes: one promise for each of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from sessionkit.testing._concurrency import cases
from sessionkit.testing._concurrency.case import Case
from sessionkit.testing._concurrency.processes import race_processes
from sessionkit.testing._concurrency.race import race
from sessionkit.testing._concurrency.tasks import two_tasks
from sessionkit.testing._concurrency.threads import two_threads
from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject

_REVISIONS: Final = ("read_with_revision", "write_if")
_LONG: Final = 1800.0


class _Group(NamedTuple):
    name: str
    sentence: str
    trap: str
    cases: Sequence[Case]
    needs: tuple[str, ...] = ()
    most_in_processes: int = 0


_GROUPS: Final = (
    _Group(
        "one_of_two_conditional_writes_wins",
        "If two {who} write on the same condition at once, one goes through and the other gets "
        "SessionConflictError.",
        "comparing and storing are two steps",
        cases.TWO_CONDITIONAL,
        _REVISIONS,
        2,
    ),
    _Group(
        "conditional_write_notices_plain_one",
        "A conditional write notices a plain write or delete that another of the {who} does "
        "at the same time.",
        "comparing and storing are two steps, or value and revision are stored one after the other",
        cases.CONDITIONAL_AND_PLAIN,
        _REVISIONS,
        2,
    ),
    _Group(
        "reading_sees_old_or_new",
        "While one of the {who} writes or deletes, another reads the old value or the new one: "
        "nothing torn, nothing missing, no error.",
        "the old value is removed or cut before the new one is there, or read() looks first "
        "whether there is a value and then fetches it",
        cases.READING_AND_WRITING,
        (),
        4,
    ),
    _Group(
        "value_and_revision_belong_together",
        "What read_with_revision() gives belongs together, whatever other {who} write meanwhile.",
        "value and revision are fetched one after the other",
        cases.VALUE_AND_REVISION,
        _REVISIONS,
        1,
    ),
    _Group(
        "writes_of_different_keys_all_land",
        "If two {who} write different keys at once, both values are stored.",
        "all values are read, changed and written back together",
        cases.DIFFERENT_KEYS,
        (),
        3,
    ),
    _Group(
        "listing_bears_writes",
        "A listing goes on while other {who} write: it gives each key once, with the old value "
        "or the new one.",
        "the listing goes over the stored mapping itself instead of a copy, or fetches values of "
        "keys that are gone",
        cases.LISTING,
        ("iter_keys",),
    ),
    _Group(
        "touching_changes_no_data",
        "touch() brings no old data back that other {who} replace or delete at the same time.",
        "touch() reads the value and writes it back",
        cases.TOUCHING,
        ("touch",),
    ),
)
_EXPIRY = _Group(
    "new_value_in_place_of_expired_stays",
    "A value that is written where another one has expired stays, whatever other {who} read or "
    "purge at the same time.",
    "what has expired is looked for first and deleted later, by its key alone",
    cases.EXPIRED,
    ("clock",),
)

_REMEDIES: Final = {
    "tasks": "with an await in between: hold an asyncio.Lock, or leave it to the database",
    "threads": "and another thread comes in between: hold a threading.Lock",
    "processes": "and another process comes in between: leave it to the database, or lock a file",
}


async def _among_tasks(subject: Subject, group: _Group) -> None:
    await race(subject, two_tasks, group.cases)


async def _among_threads(subject: Subject, group: _Group) -> None:
    await race(subject, two_threads, group.cases)


async def _among_processes(subject: Subject, group: _Group) -> None:
    most = len(group.cases) if subject.thorough else group.most_in_processes
    await race_processes(subject, group.cases[:most])


_NEEDS: Final = {"tasks": (), "threads": ("threads",), "processes": ("shared",)}
_ARENAS: Final[dict[str, Callable[[Subject, _Group], Awaitable[None]]]] = {
    "tasks": _among_tasks,
    "threads": _among_threads,
    "processes": _among_processes,
}


def _register(group: _Group, who: str) -> None:
    run = _ARENAS[who]

    async def check(subject: Subject) -> None:
        await run(subject, group)

    check.__name__ = f"{group.name}_among_{who}"
    promise(
        group.sentence.format(who=who),
        hint=f"{group.trap}, {_REMEDIES[who]}.",
        layer="concurrency",
        needs=(*group.needs, *_NEEDS[who]),
        timeout=_LONG,
    )(check)


for _who in _ARENAS:
    for _group in _GROUPS:
        if _who != "processes" or _group.most_in_processes:
            _register(_group, _who)
for _who in ("tasks", "threads"):
    _register(_EXPIRY, _who)
