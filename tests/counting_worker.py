"""What other processes do in the tests of counting; run as a script."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from sessionkit import SessionConflictError, merge_fields, session

CHATS = 4


def add(data: dict[str, int]) -> dict[str, int]:
    return {"n": data["n"] + 1}


def total(base: Any, theirs: dict[str, int], mine: dict[str, int]) -> dict[str, int]:
    return {"n": theirs["n"] + mine["n"] - (base or {"n": 0})["n"]}


async def count(url: str, way: str, times: int) -> int:
    """Count up in a way, return how often it went through."""
    options: Any = {"on_conflict": total if way == "merge" else "raise"}
    if way == "fields":
        options = {"on_conflict": merge_fields}
    done = 0

    async def one(number: int) -> None:
        nonlocal done
        try:
            if way == "update":
                await sessions.update(number % CHATS, add)
            else:
                async with sessions.open(number % CHATS) as opened:
                    opened.data["n"] += 1
        except SessionConflictError:
            return
        done += 1

    async with session(initial=lambda: {"n": 0}, storage=url, **options) as sessions:
        await asyncio.gather(*(one(number) for number in range(times)))
    return done


if __name__ == "__main__":
    print(asyncio.run(count(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
