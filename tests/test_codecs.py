"""Plain values to bytes and back: equal, or an error; never something else."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionkit import SessionDecodeError, SessionEncodeError
from sessionkit.codecs import JSONCodec, PickleCodec, decode_value, encode_value

TEXT = st.text(st.characters())  # lone surrogates as well
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)


@given(PLAIN)
def test_json_gives_back_what_it_was_given(value: Any) -> None:
    codec = JSONCodec()
    raw = codec.encode(value)
    assert repr(codec.decode(raw)) == repr(value)


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        ({"a": [1, 2.5, None, True]}, b'{"a":[1,2.5,null,true]}'),
        ("é 🍕", '"é 🍕"'.encode()),
        ("\ud800", b'"\\ud800"'),
        ({"\udc00": "é"}, b'{"\\udc00":"\\u00e9"}'),
        (-0.0, b"-0.0"),
        (10**400, b"1" + b"0" * 400),
    ],
)
def test_json_is_compact_and_readable(value: Any, raw: bytes) -> None:
    assert JSONCodec().encode(value) == raw
    assert JSONCodec().decode(raw) == value


@pytest.mark.parametrize("value", ["\ud83c\udf55", ["\ud83c\udf55"], {"\ud83c\udf55": 1}])
def test_two_surrogates_that_would_become_one_character_are_refused(value: Any) -> None:
    with pytest.raises(SessionEncodeError, match="would come back as one character"):
        encode_value(JSONCodec(), "1", value)


@pytest.mark.parametrize("value", [float("nan"), math.inf, {"a": -math.inf}, object(), {1}, b"x"])
def test_what_json_cannot_hold_is_refused_with_the_key(value: Any) -> None:
    with pytest.raises(SessionEncodeError, match="the data of 'p-1' cannot be stored") as caught:
        encode_value(JSONCodec(), "p-1", value)
    assert caught.value.key == "p-1"
    assert caught.value.__cause__ is not None
    assert "The stored value was kept" in str(caught.value)


def test_data_within_itself_is_refused() -> None:
    data: list[Any] = []
    data.append(data)
    with pytest.raises(SessionEncodeError):
        encode_value(JSONCodec(), "1", data)


@pytest.mark.parametrize(
    "raw", [b"", b" ", b"{", b"NaN", b"[Infinity]", b"\xff", b"\xef\xbb\xbf{}", b"1 2", b"{'a':1}"]
)
def test_damaged_bytes_are_reported_and_left_where_they_are(raw: bytes) -> None:
    with pytest.raises(SessionDecodeError) as caught:
        decode_value(JSONCodec(), "p-1", raw, "in the table 'sessions'")
    assert caught.value.key == "p-1"
    assert caught.value.__cause__ is not None
    assert "It was left where it is, in the table 'sessions': repair it, or" in str(caught.value)


def test_null_is_not_a_value() -> None:
    with pytest.raises(SessionDecodeError, match="it holds null, which means missing") as info:
        decode_value(JSONCodec(), "1", b"null", "here")
    assert info.value.__cause__ is None


@pytest.mark.parametrize("value", [0, "", False, [], {}])
def test_falsy_values_are_values(value: Any) -> None:
    codec = JSONCodec()
    assert decode_value(codec, "1", encode_value(codec, "1", value), "here") == value


def test_pickle_takes_any_python_value() -> None:
    value = {"a": (1, {2}), 3: b"x"}
    codec = PickleCodec()
    assert decode_value(codec, "1", encode_value(codec, "1", value), "here") == value
    with pytest.raises(SessionEncodeError):
        encode_value(codec, "1", lambda: None)
    with pytest.raises(SessionDecodeError):
        decode_value(codec, "1", b"garbage", "here")
