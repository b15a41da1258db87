"""What the layer sends to other processes, and what runs there."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import AsyncExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from sessionkit.testing import BrokenPromise, Limits, StorageSuite, check_storage
from sessionkit.testing import _check as check
from sessionkit.testing._asking import ask_for
from sessionkit.testing._concurrency import killed, worker
from sessionkit.testing._concurrency.actors import NEVER
from sessionkit.testing._concurrency.channel import Channel
from sessionkit.testing._concurrency.pickled import Opener, PickledFactory, pickled_factory
from sessionkit.testing._concurrency.places import Place
from sessionkit.testing._concurrency.processes import opened_by
from sessionkit.testing._concurrency.workers import workers
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._ops import (
    Op,
    read,
    write,
)
from sessionkit.testing._promises import promises
from sessionkit.testing._subject import Subject
from sessionkit.testing.clock import START
from tests.testing import folders
from tests.testing.reference import Disk, Reference, promise_named
from tests.testing.steps import Steps, factory_of


def elsewhere(subject: Subject) -> Any:
    """Open, as another process would, a storage of *subject*."""
    opener = Opener(pickled_factory(subject))

    async def main() -> Any:
        async with AsyncExitStack() as stack:
            return await opener.open("n", subject.clock(), stack)

    return asyncio.run(main())


class Suite(StorageSuite):
    def open(self, namespace: str) -> Any:
        assert self.clock() > 0
        return folders.Folder(self.folder / namespace)


def test_a_function_and_a_suite_can_be_sent() -> None:
    with Subject(folders.folder) as subject:
        assert isinstance(elsewhere(subject), folders.Folder)
    suite = Suite()
    with Subject(suite.open) as suite._subject:
        assert isinstance(elsewhere(suite._subject), folders.Folder)


def test_a_factory_without_a_name_is_left_out() -> None:
    with (
        Subject(factory_of(Steps)) as subject,
        pytest.raises(LeftOut, match="at the top of a module"),
    ):
        pickled_factory(subject)


@pytest.mark.parametrize("module", ["a_module_in_no_folder_on_the_path", "__main__"])
def test_a_module_that_is_not_found_by_name_is_loaded_from_its_file(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "storages.py"
    file.write_text(
        "from tests.testing.folders import Folder\n"
        "def open_it(namespace, folder):\n    return Folder(folder / namespace)\n"
        "if __name__ == '__main__':\n    raise AssertionError\n"
    )
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    named = f"c{module}\nopen_it\n.".encode()  # what pickle makes of a function
    pickled = PickledFactory(named, {module: str(file)}, str(tmp_path))

    async def main() -> Any:
        async with AsyncExitStack() as stack:
            return await Opener(pickled).open("n", START, stack)

    for _ in range(2):
        assert isinstance(asyncio.run(main()), folders.Folder)
    for name in (module, "__sessionkit_main__"):
        if name != "__main__":
            sys.modules.pop(name, None)


def test_a_call_that_ends_before_its_stop_has_its_outcome_already() -> None:
    async def main() -> list[Any]:
        with Subject(folders.folder) as subject:
            async with (
                workers(subject, 1) as processes,
                opened_by(subject, subject.history, processes) as (actor,),
            ):
                stopped = await actor.start(write("1", {"n": 1}), NEVER)
                return [stopped, (await actor.finish()).kind, (await actor.do(read("1"))).answer]

    assert asyncio.run(main()) == [None, "answer", {"n": 1}]


def test_a_script_can_be_checked(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(
        textwrap.dedent(
            """
            import asyncio
            from sessionkit.testing._subject import Subject
            from sessionkit.testing._asking import ask_for
            from sessionkit.testing._promises import promises
            from tests.testing.folders import Cached

            def open_it(namespace, folder):
                return Cached(folder / namespace)

            async def main():
                name = "writes_are_seen_by_other_processes"
                with Subject(open_it) as subject:
                    promise = next(each for each in promises() if each.name == name)
                    await ask_for(promise, subject)

            if __name__ == "__main__":
                asyncio.run(main())
            """
        )
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "first process : storage.read('1')  # -> {'n': 1}" in done.stderr


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (folders.raises_in_children, "only one process may open it"),
        (folders.refuses_to_be_found, "cannot be used in another process"),
    ],
)
def test_a_factory_that_other_processes_cannot_use_is_left_out(kind: Any, reason: str) -> None:
    with Subject(kind) as subject, pytest.raises(LeftOut, match=reason):
        asyncio.run(ask_for(promise_named("writes_are_seen_by_other_processes"), subject))


@pytest.mark.parametrize("name", ["no_addition_is_lost_among_processes", "kill_leaves_old_or_new"])
def test_memory_is_not_shared_between_processes(name: str) -> None:
    with Subject(folders.memory) as subject, pytest.raises(LeftOut):
        asyncio.run(ask_for(promise_named(name), subject))


def test_openings_that_see_writes_only_later_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = tuple(
        each
        for each in promises()
        if each.layer != "machine" and {"shared", "durable", "close"} & {*each.needs}
    )
    monkeypatch.setattr(check, "promises", lambda: asked)
    limits = Limits(eventually_consistent=folders.LAG)

    report = asyncio.run(check_storage(folders.lagging, limits=limits))

    assert report.ok, str(report)
    assert {
        "second_opening_sees_the_same_data",
        "writes_are_seen_by_other_processes",
        "no_addition_is_lost_among_processes",
        "closing_loses_no_write_of_a_task",
        "kill_leaves_old_or_new",
        "kill_loses_nothing_that_was_confirmed",
        "revisions_outlive_a_kill",
    } <= {each.promise.name for each in report.kept}
    assert "others see writes only later" in str(report)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("second_opening_sees_the_same_data", BrokenPromise),
        ("writes_are_seen_by_other_processes", LeftOut),
        ("kill_loses_nothing_that_was_confirmed", LeftOut),
    ],
)
def test_without_that_limit_they_are_not(name: str, expected: type[Exception]) -> None:
    with Subject(folders.never_shown) as subject, pytest.raises(expected):
        asyncio.run(ask_for(promise_named(name), subject))


# What runs in other processes


class Pipes:
    """Both ends of a channel, in this process."""

    def __init__(self, *messages: tuple[Any, ...]) -> None:
        incoming = BytesIO()
        writer = Channel(BytesIO(), incoming)
        for message in messages:
            writer.send(*message)
        incoming.seek(0)
        self.outgoing = BytesIO()
        self.channel = Channel(incoming, self.outgoing)

    def sent(self) -> list[tuple[Any, ...]]:
        self.outgoing.seek(0)
        reader = Channel(self.outgoing, BytesIO())
        return list(iter(reader.receive, None))


def test_a_worker_does_what_it_is_asked() -> None:
    with Subject(folders.folder) as subject:
        pipes = Pipes(
            ("open", "n", START),
            ("do", write("1", 1), -1),
            ("record", read("1")),
            ("count", "2", 3),
            ("do", Op("no_such_method"), -1),
            ("close",),
        )
        asyncio.run(worker.serve(pipes.channel, pickled_factory(subject)))

    ready, opened, done, recorded, counted, failed, closed = pipes.sent()
    assert ready == ("ready",)
    assert [each[1].kind for each in (opened, done, counted, failed, closed)] == [
        *("answer", "answer", "answer", "error", "answer")
    ]
    assert counted[1].answer == 3
    assert recorded[0] == "done"


def test_a_worker_adds_until_all_went_through_and_lingers() -> None:
    frame: Any = sys._getframe()

    class Disturbed(Reference):
        def write_if(self, *args: Any, **options: Any) -> Any:
            if not disturbed:
                disturbed.append("once")
                storage.write("1", 5)
            return super().write_if(*args, **options)

    disturbed: list[Any] = []
    storage = Disturbed(Disk(), lambda: 0.0)
    worker.linger(0, frame, "line")
    assert asyncio.run(worker.add(storage, "1", 3)) == 3
    assert storage.read("1") == 8


def test_a_paused_worker_says_where_and_waits() -> None:
    pipes = Pipes()
    with Subject(folders.folder) as subject:
        standing = worker.Worker(pipes.channel, Opener(pickled_factory(subject)))
    standing.go_on.set()

    standing._pause(Place("mine.py", 7))

    assert pipes.sent() == [("paused", Place("mine.py", 7))]


class Killed(BaseException):
    """Means the end of this process."""


@pytest.fixture
def killed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process be its own child, and outlive what kills it."""

    def die() -> None:
        raise Killed

    monkeypatch.setattr(killed, "kill_this_process", die)
    monkeypatch.setattr(os, "fork", lambda: 0)


OPEN = ("open", "n", START)


@pytest.mark.usefixtures("killed_here")
@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ((OPEN, ("do", write("1", 1), -1), ("do", read("1"), -1)), "ended"),
        ((OPEN, ("do", write("1", 1), 0)), "dies"),
        ((OPEN, ("do", write("1", 1), -1), ("close",)), "ended"),
        ((OPEN, ("record", read("1"))), "ended"),
        ((("close",),), "ended"),
        ((OPEN, ("record", Op("no_such_method"))), "failed"),
    ],
)
def test_a_child_says_what_became_of_it(messages: Any, said: str) -> None:
    with Subject(folders.folder) as subject:
        pipes = Pipes(messages)
        with pytest.raises(Killed):
            killed.serve(pipes.channel, pickled_factory(subject))

    assert pipes.sent()[1][0] == said


def test_a_parent_buries_its_child(monkeypatch: pytest.MonkeyPatch) -> None:
    buried: list[int] = []

    def bury(child: int, _options: int) -> None:
        buried.append(child)

    monkeypatch.setattr(os, "fork", lambda: 7)
    monkeypatch.setattr(os, "waitpid", bury)
    with Subject(folders.folder) as subject:
        pipes = Pipes((OPEN,), ("end",))
        killed.serve(pipes.channel, pickled_factory(subject))

    assert buried == [7]
    assert pipes.sent() == [("ready",), ("gone",)]


def test_killing_is_by_sigkill(monkeypatch: pytest.MonkeyPatch) -> None:
    by_signal: list[tuple[int, int]] = []

    def kill(process: int, by: int) -> None:
        by_signal.append((process, by))

    monkeypatch.setattr(os, "kill", kill)
    killed.kill_this_process()
    assert by_signal == [(os.getpid(), signal.SIGKILL)]


def test_without_fork_nothing_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with Subject(folders.folder) as subject, pytest.raises(LeftOut, match="no fork"):
        asyncio.run(ask_for(promise_named("kill_leaves_old_or_new"), subject))
