"""Reads a pickle in a process of its own, without running what is in it.

Loading a pickle as usual runs any code that somebody put into the file.  Here nothing but
containers, numbers, texts and times is made; an object of any other class becomes a mark,
and what contains it is left out.  Run as ``python -m sessionkit._cli.ways.unpickle PATH``.
"""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self, TypeGuard
from uuid import UUID

_HARMLESS: Final = {
    "builtins": {
        *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int"),
        *("list", "set", "str", "tuple"),
    },
    "collections": {"Counter", "OrderedDict", "defaultdict", "deque"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "uuid": {"UUID"},
}


_ATOMS: Final = frozenset({bool, float, int, str})
_CONVERSIONS: Final[list[tuple[Any, Callable[[Any], Any]]]] = [
    ((tuple,), list),
    ((set, frozenset), lambda value: sorted(value, key=repr)),
    ((timedelta,), lambda value: value.total_seconds()),
    ((date, time), lambda value: value.isoformat()),
    ((Decimal, UUID), str),
]


class Mark:
    """Takes the place of an object that was not made."""

    name = ""

    def __new__(cls, *arguments: Any, **_: object) -> Self:
        made = super().__new__(cls)
        if arguments and isinstance(arguments[0], type) and issubclass(arguments[0], Mark):
            made.name = arguments[0].name  # a function that makes an object of that class
        return made

    def __setstate__(self, _: object) -> None:
        """Ignore what the object had."""

    def __setitem__(self, _: object, __: object) -> None:
        """Ignore an item of it."""

    def append(self, _: object) -> None:
        """Ignore an item of it."""

    def extend(self, _: object) -> None:
        """Ignore items of it."""


class Unpickler(pickle.Unpickler):
    """Makes nothing but what is harmless."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a harmless class, or a mark."""
        if name in _HARMLESS.get(module, ()):
            return super().find_class(module, name)
        return type("Mark", (Mark,), {"name": f"a {module}.{name}"})

    def persistent_load(self, pid: object) -> Mark:
        """Return a mark: python-telegram-bot puts its bot there."""
        mark = Mark()
        mark.name = f"the bot ({pid})"
        return mark


def plain(value: Any, path: str, *, convert: bool) -> Any:
    """Return *value* as plain JSON values.

    Raises:
        ValueError: That is not possible; says where in the data.
    """
    if value is None or type(value) in _ATOMS:
        return value
    if _is_list(value):
        return [plain(part, f"{path}[{n}]", convert=convert) for n, part in enumerate(value)]
    if _is_mapping(value):
        return {
            _key(key, path, convert=convert): plain(part, f"{path}[{key!r}]", convert=convert)
            for key, part in value.items()
        }
    return plain(_converted(value, path, convert=convert), path, convert=convert)


def _key(key: object, path: str, *, convert: bool) -> str:
    if type(key) is str:
        return key
    if convert and type(key) is int:
        return str(key)
    msg = f"{path} has the key {key!r}, which is not text{'' if convert else ' (see --convert)'}"
    raise ValueError(msg)


def _converted(value: Any, path: str, *, convert: bool) -> Any:
    """Return something alike that is nearer to JSON."""
    if isinstance(value, Mark):
        msg = f"{path} is {value.name}"
        raise ValueError(msg)  # noqa: TRY004 (the data is what is wrong)
    for kinds, conversion in _CONVERSIONS:
        if convert and isinstance(value, kinds):
            alike: Any = conversion(value)
            return alike
    hint = "" if convert else " (see --convert)"
    msg = f"{path} is a {type(value).__name__}, which JSON does not have{hint}"
    raise ValueError(msg)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def _items(name: object, value: Any) -> Iterator[tuple[object, Any]]:
    """Yield the items of one section, as python-telegram-bot has them or any other mapping."""
    if name == "conversations":
        for handler, states in value.items():
            yield handler, {json.dumps(key): state for key, state in states.items()}
    elif name == "callback_data":
        if value:
            yield None, {"keyboards": [list(each) for each in value[0]], "queries": value[1]}
    elif name != "bot_data" and _is_mapping(value):
        yield from value.items()
    else:
        yield None, value


def main(path: str, section: str = "", convert: str = "") -> int:
    """Print what a pickle holds: one line of JSON for each item of its sections."""
    try:
        with Path(path).open("rb") as file:
            found: Any = Unpickler(file).load()
    except Exception as error:  # noqa: BLE001 (a damaged pickle may raise anything)
        print(json.dumps({"failed": f"{type(error).__name__}: {error}"}))  # noqa: T201
        return 1
    sections = found if _is_mapping(found) and not section else {section: found}
    for name, value in sections.items():
        for key, data in _items(name, value):
            line: dict[str, Any] = {"section": name, "key": key}
            try:
                line["data"] = plain(data, "data", convert=bool(convert))
            except ValueError as error:
                line["reason"] = str(error)
            print(json.dumps(line, default=repr))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
