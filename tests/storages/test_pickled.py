"""A storage with the pickle codec takes any Python value, as its codec says."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003
from typing import Any

import pytest

from sessionkit import FileSessionStorage, SessionEncodeError, SQLiteSessionStorage, session
from sessionkit.codecs import PickleCodec


def empty() -> dict[str, Any]:
    return {}


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("name", ["file", "sqlite"])
def test_pickled_sessions_hold_what_json_cannot(name: str, tmp_path: Path) -> None:
    def opened() -> Any:
        if name == "file":
            return FileSessionStorage(tmp_path / "sessions", codec=PickleCodec())
        return SQLiteSessionStorage(tmp_path / "sessions.db", codec=PickleCodec())

    async def main() -> None:
        async with opened() as storage:
            sessions = session(initial=empty, storage=storage)
            async with sessions.open(1) as s:
                s.data.update(at=NOON, seen={1, 2}, raw=bytearray(b"x"))
        async with opened() as storage:
            data = await session(initial=empty, storage=storage).get(1)
            assert data == {"at": NOON, "seen": {1, 2}, "raw": bytearray(b"x")}
            assert type(data["raw"]) is bytearray

    asyncio.run(main())


@pytest.mark.parametrize("name", ["file", "sqlite"])
def test_json_sessions_are_held_to_json(name: str, tmp_path: Path) -> None:
    async def main() -> None:
        storage: Any = SQLiteSessionStorage(tmp_path / "sessions.db")
        if name == "file":
            storage = FileSessionStorage(tmp_path / "sessions")
        async with storage:
            sessions = session(initial=empty, storage=storage)
            with pytest.raises(SessionEncodeError, match=r"\['at'\] is a datetime"):
                async with sessions.open(1) as s:
                    s.data["at"] = NOON

    asyncio.run(main())
