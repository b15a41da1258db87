"""Histories: what was done, as lines."""

from __future__ import annotations

import pytest

from sessionkit.protocols import ANY
from sessionkit.testing import BrokenPromise
from sessionkit.testing._history import History


class Incomparable:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    __hash__ = object.__hash__


def test_a_step_shows_its_outcome() -> None:
    history = History()
    line = history.begin("storage.read('1')")

    assert history.lines[0] == "storage.read('1')  # did not end"

    line.outcome = "-> None"
    history.note("storage.close()")

    assert history.lines == ("storage.read('1')  # -> None", "storage.close()")


def test_of_a_long_history_beginning_and_end_are_shown() -> None:
    history = History()
    for number in range(100):
        history.note(str(number))

    assert history.lines[:8] == tuple(map(str, range(8)))
    assert history.lines[8] == "# ... 62 more ..."
    assert history.lines[9:] == tuple(map(str, range(70, 100)))


def test_equal_revisions_have_one_name() -> None:
    history = History()

    assert history.revision_name("a") == "r1"
    assert history.revision_name("b") == "r2"
    assert history.revision_name("a") == "r1"
    assert history.revision_name(None) == "None"
    assert history.revision_name(ANY) == "ANY"


def test_revisions_that_cannot_be_compared_are_distinguished() -> None:
    history = History()

    assert history.revision_name(Incomparable()) == "r1"
    assert history.revision_name(Incomparable()) == "r2"


def test_namespaces_have_short_names() -> None:
    history = History()

    assert history.namespace_name("n17_abc") == "n1"
    assert history.namespace_name("n18_abc") == "n2"
    assert history.namespace_name("n17_abc") == "n1"


def test_many_steps_can_be_summed_up() -> None:
    history = History()

    with history.summed_up("for n in range(2): storage.write(str(n), n)"):
        history.note("storage.write('0', 0)")
        history.note("storage.write('1', 1)")
    with history.summed_up(None):
        history.note("storage.read('0')")

    assert history.lines == ("for n in range(2): storage.write(str(n), n)",)


def test_a_sum_shows_the_step_that_failed() -> None:
    history = History()

    with pytest.raises(KeyError), history.summed_up("for n in range(2): ..."):
        history.note("storage.write('0', 0)")
        history.note("storage.write('1', 1)", "raised KeyError(1)")
        raise KeyError(1)

    assert history.lines == (
        "for n in range(2): ...",
        "storage.write('1', 1)  # raised KeyError(1)",
    )


def test_a_failure_has_the_history_so_far() -> None:
    history = History()
    history.note("storage.read('1')", "-> {}")

    with pytest.raises(BrokenPromise) as caught:
        history.fail_value(expected=None, got={})

    history.note("later")
    assert caught.value.history == ("storage.read('1')  # -> {}",)
    assert str(caught.value) == "    storage.read('1')  # -> {}\n\nexpected: None\ngot:      {}"
