"""How single values become plain JSON values and return."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeAlias
from uuid import UUID

from sessionkit._data.at_once import Test, always, is_float
from sessionkit._data.plain import (
    Misfit,
    check_digits,
    check_finite,
    check_text,
    is_text,
    named,
    plain_copy,
)
from sessionkit._data.times import (
    datetime_text,
    duration_text,
    parse_datetime,
    parse_duration,
    time_text,
)

Kept: TypeAlias = Mapping[int, Mapping[str, Any]] | None
"""Stored fields that no dataclass knows, by the ``id`` of the object they belong to."""

Found: TypeAlias = list[tuple[Any, Mapping[str, Any]]]
"""Where decoding puts such fields, beside their object."""

OTHER_FORM: Final[tuple[Any, Mapping[str, Any]]] = (None, {})
"""What decoding puts there if encoding would not give back what was stored."""

JSON_TYPES: Final[frozenset[type]] = frozenset({dict, list, str, int, float, bool, type(None)})
_NO_TYPES: Final[frozenset[type]] = frozenset()


@dataclass(frozen=True, slots=True)
class Node:
    """Both ways of one type.

    Attributes:
        label: The type as people write it.
        encode: Makes a plain value; raises ``Misfit``.
        decode: Makes data of a plain value, which may become part of it; raises ``Misfit``.
        python: The exact types that ``encode`` takes.
        plain: The exact types that ``encode`` gives.
        is_plain: Whether data and plain value are always the same.
        atoms: Types whose values are their own plain values, both ways: no need to call.
        finite: Whether finite floats are, too.
        list_of: For a list: types of items with which it is its own plain value.
        tag: Key and value that distinguish what ``encode`` gives from other objects.
        verify: Takes data and what ``encode`` gave for it; raises ``Misfit`` unless this
            comes back equal.  None if it does where the types are right.
        at_once: The test of what a library may decode at once; None if it may not.
    """

    label: str
    encode: Callable[[Any, Kept], Any]
    decode: Callable[[Any, Found], Any]
    python: frozenset[type]
    plain: frozenset[type]
    is_plain: bool = False
    atoms: frozenset[type] = _NO_TYPES
    finite: bool = False
    list_of: frozenset[type] = _NO_TYPES
    tag: tuple[str, str | int] | None = None
    verify: Callable[[Any, Any], None] | None = None
    at_once: Test | None = None

    @property
    def is_anything(self) -> bool:
        """Whether this takes any plain value."""
        return self.plain is JSON_TYPES

    def called_always(self) -> Node:
        """Return the same without exceptions: slower, and its errors know the exact place."""
        return replace(self, atoms=_NO_TYPES, finite=False, list_of=_NO_TYPES, at_once=None)


def unexpected(value: object, label: str) -> Misfit:
    """Return what to raise for a value of another type than its annotation says."""
    what = "None" if value is None else named(type(value))
    return Misfit(f"is {what}, its annotation says {label}")


def _atom(kind: type) -> Node:
    label = "None" if kind is type(None) else kind.__name__

    def same(value: Any, _: object) -> Any:
        if type(value) is kind:
            return value
        raise unexpected(value, label)

    types = frozenset({kind})
    return Node(label, same, same, types, types, is_plain=True, atoms=types, at_once=always)


def _string() -> Node:
    def encode(value: Any, _: object) -> str:
        if is_text(value):
            return check_text(str.__str__(value))
        raise unexpected(value, "str")

    def decode(plain: Any, _: object) -> str:
        if type(plain) is str:
            return plain
        raise unexpected(plain, "str")

    types: frozenset[type] = frozenset({str})
    return Node("str", encode, decode, types, types, is_plain=True, atoms=types, at_once=always)


def _integer() -> Node:
    def same(value: Any, _: object) -> int:
        if type(value) is int:
            return check_digits(value)
        raise unexpected(value, "int")

    types: frozenset[type] = frozenset({int})
    return Node("int", same, same, types, types, is_plain=True, atoms=types, at_once=always)


def _number() -> Node:
    def same(value: Any, _: object) -> Any:
        if type(value) is float:
            return check_finite(value)
        if type(value) is int:  # the annotation float includes int
            return check_digits(value)
        raise unexpected(value, "float")

    types: frozenset[type] = frozenset({float, int})
    return Node(
        "float",
        same,
        same,
        types,
        types,
        is_plain=True,
        atoms=frozenset({int}),
        finite=True,
        at_once=is_float,
    )


def _anything() -> Node:
    def encode(value: Any, _: object) -> Any:
        return plain_copy(value)

    def decode(plain: Any, _: object) -> Any:
        return plain

    return Node("Any", encode, decode, JSON_TYPES, JSON_TYPES, is_plain=True, atoms=JSON_TYPES)


def _text(
    kind: type[Any], to_text: Callable[[Any], str], from_text: Callable[[str], object]
) -> Node:
    label = kind.__name__

    def encode(value: Any, _: object) -> str:
        if type(value) is not kind:
            raise unexpected(value, label)
        try:
            return to_text(value)
        except ValueError as error:
            raise Misfit(str(error)) from error

    def decode(plain: Any, found: Found) -> Any:
        if type(plain) is not str:
            raise unexpected(plain, label)
        try:
            made = from_text(plain)
        except (ValueError, ArithmeticError, LookupError, OSError):
            reason = f"cannot be read as {named(kind)}"
            raise Misfit(reason) from None  # its text shows the value
        if not is_form(made, plain):
            found.append(OTHER_FORM)
        return made

    def is_form(made: object, plain: str) -> bool:
        try:
            return to_text(made) == plain
        except ValueError:  # cannot be stored again
            return False

    return Node(label, encode, decode, frozenset({kind}), frozenset({str}))


def _decimal_text(number: Decimal) -> str:
    if not number.is_finite():
        msg = "is a Decimal that is not finite, it would not come back equal: use None"
        raise ValueError(msg)
    return str(number)


def _parse_base64(text: str) -> bytes:
    return b64decode(text, validate=True)


def _base64(content: bytes) -> str:
    return b64encode(content).decode()


ANYTHING: Final = _anything()
_NOTHING: Final = _atom(type(None))

SCALARS: Final[dict[Any, Node]] = {
    Any: ANYTHING,
    object: ANYTHING,
    str: _string(),
    bool: _atom(bool),
    None: _NOTHING,
    type(None): _NOTHING,
    int: _integer(),
    float: _number(),
    datetime: _text(datetime, datetime_text, parse_datetime),
    date: _text(date, date.isoformat, date.fromisoformat),
    time: _text(time, time_text, time.fromisoformat),
    timedelta: _text(timedelta, duration_text, parse_duration),
    Decimal: _text(Decimal, _decimal_text, Decimal),
    UUID: _text(UUID, str, UUID),
    bytes: _text(bytes, _base64, _parse_base64),
}

_ENUM_VALUES: Final[frozenset[type]] = frozenset({str, int, float, bool, type(None)})


def _types_of(values: Iterable[object]) -> frozenset[type]:
    return frozenset(type(value) for value in values)


def enum_node(kind: type[Enum]) -> Node | None:
    """Return the node of an enumeration, stored by value; None if JSON cannot hold its values."""
    plain = _types_of(member.value for member in kind)
    if not plain <= _ENUM_VALUES:
        return None
    label = kind.__name__

    def encode(value: Any, _: object) -> Any:
        if type(value) is not kind:
            raise unexpected(value, label)
        return value.value

    def decode(stored: Any, found: Found) -> Any:
        if type(stored) not in plain:
            raise unexpected(stored, label)
        try:
            member: Enum = kind(stored)
        except (ValueError, TypeError):
            reason = f"cannot be read as {named(kind)}"
            raise Misfit(reason) from None
        if type(member.value) is not type(stored) or member.value != stored:
            found.append(OTHER_FORM)
        return member

    return Node(label, encode, decode, frozenset({kind}), plain)


_Table: TypeAlias = dict[tuple[type, Any], Any]


def literal_node(values: tuple[Any, ...]) -> Node | None:
    """Return the node of a ``Literal``; None if its values cannot be distinguished when stored."""
    pairs = [(value, value.value if isinstance(value, Enum) else value) for value in values]
    stored: _Table = {(type(value), value): plain for value, plain in pairs}
    back: _Table = {(type(plain), plain): value for value, plain in pairs}
    plain = _types_of(plain for _, plain in pairs)
    if len(back) < len(stored) or not plain <= _ENUM_VALUES:
        return None
    label = f"Literal[{', '.join(map(repr, values))}]"

    def lookup(table: _Table, value: Any) -> Any:
        try:
            return table[type(value), value]
        except (KeyError, TypeError):
            reason = f"is another value than its annotation {label} allows"
            raise Misfit(reason) from None

    def encode(value: Any, _: object) -> Any:
        return lookup(stored, value)

    def decode(plain: Any, _: object) -> Any:
        return lookup(back, plain)

    python = _types_of(values)
    return Node(label, encode, decode, python, plain, is_plain=python <= _ENUM_VALUES)
