"""Values as a person would write them."""

from __future__ import annotations

from typing import Any

import pytest

from sessionkit.testing._show import show, show_error

SPELLED = r"{'\N{KELVIN SIGN}\N{COMBINING RING ABOVE}': '\N{LATIN SMALL LETTER E WITH ACUTE}' * 50}"


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"n": 1}, "{'n': 1}"),
        ([1, "x", None], "[1, 'x', None]"),
        ({}, "{}"),
        ([], "[]"),
        ("x" * 300, "'x' * 300"),
        ("x" * 199 + "a", "'x' * 199 + 'a'"),
        ("ab" + "x" * 50 + "y" * 50 + "z", "'ab' + 'x' * 50 + 'y' * 50 + 'z'"),
        ({"\u212a\u030a": "é" * 50}, SPELLED),
        ("\ue000", r"'\ue000'"),
        (KeyError("🍕"), r"KeyError('\N{SLICE OF PIZZA}')"),
        ("ab" * 30, repr("ab" * 30)),
        ({"a": ["x" * 300]}, "{'a': ['x' * 300]}"),
        (("x",), "('x',)"),
        (lambda: None, "lambda: None"),
        (show, "show"),
    ],
)
def test_values_are_shown_as_source(value: Any, text: str) -> None:
    assert show(value) == text


def test_what_is_very_long_is_cut() -> None:
    text = show(list(range(1000)))

    assert len(text) < 300
    assert text.startswith("[0, 1, 2, 3")
    assert text.endswith("998, 999]")
    assert " ... " in text


def test_an_error_is_shown_as_a_traceback_ends() -> None:
    error = OSError(36, "File name too long", "x" * 254 + "é.json")

    assert show_error(error) == (
        "OSError: [Errno 36] File name too long: "
        r"'x...(254 times)\N{LATIN SMALL LETTER E WITH ACUTE}.json'"
    )


def test_addresses_are_left_out() -> None:
    assert show(object()) == "<object object>"


def test_what_cannot_be_printed_is_named() -> None:
    assert show(Unprintable()) == "<Unprintable, whose repr raises RuntimeError>"
