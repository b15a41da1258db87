"""Listing keys and items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sessionkit.testing._client import Client
from sessionkit.testing._ops import Op, delete, read, write
from sessionkit.testing._promises import promise
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject
from sessionkit.testing._table.basics import write_numbers
from sessionkit.testing._table.keys import FAMILIES, allows_key
from sessionkit.testing._table.rows import (
    FALSY,
    LISTING,
    changed,
    each,
    elsewhere,
    expect_both_or_none,
    lists,
    number_keys,
    promised,
    promised_of,
    run,
    with_fewest,
)

_PATTERNS: Final = ("a", "a*", "a*b", "a?", "a%", "a%b", "a_", "a_b", "axb", "[a]", "ab", "a[b]")
_CASES: Final = ("a", "A", "ab", "AB", "aB", "é1", "É1")
_ENDS: Final = ("a", "a\uffff", "a\U0010ffff", "a🍕", "a\x7f", "a\uffffb", "b", "aa", "a\x01")


@promise(
    "iter_keys() and iter_items() come together: a storage has both or none.",
    hint="one of the two is missing, or has another name.",
)
async def listing_is_both_or_none(subject: Subject) -> None:
    await expect_both_or_none(subject, LISTING)


promised(
    "empty_storage_lists_nothing",
    "A storage with nothing in it lists nothing.",
    "the storage lists something of its own.",
    [read("1"), *lists()],
    needs=LISTING,
)
promised(
    "every_key_is_listed_once",
    "A listing gives every key once.",
    "a key is listed again after it was overwritten, or only part of the keys is listed.",
    [*number_keys(["1", "2", "-100"]), write("1", {"n": 4}), *lists()],
    needs=LISTING,
)
promised(
    "prefix_can_be_left_out",
    "iter_keys() and iter_items() can be called without a prefix.",
    "prefix has no default: iter_keys(self, prefix='').",
    [write("1", {"n": 1}), *lists(None)],
    needs=LISTING,
)
promised_of(
    "items_are_what_is_read",
    "iter_items() gives pairs of key and value, the value as read() gives it, falsy ones too.",
    "items are left out by 'if value', or values are given as they are stored.",
    ({"n": 1}, *FALSY),
    each(lambda value: [write("1", value), Op("iter_items", ("",))]),
    needs=LISTING,
)
promised(
    "deleted_is_not_listed",
    "What was deleted is not listed.",
    "an index of keys is kept, and delete() does not change it.",
    [*number_keys(["1", "2"]), delete("1"), *lists(), write("1", {"n": 3}), *lists()],
    needs=LISTING,
)
promised(
    "prefix_selects",
    "A listing with a prefix gives the keys that begin with it, and no others.",
    "the prefix is ignored, or looked for anywhere in the key.",
    [
        *number_keys(["1", "10", "-1", "21", "2"]),
        *(op for prefix in ("1", "-", "21", "3") for op in lists(prefix)),
    ],
    needs=LISTING,
)


def _list_by_each_prefix(keys: Sequence[str]) -> list[Op]:
    return number_keys(keys) + [op for prefix in keys for op in lists(prefix)]


promised_of(
    "prefix_is_literal",
    "A prefix is taken literally: *, ?, [, % and _ mean themselves.",
    "the prefix goes into LIKE, GLOB, SCAN MATCH or glob() without being escaped.",
    _PATTERNS,
    _list_by_each_prefix,
    needs=LISTING,
    most=2,
    allowed=allows_key,
)
promised_of(
    "prefix_is_case_sensitive",
    "A prefix tells upper from lower case.",
    "LIKE does not tell case in SQLite and MySQL.",
    _CASES,
    _list_by_each_prefix,
    needs=LISTING,
    most=2,
    allowed=allows_key,
)
promised_of(
    "prefix_may_be_followed_by_anything",
    "A prefix selects keys whatever character follows it.",
    "the end of the range is prefix + 'z' or prefix + '\\uffff', and some characters are larger.",
    _ENDS,
    _list_by_each_prefix,
    needs=LISTING,
    most=2,
    allowed=allows_key,
)


@promise(
    "Keys are listed as they were written, whatever characters they have.",
    hint="keys are listed in an escaped, hashed or cut form, or unescaped once too often.",
    needs=LISTING,
)
async def listed_keys_are_as_written(subject: Subject) -> None:
    async def list_all(keys: Sequence[str]) -> None:
        await run(subject, [*number_keys(keys), *lists()])

    for family in FAMILIES:
        subject.start_history()
        keys = [key for key in family.keys if allows_key(subject, key)]
        await with_fewest(subject, keys, list_all)


promised(
    "only_its_own_keys_are_listed",
    "A listing gives only keys of its own namespace.",
    "the whole database is listed, or a namespace that begins alike.",
    [
        write("1", {"n": 1}),
        elsewhere(write("2", {"n": 2})),
        *lists(),
        *map(elsewhere, lists()),
    ],
    needs=LISTING,
)
promised(
    "listed_values_are_isolated",
    "With isolated = True, changing a value that was listed changes nothing that is stored.",
    "iter_items() gives the stored objects themselves.",
    [write("1", {"list": [1]}), changed(Op("iter_items", ("",))), read("1")],
    needs=("isolated", *LISTING),
)


@promise(
    "A long listing is complete.",
    hint="only the first page is listed.",
    needs=LISTING,
    timeout=120.0,
)
async def long_listings_are_complete(subject: Subject) -> None:
    count = 2_500 if subject.thorough else 250
    async with subject.client() as storage:
        await write_numbers(storage, count)
        keys = await storage.keys()
        _expect_numbers(storage, keys, count)
        _expect_numbers(storage, [key for key, _ in await storage.items()], count)


def _expect_numbers(storage: Client, keys: list[Any], count: int) -> None:
    if sorted(keys) != sorted(map(str, range(count))):
        storage.fail(
            expected=f"{count} keys, each once",
            got=f"{len(keys)} keys, {len(set(keys))} different ones",
        )


@promise(
    "Keys may be written and deleted while a listing is under way: it goes on, gives no key "
    "twice, and misses none that was there all the time.",
    hint="the listing walks over what is being changed: take a copy of the keys first.",
    needs=LISTING,
)
async def listing_survives_changes(subject: Subject) -> None:
    for method in LISTING:
        subject.start_history()
        async with subject.client() as storage:
            stored = ["1", "2", "3", "4"]
            await _fill(storage, stored)
            listed: list[Any] = []
            async for item in storage.iterate(method):
                key = item if method == "iter_keys" else item[0]
                await _change_meanwhile(storage, key, is_first=not listed)
                listed.append(key)
            if len(set(listed)) < len(listed) or not set(stored) <= set(listed):
                storage.fail(expected=f"{stored}, and no key twice", got=show(listed))


async def _fill(storage: Client, keys: Sequence[str]) -> None:
    for number, key in enumerate(keys, 1):
        await storage.write(key, {"n": number})


async def _change_meanwhile(storage: Client, key: str, *, is_first: bool) -> None:
    if is_first:
        await storage.delete(key)
        await storage.write("5", {"n": 5})
        await storage.write("-100", {"n": 6})
    else:
        await storage.write(key, {"n": 7})


@promise(
    "A listing can be given up before its end, and the storage goes on.",
    hint="the listing holds a lock or a cursor until its end: let go in 'finally'.",
    needs=LISTING,
)
async def listing_can_be_given_up(subject: Subject) -> None:
    async with subject.client() as storage:
        await _fill(storage, ["1", "2", "3"])
        listing = storage.iterate("iter_keys")
        await anext(listing, None)
        await listing.aclose()
        storage.history.note("# the listing is given up")
        await storage.write("1", {"n": 4})
        await storage.expect_read("1", {"n": 4})
        storage.expect(sorted(await storage.keys()), ["1", "2", "3"])
