"""Somebody else wrote in between: raise, overwrite, merge, try again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from sessionkit import (
    MemorySessionStorage,
    SessionConflictError,
    SessionDecodeError,
    SessionEncodeError,
    merge_fields,
    session,
)
from tests.core import Live, Pet, Remote, counters, free, run

Data = dict[str, Any]


@pytest.mark.parametrize("before", [None, {"n": 5}])
@pytest.mark.parametrize("theirs", [None, {"n": 6}])
def test_a_clash_raises_and_what_is_stored_stays(storage: Any, before: Any, theirs: Any) -> None:
    async def main() -> None:
        sessions = counters(storage, prefix="p-")
        if before:
            storage.sync.write("p-1", before)
        if before == theirs:
            return
        with pytest.raises(SessionConflictError) as caught:
            async with sessions.open(1) as opened:
                if theirs:
                    storage.sync.write("p-1", theirs)
                else:
                    storage.sync.delete("p-1")
                opened.data["n"] = 7
        assert caught.value.key == "p-1"
        for advice in ("Several workers? A lock waits", "merge_fields merges", "update() retries"):
            assert advice in str(caught.value)
        assert storage.sync.read("p-1") == theirs
        assert free(sessions)

    run(main())


def test_a_value_that_was_written_back_equal_loses_nothing(storage: Any) -> None:
    async def main() -> None:
        storage.sync.write("1", {"n": 5})
        sessions = counters(storage)
        try:
            async with sessions.open(1) as opened:
                storage.sync.write("1", {"n": 6})
                storage.sync.write("1", {"n": 5})
                opened.data["n"] += 1
        except SessionConflictError:
            assert storage.sync.read("1") == {"n": 5}
        else:
            assert storage.sync.read("1") == {"n": 6}

    run(main())


def test_unchanged_data_does_not_clash(storage: Any) -> None:
    async def main() -> None:
        async with counters(storage).open(1):
            storage.sync.write("1", {"n": 6})
        assert storage.sync.read("1") == {"n": 6}

    run(main())


def test_overwriting_takes_mine(storage: Any) -> None:
    async def main() -> None:
        async with counters(storage, on_conflict="overwrite").open(1) as opened:
            storage.sync.write("1", {"n": 6})
            opened.data["n"] = 7
            await opened.save()
            opened.data["n"] = 8
        assert storage.sync.read("1") == {"n": 8}

    run(main())


def test_a_function_merges_what_was_read_what_is_there_and_mine(storage: Any) -> None:
    seen: list[Any] = []

    async def merge(base: Data, theirs: Data, mine: Data) -> Data:
        seen.append((dict(base), dict(theirs), dict(mine)))
        return {"n": theirs["n"] + mine["n"] - base["n"]}

    async def main() -> None:
        storage.sync.write("1", {"n": 10})
        async with counters(storage, on_conflict=merge).open(1) as opened:
            storage.sync.write("1", {"n": 15})
            opened.data["n"] += 1
            await opened.save()
            assert opened.data == {"n": 16}
            assert not opened.is_changed
        assert seen == [({"n": 10}, {"n": 15}, {"n": 11})]
        assert storage.sync.read("1") == {"n": 16}

    run(main())


@pytest.mark.parametrize("spoil", ["base", "theirs", "mine", None])
def test_clash_after_clash_counts_every_change_once(spoil: str | None) -> None:
    storage = Remote(**{"1": {"n": 10}})
    rounds: list[int] = []

    def merge(base: Data, theirs: Data, mine: Data) -> Data:
        rounds.append(theirs["n"])
        merged = {"n": theirs["n"] + mine["n"] - base["n"]}
        if len(rounds) < 4:
            storage.put("1", {"n": theirs["n"] + 100})
        if spoil:
            {"base": base, "theirs": theirs, "mine": mine}[spoil]["n"] = -1
        return merged

    async def main() -> None:
        async with counters(storage, on_conflict=merge).open(1) as opened:
            storage.put("1", {"n": 110})
            opened.data["n"] += 1
        assert rounds == [110, 210, 310, 410]
        assert storage.value("1") == {"n": 411}

    run(main())


def test_after_a_merge_revert_leads_to_what_the_others_wrote() -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"n": 10}})
        async with counters(storage, on_conflict=merge_fields).open(1) as opened:
            storage.put("1", {"n": 10, "x": 1})
            storage.fail("write", 2)
            opened.data["n"] = 11
            with pytest.raises(OSError, match="write failed"):
                await opened.save()
            assert opened.data == {"n": 11, "x": 1}
            opened.revert()
            assert opened.data == {"n": 10, "x": 1}
            opened.data["n"] = 12
        assert storage.value("1") == {"n": 12, "x": 1}

    run(main())


def test_merging_ends_after_ten_clashes() -> None:
    storage = Remote(**{"1": {"n": 0}})

    def merge(base: Data, theirs: Data, mine: Data) -> Data:
        storage.put("1", {"n": theirs["n"] + 1})
        return mine

    async def main() -> None:
        sessions = counters(storage, on_conflict=merge)
        with pytest.raises(SessionConflictError, match="changed elsewhere 10 times"):
            async with sessions.open(1) as opened:
                storage.put("1", {"n": 100})
                opened.data["n"] = -1
        assert storage.value("1") == {"n": 109}
        assert storage.count("write") == 10
        assert free(sessions)

    run(main())


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [(None, {"n": 6}, {"n": 6}), ({"n": 7}, None, {"n": 7}), (None, {"n": 6}, None)],
)
def test_none_means_missing_in_a_merge(storage: Any, mine: Any, theirs: Any, expected: Any) -> None:
    async def main() -> None:
        storage.sync.write("1", {"n": 5})

        def merge(base: Any, other: Any, own: Any) -> Any:
            assert (base, other, own) == ({"n": 5}, theirs, mine)
            return expected

        async with counters(storage, on_conflict=merge).open(1) as opened:
            if theirs:
                storage.sync.write("1", theirs)
            else:
                storage.sync.delete("1")
            opened.data = mine
        assert storage.sync.read("1") == expected

    run(main())


def test_two_beginnings_of_a_chat_have_its_initial_data_in_common(storage: Any) -> None:
    def merge(base: Any, theirs: Data, mine: Data) -> Data:
        assert base == {"n": 0}
        return {"n": theirs["n"] + mine["n"]}

    async def main() -> None:
        async with counters(storage, on_conflict=merge).open(1) as opened:
            storage.sync.write("1", {"n": 3})
            opened.data["n"] = 4
        assert storage.sync.read("1") == {"n": 7}

    run(main())


def test_a_merge_that_fails_or_gives_nonsense_writes_nothing() -> None:
    def fail(base: Any, theirs: Any, mine: Any) -> Any:
        raise ZeroDivisionError

    def nonsense(base: Any, theirs: Any, mine: Any) -> Any:
        return {"x": object()}

    def changing(base: Any, theirs: Any, mine: Any) -> Any:
        return {"x": (1, 2)}  # a list, when it comes back

    async def main() -> None:
        for merge, error in (
            (fail, ZeroDivisionError),
            (nonsense, SessionEncodeError),
            (changing, SessionEncodeError),
        ):
            storage = Remote(**{"1": {"n": 5}})
            sessions = counters(storage, on_conflict=merge)
            with pytest.raises(error):
                async with sessions.open(1) as opened:
                    storage.put("1", {"n": 6})
                    opened.data["n"] = 7
            assert storage.value("1") == {"n": 6}
            assert free(sessions)

    run(main())


def test_a_failing_read_in_a_merge_writes_nothing() -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"n": 5}})
        sessions = counters(storage, on_conflict=merge_fields)
        storage.fail("read", 2)
        with pytest.raises(OSError, match="read failed"):
            async with sessions.open(1) as opened:
                storage.put("1", {"n": 6})
                opened.data["n"] = 7
        assert storage.value("1") == {"n": 6}
        assert storage.count("write") == 1
        assert free(sessions)

    run(main())


def test_what_the_others_wrote_is_kept_if_it_cannot_be_read_for_a_merge() -> None:
    async def main() -> None:
        storage = MemorySessionStorage()
        sessions = session(Pet, storage=storage, on_conflict=merge_fields, prefix="p-")
        storage.write("p-1", {"name": "Rex"})
        with pytest.raises(SessionDecodeError) as caught:
            async with sessions.open(1) as opened:
                storage.write("p-1", {"name": 5})
                opened.data.name = "Ada"
        assert caught.value.key == "p-1"
        assert storage.read("p-1") == {"name": 5}
        assert free(sessions)

    run(main())


def test_a_merge_keeps_stored_fields_that_only_the_others_know() -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"name": "Rex", "age": 1, "old": 1}})
        async with session(Pet, storage=storage, on_conflict=merge_fields).open(1) as opened:
            storage.put("1", {"name": "Rex", "age": 2, "new": 2})
            opened.data.name = "Max"
        assert storage.value("1") == {"name": "Max", "age": 2, "new": 2}

    run(main())


@dataclass
class Friends:
    first: Pet = field(default_factory=Pet)
    second: Pet = field(default_factory=Pet)
    others: list[Pet] = field(default_factory=list[Pet])


def test_what_a_merge_moves_or_makes_leaves_others_what_they_had() -> None:
    """What a merge puts into one place twice, or into a new one, has the fields of no other."""

    def same_twice(base: Any, theirs: Friends, mine: Friends) -> Friends:
        return Friends(mine.first, mine.first, [Pet("New")])

    async def main() -> None:
        stored = {"first": {"name": "Rex", "age": 1, "old": 1}, "second": {"name": "Max"}}
        storage = Remote(**{"1": stored})
        async with session(Friends, storage=storage, on_conflict=same_twice).open(1) as opened:
            storage.put("1", stored | {"second": {"name": "Moritz"}})
            opened.data.first.age = 2
        rex = {"name": "Rex", "age": 2, "old": 1}
        assert storage.value("1") == {
            "first": rex,
            "second": rex,
            "others": [{"name": "New", "age": 0}],
        }

    run(main())


def test_a_merge_function_needs_a_storage_that_can_notice() -> None:
    with pytest.raises(ValueError, match="a storage cannot notice conflicts"):
        counters(Live(), on_conflict=merge_fields)
    with pytest.raises(ValueError, match="a storage cannot notice conflicts"):
        counters(Remote(), on_conflict=merge_fields).with_storage(Live())


def test_without_revisions_the_last_one_wins() -> None:
    async def main() -> None:
        storage = Live(**{"1": {"n": 5}})
        for choice in ("raise", "overwrite"):
            async with counters(storage, on_conflict=choice).open(1) as opened:
                storage.write("1", {"n": 6})
                opened.data = {"n": choice}
            assert storage.values["1"] == {"n": choice}

    run(main())


# merge_fields


def test_fields_that_one_side_changed_take_that_change() -> None:
    base = {"a": 1, "b": 2, "c": 3, "d": 4, "deep": {"x": 1, "y": 1}}
    theirs = {"a": 9, "b": 2, "d": 4, "e": 5, "deep": {"x": 2, "y": 1}}
    mine = {"a": 1, "b": 8, "c": 3, "f": 6, "deep": {"x": 1, "y": 2}}
    merged = {"a": 9, "b": 8, "e": 5, "f": 6, "deep": {"x": 2, "y": 2}}
    assert merge_fields(base, theirs, mine) == merged


@pytest.mark.parametrize(
    ("base", "theirs", "mine", "merged"),
    [
        (1, 1, 2, 2),
        (1, 2, 1, 2),
        ({"a": 1}, None, None, None),
        ({"a": None}, {"a": None}, {"a": None}, {"a": None}),
        ({"a": 1}, {"a": None}, {"a": None}, {"a": None}),
        ({"a": 1}, {"a": 1}, None, None),
        ({"a": 1}, None, {"a": 1}, None),
        (None, {"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        (None, {}, {}, {}),
        ({"a": 1}, {}, {}, {}),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, {"a": {"b": 1}, "c": 1}, {"a": {"b": 2}, "c": 1}),
        ({"a": 1}, {"a": {"x": 1}}, {"a": {"y": 1}}, {"a": {"x": 1, "y": 1}}),
    ],
)
def test_merging(base: Any, theirs: Any, mine: Any, merged: Any) -> None:
    assert merge_fields(base, theirs, mine) == merged


@pytest.mark.parametrize(
    ("base", "theirs", "mine", "text"),
    [
        (
            {"a": 1},
            {"a": 2},
            {"a": 3},
            "session.data['a'] was changed both here and elsewhere",
        ),
        ({"a": 1}, {"a": True}, {"a": 1.0}, "data['a'] was changed both here and elsewhere"),
        ({"a": 1}, {"a": 2}, {"a": 2}, "data['a'] was changed both here and elsewhere"),
        (None, {"a": 1}, {"a": 1}, "data['a'] was changed both here and elsewhere"),
        (
            {"a": {"b": 1}},
            {"a": {"b": 2}},
            {"a": {}},
            "['a']['b'] was changed both here and elsewhere",
        ),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 3]}, "['a'] was changed both here and elsewhere"),
        ({"a": 1}, {"a": 2}, None, "session.data was changed both here and elsewhere"),
        (
            Pet(age=1),
            Pet(age=2),
            Pet(age=3),
            "session.data.age was changed both here and elsewhere",
        ),
        (None, Pet(age=2), Pet(age=3), "session.data.name was changed both here and elsewhere"),
        (None, Pet(age=2), {"age": 2}, "session.data was changed both here and elsewhere"),
    ],
)
def test_a_field_that_both_changed_raises(base: Any, theirs: Any, mine: Any, text: str) -> None:
    with pytest.raises(SessionConflictError) as caught:
        merge_fields(base, theirs, mine)
    assert text in str(caught.value)
    assert "on_conflict=your_function(base, theirs, mine)" in str(caught.value)


def test_a_conflict_in_a_merge_names_the_key() -> None:
    async def main() -> None:
        storage = Remote(**{"p-1": {"n": 5}})
        with pytest.raises(SessionConflictError, match="changed both here") as caught:
            async with counters(storage, prefix="p-", on_conflict=merge_fields).open(1) as opened:
                storage.put("p-1", {"n": 6})
                opened.data["n"] = 7
        assert caught.value.key == "p-1"

    run(main())


@dataclass(frozen=True, slots=True)
class Frozen:
    a: int
    b: list[int] = field(default_factory=list[int])
    c: int = field(init=False, default=0)


def frozen(a: int, c: int) -> Frozen:
    made = Frozen(a)
    object.__setattr__(made, "c", c)
    return made


@dataclass
class Later:
    a: int
    never_set: int = field(init=False, repr=False, compare=False)


def test_dataclasses_are_merged_field_by_field_those_without_init_too() -> None:
    assert merge_fields(Pet("a", 1), Pet("a", 2), Pet("b", 1)) == Pet("b", 2)
    merged = merge_fields(frozen(1, 1), frozen(2, 1), frozen(1, 5))
    assert merged == frozen(2, 5)
    base, theirs, mine = Later(1), Later(1), Later(1)
    theirs.extra = mine.other = 1  # type: ignore[attr-defined]  # makes them differ
    assert not hasattr(merge_fields(base, theirs, mine), "never_set")


def test_what_cannot_be_copied_is_compared() -> None:
    def function() -> None:
        pass

    one, other = {"f": function, "a": 1}, {"f": function, "a": 2}
    assert merge_fields(one, dict(one), other) == other
    with pytest.raises(SessionConflictError):
        merge_fields({"f": function}, {"f": lambda: None}, {"f": lambda: None})
