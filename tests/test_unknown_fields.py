"""Stored fields that a session's type does not know: kept with their object, gone with it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from sessionkit import MemorySessionStorage, lazy_session, session


def in_a_loop(test: Any) -> Any:
    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        asyncio.run(test(**arguments))

    return run


@dataclass
class Pizza:
    count: int = 0


@dataclass(frozen=True)
class FrozenPizza:
    count: int = 0


STORED = {"count": 1, "newer": "secret"}
Change = Callable[[Any, Any], Awaitable[None]]


async def reset_now(opened: Any) -> None:
    done = opened.reset()
    if done is not None:
        await done


async def delete(opened: Any, new: Any) -> None:
    await opened.delete()
    opened.data = new


async def assign_none(opened: Any, new: Any) -> None:
    opened.data = None
    opened.data = new


async def save_none(opened: Any, new: Any) -> None:
    opened.data = None
    await opened.save()
    opened.data = new


async def reset(opened: Any, new: Any) -> None:
    await reset_now(opened)
    opened.data = new


async def reset_after_delete(opened: Any, new: Any) -> None:
    await opened.delete()
    await reset_now(opened)
    opened.data = new


@pytest.mark.parametrize("kind", [Pizza, FrozenPizza])
@pytest.mark.parametrize("make", [session, lazy_session])
@pytest.mark.parametrize("change", [delete, assign_none, save_none, reset, reset_after_delete])
@in_a_loop
async def test_are_gone_with_what_was_deleted(change: Change, make: Any, kind: Any) -> None:
    storage = MemorySessionStorage()
    sessions = make(kind, storage=storage)
    storage.write("1", STORED)

    async with sessions.open(1) as opened:
        if make is lazy_session:
            await opened.data
        await change(opened, kind(9))

    assert storage.read("1") == {"count": 9}


@pytest.mark.parametrize("kind", [Pizza, FrozenPizza])
@in_a_loop
async def test_are_kept_by_update(kind: Any) -> None:
    storage = MemorySessionStorage()
    sessions = session(kind, storage=storage)
    storage.write("1", STORED)

    await sessions.update(1, lambda pizza: replace(pizza, count=pizza.count + 1))

    assert storage.read("1") == {"count": 2, "newer": "secret"}


@in_a_loop
async def test_are_not_given_to_another_object() -> None:
    storage = MemorySessionStorage()
    sessions = session(Pizza, storage=storage)
    storage.write("1", STORED)

    async with sessions.open(1) as opened:
        opened.data = Pizza(9)

    assert storage.read("1") == {"count": 9}


@in_a_loop
async def test_of_a_frozen_dataclass_are_kept_when_it_is_replaced() -> None:
    storage = MemorySessionStorage()
    sessions = session(FrozenPizza, storage=storage)
    storage.write("1", STORED)

    async with sessions.open(1) as opened:
        opened.data = replace(opened.data, count=9)

    assert storage.read("1") == {"count": 9, "newer": "secret"}
