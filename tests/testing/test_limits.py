"""Limits: what is inside, and what leaves no room."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sessionkit.testing import Limits
from sessionkit.testing._limits import value_bytes


def test_without_limits_everything_is_inside() -> None:
    limits = Limits()

    assert limits.allows_key("any\x00thing \ud800" * 1000)
    assert limits.allows_value("x" * 1_000_000)
    assert limits.declared == {}
    assert repr(limits) == "Limits()"


def test_keys_are_measured_in_bytes() -> None:
    limits = Limits(max_key_bytes=16)

    assert limits.allows_key("x" * 16)
    assert not limits.allows_key("x" * 17)
    assert limits.allows_key("é" * 8)
    assert not limits.allows_key("é" * 9)


def test_values_are_measured_as_compact_json() -> None:
    limits = Limits(max_value_bytes=256)

    assert value_bytes({"n": 1}) == len('{"n":1}')
    assert limits.allows_value("x" * 254)
    assert not limits.allows_value("x" * 255)


def test_an_alphabet_holds_forevery_character() -> None:
    limits = Limits(key_alphabet="[a-z0-9/-]")

    assert limits.allows_key("3/-100/t12")
    assert not limits.allows_key("A")
    assert not limits.allows_key("a\n")
    assert Limits(key_alphabet=".").allows_key("a\n")


def test_what_is_declared_can_be_listed() -> None:
    limits = Limits(durable=False, ttl=60)

    assert limits.declared == {"durable": False, "ttl": 60}
    assert repr(limits) == "Limits(durable=False, ttl=60)"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_key_bytes": 15}, "max_key_bytes must be at least 16, not 15"),
        ({"max_value_bytes": 0}, "max_value_bytes must be at least 256, not 0"),
        ({"key_alphabet": "[a-z"}, "not a regular expression"),
        ({"key_alphabet": "[a-z]"}, "does not match 0, 1, 2"),
        ({"key_alphabet": "abc0123456789-"}, "each single character"),
        ({"eventually_consistent": -1}, "seconds from 0, not -1"),
        ({"eventually_consistent": math.inf}, "seconds from 0"),
        ({"ttl": 0}, "seconds above 0, or None, not 0"),
        ({"ttl": math.nan}, "seconds above 0"),
    ],
)
def test_limits_that_leave_no_room_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        Limits(**options)

    assert text in str(caught.value)
