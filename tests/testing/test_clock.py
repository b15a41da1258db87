"""A clock that moves only when a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionkit import MemorySessionStorage, enhance_storage
from sessionkit.testing.clock import START, FakeClock


def test_it_begins_with_2026() -> None:
    assert FakeClock()() == START == datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert FakeClock(0)() == 0


def test_it_does_not_move_by_itself() -> None:
    clock = FakeClock()

    assert clock() == clock()


@pytest.mark.parametrize("span", [90, 90.0, timedelta(minutes=1.5)])
def test_it_moves_when_asked(span: timedelta | float) -> None:
    clock = FakeClock(1000)

    clock.advance(span)
    clock.advance(0)

    assert clock() == 1090


@given(st.integers(1, 1000))
def test_many_small_steps_make_a_large_one(steps: int) -> None:
    clock, other = FakeClock(), FakeClock()

    for _ in range(steps):
        clock.advance(0.1)
    other.advance(steps / 10)

    assert clock() == other()


def test_it_keeps_whole_microseconds() -> None:
    clock = FakeClock(0.0000014)
    assert clock() == 0.000001

    clock.advance(0.0000014)
    assert clock() == 0.000002


def test_it_does_not_go_back() -> None:
    clock = FakeClock()

    with pytest.raises(ValueError, match=r"time does not go back: advance\(-1\)"):
        clock.advance(-1)

    assert clock() == START


@pytest.mark.parametrize("span", [float("nan"), float("inf")])
def test_time_is_finite(span: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        FakeClock().advance(span)
    with pytest.raises(ValueError, match="start must be finite"):
        FakeClock(span)


@pytest.mark.parametrize("span", ["60", None, True])
def test_a_span_is_a_number_or_a_timedelta(span: Any) -> None:
    with pytest.raises(TypeError, match="span must be a number of seconds"):
        FakeClock().advance(span)


def test_it_shows_the_time() -> None:
    assert repr(FakeClock(60)) == "<FakeClock at 1970-01-01 00:01:00+00:00>"


def test_a_value_is_gone_at_the_very_instant() -> None:
    clock = FakeClock()
    stores = (
        MemorySessionStorage(ttl=0.3, clock=clock),
        enhance_storage(MemorySessionStorage(), ttl=0.3, clock=clock),
    )
    for store in stores:
        store.write("1", 5)

    clock.advance(0.1)
    clock.advance(0.1)
    clock.advance(0.099)
    assert [store.read("1") for store in stores] == [5, 5]

    clock.advance(0.001)
    assert [store.read("1") for store in stores] == [None, None]
