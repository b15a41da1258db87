"""What the type of the data costs: a whole update, as a multiple of the same data as a dataclass.

    python benchmarks/data_types.py            # about a minute
    python benchmarks/data_types.py --quick    # some seconds, noisier

The bots take turns in short slices, in changing order; a figure is the median, over
the rounds, of what sessions add to a bare handler call with this type, divided by
what they add with the dataclass in the same round.  All of them count, so each
update is read, decoded, encoded, compared, checked and written, in memory.  Time is
the processor's: another program on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import thread_time_ns
from typing import Any

import attrs
import msgspec
import pydantic
from pinned import MEDIUM, SMALL

from sessionkit import session
from sessionkit._data.converters import converter_for

CHATS = 1_000
GOALS = {"msgspec": 0.9, "attrs": 1.2, "pydantic": 2.5}

FIELDS: dict[str, Any] = {
    "count": int,
    "name": str,
    "language": str,
    "joined": str,
    "points": int,
    "balance": float,
    "premium": bool,
    "blocked": bool,
    "referrer": int | None,
    "step": str,
    "last_order": int,
    "visits": int,
    "rating": float,
    "note": str,
    "version": int,
    "latest": list[int],
    "tags": list[str],
    "id": int,
    "quantity": int,
    "street": str,
    "city": str,
    "zip": str,
    "theme": str,
    "mute": bool,
    "digest": str,
}


def plain_class(name: str, annotations: dict[str, Any]) -> type[Any]:
    return type(name, (), {"__annotations__": annotations})


def as_dataclass(name: str, annotations: dict[str, Any]) -> Any:
    return dataclass(plain_class(name, annotations))


def as_attrs(name: str, annotations: dict[str, Any]) -> Any:
    return attrs.define(plain_class(name, annotations))


def as_struct(name: str, annotations: dict[str, Any]) -> Any:
    return msgspec.defstruct(name, list(annotations.items()))


def as_model(name: str, annotations: dict[str, Any]) -> Any:
    fields: dict[str, Any] = {field: (kind, ...) for field, kind in annotations.items()}
    return pydantic.create_model(name, **fields)


MAKERS: dict[str, Callable[[str, dict[str, Any]], Any]] = {
    "dataclass": as_dataclass,
    "attrs": as_attrs,
    "msgspec": as_struct,
    "pydantic": as_model,
}


def declared(make: Callable[[str, dict[str, Any]], Any], data: dict[str, Any]) -> Any:
    """Declare a class for *data*, with classes for the objects in it."""
    annotations: dict[str, Any] = {}
    for field, value in data.items():
        if isinstance(value, dict):
            annotations[field] = declared(make, value)
        elif field == "cart":
            annotations[field] = list[declared(make, value[0])]  # type: ignore[misc]
        else:
            annotations[field] = FIELDS[field]
    return make("Data", annotations)


class Context:
    """What a framework makes of an update."""

    session: Any

    def __init__(self, chat_id: int) -> None:
        self.chat_id = chat_id


def chat_key(ctx: Context) -> str:
    return str(ctx.chat_id)


async def count(ctx: Any) -> None:
    ctx.session.count += 1


class Shared(Context):
    """A context of the bare bot: its data is just there."""


async def filled(kind: Any, data: dict[str, Any]) -> Any:
    """Sessions in which each chat has data."""
    converter = converter_for(kind)
    assert converter is not None
    sessions = session(kind, initial=lambda: converter.decode(data), get_session_key=chat_key)
    for chat in range(CHATS):
        async with sessions.open(str(chat)) as opened:
            await opened.save(force=True)
    return sessions


async def slice_of(bot: Any, context: type[Context], chats: range) -> float:
    begin = thread_time_ns()
    for chat in chats:
        await bot(context(chat))
    return (thread_time_ns() - begin) / len(chats)


async def measure(data: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    kinds = {name: declared(make, data) for name, make in MAKERS.items()}
    bots: dict[str, Any] = {}
    for name, kind in kinds.items():
        sessions = await filled(kind, data)
        bots[name] = lambda ctx, sessions=sessions: sessions(ctx, count)
    Shared.session = type("Counter", (), {"count": 0})()
    bots["bare"] = count
    times: dict[str, list[float]] = {name: [] for name in bots}
    names = list(bots)
    for turn in range(-2, rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            context = Shared if name == "bare" else Context
            time = await slice_of(bots[name], context, range(300))
            if turn >= 0:
                times[name].append(time)
    return times


def ratios(times: dict[str, list[float]], name: str) -> list[float]:
    rows = zip(times[name], times["dataclass"], times["bare"], strict=True)
    return [(this - bare) / (unit - bare) for this, unit, bare in rows]


def table(title: str, times: dict[str, list[float]]) -> str:
    lines = [
        f"| {title} | us/update | times the dataclass (quartiles) | goal |",
        "|---|---|---|---|",
    ]
    for name, values in times.items():
        row = f"| {name} | {statistics.median(values) / 1000:.2f} "
        if name not in GOALS:
            lines.append(f"{row}| | |")
            continue
        low, middle, high = statistics.quantiles(ratios(times, name), n=4)
        verdict = f"<= {GOALS[name]}{'' if middle <= GOALS[name] else ' MISSED'}"
        lines.append(f"{row}| {middle:.2f} ({low:.2f} to {high:.2f}) | {verdict} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 30 if parser.parse_args().quick else 200
    print(f"Python {platform.python_version()}, {sys.platform}; {rounds} rounds of 300 updates")
    for title, data in (("small", SMALL), ("medium", MEDIUM)):
        print()
        print(table(title, asyncio.run(measure(data, rounds))))


if __name__ == "__main__":
    main()
