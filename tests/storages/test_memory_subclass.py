"""A subclass of the memory storage is asked, not passed by."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest  # noqa: TC002

from sessionkit import MemorySessionStorage, session
from sessionkit._types import Expected, Revision


class Watched(MemorySessionStorage):
    """Counts what is written, as a user's test might."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def write_if(
        self, key: str, value: Any, expected: Expected, /, *, expires: float | None = None
    ) -> Revision | None:
        self.written.append(key)
        return super().write_if(key, value, expected, expires=expires)


class Context:
    chat_id = 1


async def count(ctx: Any) -> None:
    ctx.session["n"] += 1


def test_an_overridden_write_is_called() -> None:
    storage = Watched()
    sessions = session(initial=lambda: {"n": 0}, storage=storage)

    async def main() -> None:
        for _ in range(3):
            await sessions(Context(), count)

    asyncio.run(main())

    assert storage.written == ["1", "1", "1"]
    assert storage.read("1") == {"n": 3}


def test_a_patched_instance_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = MemorySessionStorage()
    written: list[str] = []
    write_if = storage.write_if

    def watched(key: str, value: Any, expected: Expected, /) -> Revision | None:
        written.append(key)
        return write_if(key, value, expected)

    monkeypatch.setattr(storage, "write_if", watched)
    sessions = session(initial=lambda: {"n": 0}, storage=storage)

    asyncio.run(sessions(Context(), count))

    assert written == ["1"]


def test_a_subclass_that_overrides_nothing_is_as_quick() -> None:
    class Named(MemorySessionStorage):
        """A name of its own."""

    assert Named().keeps_frozen
    assert Named().express_table is not None
    assert Watched().express_table is None
