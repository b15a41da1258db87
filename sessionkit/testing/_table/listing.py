"""Listing keys and items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sessionkit.testing._client import Client
from sessionkit.testing._kinds import is_pair
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import promise
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject
from sessionkit.testing._table._cases import with_fewest
from sessionkit.testing._table.basics import FALSY, write_numbers
from sessionkit.testing._table.keys import FAMILIES

_LISTING: Final = ("iter_keys", "iter_items")
_PATTERNS: Final = ("a", "a*", "a*b", "a?", "a%", "a%b", "a_", "a_b", "axb", "[a]", "ab", "a[b]")
_CASES: Final = ("a", "A", "ab", "AB", "aB", "é1", "É1")
_ENDS: Final = ("a", "a\uffff", "a\U0010ffff", "a🍕", "a\x7f", "a\uffffb", "b", "aa", "a\x01")


async def expect_listed(storage: Client, expected: Iterable[str], prefix: str = "") -> None:
    """Check that listings give each of the *expected* keys once, and no other."""
    wanted = sorted(expected)
    listed = await storage.keys(prefix)
    if _sorted(listed) != wanted:
        storage.fail(expected=f"{show(wanted)}, in any order", got=show(listed))
    pairs = await storage.items(prefix)
    if _sorted([pair[0] for pair in pairs if is_pair(pair)]) != wanted:
        storage.fail(expected=f"pairs for {show(wanted)}, in any order", got=show(pairs))


def _sorted(keys: list[Any]) -> list[Any]:
    return sorted(keys, key=str)


async def _fill(storage: Client, keys: Iterable[str]) -> list[str]:
    stored = list(keys)
    for number, key in enumerate(stored, 1):
        await storage.write(key, {"n": number})
    return stored


async def _expect_prefixes(subject: Subject, keys: tuple[str, ...]) -> None:
    allowed = [key for key in keys if subject.limits.allows_key(key)]
    if not allowed:
        msg = "declared by Limits: no such keys"
        raise LeftOut(msg)
    await with_fewest(subject, allowed, _list_by_each_prefix, most=2)


async def _list_by_each_prefix(storage: Client, keys: Sequence[str]) -> None:
    await _fill(storage, keys)
    for prefix in keys:
        await expect_listed(storage, [key for key in keys if key.startswith(prefix)], prefix)


@promise(
    "iter_keys() and iter_items() come together: a storage has both or none.",
    hint="one of the two is missing, or has another name.",
)
async def listing_is_both_or_none(subject: Subject) -> None:
    offered = await subject.capabilities()
    async with subject.client() as storage:
        if len(offered.intersection(_LISTING)) == 1:
            storage.fail(expected="both methods or none", got=f"only {_one(offered, _LISTING)}()")


def _one(offered: frozenset[str], names: tuple[str, ...]) -> str:
    return next(name for name in names if name in offered)


@promise(
    "A storage with nothing in it lists nothing.",
    hint="the storage lists something of its own.",
    needs=_LISTING,
)
async def empty_storage_lists_nothing(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.read("1")
        await expect_listed(storage, [])


@promise(
    "A listing gives every key once.",
    hint="a key is listed again after it was overwritten, or only part of the keys is listed.",
    needs=_LISTING,
)
async def every_key_is_listed_once(subject: Subject) -> None:
    async with subject.client() as storage:
        stored = await _fill(storage, ["1", "2", "-100"])
        await storage.write("1", {"n": 4})
        await expect_listed(storage, stored)


@promise(
    "iter_keys() and iter_items() can be called without a prefix.",
    hint="prefix has no default: iter_keys(self, prefix='').",
    needs=_LISTING,
)
async def prefix_can_be_left_out(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        storage.expect(await storage.keys(None), ["1"])
        storage.expect(await storage.items(None), [("1", {"n": 1})])


@promise(
    "iter_items() gives pairs of key and value, the value as read() gives it, falsy ones too.",
    hint="items are left out by 'if value', or values are given as they are stored.",
    needs=_LISTING,
)
async def items_are_what_is_read(subject: Subject) -> None:
    for value in ({"n": 1}, *FALSY):
        subject.start_history()
        async with subject.client() as storage:
            await storage.write("1", value)
            storage.expect(await storage.items(), [("1", value)])


@promise(
    "What was deleted is not listed.",
    hint="an index of keys is kept, and delete() does not change it.",
    needs=_LISTING,
)
async def deleted_is_not_listed(subject: Subject) -> None:
    async with subject.client() as storage:
        await _fill(storage, ["1", "2"])
        await storage.delete("1")
        await expect_listed(storage, ["2"])
        await storage.write("1", {"n": 3})
        await expect_listed(storage, ["1", "2"])


@promise(
    "A listing with a prefix gives the keys that begin with it, and no others.",
    hint="the prefix is ignored, or looked for anywhere in the key.",
    needs=_LISTING,
)
async def prefix_selects(subject: Subject) -> None:
    async with subject.client() as storage:
        await _fill(storage, ["1", "10", "-1", "21", "2"])
        await expect_listed(storage, ["1", "10"], "1")
        await expect_listed(storage, ["-1"], "-")
        await expect_listed(storage, ["21"], "21")
        await expect_listed(storage, [], "3")


@promise(
    "A prefix is taken literally: *, ?, [, % and _ stand for themselves.",
    hint="the prefix goes into LIKE, GLOB, SCAN MATCH or glob() without being escaped.",
    needs=_LISTING,
)
async def prefix_is_no_pattern(subject: Subject) -> None:
    await _expect_prefixes(subject, _PATTERNS)


@promise(
    "A prefix tells upper from lower case.",
    hint="LIKE does not tell case in SQLite and MySQL.",
    needs=_LISTING,
)
async def prefix_tells_case(subject: Subject) -> None:
    await _expect_prefixes(subject, _CASES)


@promise(
    "A prefix selects keys whatever character follows it.",
    hint="the end of the range is prefix + 'z' or prefix + '\\uffff', and some characters are "
    "larger.",
    needs=_LISTING,
)
async def prefix_may_be_followed_by_anything(subject: Subject) -> None:
    await _expect_prefixes(subject, _ENDS)


@promise(
    "Keys are listed as they were written, whatever characters they have.",
    hint="keys are listed in an escaped, hashed or cut form, or unescaped once too often.",
    needs=_LISTING,
)
async def listed_keys_are_as_written(subject: Subject) -> None:
    for family in FAMILIES:
        keys = [key for key in family.keys if subject.limits.allows_key(key)]
        subject.start_history()
        await with_fewest(subject, keys, _list_all)


async def _list_all(storage: Client, keys: Sequence[str]) -> None:
    await expect_listed(storage, await _fill(storage, keys))


@promise(
    "A listing gives only keys of its own namespace.",
    hint="the whole database is listed, or a namespace that begins alike.",
    needs=_LISTING,
)
async def only_its_own_keys_are_listed(subject: Subject) -> None:
    async with subject.client() as storage, subject.client() as second:
        await storage.write("1", {"n": 1})
        await second.write("2", {"n": 2})
        await expect_listed(storage, ["1"])
        await expect_listed(second, ["2"])


@promise(
    "A long listing is complete.",
    hint="only the first page is listed.",
    needs=_LISTING,
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
    needs=_LISTING,
)
async def listing_bears_changes(subject: Subject) -> None:
    for method in _LISTING:
        subject.start_history()
        async with subject.client() as storage:
            stored = await _fill(storage, ["1", "2", "3", "4"])
            listed: list[Any] = []
            async for item in storage.iterate(method):
                key = item if method == "iter_keys" else item[0]
                await _change_meanwhile(storage, key, is_first=not listed)
                listed.append(key)
            if len(set(listed)) < len(listed) or not set(stored) <= set(listed):
                storage.fail(expected=f"{stored}, and no key twice", got=show(listed))


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
    needs=_LISTING,
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


@promise(
    "With isolated = True, changing a value that was listed changes nothing that is stored.",
    hint="iter_items() gives the stored objects themselves.",
    needs=("isolated", *_LISTING),
)
async def listed_values_are_isolated(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"list": [1]})
        for _, value in await storage.items():
            value["list"].append(2)
        storage.history.note("# the value that was listed is changed: value['list'].append(2)")
        await storage.expect_read("1", {"list": [1]})
