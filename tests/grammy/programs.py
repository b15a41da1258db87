"""Random data and random handlers that both sides can be compared in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

from hypothesis import strategies as st

from tests.grammy.steps import (
    AppendTo,
    Assign,
    AssignDerived,
    AssignPromise,
    AssignRejection,
    DeleteField,
    Guard,
    Increment,
    Raise,
    Read,
    ReadTouched,
    SetField,
    Step,
    Touch,
    Turn,
)
from tests.grammy.wire import JSON, UNDEFINED

if TYPE_CHECKING:
    from tests.grammy.mirror import Kind

T = TypeVar("T")


def weighted(*choices: tuple[int, st.SearchStrategy[T]]) -> st.SearchStrategy[T]:
    """Like ``st.one_of``, which counts a strategy once however often it is given."""
    often = [number for number, (weight, _) in enumerate(choices) for _ in range(weight)]
    return st.sampled_from(often).flatmap(lambda number: choices[number][1])


# --- data ---------------------------------------------------------------------------------

# Data always has a number "n" and a "list", so that no step meets JavaScript's arithmetic.
TEXT = st.sampled_from(["", "a", "ä\U0001f355", "\u2028", "__proto__x"])
LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | TEXT
NESTED = LEAVES | st.lists(LEAVES, max_size=2) | st.dictionaries(TEXT, LEAVES, max_size=2)
FALSY = st.sampled_from([0, "", False])


@st.composite
def _documents(draw: st.DrawFn) -> dict[str, JSON]:
    """Return data with the fields that steps and changes work on."""
    data: dict[str, JSON] = {
        "n": draw(st.integers(-2, 2)),
        "list": draw(st.lists(LEAVES, max_size=2)),
    }
    return {
        **data,
        **draw(st.dictionaries(st.sampled_from(["x", "y", "v", "e"]), NESTED, max_size=2)),
    }


DOCUMENTS: Final = _documents()


# --- programs -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Situation:
    """What the steps of a handler may be.

    Attributes:
        scalars: Whether data may be no object, which no change could work on.
        in_flight: Whether a read may be under way while the handler goes on.  With a
            timeout, what grammY's enhancer writes then could undo an assignment.
        reads_work: Whether the storage can be read.  grammY raises a failed read
            at the end of the update again, though it was caught.
    """

    kind: Kind
    names: tuple[str, ...]
    has_key: bool
    scalars: bool
    in_flight: bool
    reads_work: bool = True


@cache
def _in_place(at: str) -> st.SearchStrategy[Step]:
    return st.one_of(
        st.builds(Increment, st.just("n"), st.integers(-1, 1), at=st.just(at)),
        st.builds(AppendTo, st.just("list"), LEAVES, at=st.just(at)),
        st.builds(SetField, st.sampled_from(["x", "y"]), NESTED, at=st.just(at)),
        st.builds(SetField, st.just("n"), st.integers(0, 2), at=st.just(at)),
        st.builds(DeleteField, st.sampled_from(["x", "y"]), at=st.just(at)),
    )


@cache
def _assignments(situation: Situation, at: str) -> st.SearchStrategy[Step]:
    gone = st.sampled_from([None, UNDEFINED])
    scalars = FALSY if situation.scalars else gone
    values: st.SearchStrategy[JSON] = weighted((4, DOCUMENTS), (1, scalars), (1, gone))
    return st.builds(Assign, values, at=st.just(at))


@cache
def _groups(situation: Situation, at: str) -> st.SearchStrategy[tuple[Step, ...]]:
    """Steps that come together."""
    one = st.just(Read(at=at)) | _in_place(at) | _assignments(situation, at)
    groups = [one.map(_alone), st.just((Read(at=at), Read(at=at)))]
    if situation.kind != "lazy":
        groups += [st.just((Touch(at=at),)), st.just((ReadTouched(at=at),))]
    elif situation.has_key:
        groups.append(st.just((Touch(), ReadTouched())))
        if situation.in_flight:
            groups.append(st.just((Touch(),)))
        promises = DOCUMENTS.map(AssignPromise)
        derived = st.builds(AssignDerived, st.sampled_from(["x", "y"]), LEAVES)
        groups += [promises.map(_alone), st.tuples(promises, derived)]
    return st.one_of(groups)


def _alone(step: Step) -> tuple[Step, ...]:
    return (step,)


@st.composite
def programs(draw: st.DrawFn, situation: Situation, depth: int = 0) -> tuple[Step, ...]:
    """Return the steps of a handler."""
    steps: list[Step] = []
    is_promise = situation.kind == "lazy" and situation.has_key and situation.reads_work
    if is_promise and situation.in_flight and not depth and draw(RARELY):
        # Once data was read, what grammY's session gives is the data, not a promise.
        steps += [Touch(), draw(_assignments(situation, "")), ReadTouched()]
    for _ in range(draw(st.integers(0, 5 - 2 * depth))):
        steps += draw(_some(situation, depth))
    if draw(st.integers(0, 7)) == 0:
        steps.append(Raise(draw(st.sampled_from(["boom", "bang"]))))
    elif situation.kind == "lazy" and situation.has_key and not depth and draw(RARELY):
        steps.append(AssignRejection("rejected"))
    return tuple(steps)


RARELY: Final = st.integers(0, 9).map(lambda n: n == 0)


@cache
def _some(situation: Situation, depth: int) -> st.SearchStrategy[tuple[Step, ...]]:
    some = [_groups(situation, name) for name in situation.names]
    some.append(st.just((Turn(),)))
    if situation.reads_work and depth < 2:
        inner = programs(situation, depth + 1)
        some.append(inner.map(lambda steps: (Guard(steps),)))
    return st.one_of(some)
