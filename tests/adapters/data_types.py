"""The same data, declared with each library: what the tests of all of them use."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

import attrs
import msgspec
import pydantic

NOBODY = UUID(int=0)
T = TypeVar("T")


class Color(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Note:
    text: str = ""


@attrs.define
class AttrsLine:
    name: str
    price: Decimal = Decimal(0)
    next: AttrsLine | None = None


@attrs.define
class AttrsCart:
    lines: list[AttrsLine] = attrs.field(factory=list[AttrsLine])
    count: int = 0
    best: AttrsLine | None = None
    color: Color = Color.RED
    at: datetime | None = None
    day: date = date.min
    span: timedelta = timedelta(0)
    ident: UUID = NOBODY
    raw: bytes = b""
    by: dict[str, AttrsLine] = attrs.field(factory=dict[str, AttrsLine])
    pair: tuple[int, str] = (0, "")
    unique: set[int] = attrs.field(factory=set[int])
    literal: Literal["a", 1] = "a"
    ratio: float = 0.0
    anything: Any = None
    note: Note = attrs.field(factory=Note)


class StructLine(msgspec.Struct):
    name: str
    price: Decimal = Decimal(0)
    next: StructLine | None = None


class StructCart(msgspec.Struct):
    lines: list[StructLine] = []
    count: int = 0
    best: StructLine | None = None
    color: Color = Color.RED
    at: datetime | None = None
    day: date = date.min
    span: timedelta = timedelta(0)
    ident: UUID = NOBODY
    raw: bytes = b""
    by: dict[str, StructLine] = {}
    pair: tuple[int, str] = (0, "")
    unique: set[int] = msgspec.field(default_factory=set[int])
    literal: Literal["a", 1] = "a"
    ratio: float = 0.0
    anything: Any = None
    note: Note = msgspec.field(default_factory=Note)


class ModelLine(pydantic.BaseModel):
    name: str
    price: Decimal = Decimal(0)
    next: ModelLine | None = None


class ModelCart(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    lines: list[ModelLine] = []
    count: int = 0
    best: ModelLine | None = None
    color: Color = Color.RED
    at: datetime | None = None
    day: date = date.min
    span: timedelta = timedelta(0)
    ident: UUID = NOBODY
    raw: bytes = b""
    by: dict[str, ModelLine] = {}
    pair: tuple[int, str] = (0, "")
    unique: set[int] = pydantic.Field(default_factory=set[int])
    literal: Literal["a", 1] = "a"
    ratio: float = 0.0
    anything: Any = None
    note: Note = pydantic.Field(default_factory=Note)


@pydantic.dataclasses.dataclass
class PydanticItem:
    name: str = ""
    price: Decimal = Decimal(0)


@attrs.define
class AttrsBox(Generic[T]):
    content: T
    more: list[T] = attrs.field(factory=list[T])


class StructBox(msgspec.Struct, Generic[T]):
    content: T
    more: list[T] = []


class ModelBox(pydantic.BaseModel, Generic[T]):
    content: T
    more: list[T] = []


@dataclass
class Holder:
    """A dataclass that holds the others."""

    attrs_line: AttrsLine | None = None
    struct_line: StructLine | None = None
    model_line: ModelLine | None = None
    lists: list[ModelLine | None] = field(default_factory=list["ModelLine | None"])


@dataclass(frozen=True)
class Tag:
    name: str = ""
    at: date = date.min


@dataclass
class Shelf:
    """Objects in each container that has a converter."""

    row: tuple[Tag, ...] = ()
    pair: tuple[Tag, int] = (Tag(), 0)
    by: dict[str, Tag] = field(default_factory=dict[str, Tag])
    by_day: dict[date, Tag] = field(default_factory=dict[date, Tag])
    deep: dict[str, list[tuple[Tag, ...]]] = field(default_factory=dict[str, list[tuple[Tag, ...]]])
    either: Tag | int | None = None
    unique: set[Tag] = field(default_factory=set[Tag])
    fixed: frozenset[Tag] = frozenset()


@attrs.frozen
class AttrsTag:
    name: str = ""
    at: date = date.min


@attrs.define
class AttrsShelf:
    row: tuple[AttrsTag, ...] = ()
    pair: tuple[AttrsTag, int] = (AttrsTag(), 0)
    by: dict[str, AttrsTag] = attrs.field(factory=dict[str, AttrsTag])
    by_day: dict[date, AttrsTag] = attrs.field(factory=dict[date, AttrsTag])
    deep: dict[str, list[tuple[AttrsTag, ...]]] = attrs.field(
        factory=dict[str, list[tuple[AttrsTag, ...]]]
    )
    either: AttrsTag | int | None = None
    unique: set[AttrsTag] = attrs.field(factory=set[AttrsTag])
    fixed: frozenset[AttrsTag] = frozenset()


class StructTag(msgspec.Struct, frozen=True):
    name: str = ""
    at: date = date.min


class StructShelf(msgspec.Struct):
    row: tuple[StructTag, ...] = ()
    pair: tuple[StructTag, int] = (StructTag(), 0)
    by: dict[str, StructTag] = {}
    by_day: dict[date, StructTag] = {}
    deep: dict[str, list[tuple[StructTag, ...]]] = {}
    either: StructTag | int | None = None
    unique: set[StructTag] = msgspec.field(default_factory=set[StructTag])
    fixed: frozenset[StructTag] = frozenset()


class ModelTag(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="allow")  # else no set may hold it

    name: str = ""
    at: date = date.min


class ModelShelf(pydantic.BaseModel):
    row: tuple[ModelTag, ...] = ()
    pair: tuple[ModelTag, int] = (ModelTag(), 0)
    by: dict[str, ModelTag] = {}
    by_day: dict[date, ModelTag] = {}
    deep: dict[str, list[tuple[ModelTag, ...]]] = {}
    either: ModelTag | int | None = None
    unique: set[ModelTag] = pydantic.Field(default_factory=set[ModelTag])
    fixed: frozenset[ModelTag] = frozenset()
