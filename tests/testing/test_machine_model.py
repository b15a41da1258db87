"""The model: what must be there, and what must become of a conditional write."""

from __future__ import annotations

import pytest

from sessionkit.testing import FakeClock, Limits
from sessionkit.testing._machine import pools
from sessionkit.testing._model import Entry, Model, Revisions, SeenRevision, Verdict

OLD, NEW = {"n": 1}, {"n": 2}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def model(clock: FakeClock) -> Model:
    return Model(clock, ttl=100)


def test_a_value_is_there_until_its_instant(model: Model, clock: FakeClock) -> None:
    model.write("1", OLD)
    model.write("2", OLD, clock() + 10)
    clock.advance(10)

    assert model.live() == {"1": OLD}
    assert model.expired() == ["2"]
    assert model.expired_for("2") == 0
    assert model.expired_for("1") is None
    assert model.expired_for("3") is None
    clock.advance(90)
    assert model.live() == {}
    assert model.expired_for("2") == 90


def test_what_is_there_shares_nothing(model: Model) -> None:
    value = {"n": [1]}
    model.write("1", value)
    value["n"].append(2)
    model.read("1")["n"].append(3)
    model.live()["1"]["n"].append(4)

    assert model.read("1") == {"n": [1]}


def test_deleting_leaves_nothing_behind(model: Model) -> None:
    model.write("1", OLD)
    model.delete("1")
    model.delete("1")

    assert model.read("1") is None
    assert model.entry("1") is None


def test_touching_renews_what_is_there(model: Model, clock: FakeClock) -> None:
    model.write("1", OLD)
    model.write("2", OLD, clock() + 1)
    clock.advance(60)
    model.touch("1")
    model.touch("2")
    clock.advance(60)

    assert model.live() == {"1": OLD}


def test_without_a_timeout_touching_changes_nothing(clock: FakeClock) -> None:
    model = Model(clock, ttl=None)
    model.write("1", OLD, clock() + 10)
    model.write("2", OLD)
    model.touch("1")
    clock.advance(10)

    assert model.live() == {"2": OLD}


def test_instants_that_count_no_more_are_worth_a_look(model: Model, clock: FakeClock) -> None:
    start = clock()
    model.write("1", OLD, start + 5)
    model.write("1", OLD)
    assert model.instants() == [start + 5, start + 100]
    clock.advance(5)
    assert model.instants() == [start + 100]


def test_a_value_tells_where_it_was_written(model: Model) -> None:
    model.write("1", 1)
    model.write("2", 1.0)
    model.write("3", True)

    assert model.keys_holding(1) == ["1"]


def seen_first(revisions: Revisions) -> SeenRevision:
    revisions.see("1", "r1", OLD)
    seen = revisions.pick("1", 0)
    assert seen is not None
    return seen


def entry(value: object) -> Entry:
    return Entry(value, None, has_own_expiry=False)


def test_what_did_not_change_is_written() -> None:
    revisions = Revisions()
    seen = seen_first(revisions)

    assert revisions.verdict("1", seen, entry(OLD), there=True) is Verdict.THROUGH
    assert revisions.verdict("1", seen, entry(OLD), there=False) is Verdict.EITHER


def test_what_changed_is_refused() -> None:
    revisions = Revisions()
    seen = seen_first(revisions)
    revisions.change("1")

    assert revisions.verdict("1", seen, entry(NEW), there=True) is Verdict.REFUSED
    assert revisions.verdict("1", seen, None, there=False) is Verdict.REFUSED
    assert revisions.verdict("1", seen, None, there=False, lapsed=True) is Verdict.EITHER
    assert revisions.verdict("1", seen, entry(NEW), there=True, lapsed=True) is Verdict.REFUSED


def test_the_same_content_may_have_the_same_revision() -> None:
    revisions = Revisions()
    seen = seen_first(revisions)
    revisions.change("1")

    assert revisions.verdict("1", seen, entry(OLD), there=True) is Verdict.EITHER


def test_what_may_change_a_revision_leaves_it_open() -> None:
    revisions = Revisions()
    seen = seen_first(revisions)
    revisions.doubt("1")

    assert revisions.verdict("1", seen, entry(OLD), there=True) is Verdict.EITHER


def test_other_keys_have_no_say() -> None:
    revisions = Revisions()
    seen = seen_first(revisions)
    revisions.change("2")

    assert revisions.verdict("1", seen, entry(OLD), there=True) is Verdict.THROUGH
    assert revisions.pick("2", 0) is None


def test_older_revisions_can_be_picked() -> None:
    revisions = Revisions()
    for name in ("r1", "r2", "r3"):
        revisions.see("1", name, OLD)

    picked = [revisions.pick("1", age) for age in range(4)]
    assert [seen and seen.revision for seen in picked] == ["r3", "r2", "r1", "r1"]


def test_pools_stay_inside_the_limits() -> None:
    limits = Limits(key_alphabet="[0-9-]", max_value_bytes=256)

    assert pools.key_groups(limits) == [("1", "01", "-1")]
    assert len(pools.key_groups(Limits())) == len(pools.CONFUSABLE)
    assert "x" * 5000 not in pools.values(limits)
    assert pools.values(Limits()) == pools.VALUES


def test_keys_of_a_group_differ() -> None:
    for group in pools.CONFUSABLE:
        assert len(set(group)) == len(group)


def test_prefixes_fit_and_do_not() -> None:
    assert pools.prefixes_of(("a*b", "c")) == ("", "a*b", "c", "a*", "a")
