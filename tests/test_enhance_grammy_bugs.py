"""The weaknesses found in grammY 1.46's ``enhanceStorage``: here each is shown to be none.

The numbers 12 to 23 are those of the list that was made of them; rules 26 to 29, at the
end, are what is the same as in grammY.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from sessionkit._storage.sync_or_async import resolve
from sessionkit.enhance import enhance_storage
from sessionkit.errors import NewerVersionError, SessionConflictError, SessionMigrationError
from sessionkit.storages.memory import MemorySessionStorage
from tests.enhanced import Clock, Full, Listed, Plain, PlainAsync, at_once, listed, tracked


def append(text: str) -> Callable[[str], str]:
    def migrate(data: str) -> str:
        return data + text

    return migrate


def test_12_fractional_versions_are_versions_of_their_own() -> None:
    storage = enhance_storage(
        Plain(a=""), migrations={1: append("one "), 1.5: append("half "), 4: append("four")}
    )

    assert storage.read("a") == "one half four"


def test_12_a_single_fractional_version_works() -> None:
    inner = Plain(a="")
    storage = enhance_storage(inner, migrations={1.5: append("half")})

    storage.write("a", at_once(storage.read("a")))

    assert inner.stored["a"] == {"v": 1.5, "__d": "half"}
    assert storage.read("a") == "half"


def test_12_10_1_lies_between_10_and_11() -> None:
    migrations = {11: append("11"), "10.1": append("10.1 "), 10: append("10 ")}
    inner = Plain(a={"v": 10, "__d": ""}, b={"v": 10.1, "__d": ""})
    storage = enhance_storage(inner, migrations=migrations)

    assert [storage.read(key) for key in "ab"] == ["10.1 11", "11"]


def test_12_a_version_that_is_not_a_number_is_refused_at_set_up() -> None:
    with pytest.raises(ValueError, match="'one'"):
        enhance_storage(Plain(), migrations={"one": append("1")})


def test_12_what_grammy_stored_with_such_a_version_is_migrated_from_the_start() -> None:
    stored = json.loads('{"v": null, "__d": ""}')

    assert enhance_storage(Plain(a=stored), migrations={1: append("1")}).read("a") == "1"


def test_13_what_the_storage_can_do_beside_the_three_methods_is_kept() -> None:
    storage = enhance_storage(Listed(a=1, b={"__d": 2}), ttl=1)

    assert storage.has("a")
    assert listed(storage.iter_keys()) == ["a", "b"]
    assert listed(storage.iter_items()) == [("a", 1), ("b", 2)]


def test_14_data_of_a_newer_version_is_neither_given_out_nor_stamped_as_older() -> None:
    newer = {"v": 99, "__d": "new shape"}
    inner = Full(a=newer)
    storage = enhance_storage(inner, migrations={1: append("1")})

    with pytest.raises(NewerVersionError):
        storage.read("a")
    with pytest.raises(SessionConflictError):
        storage.write_if("a", "old shape", None)

    assert inner.stored == {"a": newer}


def test_15_async_migrations_may_be_followed_by_sync_ones() -> None:
    async def double(data: int) -> int:
        await asyncio.sleep(0)
        return data * 2

    async def scenario() -> Any:
        storage = enhance_storage(
            PlainAsync(a=5), migrations={1: double, 2: lambda data: data + 1, 3: double}
        )
        return await resolve(storage.read("a"))

    assert asyncio.run(scenario()) == 22


def test_16_a_migrated_value_says_that_it_has_to_be_written_and_then_is_migrated_no_more() -> None:
    runs: list[str] = []

    def migrate(data: str) -> str:
        runs.append(data)
        return data + "1"

    storage = enhance_storage(Full(a=""), migrations={1: migrate})

    data, revision = tracked(storage, "a")
    assert revision.migrated
    storage.write_if("a", data, revision)
    data, revision = tracked(storage, "a")

    assert (data, revision.migrated) == ("1", False)
    assert runs == [""]


def test_16_a_failing_migration_names_key_and_version_and_keeps_the_value() -> None:
    def fail(data: Any) -> Any:
        data["pets"] = data.pop("petNames")
        return data["missing"]

    inner = Plain(a={"petNames": ["Rex"]})
    storage = enhance_storage(inner, migrations={2: fail})

    with pytest.raises(SessionMigrationError) as error:
        storage.read("a")

    assert (error.value.key, error.value.version) == ("a", 2)
    assert inner.stored == {"a": {"petNames": ["Rex"]}}
    storage.delete("a")
    assert storage.read("a") is None


def test_17_reading_never_writes_and_never_deletes() -> None:
    inner = Full(expired={"__d": 1, "e": 0}, legacy=1, old={"__d": "", "v": 0})
    storage = enhance_storage(inner, ttl=1, migrations={1: lambda data: data})

    for key in ("expired", "legacy", "old"):
        storage.read(key)
        storage.read_with_revision(key)
        storage.has(key)
    storage.read_many(["expired", "legacy"])
    listed(storage.iter_items())

    assert set(inner.calls) == {"read"}


def test_17_a_value_written_while_its_expired_forerunner_is_read_survives() -> None:
    inner = Full(a={"__d": "old", "e": 0})
    storage = enhance_storage(inner, ttl=1, clock=Clock())

    inner.meddle_after_read = lambda: storage.write("a", "fresh")
    data, revision = at_once(storage.read_with_revision("a"))

    assert data is None
    assert storage.read("a") == "fresh"
    with pytest.raises(SessionConflictError):
        storage.write_if("a", "initial", revision)
    assert storage.read("a") == "fresh"


@pytest.mark.parametrize("inner", [Full(), MemorySessionStorage()])
def test_18_what_is_never_read_again_can_be_purged(inner: Any) -> None:
    clock = Clock()
    storage = enhance_storage(inner, ttl=1, clock=clock)
    for n in range(100):
        storage.write(str(n), n)
    clock.now += 1
    storage.write("fresh", 1)

    assert storage.purge_expired() == 100
    assert listed(inner.iter_keys()) == ["fresh"]


def test_19_without_sliding_the_timeout_runs_from_the_last_change_whatever_is_read() -> None:
    clock = Clock()
    storage = enhance_storage(Full(), ttl=10, clock=clock)
    storage.write("a", 1)

    for _ in range(9):
        clock.now += 1
        assert tracked(storage, "a")[0] == 1
    clock.now += 1

    assert storage.read("a") is None


def test_19_with_sliding_a_use_that_changes_nothing_renews() -> None:
    clock = Clock()
    storage = enhance_storage(Full(), ttl=10, sliding=True, clock=clock)
    storage.write("a", 1)

    for _ in range(5):
        clock.now += 9
        _, revision = tracked(storage, "a")
        storage.renew("a", revision)

    assert storage.read("a") == 1


def test_19_a_shorter_ttl_takes_hold_at_the_next_use_of_a_sliding_session() -> None:
    clock = Clock()
    inner = Full()
    enhance_storage(inner, ttl=1000, clock=clock).write("a", 1)
    storage = enhance_storage(inner, ttl=10, sliding=True, clock=clock)

    storage.renew("a", tracked(storage, "a")[1])
    clock.now += 10

    assert storage.read("a") is None


def test_19_an_expired_value_stays_expired_when_the_ttl_option_is_removed() -> None:
    clock = Clock()
    inner = Full()
    enhance_storage(inner, ttl=1, clock=clock).write("a", 1)
    clock.now += 1

    storage = enhance_storage(inner, clock=clock)

    assert storage.read("a") is None
    assert not storage.has("a")
    assert listed(storage.iter_keys()) == []
    assert storage.purge_expired() == 1


@pytest.mark.parametrize("ttl", [math.inf, math.nan, 0, -1])
def test_20_a_ttl_that_is_none_is_refused_at_set_up(ttl: float) -> None:
    with pytest.raises(ValueError, match="ttl"):
        enhance_storage(Plain(), ttl=ttl)


def test_20_the_null_that_grammy_stored_for_such_an_expiry_expires_nothing() -> None:
    inner = Full(a=json.loads('{"__d": 1, "e": null}'))
    clock = Clock()
    storage = enhance_storage(inner, ttl=1, clock=clock)

    assert storage.read("a") == 1
    assert storage.purge_expired() == 0
    storage.write("a", 2)
    clock.now += 1
    assert storage.read("a") is None


def test_20_at_the_very_millisecond_of_expiry_the_value_is_gone() -> None:
    storage = enhance_storage(Plain(a={"__d": 1, "e": 1_000_000_000}), clock=Clock(1_000_000.0))

    assert storage.read("a") is None


def test_21_the_value_given_to_write_is_not_changed() -> None:
    value = {"n": 1}

    enhance_storage(Plain(), ttl=1, migrations={1: append("1")}).write("a", value)

    assert value == {"n": 1}


def test_22_data_that_merely_has_a_field_of_that_name_is_kept_whole() -> None:
    data = {"__d": 1, "name": "Rex"}
    inner = Plain(a=data)
    storage = enhance_storage(inner, ttl=1)

    assert storage.read("a") == data
    storage.write("a", data)
    assert inner.stored["a"]["__d"] == data
    assert storage.read("a") == data


def test_23_enhancing_twice_is_refused_with_advice() -> None:
    once = enhance_storage(Plain(), ttl=1)

    with pytest.raises(TypeError, match="give ttl and migrations in one call"):
        enhance_storage(once, migrations={1: append("1")})


# What is the same.


def test_rule_26_without_options_the_data_is_wrapped_and_legacy_data_passes_through() -> None:
    inner = Plain(legacy={"n": 1})
    storage = enhance_storage(inner)

    storage.write("a", {"__d": {"__d": 1}})

    assert inner.stored["a"] == {"__d": {"__d": {"__d": 1}}}
    assert storage.read("a") == {"__d": {"__d": 1}}
    assert storage.read("legacy") == {"n": 1}
    assert storage.read("never") is None


def test_rule_27_a_write_is_one_write_and_a_delete_one_delete() -> None:
    inner = Plain()
    storage = enhance_storage(inner, ttl=1, migrations={1: append("1"), 3: append("3")})
    storage = enhance_storage(inner, ttl=60, migrations={3: append("3")}, clock=Clock(0))

    storage.write("a", "x")
    assert inner.stored["a"] == {"v": 3, "__d": "x", "e": 60_000}
    storage.delete("a")

    assert inner.calls == ["write", "delete"]


def test_rule_29_exactly_the_migrations_after_the_stored_version_run() -> None:
    inner = Plain(none=0, three={"__d": 5, "v": 3}, newest={"__d": 42, "v": 12}, gap={"__d": 5})
    inner.stored["gap"]["v"] = 8
    storage = enhance_storage(
        inner,
        migrations={12: lambda n: n * 5, 1: lambda n: n + 70, 3: lambda n: n + 10},
    )

    read = [storage.read(key) for key in ("none", "three", "newest", "gap", "never")]

    assert read == [400, 25, 42, 25, None]
