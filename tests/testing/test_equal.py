"""Whether values came back as they were."""

from __future__ import annotations

from typing import Any

import pytest

from sessionkit.testing._equal import alike


@pytest.mark.parametrize(
    "value",
    [None, 0, 1.5, True, "", "x", b"x", [], [1, [2]], {}, {"a": {"b": [1]}}, (1, 2), {1, 2}],
    ids=repr,
)
def test_a_value_is_like_itself(value: Any) -> None:
    assert alike(value, value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (0, False),
        (0, None),
        ([1], [1.0]),
        ([1], [1, 2]),
        ([1, 2], [1]),
        ([1], (1,)),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({1: "a"}, {True: "a"}),
        ({}, []),
        ("1", 1),
    ],
)
def test_other_values_and_types_are_not_alike(one: Any, other: Any) -> None:
    assert not alike(one, other)
    assert not alike(other, one)


def test_order_of_a_dict_and_sign_of_zero_do_not_count() -> None:
    assert alike({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert alike(0.0, -0.0)
