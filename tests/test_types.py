"""The names for annotations lead to what users get."""

from __future__ import annotations

import asyncio
from typing import Any

import sessionkit.types
from sessionkit import MemorySessionStorage, enhance_storage, lazy_session, session
from sessionkit.protocols import ANY


def test_what_is_returned_has_a_name_to_annotate_with() -> None:
    sessions = session(dict[str, Any])
    storage = enhance_storage(MemorySessionStorage(), ttl=5)

    assert type(sessions.open(1)) is sessionkit.types.Opening
    assert type(sessions.open_many(1)) is sessionkit.types.OpenMany
    assert type(sessions.sync) is sessionkit.types.SyncSessions
    assert type(storage) is sessionkit.types.EnhancedStorage


def test_lazy_data_and_holds_have_names_too() -> None:
    async def main() -> None:
        opening = lazy_session(dict[str, Any]).open(1)
        opened = await opening.begin()
        async with opening.hold() as hold:
            assert type(hold) is sessionkit.types.Hold
        assert isinstance(opened.data, sessionkit.types.LazyData)
        await opening.close()

    asyncio.run(main())


def test_all_names_are_there() -> None:
    assert all(hasattr(sessionkit.types, name) for name in sessionkit.types.__all__)


def test_any_says_what_it_is() -> None:
    assert repr(ANY) == "ANY"
