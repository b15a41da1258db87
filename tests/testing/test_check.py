"""The kit without pytest: reports, for people and for programs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from sessionkit.testing import Limits, Report, check_storage
from sessionkit.testing import _check as module
from sessionkit.testing._promises import Promise, promises
from tests.testing.reference import Disk, Reference, promise_named
from tests.testing.variants import Bare

IN_MEMORY = Limits(shared=False, durable=False)
ASKED = ("missing_is_none", "deleting_a_missing_key_does_nothing", "has_reports_what_is_stored")


@pytest.fixture(autouse=True)
def _few_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "promises", lambda: tuple(map(promise_named, ASKED)))


class Careless(Bare):
    def delete(self, key: str) -> None:
        del self.rows[key]


def open_careless(namespace: str, clock: Any) -> Any:
    return Careless(Disk(), clock)


def open_nothing(namespace: str) -> Any:
    return None


def open_reference(namespace: str, clock: Any) -> Any:
    return Reference(Disk(), clock)


def report_of(factory: Any, **options: Any) -> Report:
    return asyncio.run(check_storage(factory, **options))


def test_a_report_says_what_was_kept_broken_and_left_out() -> None:
    report = report_of(open_careless, limits=IN_MEMORY, seed=7)

    assert not report.ok
    assert [each.promise.name for each in report.kept] == ["missing_is_none"]
    assert [each.promise.name for each in report.broken] == ["deleting_a_missing_key_does_nothing"]
    assert [each.reason for each in report.left_out] == ["the storage has no has()"]


def test_a_report_is_written_for_people() -> None:
    report = report_of(open_careless, limits=IN_MEMORY, seed=7)

    assert str(report) == (
        "Careless: 1 kept, 1 broken, 1 left out  (profile default, seed 7)\n"
        "Beside read, write, delete it offers nothing.\n"
        "Declared: Limits(shared=False, durable=False).\n"
        "\n"
        "BROKEN: Deleting a key under which nothing is stored does nothing.\n"
        "\n"
        "    storage = open('n1')\n"
        "    storage.delete('1')  # raised KeyError('1')\n"
        "\n"
        "expected: no error\n"
        "got:      KeyError: '1'\n"
        "\n"
        "Usual cause: delete() uses del, remove() or unlink(), which raise if there is nothing.\n"
        "(promise deleting_a_missing_key_does_nothing)\n"
        "\n"
        "Left out:\n"
        "  1 promise: the storage has no has()"
    )


def test_a_report_of_a_good_storage_is_short() -> None:
    report = report_of(open_reference)

    assert report.ok
    assert str(report) == (
        "Reference: 3 kept, 0 broken, 0 left out  (profile default, seed 0)\n"
        "Beside read, write, delete it offers close, has, identity, isolated, iter_items, "
        "iter_keys,\n"
        "purge_expired, read_many, read_with_revision, renew, settles, supports_expiry, sync, "
        "touch,\n"
        "write_if, write_many."
    )


def test_equal_reasons_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("has_reports_what_is_stored", "has_knows_falsy_values")
    monkeypatch.setattr(module, "promises", lambda: tuple(map(promise_named, names)))

    assert "  2 promises: the storage has no has()" in str(report_of(open_careless))


def test_what_does_not_work_at_all_is_not_explained_by_what_a_later_promise_is_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("deleting_a_missing_key_does_nothing", "histories_keep_keys_apart")
    monkeypatch.setattr(module, "promises", lambda: tuple(map(promise_named, names)))

    report = report_of(open_careless, limits=IN_MEMORY)

    first, later = (each.broken for each in report.broken)
    assert first is not None
    assert first.hint == promise_named(names[0]).hint
    assert later is not None
    assert str(later.hint).startswith("the last call does not work at all")
    assert "Begin with the first one" in str(report)


def test_long_sentences_are_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    class ListsItself(Reference):
        def iter_keys(self, prefix: str = "") -> Any:
            return (key for key in self.disk.rows if key.startswith(prefix))

    name = "listing_survives_changes"
    monkeypatch.setattr(module, "promises", lambda: (promise_named(name),))

    def opened(namespace: str, clock: Any) -> Any:
        return ListsItself(Disk(), clock)

    report = str(report_of(opened))

    assert "BROKEN: Keys may be written" in report
    assert len(promise_named(name).sentence) > 100
    assert max(map(len, report.partition("    storage")[0].splitlines())) <= 100


def test_a_report_is_written_for_programs() -> None:
    report = report_of(open_careless, limits=IN_MEMORY, profile="thorough", seed=7)

    assert json.loads(report.as_json()) == {
        "format": 1,
        "storage": "Careless",
        "ok": False,
        "profile": "thorough",
        "seed": 7,
        "capabilities": [],
        "limits": {"shared": False, "durable": False},
        "promises": [
            {
                "name": "missing_is_none",
                "layer": "table",
                "sentence": "A key under which nothing was written reads as None.",
                "outcome": "kept",
            },
            {
                "name": "deleting_a_missing_key_does_nothing",
                "layer": "table",
                "sentence": "Deleting a key under which nothing is stored does nothing.",
                "outcome": "broken",
                "history": ["storage = open('n1')", "storage.delete('1')  # raised KeyError('1')"],
                "expected": "no error",
                "got": "KeyError: '1'",
                "hint": "delete() uses del, remove() or unlink(), which raise if there is nothing.",
                "broke": "deleting_a_missing_key_does_nothing",
            },
            {
                "name": "has_reports_what_is_stored",
                "layer": "table",
                "sentence": promise_named("has_reports_what_is_stored").sentence,
                "outcome": "left out",
                "reason": "the storage has no has()",
            },
        ],
    }


def test_the_same_run_gives_the_same_report() -> None:
    assert report_of(open_careless).as_json() == report_of(open_careless).as_json()


def test_a_factory_that_cannot_work_is_reported_at_once() -> None:
    with pytest.raises(TypeError, match="gave no storage"):
        report_of(open_nothing)


def test_a_storage_may_be_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: tuple[Promise, ...] = (promise_named("damaged_value_raises"),)
    monkeypatch.setattr(module, "promises", lambda: asked)
    disk = Disk()

    def opened(namespace: str, clock: Any) -> Any:
        return Reference(disk, clock)

    def damage(namespace: str, key: str) -> None:
        disk.rows[key] = disk.rows[key]._replace(raw="{")

    report = report_of(opened, damage=damage)

    assert len(report.kept) == 1


def test_every_sentence_and_hint_is_written_for_people() -> None:
    for each in promises():
        assert each.sentence.endswith("."), each.name
        assert each.hint.endswith((".", "?")), each.name
        assert not {"client", "subject"} & set(f"{each.sentence} {each.hint}".split()), each.name
