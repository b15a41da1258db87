"""Declared limits: inside everything is stored, outside nothing happens."""

from __future__ import annotations

from typing import Any, Final

from sessionkit.testing._client import Client
from sessionkit.testing._limits import Limits, value_bytes
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject
from sessionkit.testing._table.rows import REFUSALS

_FOREIGN: Final = ("A", "a", "_", "/", ":", ".", " ", "é", "🍕", "%", "'", "\n", "\x00")
_ERRORS: Final = "SessionEncodeError, InvalidSessionKeyError, ValueError or TypeError"


async def _expect_refused(storage: Client, key: str, value: Any) -> None:
    try:
        await storage.write(key, value)
    except REFUSALS:
        return
    storage.fail(expected=_ERRORS, got="no error")


def _declared(limits: Limits, name: str) -> Any:
    limit = getattr(limits, name)
    if limit is None:
        msg = f"nothing is declared by Limits({name}=...)"
        raise LeftOut(msg)
    return limit


@promise(
    "Keys as long as declared are stored and distinguished.",
    hint="the declared max_key_bytes is too large; a prefix or an escape counts as well.",
)
async def longest_keys_are_stored(subject: Subject) -> None:
    longest: int = _declared(subject.limits, "max_key_bytes")
    one, other = "1" * longest, "1" * (longest - 1) + "2"
    async with subject.client() as storage:
        await storage.write(one, {"n": 1})
        await storage.write(other, {"n": 2})
        await storage.expect_read(one, {"n": 1})
        await storage.expect_read(other, {"n": 2})


@promise(
    "A key longer than declared is refused, and other keys stay as they are.",
    hint="keys that are too long are cut, or not looked at: raise InvalidSessionKeyError.",
)
async def longer_keys_are_refused(subject: Subject) -> None:
    longest: int = _declared(subject.limits, "max_key_bytes")
    key = "1" * longest
    async with subject.client() as storage:
        await storage.write(key, {"n": 1})
        await _expect_refused(storage, f"{key}2", {"n": 2})
        await storage.expect_read(key, {"n": 1})


@promise(
    "A key with a character outside of the declared alphabet is refused, and other keys stay.",
    hint="such characters are dropped or replaced: raise InvalidSessionKeyError.",
)
async def foreign_characters_are_refused(subject: Subject) -> None:
    _declared(subject.limits, "key_alphabet")
    foreign = [char for char in _FOREIGN if not subject.limits.allows_key(char)]
    for char in foreign:
        subject.start_history()
        async with subject.client() as storage:
            await storage.write("1", {"n": 1})
            await _expect_refused(storage, f"1{char}", {"n": 2})
            await storage.expect_read("1", {"n": 1})


@promise(
    "Values as large as declared are stored.",
    hint="the declared max_value_bytes is too large; the storage's own fields count as well.",
)
async def largest_values_are_stored(subject: Subject) -> None:
    largest: int = _declared(subject.limits, "max_value_bytes")
    value = "x" * (largest - value_bytes(""))
    async with subject.client() as storage:
        await storage.write("1", value)
        await storage.expect_read("1", value)


@promise(
    "A value larger than declared is refused, and the old value stays.",
    hint="values that are too large are cut, or remove the old one before they are refused: "
    "raise SessionEncodeError first.",
)
async def larger_values_are_refused(subject: Subject) -> None:
    largest: int = _declared(subject.limits, "max_value_bytes")
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await _expect_refused(storage, "1", "x" * (largest - value_bytes("") + 1))
        await storage.expect_read("1", {"n": 1})
