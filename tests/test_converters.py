"""Types of other libraries: described or converted by a plug-in, found by an attribute."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from sessionkit import MemorySessionStorage, SessionDecodeError, SessionEncodeError, session
from sessionkit._data import given
from sessionkit._data.converters import DataConverter, converter_for, given_converter, initial_for
from sessionkit.converters import Misfit, RecordField, RecordType, StoredObject


class Text(str):
    """A library's own kind of text."""


class Described:
    """A class of a library that says what its fields are."""

    __my_fields__ = ("name", "n")

    name: str
    n: int

    def __init__(self, name: str, n: int = 0) -> None:
        self.name, self.n = name, n


class Odd(Described):
    """One that its plug-in does not take after all."""


class Custom:
    """A class that a converter handles; it says nothing of equality."""

    __my_fields__ = ("n",)

    def __init__(self, n: int = 0) -> None:
        self.n = n


class Comparable(Custom):
    """Its converter makes something else of it."""

    def __eq__(self, other: object) -> bool:
        return type(other) is Comparable

    __hash__ = None  # type: ignore[assignment]


class CustomConverter:
    """Keeps unknown fields, since it tells where its objects are."""

    def encode(self, data: Custom, /) -> Any:
        if data.n == 13:
            raise ValueError("secret")
        return {"n": data.n} if data.n != 7 else {"n": "7"}

    def decode(self, plain: Any, /) -> Custom:
        if type(plain["n"]) is not int:
            reason = "is not an int"
            raise Misfit(reason, ".n")
        return Custom(plain["n"])

    def objects(self, data: Custom) -> Any:
        yield StoredObject((), data, {"n"})
        yield StoredObject(("nowhere", 0), data, ())


def plug_in(kind: Any) -> Any:
    if issubclass(kind, Custom):
        return CustomConverter()
    if kind is Odd:
        return None
    fields = (RecordField(name="name", stored_as="called", required=True), RecordField(name="n"))
    return RecordType(kind=kind, fields=fields)


@pytest.fixture(autouse=True)
def plugged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"__my_fields__": SimpleNamespace(load=lambda: plug_in)}
    monkeypatch.setattr(given, "_entry_points", lambda: found)


def needed(data_type: Any) -> DataConverter[Any]:
    converter = converter_for(data_type)
    assert converter is not None
    return converter


def written(converter: DataConverter[Any], data: Any, unknown: Any = None) -> Any:
    frozen, plain, simple = converter.freeze(data, unknown)
    converter.check(data, plain, frozen, simple)
    return plain


def test_a_description_is_all_it_takes() -> None:
    converter = needed(list[Described])

    (data,), unknown = converter.open([{"called": "a", "n": 1, "newer": 2}])

    assert (data.name, data.n) == ("a", 1)
    assert written(converter, [data], unknown) == [{"called": "a", "n": 1, "newer": 2}]
    with pytest.raises(TypeError, match="Described has required fields 'name'"):
        initial_for(Described)
    assert initial_for(Custom) is Custom


def test_a_converter_keeps_unknown_fields_of_its_objects() -> None:
    converter = needed(Custom)
    data, unknown = converter.open({"n": 1, "newer": 2})

    data.n = 3

    assert written(converter, data, unknown) == {"n": 3, "newer": 2}
    assert converter.open({"n": 1})[1] is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (Comparable(5), "is changed by a validator, a serializer or a type"),
        (Custom(7), r"data\.n would not come back equal: it is not an int"),
        (Custom(13), "cannot be encoded: the converter raised ValueError"),
    ],
)
def test_what_a_converter_would_change_is_not_written(data: Any, text: str) -> None:
    with pytest.raises(SessionEncodeError, match=text) as caught:
        written(needed(type(data)), data)
    assert "secret" not in str(caught.value)
    with pytest.raises(SessionEncodeError, match="is a Described, its annotation says"):
        written(needed(type(data)), Described("a"))


def test_what_a_converter_cannot_read_is_reported_with_its_path() -> None:
    with pytest.raises(SessionDecodeError, match=r"session\.data\.n is not an int"):
        needed(Custom).decode({"n": "1"})
    with pytest.raises(SessionDecodeError, match=r"data\[0\]\.n is not an int"):
        needed(list[Custom]).decode([{"n": "1"}])
    with pytest.raises(SessionDecodeError, match=r"cannot be decoded: the converter raised KeyErr"):
        needed(Custom).decode({})


def test_what_no_plug_in_takes_is_refused() -> None:
    with pytest.raises(TypeError, match="Odd cannot be converted"):
        converter_for(Odd)


def test_a_user_s_own_converter_is_not_asked_for_more() -> None:
    converter = given_converter(CustomConverter())

    assert converter.open({"n": 1})[1] is not None
    assert written(converter, Custom(5)) == {"n": 5}
    odd: Any = SimpleNamespace(encode=set, decode=None)
    with pytest.raises(SessionEncodeError, match="is a set"):
        written(given_converter(odd), [1])


def test_a_user_s_own_converter_may_give_a_library_s_texts() -> None:
    texts: Any = SimpleNamespace(encode=Text, decode=str)

    assert type(written(given_converter(texts), "a")) is str


def test_a_converter_that_fails_only_once_is_reported() -> None:
    answers: Iterator[Any] = iter([[1].index, str])

    def encode(value: Any) -> Any:
        return next(answers)(value)

    moody: Any = SimpleNamespace(encode=encode, decode=str)

    with pytest.raises(SessionEncodeError, match="the converter raised ValueError"):
        written(given_converter(moody), "a")


@pytest.mark.parametrize("library", ["attrs", "msgspec", "pydantic"])
def test_without_the_library_the_error_names_the_extra(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(f"sessionkit_{library}")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(ImportError, match=rf"extra '{library}': .*\"<checkout>\[{library}\]\""):
        importlib.import_module(f"sessionkit_{library}")


def test_a_storage_that_takes_any_value_takes_no_data_that_cannot_be_read_again() -> None:
    storage = MemorySessionStorage()

    with (
        pytest.raises(SessionEncodeError, match="would not come back equal"),
        session(Custom, storage=storage).sync.open(1) as opened,
    ):
        opened.data.n = 7
    assert storage.read("1") is None
