"""grammY and sessionkit live through the same random histories and end up with the same data.

What may differ is what ``Difference`` names, and nothing else; that each of these was met
is asserted too, so that a difference that is gone does not stay on the list.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, given, settings

from tests.grammy import install
from tests.grammy.bridge import Grammy, Options
from tests.grammy.changes import Append
from tests.grammy.compare import Difference, Enhancement
from tests.grammy.histories import (
    START_MS,
    Advance,
    Deploy,
    Event,
    Found,
    History,
    Setup,
    Update,
    histories,
)
from tests.grammy.pair import Pair
from tests.grammy.steps import (
    Assign,
    AssignPromise,
    AssignRejection,
    Guard,
    Increment,
    Raise,
    Read,
    SetField,
    Step,
    Touch,
)
from tests.profiles import thorough

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from tests.grammy.mirror import Kind, Place

install.skip_module_unless_available()

LIMITS = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # to shrink a history that fails, take this out: it takes minutes
)
START: dict[str, Any] = {"n": 1, "list": []}


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def live(grammy: Grammy, runner: asyncio.Runner, history: History) -> Counter[Difference]:
    """Let both sides live through *history*; return what differed, as it may."""
    pair = Pair(grammy, runner, history)
    pair.live(history.events)
    return pair.seen


@pytest.mark.parametrize("kind", ["strict", "lazy", "multi"])
@pytest.mark.parametrize("examples", [40, thorough(200)])
def test_random_histories_end_in_the_same_data(
    running_grammy: Grammy, runner: asyncio.Runner, kind: Kind, examples: int
) -> None:
    @settings(LIMITS, max_examples=examples)
    @given(histories(kind))
    def check(history: History) -> None:
        live(running_grammy, runner, history)

    check()


# --- one history that meets everything, for certain ---------------------------------------


def update(*steps: Step, place: Place = "flavor", chat: int | None = 1) -> Update:
    return Update(steps, chat, 3, place, (), "ours")


ADVENTURES: list[Event] = [
    update(Read()),
    update(Read(), place="object"),
    update(Assign(None)),
    Found("", 1, 3, START),
    update(Increment("n"), place="mapping"),
    update(Increment("n"), place="object"),
    update(Increment("n"), SetField("x", 1), place="object"),
    update(Assign(None), place="object"),
    Found("", 1, 3, START),
    update(Increment("n"), Raise("boom"), place="object"),
    update(Read()),
    update(Touch()),
    update(Assign(None)),
    update(Read(), Assign(None)),
    Deploy(),
    Found("", 1, 3, START),
    update(Read()),
    Found("", 1, 3, {"__d": START, "e": START_MS + 8}),
    Advance(14),
    update(Read()),
    Deploy(),
    Found("", 1, 3, {"__d": START, "e": START_MS + 2000}),
    update(),
    update(Read()),
    update(Assign(dict(START)), Raise("boom")),
    update(Guard((SetField("x", 1), Raise("bang"))), Read()),
    update(Read(), chat=None),
]
RELEASES = (None, Enhancement(1000), Enhancement(1000, {1: [Append("list", 1)]}))


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("kind", ["strict", "lazy"])
def test_a_long_history_meets_each_difference(
    running_grammy: Grammy, runner: asyncio.Runner, kind: Kind, recorded: bool
) -> None:
    setup = Setup(kind, {"": Options(START)}, "absent", False, recorded, RELEASES)
    events = list(ADVENTURES)
    if kind == "lazy":
        events += [update(AssignPromise(START)), update(AssignRejection("boom"), place="object")]

    seen = live(running_grammy, runner, History(setup, tuple(events)))

    only_lazy, only_strict = {Difference.UNAWAITED}, {Difference.MIGRATED}
    others = only_strict if kind == "lazy" else only_lazy
    assert set(seen) == set(Difference) - {Difference.KEYS_FIRST} - others


def test_a_failing_key_function_is_met_in_a_multi_session(
    running_grammy: Grammy, runner: asyncio.Runner
) -> None:
    fragments = {"a": Options(prefix="a-"), "b": Options(prefix="b-", key="failing")}
    setup = Setup("multi", fragments, "None", True, True, (None,))

    seen = live(running_grammy, runner, History(setup, (update(),)))

    assert set(seen) == {Difference.KEYS_FIRST}


# --- a mismatch without a name is found ---------------------------------------------------


@pytest.mark.parametrize("kind", ["strict", "lazy"])
def test_data_that_differs_is_found(
    running_grammy: Grammy, runner: asyncio.Runner, kind: Kind
) -> None:
    setup = Setup(kind, {"": Options(START)}, "None", False, True, (None,))
    pair = Pair(running_grammy, runner, History(setup, ()))
    pair.theirs[""].write("1", {"n": 1})
    pair.ours[""].put("1", {"n": True})

    with pytest.raises(AssertionError):
        pair.live([update(Read())])


def test_a_write_too_many_is_found(running_grammy: Grammy, runner: asyncio.Runner) -> None:
    setup = Setup("strict", {"": Options(START)}, "None", False, True, (None,))
    pair = Pair(running_grammy, runner, History(setup, ()))
    runner.run(pair.ours[""].storage.write("2", START))

    with pytest.raises(AssertionError):
        pair.live([update(Read())])
