"""What each library's own options mean for stored data: handled, or refused at set-up."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, make_dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, NamedTuple, NewType
from uuid import UUID

import attr
import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, ConfigDict, Field
from typing_extensions import TypeAliasType, TypedDict

import sessionkit_msgspec
from sessionkit import SessionDecodeError, SessionEncodeError, session
from sessionkit._data.converters import DataConverter, converter_for, given_converter
from sessionkit.converters import RecordType
from sessionkit_msgspec import MsgspecConverter
from sessionkit_pydantic import PydanticConverter
from tests.adapters.data_types import Color
from tests.adapters.test_data_types import needed, through_json


def stored(data: Any, data_type: Any = None) -> Any:
    """What a session writes, once it has been found to come back equal."""
    converter = needed(data_type or type(data))
    plain = through_json(converter, data)
    assert converter.decode(plain) == data
    return plain


# msgspec


class Renamed(msgspec.Struct, rename="camel"):
    first_name: str = ""
    second: int = msgspec.field(default=0, name="no2")


class Cat(msgspec.Struct, tag=True):
    lives: int = 9


class Dog(msgspec.Struct, tag=True):
    name: str = ""


class Fish(msgspec.Struct, tag="fish", tag_field="kind"):
    pass


class Numbered(msgspec.Struct, tag=7):
    n: int = 0


class Pets(msgspec.Struct):
    pet: Cat | Dog | None = None
    all: list[Cat | Dog] = []


class Sparse(msgspec.Struct, omit_defaults=True):
    n: int = 0


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    n: int = 0


class FrozenStruct(msgspec.Struct, frozen=True):
    n: int = 0
    m: int = 0


class KwOnly(msgspec.Struct, kw_only=True):
    b: str = "b"
    a: int


class Checked(msgspec.Struct):
    n: int = 0

    def __post_init__(self) -> None:
        if self.n < 0:
            raise ValueError("secret")


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (Renamed("Ann", 2), {"firstName": "Ann", "no2": 2}),
        (Cat(3), {"type": "Cat", "lives": 3}),
        (Fish(), {"kind": "fish"}),
        (Numbered(1), {"type": 7, "n": 1}),
        (
            Pets(Dog("Rex"), [Cat(), Dog("Max")]),
            {
                "pet": {"type": "Dog", "name": "Rex"},
                "all": [{"type": "Cat", "lives": 9}, {"type": "Dog", "name": "Max"}],
            },
        ),
        (Sparse(), {"n": 0}),
        (KwOnly(a=1), {"b": "b", "a": 1}),
        (FrozenStruct(1), {"n": 1, "m": 0}),
    ],
)
def test_a_struct_is_stored_as_msgspec_writes_it(data: Any, plain: Any) -> None:
    assert stored(data) == plain
    kind: Any = data.__class__
    assert msgspec.convert(plain, kind) == data


@pytest.mark.parametrize(
    ("kind", "plain", "text"),
    [
        (Strict, {"n": 1, "more": 2}, "has fields that Strict does not know, and forbids"),
        (Cat, {"type": "Dog", "lives": 1}, "is stored with another 'type' than that of Cat"),
        (Cat, {"lives": 1, "type": "Dog"}, "is stored with another 'type' than that of Cat"),
        (Pets, {"pet": {"type": "Cow"}}, r".pet has a 'type' that none of Cat \| Dog has"),
        (Pets, {"pet": {"type": []}}, r".pet has a 'type' that none of Cat \| Dog has"),
        (KwOnly, {"b": "x"}, "lacks 'a', and KwOnly has no default for it"),
        (Checked, {"n": -1}, "does not make a Checked: ValueError was raised"),
    ],
)
def test_a_struct_refuses_what_is_not_its_own(kind: Any, plain: Any, text: str) -> None:
    with pytest.raises(SessionDecodeError, match=text):
        needed(kind).decode(plain)


def test_a_member_of_another_union_is_refused() -> None:
    wrong: Any = Fish()
    with pytest.raises(SessionEncodeError, match=r"\.pet is a Fish, its annotation says"):
        stored(Pets(wrong))
    with pytest.raises(SessionEncodeError, match=r"\.all\[0\] is a Fish, its annotation says"):
        stored(Pets(None, [wrong]))


def test_a_tag_may_be_missing_or_elsewhere() -> None:
    assert needed(Cat).decode({"lives": 1}) == needed(Cat).decode({"lives": 1, "type": "Cat"})


def test_unknown_fields_of_a_frozen_struct_follow_its_change() -> None:
    converter = needed(FrozenStruct)
    data, unknown = converter.open({"n": 1, "m": 2, "newer": 3})

    changed = msgspec.structs.replace(data, n=5)

    assert converter.close(changed, unknown) == {"n": 5, "m": 2, "newer": 3}


@pytest.mark.parametrize("made", [Cat | Fish, Cat | Renamed, Cat | dict])
def test_structs_without_a_common_tag_cannot_be_distinguished(made: Any) -> None:
    with pytest.raises(TypeError, match="msgspec Structs with a tag can be distinguished"):
        converter_for(made)


def test_other_types_that_msgspec_converts() -> None:
    converter: DataConverter[Any] = given_converter(MsgspecConverter(tuple[Cat | Dog, int]))

    assert through_json(converter, (Dog("a"), 1)) == [{"type": "Dog", "name": "a"}, 1]
    assert converter.decode([{"type": "Dog", "name": "a"}, 1]) == (Dog("a"), 1)
    wrong: Any = "secret"
    with pytest.raises(SessionEncodeError, match=r"\[1\] is not what msgspec expected: int") as it:
        through_json(converter, (Dog("a"), wrong))
    assert "secret" not in str(it.value)
    with pytest.raises(SessionEncodeError, match="holds a type that msgspec does not know"):
        through_json(converter, (Dog("a"), object()))
    with pytest.raises(SessionDecodeError, match="is not what msgspec expected"):
        given_converter(MsgspecConverter(Annotated[int, msgspec.Meta(ge=0)])).decode(-1)  # type: ignore[arg-type]  # pyright: ignore


class WithDict(msgspec.Struct, dict=True):
    n: int = 0


class ArrayLike(msgspec.Struct, array_like=True):
    n: int = 0


class Spot(msgspec.Struct, frozen=True):
    x: float
    name: str = ""


class Beast(msgspec.Struct, tag="beast", rename={"mood": "m"}):
    mood: str | None = None


class Everything(msgspec.Struct):
    count: int
    ratio: float
    is_on: bool
    half: float | None
    either: str | int
    latest: list[int]
    ratios: list[float]
    spots: list[Spot]
    prices: dict[str, float]
    points: dict[str, int]
    rows: list[list[int]]
    tables: dict[str, dict[str, int]]
    by_name: dict[str, Spot]
    home: Spot | None
    beast: Beast


_JSON = st.sampled_from([None, True, 0, 1.0, "", "a", [1], [1.5], {}, {"x": 1.0, "name": "n"}])
_TEXT = st.text(max_size=2)
_FLOAT = st.floats(-9, 9)
_SPOT = st.fixed_dictionaries({"x": _FLOAT, "name": _TEXT})
FITTING: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "count": st.integers(),
        "ratio": _FLOAT,
        "is_on": st.booleans(),
        "half": st.none() | _FLOAT,
        "either": _TEXT | st.integers(),
        "latest": st.lists(st.integers(), max_size=3),
        "ratios": st.lists(_FLOAT, max_size=3),
        "spots": st.lists(_SPOT, max_size=2),
        "prices": st.dictionaries(_TEXT, _FLOAT, max_size=2),
        "points": st.dictionaries(_TEXT, st.integers(), max_size=2),
        "rows": st.lists(st.lists(st.integers(), max_size=2), max_size=2),
        "tables": st.dictionaries(_TEXT, st.just({"a": 1}), max_size=2),
        "by_name": st.dictionaries(_TEXT, _SPOT, max_size=2),
        "home": st.none() | _SPOT,
        "beast": st.fixed_dictionaries({"type": st.just("beast"), "m": st.none() | _TEXT}),
    }
)


@st.composite
def nearly_fitting(draw: st.DrawFn) -> Any:
    """What fits, but for a part of another type, one that is missing, or one too many."""
    plain = draw(FITTING)
    parts: list[dict[str, Any]] = [plain, *plain["spots"], *plain["by_name"].values()]
    part = draw(st.sampled_from([*parts, plain["beast"], plain["prices"], None]))
    if part is not None:
        name = draw(st.sampled_from([*part, "more"]))
        part[name] = draw(_JSON)
        if draw(st.booleans()):
            part[name] = part.pop(name)  # in another order
        elif draw(st.booleans()):
            del part[name]
    return plain


def opened(converter: DataConverter[Any], plain: Any) -> Any:
    """All that can be seen of what a stored value is opened as, types included."""
    try:
        data, unknown = converter.open(copy.deepcopy(plain))
    except SessionDecodeError as error:
        return str(error)
    return repr(data), unknown is None, repr(converter.close(data, unknown))


def decoded_by(decode: Callable[[type[Any]], Callable[[Any], Any] | None]) -> DataConverter[Any]:
    """The converter of a Struct with another way to decode each class at once."""

    def described(_: Any, kind: Any) -> RecordType:
        return replace(sessionkit_msgspec.record_for(kind), decode=decode(kind))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sessionkit._data.converters.described", described)
        return needed(Everything)


BY_FIELD = decoded_by(lambda _: None)
AT_ONCE = needed(Everything)


@given(nearly_fitting())
def test_a_struct_decoded_at_once_is_as_one_decoded_field_by_field(plain: Any) -> None:
    assert opened(AT_ONCE, plain) == opened(BY_FIELD, plain)


def with_one_int(plain: Any) -> Iterator[Any]:
    """Yield *plain* with one float after the other as JavaScript writes it: ``1``."""
    kind = type(plain)  # pyright: ignore[reportUnknownVariableType]
    if kind is float:
        yield int(plain)
    places: Any = plain if kind is dict else range(len(plain)) if kind is list else ()
    for place in places:
        for part in with_one_int(plain[place]):
            changed = copy.copy(plain)
            changed[place] = part
            yield changed


def test_msgspec_is_asked_once_for_what_fits_and_never_for_an_int_in_the_place_of_a_float() -> None:
    asked: list[str] = []

    def noting(kind: type[Any]) -> Callable[[Any], Any]:
        def decode(plain: Any) -> Any:
            asked.append(kind.__name__)
            return msgspec.convert(plain, kind)

        return decode

    converter = decoded_by(noting)
    spot = {"x": 1.0, "name": ""}
    plain: dict[str, Any] = {"count": 1, "ratio": 1.0, "is_on": True, "half": 1.0, "either": "a"}
    plain |= {"latest": [1], "ratios": [1.0], "spots": [spot], "prices": {"a": 1.0}}
    plain |= {"points": {"a": 1}, "rows": [[1]], "tables": {"a": {"b": 1}}}
    plain |= {"by_name": {"a": spot}, "home": spot, "beast": {"type": "beast", "m": None}}
    converter.decode(plain)
    assert asked == ["Everything"]
    others = list(with_one_int(plain))
    assert len(others) == 7
    for other in others:
        assert opened(converter, other) == opened(BY_FIELD, other)
    assert asked.count("Everything") == 1


# attrs


def to_int(text: int | str) -> int:
    return int(text) + 100


@attrs.define
class Odd:
    _private: int = 0
    renamed: str = attrs.field(default="r", alias="other")
    late: int = attrs.field(default=1, init=False)
    number: int = attrs.field(default=5, converter=to_int)


@attrs.define
class Limited:
    n: int = attrs.field(default=0, validator=attrs.validators.ge(0), on_setattr=[])


@attrs.frozen
class FrozenAttrs:
    n: int = 0
    m: int = attrs.field(default=0, kw_only=True)


@attrs.define(slots=False)
class Dicty:
    n: int = 0


@attrs.define
class Untyped:
    n = attrs.field(default=0)  # type: ignore[var-annotated]  # pyright: ignore


@attrs.define(init=False)
class OwnInit:
    n: int = 0

    def __init__(self, text: str) -> None:
        self.n = int(text)


def test_an_attrs_class_comes_back_as_it_was() -> None:
    odd = Odd(1, other="x", number="7")
    odd.late, odd.number = 3, 9

    assert odd.number == 109
    assert stored(odd) == {"_private": 1, "renamed": "x", "late": 3, "number": 109}
    assert stored(FrozenAttrs(1, m=2)) == {"n": 1, "m": 2}
    assert needed(Odd).decode({"number": 6}).number == 6


def test_a_value_that_a_validator_would_refuse_is_not_written() -> None:
    data = Limited()
    data.n = -5

    with pytest.raises(SessionEncodeError, match="could not be read again: it does not make a Li"):
        stored(data)


def test_an_attrs_class_needs_no_annotations() -> None:
    bare = type("Old", (), {"n": attr.ib(type=int, default=0)})
    old: Any = attr.s(bare)

    assert needed(old).decode({"n": 3}) == old(3)


def test_unknown_fields_of_a_frozen_attrs_class_follow_its_change() -> None:
    converter = needed(FrozenAttrs)
    data, unknown = converter.open({"n": 1, "m": 2, "newer": 3})

    assert converter.close(attrs.evolve(data, n=5), unknown) == {"n": 5, "m": 2, "newer": 3}


def test_an_attribute_that_is_not_a_field_is_refused() -> None:
    for data in (Dicty(), WithDict()):
        assert stored(data) == {"n": 0}
        anything: Any = data
        anything.extra = 1

        with pytest.raises(SessionEncodeError, match=r"\.extra is not a field of (Dicty|WithDict)"):
            stored(data)


# pydantic


class Aliased(pydantic.BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    n: int = Field(default=0, alias="no")
    m: int = Field(
        default=0, validation_alias=AliasChoices("first", "m2"), serialization_alias="m2"
    )


class Area(pydantic.BaseModel):
    width: int = 0

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return self.width * 2


class Open(pydantic.BaseModel):
    model_config = ConfigDict(extra="allow")

    n: int = 0


class Closed(pydantic.BaseModel):
    model_config = ConfigDict(extra="forbid")

    n: int = 0


class Names(pydantic.RootModel[list[Area]]):
    pass


class Lowered(pydantic.BaseModel):
    name: str = ""

    @pydantic.field_validator("name")
    @classmethod
    def lower(cls, name: str) -> str:
        if name == "secret":
            raise ValueError("not " + name)
        return name.lower()


class Wide(pydantic.BaseModel):
    anything: Any = None
    by: dict[int, Area] = {}


@pydantic.dataclasses.dataclass
class PydanticItem:
    name: str = ""
    area: Area = Field(default_factory=Area)


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (Aliased(n=1, m2=2), {"no": 1, "m2": 2}),  # type: ignore[call-arg]  # pyright: ignore
        (Area(width=2), {"width": 2, "double": 4}),
        (Open(n=1, more=[2]), {"n": 1, "more": [2]}),  # type: ignore[call-arg]  # pyright: ignore
        (Closed(n=1), {"n": 1}),
        (Names([Area(width=1)]), [{"width": 1, "double": 2}]),
        (PydanticItem("a"), {"name": "a", "area": {"width": 0, "double": 0}}),
    ],
)
def test_a_model_is_stored_as_pydantic_writes_it(data: Any, plain: Any) -> None:
    assert stored(data) == plain


class Line(pydantic.BaseModel, frozen=True):
    n: int = 0


class Couple(NamedTuple):
    one: Line
    other: Line


NEWER = {"n": 1, "newer": 2}


def dict_by(key: Any) -> Any:
    return model(dict.__class_getitem__((key, Line)))


KEYS: list[tuple[Any, str]] = [
    (int, "5"),
    (bool, "true"),
    (float, "1.5"),
    (Decimal, "1.50"),
    (bytes, "ab"),
    (date, "2026-01-01"),
    (datetime, "2026-01-01T00:00:00Z"),
    (time, "03:00:00"),
    (timedelta, "PT3S"),
    (UUID, "00000000-0000-0000-0000-000000000001"),
    (Color, "red"),
]


@pytest.mark.parametrize(
    ("kind", "plain"),
    [
        (Area, {"width": 1, "double": 2, "newer": 3}),
        (Names, [{"width": 1, "double": 2, "newer": 3}]),
        (Wide, {"anything": 1, "by": {"1": {"width": 1, "double": 2, "newer": 3}}, "newer": 4}),
        (PydanticItem, {"name": "", "area": {"width": 1, "double": 2, "newer": 3}, "newer": 4}),
        (Open, {"n": 1, "newer": 3}),
        *[(partial(dict_by, key), {"it": {text: NEWER}}) for key, text in KEYS],
        (lambda: model(deque[Line]), {"it": [NEWER]}),
        (lambda: model(Couple), {"it": [NEWER, NEWER]}),
    ],
)
def test_unknown_fields_of_models_are_written_back(kind: Any, plain: Any) -> None:
    converter = needed(kind if isinstance(kind, type) else kind())

    assert converter.close(*converter.open(plain)) == plain


def test_a_model_that_forbids_unknown_fields_refuses_them() -> None:
    with pytest.raises(SessionDecodeError, match=r"\.more does not fit Closed"):
        needed(Closed).decode({"n": 1, "more": 2})


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (Wide(anything={1, 2}), "would not come back equal"),
        (Wide(anything=object()), "holds a type that pydantic cannot serialize"),
        (Wide.model_construct(by={1: "secret"}), "by.* does not fit Wide"),
        (
            Lowered.model_construct(name="Ann"),
            "would not come back equal: it is changed by a validator",
        ),
        (
            Lowered.model_construct(name="secret"),
            r"\.name would not come back equal: it does not fit Lowered: value_error",
        ),
        (Wide.model_construct(anything=float("nan")), "would not come back equal|is nan"),
    ],
)
def test_what_would_not_come_back_equal_is_not_written(data: Any, text: str) -> None:
    kind: Any = data.__class__
    keeper: Any = make_dataclass("Keeper", [("it", kind)])
    for kept in (data, keeper(data)):
        with pytest.raises(SessionEncodeError, match=text) as caught:
            through_json(needed(type(kept)), kept)
        assert "secret" not in str(caught.value)


def test_coercion_is_an_option() -> None:
    converter: Any = given_converter(PydanticConverter(Area, coerce=True))

    assert converter.decode({"width": "3"}) == Area(width=3)
    with pytest.raises(SessionDecodeError, match=r"\.width does not fit"):
        converter.decode({"width": "x"})
    with pytest.raises(SessionDecodeError, match=r"\.width does not fit"):
        needed(Area).decode({"width": "3"})


class Loose(TypedDict):
    n: int


class Kept(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]  # pyright: ignore
    n: int


def model(annotation: Any, config: Any = None, **options: Any) -> Any:
    made: Any = pydantic.create_model(
        "Made", __config__=config, it=(annotation, Field(default=None, **options))
    )
    return made


class Private(pydantic.BaseModel):
    _secret: int = 0


class ComputedOpen(Area):
    model_config = ConfigDict(extra="allow")


@pydantic.dataclasses.dataclass
class NotTaken:
    n: int = Field(default=0, init=False)


class Secretive(NamedTuple):
    token: pydantic.SecretStr


@dataclass
class SecretiveData:
    token: pydantic.SecretStr


class SecretiveDict(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]  # pyright: ignore
    token: pydantic.SecretStr


Tokens = TypeAliasType("Tokens", list[pydantic.SecretStr])


class Joined(pydantic.BaseModel):
    n: int = 0

    @pydantic.model_serializer
    def joined(self) -> str:
        return str(self.n)


class Spelled(pydantic.BaseModel):
    n: int = 0
    lines: list[Line] = []

    @pydantic.field_serializer("n", "lines")
    def spell(self, value: object) -> str:
        return str(value)


class SpelledAll(pydantic.BaseModel):
    line: Line = Line()

    @pydantic.field_serializer("*")
    def spell(self, value: object) -> str:
        return str(value)


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: model(pydantic.SecretStr), "SecretStr is stored as stars only: use str"),
    (lambda: model(list[pydantic.SecretBytes | None]), "SecretBytes is stored as stars only"),
    (lambda: model(int, exclude=True), "Made.it has exclude=..., so it is not stored"),
    (lambda: model(int, serialization_alias="out"), "Made.it is written as 'out', which is not"),
    (lambda: model(int, validation_alias="into"), "Made.it is written as 'it', which is not a"),
    (lambda: model(int, validation_alias=AliasChoices("a", "b")), "is written as 'it', which"),
    (lambda: model(Loose), "Loose is a TypedDict, in which pydantic drops what it does not know"),
    (lambda: Private, "Private._secret is private, so it is not stored: make it a field"),
    (lambda: model(Secretive), "SecretStr is stored as stars only"),
    (lambda: model(SecretiveData), "SecretStr is stored as stars only"),
    (lambda: model(SecretiveDict), "SecretStr is stored as stars only"),
    (lambda: model(NewType("Token", pydantic.SecretStr)), "SecretStr is stored as stars only"),
    (lambda: model(Tokens), "SecretStr is stored as stars"),
    (lambda: model(set[Line]), "Line is in a set, where fields that it does not know could not"),
    (lambda: model(list[frozenset[tuple[Line, int]]]), "Line is in a set, where fields that it"),
    (lambda: Joined, "Joined has a model_serializer, so what it stores cannot be disti"),
    (lambda: Spelled, "Spelled.lines holds objects and has a serializer"),
    (lambda: SpelledAll, "SpelledAll.line holds objects and has a serializer"),
    (
        lambda: model(Annotated[Line, pydantic.PlainSerializer(str)]),
        "Made.it holds objects and has a serializer",
    ),
    (
        lambda: model(int, {"validate_by_alias": False, "validate_by_name": True}, alias="no"),
        "Made.it is written as 'no', which is not a name under which it is read",
    ),
    (lambda: model(list[Private]), "Private._secret is private"),
    (lambda: ComputedOpen, "ComputedOpen.double is computed and stored, and extra='allow' would"),
    (lambda: NotTaken, "NotTaken.n is not taken by __init__ as it is stored"),
    (lambda: ArrayLike, "ArrayLike is array_like: fields without names"),
    (lambda: Untyped, "Untyped.n has no type: annotate it"),
    (lambda: OwnInit, "OwnInit.text is not stored, and needed to make one"),
]


@pytest.mark.parametrize(("make", "text"), REFUSED, ids=map(str, range(len(REFUSED))))
def test_what_would_be_lost_is_refused_at_set_up(make: Callable[[], Any], text: str) -> None:
    kind: Any = make()
    for initial in ({}, {"initial": kind}):
        with pytest.raises(TypeError) as caught:
            session(kind, **initial)
        assert text in str(caught.value)
        assert "converter=" in str(caught.value) or "Any" in str(caught.value)


def test_what_keeps_everything_is_not_refused() -> None:
    rounded = Annotated[float, pydantic.PlainSerializer(lambda number: round(number, 2))]
    for kind in (model(Kept), model(dict[str, Area]), Aliased, model(set[int]), model(rounded)):
        needed(kind)
