"""Conversion of declared types: round trips, unknown fields, refusals with their paths."""

from __future__ import annotations

import collections
import functools
import inspect
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import (
    KW_ONLY,
    InitVar,
    asdict,
    dataclass,
    field,
    fields,
    is_dataclass,
    make_dataclass,
    replace,
)
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum, auto
from pathlib import Path
from types import GenericAlias, ModuleType, SimpleNamespace
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    Required,
    TypedDict,
    TypeVar,
    Union,
)
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import typing_extensions
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionkit._data.converters import DataConverter, converter_for, initial_for, may_share_prefix
from sessionkit._data.plain import MAX_DEPTH, check_plain, freeze_plain, holds_no_extremes
from sessionkit._data.snapshots import freeze
from sessionkit.codecs import JSONCodec
from sessionkit.errors import SessionDecodeError, SessionEncodeError

if TYPE_CHECKING:
    from somewhere import Nowhere  # type: ignore[import-not-found]  # pyright: ignore

T = TypeVar("T")
K = TypeVar("K")
UserId = NewType("UserId", int)
Numbers = typing_extensions.TypeAliasType("Numbers", list[int])
Pair = typing_extensions.TypeAliasType("Pair", tuple[T, T], type_params=(T,))


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Mood(StrEnum):
    GOOD = "good"


class Right(Flag):
    READ = auto()
    WRITE = auto()


class Mixed(Enum):
    ONE = 1
    TWO = "two"


class Retired(Enum):
    KNOWN = "known"

    @classmethod
    def _missing_(cls, value: object) -> Retired | None:
        return cls.KNOWN if value == "former" else None


class Point(Enum):
    ORIGIN = (0, 0)


class Place(NamedTuple):
    x: int


class Text(str):
    """A library's own kind of text."""

    __slots__ = ()


@dataclass
class Note:
    text: str = ""
    title: str | None = None
    words: list[str] = field(default_factory=list[str])
    by_word: dict[str, int | str] = field(default_factory=dict[str, int | str])


@dataclass
class Item:
    name: str
    price: Decimal = Decimal(0)


@dataclass
class VipItem(Item):
    discount: int = 0


@dataclass
class Cart:
    items: list[Item] = field(default_factory=list[Item])
    count: int = 0
    notes: dict[str, Any] = field(default_factory=dict[str, Any])
    best: Item | None = None
    by_color: dict[Color, Item] = field(default_factory=dict[Color, Item])
    pair: tuple[Item, Item] | None = None


@dataclass(frozen=True, slots=True)
class Frozen:
    a: int = 0
    _: KW_ONLY
    b: str = "b"


@dataclass(frozen=True)
class Album:
    cover: Frozen | None = None


@dataclass
class Holds:
    it: Frozen | list[Frozen]


@dataclass
class Counted:
    n: int

    def __post_init__(self) -> None:
        self.also = self.n + 1

    @functools.cached_property
    def squared(self) -> int:
        return self.n**2


@dataclass
class Derived:
    base: int
    total: int = field(init=False)
    cached: int = field(init=False, default=7)

    def __post_init__(self) -> None:
        self.total = self.base * 2


@dataclass(frozen=True)
class FrozenLate:
    late: int = field(init=False, default=1)


@dataclass
class Bare:
    pass


@dataclass
class Unset:
    x: int = field(init=False)


@dataclass
class Positive:
    n: int

    def __post_init__(self) -> None:
        if self.n < 0:
            raise ValueError("n must not be negative")


@dataclass
class Node:
    value: int
    next: Node | None = None
    children: list[Node] = field(default_factory=list["Node"])


@dataclass
class Box(Generic[T]):
    content: T
    more: list[T] = field(default_factory=list[T])


@dataclass
class IntBox(Box[int]):
    extra: str = ""


@dataclass
class BoxOfBoxes(Box[Box[T]], Generic[T]):
    own: T | None = None


class Plain(TypedDict, total=False):
    name: str
    tags: list[str]


class Visit(TypedDict, total=False):
    at: Required[datetime]
    back: Visit
    cart: Item


class Keyed(TypedDict, Generic[T]):
    value: T


class Settings(TypedDict):
    size: int
    count: int


@dataclass
class Holder:
    visit: Visit
    plain: Plain = field(default_factory=Plain)


@dataclass
class Everything:
    text: str
    number: int
    ratio: float
    flag: bool
    nothing: None
    anything: Any
    maybe: Optional[int]  # noqa: UP045 (the old spelling, too)
    either: Union[str, int, list[int]]  # noqa: UP007
    moment: datetime
    day: date
    clock: time
    span: timedelta
    money: Decimal
    ident: UUID
    raw: bytes
    color: Color
    level: Level
    mood: Mood
    right: Right
    literal: Literal["a", 1, True, None, Color.RED]
    user: UserId
    noted: Annotated[Decimal, "exact"]
    alias: Numbers
    pair: Pair[date]
    fixed: tuple[int, str, date]
    empty: tuple[()]
    variadic: tuple[date, ...]
    unique: set[UUID]
    frozen: frozenset[Color]
    nested: list[dict[str, tuple[date, ...]]]
    by_id: dict[int, Item]
    by_level: dict[Level, str]
    by_uuid: dict[UUID, set[int]]
    by_day: dict[date, Frozen]
    bare_list: list  # type: ignore[type-arg]  # pyright: ignore
    bare_dict: dict  # type: ignore[type-arg]  # pyright: ignore
    item: Item | None
    visit: Visit
    final: Final[int] = 3
    shared: ClassVar[object] = object()


TEXTS = st.text(max_size=5)
INTS = st.integers()
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | INTS | FLOATS | TEXTS
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OFFSETS = st.integers(-23 * 3600, 23 * 3600).map(lambda s: timezone(timedelta(seconds=s)))
ZONES = st.sampled_from([ZoneInfo("Europe/Berlin"), ZoneInfo("UTC"), ZoneInfo("America/New_York")])
MOMENTS = st.datetimes(timezones=OFFSETS | ZONES) | st.datetimes().map(lambda m: m.replace(fold=0))
CLOCKS = st.times(timezones=st.none() | OFFSETS).map(lambda clock: clock.replace(fold=0))
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
ITEMS = st.builds(Item, TEXTS, DECIMALS)
FROZEN = st.builds(Frozen, INTS, b=TEXTS)
COLORS = st.sampled_from(Color)
LEVELS = st.sampled_from(Level)
DAYS = st.dates()


def few(element: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(element, max_size=3)


def mapping(key: st.SearchStrategy[Any], item: st.SearchStrategy[Any]) -> Any:
    return st.dictionaries(key, item, max_size=3)


VISITS = st.fixed_dictionaries({"at": MOMENTS}, optional={"cart": ITEMS, "unknown": JSON})
EVERYTHING = st.builds(
    Everything,
    text=TEXTS,
    number=INTS,
    ratio=FLOATS | INTS,
    flag=st.booleans(),
    nothing=st.none(),
    anything=JSON,
    maybe=st.none() | INTS,
    either=TEXTS | INTS | few(INTS),
    moment=MOMENTS,
    day=DAYS,
    clock=CLOCKS,
    span=st.timedeltas(),
    money=DECIMALS,
    ident=st.uuids(),
    raw=st.binary(max_size=5),
    color=COLORS,
    level=LEVELS,
    mood=st.just(Mood.GOOD),
    right=st.sampled_from([Right.READ, Right.WRITE, Right.READ | Right.WRITE, Right(0)]),
    literal=st.sampled_from(["a", 1, True, None, Color.RED]),
    user=INTS,
    noted=DECIMALS,
    alias=few(INTS),
    pair=st.tuples(DAYS, DAYS),
    fixed=st.tuples(INTS, TEXTS, DAYS),
    empty=st.just(()),
    variadic=few(DAYS).map(tuple),
    unique=st.sets(st.uuids(), max_size=3),
    frozen=st.frozensets(COLORS),
    nested=few(mapping(TEXTS, few(DAYS).map(tuple))),
    by_id=mapping(INTS, ITEMS),
    by_level=mapping(LEVELS, TEXTS),
    by_uuid=mapping(st.uuids(), st.sets(INTS, max_size=3)),
    by_day=mapping(DAYS, FROZEN),
    bare_list=few(JSON),
    bare_dict=mapping(TEXTS, JSON),
    item=st.none() | ITEMS,
    visit=st.fixed_dictionaries({"at": MOMENTS}, optional={"back": VISITS, "cart": ITEMS}),
    final=INTS,
)

CODEC = JSONCodec()


def cases(*rows: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return list(rows)


@dataclass
class Loose:
    anything: Any = None


def parents_and_children() -> Any:
    parent: dict[str, Any] = {"children": []}
    parent["children"] += [{"parent": parent}, {"parent": parent}]
    return parent


def doubled_lists(depth: int) -> Any:
    doubled: list[Any] = []
    for _ in range(depth):
        doubled = [doubled, doubled]
    return doubled


def needed(data_type: Any) -> DataConverter[Any]:
    converter = converter_for(data_type)
    assert converter is not None
    return converter


CONVERTERS = {kind: needed(kind) for kind in (Everything, Cart, Node)}


def through_json(plain: Any) -> Any:
    check_plain(plain)
    return CODEC.decode(CODEC.encode(plain))


def round_trip(data_type: Any, value: Any) -> Any:
    converter = needed(data_type)
    return converter.decode(through_json(converter.encode(value)))


class TestRoundTrips:
    @settings(max_examples=40)
    @given(EVERYTHING)
    def test_data_comes_back_equal_types_included(self, data: Everything) -> None:
        converter = CONVERTERS[Everything]

        back = converter.decode(through_json(converter.encode(data)))

        assert back == data
        assert exact(back) == exact(data)

    @given(st.data())
    def test_any_combination_of_annotations_comes_back_equal(self, data: st.DataObject) -> None:
        annotation, values = data.draw(ANNOTATIONS)
        made = make_dataclass("Made", [("it", annotation)])
        value = made(data.draw(values))
        converter = needed(made)

        back = converter.decode(through_json(converter.encode(value)))

        assert exact(back.it) == exact(value.it)

    @pytest.mark.parametrize(
        ("annotation", "value", "plain"),
        cases(
            (datetime, datetime(2024, 1, 2, 3, 4, 5, 6), "2024-01-02T03:04:05.000006"),
            (
                datetime,
                datetime(2024, 7, 1, tzinfo=ZoneInfo("Europe/Berlin")),
                "2024-07-01T00:00:00+02:00[Europe/Berlin]",
            ),
            (date, date(2024, 1, 2), "2024-01-02"),
            (time, time(3, 4, tzinfo=UTC), "03:04:00+00:00"),
            (timedelta, timedelta(days=1, seconds=30, microseconds=10), "P1DT30.00001S"),
            (timedelta, -timedelta(microseconds=1), "-P0DT0.000001S"),
            (timedelta, timedelta(0), "P0DT0S"),
            (Decimal, Decimal("1.10"), "1.10"),
            (UUID, UUID(int=5), "00000000-0000-0000-0000-000000000005"),
            (bytes, b"\xff\x00", "/wA="),
            (Color, Color.RED, "red"),
            (Level, Level.HIGH, 2),
            (Mood, Mood.GOOD, "good"),
            (Right, Right.READ | Right.WRITE, 3),
            (Mixed, Mixed.TWO, "two"),
            (set[int], {3, 1, 2}, [1, 2, 3]),
            (set[int | None], {1, None}, [1, None]),
            (tuple[int, ...], (1, 2), [1, 2]),
            (tuple[list[int], ...], ([1], [2, 3]), [[1], [2, 3]]),
            (tuple, (1, "a"), [1, "a"]),
            (tuple[()], (), []),
            (dict[int, str], {-1: "a"}, {"-1": "a"}),
            (dict[Level, bool], {Level.LOW: True}, {"1": True}),
            (dict[Literal["a"], date], {"a": date.min}, {"a": "0001-01-01"}),
            (dict[Any, date], {"a": date.min}, {"a": "0001-01-01"}),
            (Item | None, None, None),
            (Item | list[Item] | str, [Item("a")], [{"name": "a", "price": "0"}]),
            (Optional[set[int]], {1}, [1]),  # noqa: UP045
            (Frozen, Frozen(1, b="c"), {"a": 1, "b": "c"}),
            (IntBox, IntBox(1, [2], "x"), {"content": 1, "more": [2], "extra": "x"}),
            (Box[date], Box(date.min), {"content": "0001-01-01", "more": []}),
            (Box, Box({"a": 1}), {"content": {"a": 1}, "more": []}),
            (Keyed[date], {"value": date.min}, {"value": "0001-01-01"}),
            (Annotated[Color, "x"], Color.RED, "red"),
        ),
        ids=str,
    )
    def test_what_is_stored_is_what_people_would_write(
        self, annotation: Any, value: Any, plain: Any
    ) -> None:
        converter = needed(annotation)

        assert exact(converter.encode(value)) == exact(plain)
        assert exact(converter.close(value, None)) == exact(plain)
        assert exact(converter.decode(plain)) == exact(value)

    def test_durations_of_other_programs_are_read(self) -> None:
        read = needed(timedelta).decode

        assert read("P1D") == timedelta(days=1)
        assert read("-PT1H2M3.5S") == -timedelta(hours=1, minutes=2, seconds=3.5)

    def test_recursive_types(self) -> None:
        tree = Node(1, Node(2), [Node(3, None, [Node(4)])])

        assert round_trip(Node, tree) == tree

    def test_recursive_typed_dicts(self) -> None:
        visit: Visit = {"at": datetime(2024, 1, 1), "back": {"at": datetime(2023, 1, 1)}}

        assert round_trip(Visit, visit) == visit

    def test_generic_base_classes_bind_their_variables(self) -> None:
        boxes = BoxOfBoxes(Box(date.min), [Box(date.max)], date.min)

        assert round_trip(BoxOfBoxes[date], boxes) == boxes

    def test_a_class_defined_in_a_function_may_refer_to_itself(self) -> None:
        @dataclass
        class Local:
            when: date
            parent: Local | None = None

        local = Local(date.min, Local(date.max))

        assert round_trip(Local, local) == local

    def test_fields_that_init_does_not_take_come_back(self) -> None:
        data = Derived(3)
        data.total, data.cached = 100, 8
        late = FrozenLate()
        object.__setattr__(late, "late", 5)

        assert round_trip(Derived, data) == data
        assert round_trip(FrozenLate, late).late == 5

    def test_what_post_init_computes_is_there_for_older_data(self) -> None:
        assert needed(Derived).decode({"base": 3}) == Derived(3)

    def test_a_subclass_without_fields_of_its_own_needs_no_decorator(self) -> None:
        class Handy(Item):
            scale: ClassVar[int] = 2

            def twice(self) -> Decimal:
                return self.price * self.scale

        back = round_trip(Handy, Handy("a", Decimal(2)))

        assert type(back) is Handy
        assert back.twice() == 4

    def test_a_moment_that_happens_twice_keeps_which_one_it_was(self) -> None:
        berlin = ZoneInfo("Europe/Berlin")
        for fold in (0, 1):
            moment = datetime(2024, 10, 27, 2, 30, fold=fold, tzinfo=berlin)
            back = round_trip(datetime, moment)
            assert (back, back.fold, back.tzinfo) == (moment, fold, berlin)

    def test_a_moment_stays_the_same_instant_when_its_zone_has_new_rules(self) -> None:
        stored = "2024-07-01T00:00:00+05:00[Europe/Berlin]"

        back = needed(datetime).decode(stored)

        assert back == datetime.fromisoformat("2024-07-01T00:00:00+05:00")
        assert back.tzinfo == ZoneInfo("Europe/Berlin")

    def test_other_time_zones_come_back_by_their_offset(self) -> None:
        class Odd(tzinfo):
            def utcoffset(self, _: datetime | None) -> timedelta:
                return timedelta(hours=3)

            def dst(self, _: datetime | None) -> None:
                return None

            def tzname(self, _: datetime | None) -> str:
                return "odd"

        moment = datetime(2024, 1, 1, tzinfo=Odd())

        assert round_trip(datetime, moment) == moment

    @pytest.mark.parametrize("offset", [timedelta(microseconds=1), timedelta(hours=1.0000001)])
    def test_an_offset_below_a_second_is_refused_before_it_is_lost(self, offset: timedelta) -> None:
        zone = timezone(offset)

        with pytest.raises(SessionEncodeError, match="fractions of a second would be lost"):
            needed(datetime).encode(datetime(2024, 1, 1, tzinfo=zone))
        with pytest.raises(SessionEncodeError, match="fractions of a second would be lost"):
            needed(time).encode(time(1, 2, tzinfo=zone))

    def test_an_enum_may_read_former_values(self) -> None:
        assert needed(Retired).decode("former") is Retired.KNOWN

    def test_equal_sets_are_stored_alike(self) -> None:
        frozen = [Frozen(number) for number in range(8)]
        texts, others = needed(set[str]).encode, needed(frozenset[Frozen]).encode

        assert texts(set("abc")) == texts(set("cba")) == ["a", "b", "c"]
        assert others(frozenset(frozen)) == others(frozenset(reversed(frozen)))

    def test_nothing_mutable_is_shared_with_the_data(self) -> None:
        data = Cart(notes={"a": [1]}, items=[Item("x")])
        converter = CONVERTERS[Cart]
        plain = converter.encode(data)
        before = json.dumps(plain)

        data.notes["a"].append(2)
        data.items.append(Item("y"))
        data.items[0].name = "z"

        assert json.dumps(plain) == before

    def test_nothing_mutable_is_shared_with_what_a_typed_dict_does_not_name(self) -> None:
        visit: Any = {"at": datetime(2024, 1, 1), "other": [1]}
        plain = needed(Visit).encode(visit)

        visit["other"].append(2)

        assert plain["other"] == [1]


def exact(value: Any) -> Any:
    """Spell a value out so that equal spellings mean equal types, zones and digits."""
    if isinstance(value, datetime | time):  # only with a zone does fold mean anything
        return repr(value.replace(fold=0)), str(value.tzinfo), value.utcoffset()
    if isinstance(value, dict):
        return [(exact(k), exact(v)) for k, v in sorted(value.items(), key=repr)]  # pyright: ignore
    if isinstance(value, set | frozenset):
        return type(value), sorted(map(exact, value), key=repr)  # pyright: ignore
    if isinstance(value, list | tuple):
        return type(value), [exact(item) for item in value]  # pyright: ignore
    if is_dataclass(value):
        return type(value), [exact(getattr(value, f.name)) for f in fields(value)]
    return type(value), repr(value)


LEAVES: list[tuple[Any, Any]] = [
    (int, INTS),
    (str, TEXTS),
    (bool, st.booleans()),
    (float, FLOATS),
    (date, DAYS),
    (Decimal, DECIMALS),
    (timedelta, st.timedeltas()),
    (Color, COLORS),
    (Level, LEVELS),
    (UUID, st.uuids()),
    (Frozen, FROZEN),
]
HASHABLE = st.sampled_from(LEAVES)
KEYS = st.sampled_from([(k, v) for k, v in LEAVES if k not in (bool, float, Frozen)])


def _list_of(pair: Any) -> Any:
    return GenericAlias(list, pair[0]), few(pair[1])


def _tuple_of(pair: Any) -> Any:
    return GenericAlias(tuple, (pair[0], ...)), few(pair[1]).map(tuple)


def _optional(pair: Any) -> Any:
    return pair[0] | None, st.none() | pair[1]


def _box_of(pair: Any) -> Any:
    box: Any = Box
    return box[pair[0]], st.builds(box, pair[1], few(pair[1]))


def _set_of(pair: Any) -> Any:
    return GenericAlias(set, pair[0]), st.sets(pair[1], max_size=3)


def _both(pairs: Any) -> Any:
    (one, ones), (other, others) = pairs
    return GenericAlias(tuple, (one, other)), st.tuples(ones, others)


def _dict_of(pairs: Any) -> Any:
    (key, keys), (item, items) = pairs
    return GenericAlias(dict, (key, item)), mapping(keys, items)


def _wrapped(inner: Any) -> Any:
    return st.one_of(
        *[inner.map(wrap) for wrap in (_list_of, _tuple_of, _optional, _box_of)],
        HASHABLE.map(_set_of),
        st.tuples(inner, inner).map(_both),
        st.tuples(KEYS, inner).map(_dict_of),
    )


ANNOTATIONS: Any = st.recursive(HASHABLE, _wrapped, max_leaves=4)


EXTREMES: Any = st.sampled_from(
    [math.nan, math.inf, "\ud83c\udf55", Mood.GOOD, Text("x"), True, 1.5, None, date.min]
)
ANY_VALUES: Any = st.recursive(
    st.sampled_from([(kind, st.one_of(values, EXTREMES)) for kind, values in LEAVES])
    | st.just((Any, JSON | EXTREMES)),
    _wrapped,
    max_leaves=4,
)


def outcome(function: Callable[[], Any]) -> Any:
    """What it returns, or how it fails."""
    try:
        return exact(function())
    except (SessionEncodeError, SessionDecodeError) as error:
        return str(error)


@st.composite
def damaged(draw: st.DrawFn, plain: Any) -> Any:
    """A plain value with some part replaced."""
    if type(plain) not in (dict, list) or not plain or draw(st.booleans()):
        return draw(JSON)
    again: Any = plain.copy()
    key: Any = draw(st.sampled_from(list(again) if type(again) is dict else range(len(again))))  # pyright: ignore
    again[key] = draw(damaged(again[key]))
    return again  # pyright: ignore[reportUnknownVariableType]


class TestTheFastWay:
    """What sessions do: generated functions, which look closer only where types do not tell."""

    def test_attributes_that_every_instance_has_are_left_out_each_time(self) -> None:
        converter = needed(Counted)

        for _ in range(2):
            assert as_sessions_do(converter, Counted(1)) == {"n": 1}

    def test_a_class_without_fields_is_an_empty_dict(self) -> None:
        assert as_sessions_do(needed(Bare), Bare()) == {}
        assert needed(Bare).decode({}) == Bare()

    def test_surrogates_that_form_a_pair_are_refused(self) -> None:
        with pytest.raises(SessionEncodeError, match="surrogates that would come back as one"):
            as_sessions_do(needed(Item), Item("\ud83c\udf55"))

    @settings(max_examples=100)
    @given(st.data())
    def test_encodes_and_refuses_as_looking_at_each_value_does(self, data: st.DataObject) -> None:
        annotation, values = data.draw(ANY_VALUES)
        made = make_dataclass("Made", [("it", annotation), ("n", int | None, 0)])
        value = made(data.draw(values))
        converter = needed(made)

        fast = outcome(lambda: as_sessions_do(converter, value))

        assert fast == outcome(lambda: converter.encode(value))

    @settings(max_examples=100)
    @given(st.data())
    def test_decodes_and_refuses_as_looking_at_each_value_does(self, data: st.DataObject) -> None:
        annotation, values = data.draw(ANNOTATIONS)
        made = make_dataclass("Made", [("it", annotation), ("n", int | None, 0)])
        converter = needed(made)
        plain = data.draw(damaged(converter.encode(made(data.draw(values)))))

        exact_one = DataConverter[Any](converter._exact(), converter._exact, {}, checked=True)

        assert outcome(lambda: converter.decode(plain)) == outcome(lambda: exact_one.decode(plain))

    @settings(max_examples=100)
    @given(st.data())
    def test_tells_whether_data_would_be_stored_as_it_was(self, data: st.DataObject) -> None:
        annotation, values = data.draw(ANNOTATIONS)
        made = make_dataclass("Made", [("it", annotation), ("n", int | None, 0)])
        converter = needed(made)
        stored = converter.encode(made(data.draw(values)))

        assert converter.open(stored)[1] is None
        plain = data.draw(damaged(stored))
        try:
            back, residue = converter.open(plain)
        except SessionDecodeError:
            return
        if residue is None:
            assert converter.freeze(back, None)[0] == freeze(plain)

    @pytest.mark.parametrize(
        ("data_type", "plain"),
        cases(
            (Item, {"name": "a"}),
            (Item, {"price": "0", "name": "a"}),
            (Item, {"name": "a", "price": "0", "more": 1}),
            (date, "20240102"),
            (Decimal, "NaN"),
            (Retired, "former"),
            (set[int], [2, 1]),
            (set[int], [1, 1]),
            (dict[date, int], {"20240102": 1}),
            (tuple[set[int], int], [[2, 1], 1]),
            (Derived, {"base": 1, "total": 9, "cached": 7}),
        ),
    )
    def test_marks_what_it_would_write_in_another_form(self, data_type: Any, plain: Any) -> None:
        assert needed(data_type).open(plain)[1] is not None


class TestPlainTypes:
    @pytest.mark.parametrize(
        "annotation",
        [
            Any,
            object,
            dict,
            list,
            str,
            int,
            float,
            bool,
            None,
            type(None),
            dict[str, Any],
            dict[str, list[int | None]],
            list[dict[str, float]],
            Literal["a", 1],
            Optional[str],  # noqa: UP045
            Literal["a"] | str,
            dict[str, int] | dict[str, str] | None,
            int | float,
            Union[Any, date],  # noqa: UP007
            Plain,
            list[Plain],
            Keyed[int],
            Keyed,
            UserId,
            Numbers,
            Annotated[int, "x"],
            Final,
            T,
        ],
        ids=str,
    )
    def test_need_no_converter(self, annotation: Any) -> None:
        assert converter_for(annotation) is None

    @pytest.mark.parametrize(
        "annotation", [tuple, set[int], dict[int, str], date, Color, Item, Visit, list[Item], bytes]
    )
    def test_all_others_get_one(self, annotation: Any) -> None:
        assert isinstance(converter_for(annotation), DataConverter)


class TestNoOtherType:
    def test_is_taken_for_a_bool(self) -> None:
        @dataclass
        class Switch:
            on: bool = False

        wrong: Any = 1
        assert "is an int, its annotation says bool" in encode_fault(Switch, Switch(wrong))[1]


class TestTextsOfALibrary:
    def test_are_texts(self) -> None:
        plain = needed(Note).encode(
            Note(Text("a"), Text("b"), [Text("c")], {Text("d"): Text("e"), "f": 5})
        )

        expected = {"text": "a", "title": "b", "words": ["c"], "by_word": {"d": "e", "f": 5}}
        assert freeze(plain) == freeze(expected)
        assert needed(Note).decode(plain).words == ["c"]

    def test_members_of_an_enum_are_none(self) -> None:
        for note, label in ((Note(Mood.GOOD), "str"), (Note(title=Mood.GOOD), "str | None")):
            assert f"is a Mood, its annotation says {label}" in encode_fault(Note, note)[1]

    def test_are_stored_as_nothing_else(self) -> None:
        with pytest.raises(SessionDecodeError, match=r"\.text is an int, its annotation says str"):
            needed(Note).decode({"text": 5})


def as_sessions_do(converter: DataConverter[Any], data: Any) -> Any:
    frozen, plain, simple = converter.freeze(data, None)
    converter.check(data, plain, frozen, simple)
    assert freeze(plain) == frozen
    return plain


def encode_fault(data_type: Any, data: Any) -> tuple[str, str]:
    converter = needed(data_type)
    with pytest.raises(SessionEncodeError) as caught:
        converter.encode(data)
    message = str(caught.value)
    assert outcome(lambda: as_sessions_do(converter, data)) == message
    head, tail = "session.data", ". The stored value was kept."
    assert message.startswith(head)
    assert message.endswith(tail)
    return caught.value.path, message.removeprefix(head).removesuffix(tail).lstrip()


def decode_fault(data_type: Any, plain: Any) -> str:
    with pytest.raises(SessionDecodeError) as caught:
        needed(data_type).decode(plain)
    message = str(caught.value)
    head = "the stored session.data"
    tail = ". It was left as it is: change it with a migration, or repair it by hand."
    assert message.startswith(head)
    assert message.endswith(tail)
    return message.removeprefix(head).removesuffix(tail).lstrip()


class TestEncodeErrors:
    WRONG: Any = "x"

    @pytest.mark.parametrize(
        ("data", "path", "reason"),
        cases(
            (Cart(count=WRONG), ".count", "is a str, its annotation says int"),
            (Cart(count=True), ".count", "is a bool, its annotation says int"),
            (Cart(count=Level.LOW), ".count", "is a Level, its annotation says int"),
            (
                Cart(items=[Item("a"), Item("b", WRONG)]),
                ".items[1].price",
                "is a str, its annotation says Decimal",
            ),
            (
                Cart(best=Item("a", Decimal("NaN"))),
                ".best.price",
                "is a Decimal that is not finite, it would not come back equal: use None",
            ),
            (Cart(items=WRONG), ".items", "is a str, its annotation says list[Item]"),
            (Cart(best=WRONG), ".best", "is a str, its annotation says Item | None"),
            (
                Cart(items=[VipItem("a")]),
                ".items[0]",
                "is a VipItem, its annotation says Item: what VipItem adds would be lost",
            ),
            (
                Cart(by_color={Color.RED: Item("a", WRONG)}),
                ".by_color[<Color>].price",
                "is a str, its annotation says Decimal",
            ),
            (
                Cart(by_color={WRONG: Item("a")}),
                ".by_color",
                "has a key that is a str, its annotation says Color",
            ),
            (
                Cart(pair=(Item("a"), WRONG)),
                ".pair[1]",
                "is a str, its annotation says Item",
            ),
            (
                Cart(pair=WRONG),
                ".pair",
                "is a str, its annotation says tuple[Item, Item] | None",
            ),
            (
                Cart(notes={"last": [{"at": date.min}]}),
                ".notes['last'][0]['at']",
                "is a date, JSON cannot hold it: declare a dataclass and session(YourType)",
            ),
            (
                Cart(notes={"a": {1: 2}}),
                ".notes['a']",
                "has a key that is an int, it would come back as a str: use str keys",
            ),
        ),
    )
    def test_name_the_path(self, data: Any, path: str, reason: str) -> None:
        assert encode_fault(Cart, data) == (path, f"{path} {reason}")

    @pytest.mark.parametrize(
        ("data_type", "data", "message"),
        cases(
            (Cart, None, "is None, its annotation says Cart"),
            (Cart, {}, "is a dict, its annotation says Cart"),
            (Cart, Cart, "is a type, its annotation says Cart"),
            (Unset, Unset(), "has no 'x': set it, or give the field a default"),
            (date, datetime(2024, 1, 1), "is a datetime, its annotation says date"),
            (Color, "red", "is a str, its annotation says Color"),
            (bytes, bytearray(b"x"), "is a bytearray, its annotation says bytes"),
            (tuple[int, str], (1,), "has 1 items, its annotation says tuple[int, str]"),
            (tuple[int, str], [1, "a"], "is a list, its annotation says tuple[int, str]"),
            (tuple[int, ...], [1], "is a list, its annotation says tuple[int, ...]"),
            (
                dict[int, int],
                {True: 1},
                "has a key that is a bool, its annotation says int",
            ),
            (
                dict[int, int],
                collections.OrderedDict({1: 1}),
                "is an OrderedDict, its annotation says dict[int, int]",
            ),
            (Visit, [], "is a list, its annotation says Visit"),
            (Visit, {"at": 1}, "['at'] is an int, its annotation says datetime"),
            (Visit, {1: 1}, "has a key that is an int, it would come back as a str: use str keys"),
            (
                Visit,
                {"x": {1}},
                "['x'] is a set, JSON cannot hold it: declare a dataclass and session(YourType)",
            ),
            (
                tuple[Literal["a", 1]],
                (True,),
                "[0] is another value than its annotation Literal['a', 1] allows",
            ),
            (
                tuple[Literal["a"]],
                ([],),
                "[0] is another value than its annotation Literal['a'] allows",
            ),
            (tuple[float], (math.inf,), "[0] is inf, JSON has no such number: use None"),
            (tuple[float], ("1",), "[0] is a str, its annotation says float"),
            (tuple[int | str], (1.0,), "[0] is a float, its annotation says int | str"),
            (
                tuple[int | None],
                (10**5000,),
                "[0] is an int of more than 4300 digits, Python would not read it: use hex(number)",
            ),
        ),
    )
    def test_say_what_is_wrong(self, data_type: Any, data: Any, message: str) -> None:
        assert encode_fault(data_type, data)[1] == message

    @pytest.mark.parametrize("value", [datetime(2024, 1, 1, fold=1), time(1, fold=1)])
    def test_a_fold_that_would_be_lost_is_refused(self, value: Any) -> None:
        assert "has fold=1, which would be lost" in encode_fault(type(value), value)[1]

    def test_an_attribute_that_would_be_lost_is_refused(self) -> None:
        note: Any = Note()
        note.extra = 1

        assert encode_fault(tuple[Note], (note,)) == (
            "[0].extra",
            "[0].extra is not a field of Note, it would be lost: declare it",
        )

    def test_an_attribute_that_comes_back_by_itself_is_not_refused(self) -> None:
        data = Counted(2)
        assert (data.squared, data.also) == (4, 3)
        converter = needed(Counted)

        assert as_sessions_do(converter, data) == converter.encode(data) == {"n": 2}
        data.other = 1  # type: ignore[attr-defined]  # pyright: ignore
        assert encode_fault(Counted, data)[0] == ".other"

    def test_a_time_zone_that_would_be_lost_is_refused(self) -> None:
        berlin = ZoneInfo("Europe/Berlin")

        path, message = encode_fault(tuple[time], (time(1, tzinfo=berlin),))

        assert path == "[0]"
        assert "without an offset, which would be lost" in message

    def test_data_that_contains_itself_is_refused(self) -> None:
        node = Node(1)
        node.next = node

        path, message = encode_fault(Node, node)

        assert path == ""
        assert "contains itself, or is nested deeper than 100 levels" in message


class TestDecodeErrors:
    @pytest.mark.parametrize(
        ("data_type", "plain", "message"),
        cases(
            (Cart, [], "is a list, its annotation says Cart"),
            (Cart, {"count": "3"}, ".count is a str, its annotation says int"),
            (Cart, {"count": None}, ".count is None, its annotation says int"),
            (
                Cart,
                {"items": [{"name": "a"}, {}]},
                ".items[1] lacks 'name', and Item has no default for it",
            ),
            (
                Cart,
                {"items": [{"name": "a", "price": 3}]},
                ".items[0].price is an int, its annotation says Decimal",
            ),
            (
                Cart,
                {"best": {"name": "a", "price": "x"}},
                ".best.price cannot be read as a Decimal",
            ),
            (
                Cart,
                {"by_color": {"green": {"name": "a"}}},
                ".by_color has a key that cannot be read as a Color",
            ),
            (
                Cart,
                {"by_color": {"red": {"name": 1}}},
                ".by_color[<Color>].name is an int, its annotation says str",
            ),
            (
                Positive,
                {"n": -1},
                "does not make a Positive: ValueError was raised",
            ),
            (
                Positive,
                {"n": -1, "newer": 1},
                "does not make a Positive: ValueError was raised",
            ),
            (Holder, {"visit": {"at": "x"}}, ".visit['at'] cannot be read as a datetime"),
            (Holder, {"visit": []}, ".visit is a list, its annotation says Visit"),
            (
                datetime,
                "2024-01-01T00:00:00+01:00[No/Where]",
                "cannot be read as a datetime",
            ),
            (timedelta, "PT", "cannot be read as a timedelta"),
            (timedelta, "P", "cannot be read as a timedelta"),
            (timedelta, "1 day", "cannot be read as a timedelta"),
            (timedelta, "P9999999999D", "cannot be read as a timedelta"),
            (bytes, "?", "cannot be read as a bytes"),
            (Level, "1", "is a str, its annotation says Level"),
            (Level, True, "is a bool, its annotation says Level"),
            (Level, 3, "cannot be read as a Level"),
            (set[int], {}, "is a dict, its annotation says set[int]"),
            (set, [[]], "cannot be made a set[Any]: unhashable type: 'list'"),
            (tuple[int], {}, "is a dict, its annotation says tuple[int]"),
            (tuple[int], [1, 2], "has 2 items, its annotation says tuple[int]"),
            (dict[int, int], {"1_0": 1}, "has a key that cannot be read as an int"),
            (dict[int, int], {"x": 1}, "has a key that cannot be read as an int"),
            (dict[int, int], [], "is a list, its annotation says dict[int, int]"),
            (Item | None, 1, "is an int, its annotation says Item | None"),
            (
                tuple[Literal["a"]],
                ["b"],
                "[0] is another value than its annotation Literal['a'] allows",
            ),
        ),
        ids=str,
    )
    def test_name_path_and_reason(self, data_type: Any, plain: Any, message: str) -> None:
        assert decode_fault(data_type, plain) == message

    def test_the_cause_is_kept(self) -> None:
        with pytest.raises(SessionDecodeError) as caught:
            needed(Positive).decode({"n": -1})

        assert isinstance(caught.value.__cause__, ValueError)

    def test_what_is_nested_too_deep_is_refused(self) -> None:
        plain: Any = None
        for _ in range(sys.getrecursionlimit()):
            plain = {"value": 1, "next": plain}

        assert "nested deeper" in decode_fault(Node, plain)


class TestNewFields:
    def test_take_their_defaults(self) -> None:
        assert needed(Cart).decode({"count": 3}) == Cart(count=3)

    def test_each_get_a_default_of_their_own(self) -> None:
        one, other = needed(Cart).decode({}), needed(Cart).decode({})

        assert one.items is not other.items


def raw_item(name: str, unknown: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "price": "0"} | unknown


def raw_cart(
    items: list[Any], best: Any, by_color: Any, pair: Any, unknown: dict[str, Any]
) -> dict[str, Any]:
    known: dict[str, Any] = {
        "items": items,
        "count": 1,
        "notes": {},
        "best": best,
        "by_color": by_color,
    }
    return known | {"pair": pair} | unknown


UNKNOWN = st.dictionaries(st.sampled_from(["x1", "x2", "x3"]), JSON, max_size=2)
RAW_ITEMS = st.builds(raw_item, TEXTS, UNKNOWN)
RAW_CARTS = st.builds(
    raw_cart,
    few(RAW_ITEMS),
    st.none() | RAW_ITEMS,
    mapping(st.sampled_from(["red", "blue"]), RAW_ITEMS),
    st.none() | st.lists(RAW_ITEMS, min_size=2, max_size=2),
    UNKNOWN,
)


class TestUnknownFields:
    RAW: ClassVar[dict[str, Any]] = {
        "items": [{"name": "a", "color": "red"}, {"name": "b"}],
        "best": {"name": "c", "stars": 5},
        "by_color": {"red": {"name": "d", "shade": 1}},
        "version": [7],
    }

    @given(RAW_CARTS)
    def test_are_written_back_at_any_place(self, raw: dict[str, Any]) -> None:
        converter = CONVERTERS[Cart]

        data, residue = converter.open(raw)

        assert converter.close(data, residue) == raw
        known = {"name", "price", *(f.name for f in fields(Cart))}
        assert (residue is None) == (keys_in(raw) <= known | {"red", "blue"})

    def test_nothing_unknown_leaves_no_residue(self) -> None:
        converter = needed(Cart)

        assert converter.open(converter.encode(Cart(items=[Item("a")])))[1] is None

    def test_follow_their_object_when_it_moves(self) -> None:
        converter = needed(Cart)
        data, residue = converter.open(self.RAW)
        data.items.reverse()
        data.best = data.items[1]

        plain = converter.close(data, residue)

        assert plain["items"][1]["color"] == "red"
        assert "color" not in plain["items"][0]
        assert plain["best"]["color"] == "red"
        assert "stars" not in plain["best"]

    def test_are_not_given_to_what_takes_the_place_of_their_object(self) -> None:
        converter = needed(Cart)
        data, unknown = converter.open(self.RAW)
        data.best = replace(data.best, name="z")
        data.by_color[Color.RED] = Item("new")
        data.items[0] = Item("new")

        plain = converter.close(data, unknown)

        assert plain["version"] == [7]
        assert {"stars", "color", "shade"}.isdisjoint(keys_in(plain))
        assert "version" not in converter.close(replace(data), unknown)

    def test_stay_when_a_frozen_object_is_replaced(self) -> None:
        """There is no other way to change it."""
        converter = needed(Album)
        data, unknown = converter.open({"cover": {"a": 1, "b": "", "new": 2}, "newer": 3})
        for number in range(2):
            data = replace(data, cover=replace(data.cover, a=number))
            plain = converter.close(data, unknown)
            assert plain["cover"] == {"a": number, "b": "", "new": 2}
            assert plain["newer"] == 3

    def test_of_a_frozen_object_go_once_its_place_was_empty(self) -> None:
        converter = needed(Album)
        data, unknown = converter.open({"cover": {"a": 1, "new": 2}, "newer": 3})
        converter.close(replace(data, cover=None), unknown)

        plain = converter.close(replace(data, cover=Frozen(5)), unknown)

        assert plain["cover"] == {"a": 5, "b": "b"}

    def test_of_a_frozen_object_are_for_its_own_class(self) -> None:
        either = needed(Holds)
        data, unknown = either.open({"it": {"a": 1, "new": 2}})
        data.it = [Frozen(1)]
        assert either.close(data, unknown) == {"it": [{"a": 1, "b": "b"}]}

    def test_follow_what_a_function_makes_of_their_object(self) -> None:
        converter = needed(Cart)
        data, unknown = converter.open(self.RAW)
        assert unknown is not None
        changed = replace(data, count=2)
        unknown.follow(data, changed)
        unknown.follow(changed, changed)

        assert converter.close(changed, unknown)["version"] == [7]

    def test_are_not_given_to_a_newcomer_while_their_object_lives_elsewhere(self) -> None:
        converter = needed(Cart)
        data, residue = converter.open(self.RAW)
        data.items.append(data.best)
        data.best = Item("new")

        plain = converter.close(data, residue)

        assert plain["items"][2]["stars"] == 5
        assert "stars" not in plain["best"]

    def test_an_object_that_brought_its_own_keeps_them_in_the_place_of_another(self) -> None:
        converter = needed(Cart)
        data, residue = converter.open(self.RAW)
        data.best = data.items.pop(0)

        assert converter.close(data, residue)["best"] == {
            "name": "a",
            "price": "0",
            "color": "red",
        }

    def test_are_dropped_when_something_else_takes_the_place(self) -> None:
        converter = needed(dict[str, Item | list[Item]])
        data, residue = converter.open({"a": {"name": "x", "extra": 1}})
        data["a"] = [Item("y")]

        assert converter.close(data, residue) == {"a": [{"name": "y", "price": "0"}]}

    def test_go_with_their_object_when_it_is_removed(self) -> None:
        converter = needed(Cart)
        data, residue = converter.open(self.RAW)
        data.items.clear()
        data.by_color.clear()

        plain = converter.close(data, residue)

        assert plain["items"] == []
        assert plain["by_color"] == {}

    def test_in_tuples_and_sets_are_kept(self) -> None:
        converter = needed(tuple[frozenset[Frozen], tuple[Frozen, ...]])
        raw = [[{"a": 1, "b": "", "x": 1}], [{"a": 2, "b": "", "x": 2}]]

        assert converter.close(*converter.open(raw)) == raw

    def test_a_shared_object_is_written_with_them_twice(self) -> None:
        converter = needed(Cart)
        data, residue = converter.open(self.RAW)
        data.pair = (data.best, data.best)

        plain = converter.close(data, residue)

        assert [item["stars"] for item in plain["pair"]] == [5, 5]

    def test_leave_the_known_fields_alone(self) -> None:
        converter = needed(Cart)
        data, residue = converter.open(self.RAW)
        data.count = 9

        assert converter.close(data, residue)["count"] == 9

    def test_what_is_written_shares_nothing_with_the_residue(self) -> None:
        converter = needed(Cart)
        data, residue = converter.open(self.RAW)

        converter.close(data, residue)["version"].append(8)

        assert converter.close(data, residue)["version"] == [7]

    def test_without_the_residue_they_are_left_out(self) -> None:
        converter = needed(Cart)
        data, _ = converter.open(self.RAW)

        assert "version" not in converter.close(data, None)
        assert "version" not in converter.encode(data)

    def test_data_that_contains_itself_is_refused_all_the_same(self) -> None:
        converter = needed(Node)
        node, residue = converter.open({"value": 1, "unknown": 1})
        node.next = node

        with pytest.raises(SessionEncodeError, match="contains itself"):
            converter.close(node, residue)

    def test_of_a_typed_dict_are_part_of_the_data(self) -> None:
        converter = needed(Visit)
        raw = {"at": "2024-01-01T00:00:00", "unknown": {"a": 1}}

        data, residue = converter.open(raw)

        assert residue is None
        assert data["unknown"] == {"a": 1}
        assert converter.close(data, residue) == raw


def keys_in(plain: Any) -> set[str]:
    """All keys down to the items, those of the unknown values left out."""
    found: set[str] = set()
    if isinstance(plain, dict):
        for key, value in plain.items():  # pyright: ignore
            found.add(key)  # pyright: ignore
            if not key.startswith("x"):  # pyright: ignore
                found |= keys_in(value)
    elif isinstance(plain, list):
        for value in plain:  # pyright: ignore
            found |= keys_in(value)
    return found


class Recursive:
    """What ``type Tree = list[Tree]`` makes, in every version of Python."""

    __value__: Any

    def __repr__(self) -> str:
        return "Tree"


TREE = Recursive()
TREE.__value__ = list[TREE]  # type: ignore[valid-type]  # pyright: ignore


class Image:
    pass


@dataclass
class HasImage:
    image: list[Image]


@dataclass
class NestsImage:
    inner: HasImage | None = None


@dataclass
class HasInitVar:
    x: int
    scale: InitVar[int] = 1


@dataclass(init=False)
class OwnInit:
    x: int


@dataclass(init=False)
class OpenInit:
    x: int

    def __init__(self, **given: Any) -> None:
        self.x = given["x"]


class Undecorated(Item):
    note: str = ""


@dataclass
class Unresolved:
    it: Nowhere


class UnresolvedDict(TypedDict):
    it: Nowhere


SEE = ", see docs/types.md"


class TestSetUp:
    @pytest.mark.parametrize(
        ("data_type", "message"),
        cases(
            (
                HasImage,
                f"HasImage.image: {__name__}.Image cannot be converted: "
                f"use str, a dataclass, ..., or give converter=...{SEE}",
            ),
            (
                NestsImage,
                f"HasImage.image: {__name__}.Image cannot be converted: "
                f"use str, a dataclass, ..., or give converter=...{SEE}",
            ),
            (Image, f"{__name__}.Image cannot be converted: use str, a dataclass, ..., "),
            (Sequence[int], "collections.abc.Sequence[int] cannot be converted: use list[...], "),
            (Mapping[str, int], "cannot be converted: use dict[...], or give converter="),
            (collections.defaultdict[str, int], "cannot be converted: use dict[...], "),
            (collections.deque[int], "cannot be converted: use list[...], or give "),
            (bytearray, "bytearray cannot be converted: use bytes, or give "),
            (complex, "complex cannot be converted"),
            (Path, "Path cannot be converted"),
            (Place, f"{__name__}.Place cannot be converted"),
            (Point, f"{__name__}.Point cannot be converted"),
            (Literal[b"x"], "Literal[b'x'] cannot be converted"),
            (Literal["red", Color.RED], "cannot be converted"),
            (Callable[[int], str], "cannot be converted"),
            ([int], "[<class 'int'>] cannot be converted"),
            ("Cart", "Cart cannot be converted"),
            (
                Item | Cart,
                f"{__name__}.Item | {__name__}.Cart cannot be converted, as some of these look "
                "alike when stored: put them into one dataclass with a field for each",
            ),
            (datetime | str, "datetime.datetime | str cannot be converted, as some"),
            (list[date] | list[int], "list[datetime.date] | list[int] cannot be converted"),
            (
                dict[float, int],
                "dict keys of the type float cannot be converted, as JSON has str keys only: "
                "use str, int, Enum, UUID or date keys",
            ),
            (dict[bool, int], "dict keys of the type bool cannot"),  # cattrs reads "false" as True
            (dict[int | str, int], "dict keys of the type int | str cannot"),
            (dict[object, int], "dict keys of the type object cannot"),
            (dict[tuple[int, int], int], "dict keys of the type tuple[int, int] cannot"),
            (dict[Mixed, int], f"dict keys of the type {__name__}.Mixed cannot"),
            (
                HasInitVar,
                "HasInitVar.scale is not stored, and needed to make one: make it a field, "
                "or give converter=...",
            ),
            (OwnInit, "OwnInit.x is a field that __init__ does not take: let it, or"),
            (
                Undecorated,
                "Undecorated.note is not a field, it would not be stored: decorate the class, or",
            ),
            (
                Unresolved,
                "Unresolved.it: its annotation cannot be resolved (name 'Nowhere' is not "
                "defined): define or import what it names at the top of the module",
            ),
            (UnresolvedDict, "UnresolvedDict: its annotation cannot be resolved"),
            (TREE, "Tree is a recursive alias: annotate with Any, or use a dataclass"),
        ),
        ids=str,
    )
    def test_refuses_what_cannot_be_converted(self, data_type: Any, message: str) -> None:
        with pytest.raises(TypeError) as caught:
            converter_for(data_type)

        assert message in str(caught.value)

    def test_an_init_that_takes_anything_is_trusted(self) -> None:
        converter = needed(OpenInit)
        opened = OpenInit(x=3)

        assert converter.decode(converter.encode(opened)) == opened

    def test_what_is_not_stored_need_not_be_defined(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In 3.14 annotations are evaluated when somebody asks; elsewhere, if they are texts."""
        future = "" if sys.version_info >= (3, 14) else "from __future__ import annotations\n"
        source = future + (
            "from dataclasses import dataclass\nfrom typing import ClassVar\n"
            "class Mixin:\n    helper: Nowhere\n    def help(self, it: Nowhere) -> Nowhere: ...\n"
            "@dataclass\nclass Guarded(Mixin):\n"
            "    n: int = 0\n    shared: ClassVar[Nowhere | None] = None\n"
            "class Bare(Guarded):\n    other: ClassVar[Nowhere | None] = None\n"
            "@dataclass\nclass Needs:\n    it: Nowhere | None = None\n"
        )
        module: Any = ModuleType("sessionkit_guarded")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(source, module.__dict__)

        for kind in (module.Guarded, module.Bare):
            assert round_trip(kind, kind(3)) == kind(3)
        with pytest.raises(TypeError, match=r"Needs.it: its annotation cannot be resolved"):
            converter_for(module.Needs)

    def test_an_annotation_is_resolved_in_the_module_of_its_class(self) -> None:
        namespace: dict[str, Any] = {"__name__": "no_such_module"}
        source = "from dataclasses import dataclass\n@dataclass\nclass Far:\n    n: 'int' = 0"
        exec(source, namespace)

        assert needed(namespace["Far"]).encode(namespace["Far"](5)) == {"n": 5}

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is new in 3.12")
    def test_the_type_parameters_of_newer_syntax(self, monkeypatch: pytest.MonkeyPatch) -> None:
        source = (
            "from __future__ import annotations\n"
            "from dataclasses import dataclass\n"
            "type Days[D] = list[D]\n"
            "@dataclass\nclass New[V]:\n    v: V\n    days: Days[V]\n"
        )
        module: Any = ModuleType("sessionkit_newer_syntax")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(source, module.__dict__)
        data = module.New(date.min, [date.max])

        assert round_trip(module.New[date], data) == data


class TestInitial:
    @pytest.mark.parametrize(
        ("data_type", "initial"),
        cases(
            (Cart, Cart()),
            (Frozen, Frozen()),
            (Plain, {}),
            (dict, {}),
            (dict[str, int], {}),
            (list[int], []),
            (set[int], set[int]()),
            (frozenset, frozenset[int]()),
            (tuple[int, ...], ()),
            (tuple, ()),
            (str, ""),
            (int, 0),
            (float, 0.0),
            (bool, False),
            (None, None),
            (type(None), None),
            (int | None, None),
            (Optional[Item], None),  # noqa: UP045
            (UserId, 0),
            (Numbers, []),
            (Annotated[list[int], "x"], []),
        ),
        ids=str,
    )
    def test_is_what_the_type_says_of_itself(self, data_type: Any, initial: Any) -> None:
        made = initial_for(data_type)()

        assert exact(made) == exact(initial)

    def test_is_made_each_time(self) -> None:
        make = initial_for(Cart)

        assert make().items is not make().items

    def test_a_generic_dataclass_is_its_own_initial(self) -> None:
        @dataclass
        class Many(Generic[T]):
            them: list[T] = field(default_factory=list[T])

        assert initial_for(Many[int])() == Many()

    @pytest.mark.parametrize(
        ("data_type", "message"),
        cases(
            (
                Settings,
                "Settings has required keys 'count', 'size': give initial=lambda: ..., "
                "or declare it total=False",
            ),
            (
                Item,
                "Item has required fields 'name': give initial=lambda: Item(...), "
                "or give them defaults",
            ),
            (Any, "Any does not say what a chat begins with: give initial=lambda: ..."),
            (date, "datetime.date does not say what a chat begins with"),
            (tuple[int, str], "tuple[int, str] does not say what"),
            (int | str, "int | str does not say what"),
            (Literal["a"], "does not say what"),
            (Color, f"{__name__}.Color does not say what"),
        ),
        ids=str,
    )
    def test_without_one_the_text_says_what_to_give(self, data_type: Any, message: str) -> None:
        with pytest.raises(TypeError) as caught:
            initial_for(data_type)

        assert message in str(caught.value)


class TestSharingAPrefix:
    @pytest.mark.parametrize(
        ("one", "other", "may"),
        cases(
            (Item, Item, True),
            (Item, VipItem, True),
            (Item, Cart, False),
            (Box[int], Box[int], True),
            (Box[int], Box[str], False),
            (Box[int], IntBox, True),
            (Item, dict, True),
            (Item, None, True),
            (Item, Plain, True),
            (dict[str, int], dict[str, str], True),
            (Annotated[Item, 1], Cart, False),
            (Item, Item | None, True),
        ),
        ids=str,
    )
    def test_is_for_the_same_class_and_for_views(self, one: Any, other: Any, may: bool) -> None:
        assert may_share_prefix(one, other) is may_share_prefix(other, one) is may

    def test_a_class_may_be_made_twice(self) -> None:
        def make() -> Any:
            @dataclass
            class Local:
                n: int = 0

            return Local

        assert may_share_prefix(make(), make())


def nested_lists(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def check_changed(value: Any) -> None:
    """Check it as sessions do, which have its frozen form."""
    frozen, plain, simple = freeze_plain(value)
    if not (simple and holds_no_extremes(plain, frozen)):
        check_plain(plain)


def plain_fault(value: Any) -> tuple[str, str]:
    with pytest.raises(SessionEncodeError) as caught:
        check_plain(value)
    with pytest.raises(SessionEncodeError) as as_sessions_do:
        check_changed(value)
    assert str(as_sessions_do.value) == str(caught.value)
    return caught.value.path, str(caught.value)


class TestCheckPlain:
    @given(JSON)
    def test_accepts_whatever_json_gives_back(self, value: Any) -> None:
        check_plain(value)
        check_changed(value)

        assert freeze(CODEC.decode(CODEC.encode(value))) == freeze_plain(value)[0]

    @pytest.mark.parametrize(
        ("value", "path", "text"),
        cases(
            (
                {"last": {"at": datetime(2024, 1, 1)}},
                "['last']['at']",
                "session.data['last']['at'] is a datetime, JSON cannot hold it: declare a "
                "dataclass and session(YourType). The stored value was kept.",
            ),
            (
                {"a": [0, (1, 2)]},
                "['a'][1]",
                "session.data['a'][1] is a tuple, it would come back as a list: use a list. "
                "The stored value was kept.",
            ),
            (
                {"a": {1: 2}},
                "['a']",
                "session.data['a'] has a key that is an int, it would come back as a "
                "str: use str keys. The stored value was kept.",
            ),
            ([math.nan], "[0]", "session.data[0] is nan, JSON has no such number: use None"),
            ({"a": -math.inf}, "['a']", "session.data['a'] is -inf, JSON has no such number"),
            (math.inf, "", "session.data is inf, JSON has no such number: use None"),
            ([10**5000], "[0]", "session.data[0] is an int of more than 4300 digits, Python would"),
            ([-(10**5000)], "[0]", "session.data[0] is an int of more than 4300 digits"),
            ({True: 1}, "", "has a key that is a bool, it would come back as a str"),
            ({None: 1}, "", "has a key that is a NoneType, it would come back as a str"),
            ({1.5: 1}, "", "has a key that is a float, it would come back as a str"),
            ({(1, 2): 1}, "", "has a key that is a tuple, JSON has no such keys: use str keys"),
            (
                {Mood.GOOD: 1},
                "",
                "has a key that is a Mood, it would come back as a str: use str keys",
            ),
            ({10**5000: 1}, "", "has a key that is an int, it would come back as a str"),
            ({"k" * 200: (1,)}, "[<str>]", "is a tuple"),
            ([Level.LOW], "[0]", "is a Level, it would come back as an int: use an int"),
            ([Mood.GOOD], "[0]", "is a Mood, it would come back as a str: use a str"),
            (
                collections.OrderedDict[str, int](),
                "",
                "an OrderedDict, it would come back as a dict: use a",
            ),
            ([Place(1)], "[0]", "is a Place, it would come back as a list: use a list"),
            ({1, 2}, "", "is a set, JSON cannot hold it"),
            ([b"x"], "[0]", "is a bytes, JSON cannot hold it"),
            ([bytearray()], "[0]", "is a bytearray, JSON cannot hold it"),
            (SimpleNamespace(), "", "is a SimpleNamespace, JSON cannot hold it"),
        ),
    )
    def test_refuses_what_would_not_come_back_equal(self, value: Any, path: str, text: str) -> None:
        found_path, message = plain_fault(value)

        assert found_path == path
        assert text in message

    def test_accepts_numbers_up_to_the_limit_of_digits(self) -> None:
        for check in (check_plain, check_changed):
            check([10**4299, -(10**4299), 10**639, 10**4300 - 1, "x" * 2000])
            check({"long": ["x" * 2000, {"n": -5, "day": 1.5}], "n": 7})
            check({"long": ["x" * 2000, {"n": [10**4299]}], "n": 7})
            with pytest.raises(SessionEncodeError):
                check(10**4300)

    def test_follows_the_limit_of_digits(self) -> None:
        limit = sys.get_int_max_str_digits()
        try:
            for check in (check_plain, check_changed):
                sys.set_int_max_str_digits(640)
                with pytest.raises(SessionEncodeError, match="more than 640 digits"):
                    check([10**640])
                sys.set_int_max_str_digits(0)
                check([10**5000])
        finally:
            sys.set_int_max_str_digits(limit)

    def test_lone_surrogates_are_plain(self) -> None:
        for check in (check_plain, check_changed):
            check({"\ud800": ["\udfff", "\udf55\ud83c", "한국"]})

    @pytest.mark.parametrize("value", [{"\ud83c\udf55": 1}, ["\ud83c\udf55"], "\ud83c\udf55"])
    def test_surrogates_that_form_a_pair_are_refused(self, value: Any) -> None:
        """JSON gives them back as one character."""
        assert json.loads(json.dumps(value)) != value

        assert "surrogates that would come back as one character" in plain_fault(value)[1]

    def test_a_cycle_is_refused_with_a_short_path(self) -> None:
        in_list: list[Any] = []
        in_list.append({"a": in_list})
        in_dict: dict[str, Any] = {}
        in_dict["a"] = [in_dict]

        for cycle in (in_list, in_dict):
            path, message = plain_fault({"cycle": cycle})
            assert path.startswith("['cycle']")
            assert "..." in path
            assert len(path) < 150
            assert "contains itself, or is nested deeper than 100 levels" in message

    def test_a_cycle_with_many_ways_is_refused_at_once(self) -> None:
        many: list[Any] = []
        many += [many] * 3

        with pytest.raises(SessionEncodeError, match="contains itself"):
            check_plain(many)

    @pytest.mark.parametrize(
        "part", [parents_and_children(), doubled_lists(40)], ids=["tree", "lists"]
    )
    def test_what_would_grow_without_end_is_refused(self, part: Any) -> None:
        """marshal writes what it meets again once more, and can be stopped by nothing."""
        with pytest.raises(SessionEncodeError, match="keep an id in their place"):
            needed(Loose).freeze(Loose(part), None)
        with pytest.raises(SessionEncodeError, match="keep an id in their place"):
            freeze_plain({"anything": part})

    def test_what_is_often_the_same_is_stored(self) -> None:
        row = [0] * 8
        _, plain, _ = freeze_plain({"board": [row] * 100_000, "lists": doubled_lists(10)})
        check_plain(plain)

    @pytest.mark.parametrize("left", [1000, 500, 60])
    def test_100_levels_are_accepted_and_101_are_not(self, left: int) -> None:
        def check(depth: int, levels: int) -> None:
            if depth:
                check(depth - 1, levels)
            else:
                check_plain(nested_lists(levels))
                check_changed(nested_lists(levels))

        stack = max(0, sys.getrecursionlimit() - left - len(inspect.stack(0)))
        check(stack, MAX_DEPTH)
        with pytest.raises(SessionEncodeError, match="nested deeper than 100 levels"):
            check(stack, MAX_DEPTH + 1)


class TestFreezePlain:
    def test_is_freeze_where_data_is_plain(self) -> None:
        value = {"a": [1, 1.0, True, None, "x"]}

        assert freeze_plain(value) == (freeze(value), value, True)

    def test_texts_of_a_library_s_own_are_texts(self) -> None:
        value = {Text("k"): [Text("\ud800🍕"), 1.0, {"a": Text("")}], "b": 10**700}
        check_plain(value)

        frozen, plain, _ = freeze_plain(value)
        assert frozen == freeze({"k": ["\ud800🍕", 1.0, {"a": ""}], "b": 10**700})
        assert plain == value
        assert {type(key) for key in plain} == {type(plain["k"][0])} == {str}

    def test_what_else_is_wrong_beside_such_a_text_is_reported(self) -> None:
        with pytest.raises(SessionEncodeError, match=r"\['b'\] is a set"):
            freeze_plain({"a": Text("x"), "b": {1}})

    def test_names_the_path_of_what_cannot_be_copied(self) -> None:
        with pytest.raises(SessionEncodeError) as caught:
            freeze_plain({"a": [date.min]})

        assert caught.value.path == "['a'][0]"
        assert "session.data['a'][0] is a date" in str(caught.value)


def test_converting_leaves_the_data_alone() -> None:
    data = Cart(items=[Item("a")], notes={"x": [1]})
    before = asdict(data)

    needed(Cart).encode(data)

    assert asdict(data) == before
