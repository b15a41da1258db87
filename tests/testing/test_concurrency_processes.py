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
from sessionkit.testing._concurrency import mortal, worker
from sessionkit.testing._concurrency.channel import Channel
from sessionkit.testing._concurrency.ops import (
    Op,
    read,
    write,
)
from sessionkit.testing._concurrency.parcel import Opener, Parcel, pack
from sessionkit.testing._concurrency.places import Place
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import promises
from sessionkit.testing._subject import Subject
from sessionkit.testing.clock import START
from tests.testing import folders
from tests.testing.reference import Disk, Reference, promise_named
from tests.testing.steps import Steps, factory_of


def elsewhere(subject: Subject) -> Any:
    """Open, as another process would, a storage of *subject*."""
    opener = Opener(pack(subject))

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
        pack(subject)


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
    parcel = Parcel(named, {module: str(file)}, str(tmp_path))

    async def main() -> Any:
        async with AsyncExitStack() as stack:
            return await Opener(parcel).open("n", START, stack)

    for _ in range(2):
        assert isinstance(asyncio.run(main()), folders.Folder)
    for name in (module, "__sessionkit_main__"):
        if name != "__main__":
            sys.modules.pop(name, None)


def test_a_script_can_be_checked(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(
        textwrap.dedent(
            """
            import asyncio
            from sessionkit.testing._subject import Subject
            from sessionkit.testing._promises import promises
            from tests.testing.folders import Cached

            def open_it(namespace, folder):
                return Cached(folder / namespace)

            async def main():
                name = "writes_are_seen_by_other_processes"
                with Subject(open_it) as subject:
                    await next(each for each in promises() if each.name == name).ask(subject)

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
    assert "another process: storage.read('1')  # -> {'n': 1}" in done.stderr


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (folders.raises_in_children, "only one process may open it"),
        (folders.refuses_to_be_found, "cannot be used in another process"),
    ],
)
def test_a_factory_that_other_processes_cannot_use_is_left_out(kind: Any, reason: str) -> None:
    with Subject(kind) as subject, pytest.raises(LeftOut, match=reason):
        asyncio.run(promise_named("writes_are_seen_by_other_processes").ask(subject))


@pytest.mark.parametrize("name", ["no_addition_is_lost_among_processes", "kill_leaves_old_or_new"])
def test_memory_is_not_shared_between_processes(name: str) -> None:
    with Subject(folders.memory) as subject, pytest.raises(LeftOut):
        asyncio.run(promise_named(name).ask(subject))


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
    with Subject(folders.lagging) as subject, pytest.raises(expected):
        asyncio.run(promise_named(name).ask(subject))


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


def test_a_worker_does_what_it_is_told() -> None:
    with Subject(folders.folder) as subject:
        pipes = Pipes(
            ("open", "n", START),
            ("do", write("1", 1), -1),
            ("record", read("1")),
            ("count", "2", 3),
            ("do", Op("no_such_method"), -1),
            ("close",),
        )
        asyncio.run(worker.serve(pipes.channel, pack(subject)))

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


def test_a_worker_that_stands_says_where_and_waits_for_word() -> None:
    pipes = Pipes()
    with Subject(folders.folder) as subject:
        standing = worker.Worker(pipes.channel, pack(subject))
    standing.go_on.set()

    standing._stand(Place("mine.py", 7))

    assert pipes.sent() == [("stands", Place("mine.py", 7))]


class Killed(BaseException):
    """Stands for the end of this process."""


@pytest.fixture
def mortal_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process be its own child, and outlive what kills it."""

    def die() -> None:
        raise Killed

    monkeypatch.setattr(mortal, "kill_this_process", die)
    monkeypatch.setattr(os, "fork", lambda: 0)


@pytest.mark.usefixtures("mortal_here")
@pytest.mark.parametrize(
    ("message", "said"),
    [
        (("end_in", "n", START, [write("1", 1)], read("1"), -1), ("dies", None)),
        (("leave", "n", START, [write("1", 1)]), ("left", None)),
        (("record", "n", START, [write("1", 1)], Op("no_such_method")), "failed"),
    ],
)
def test_a_child_says_what_became_of_it(message: Any, said: Any) -> None:
    with Subject(folders.folder) as subject:
        pipes = Pipes(message)
        with pytest.raises(Killed):
            mortal.serve(pipes.channel, pack(subject))

    found = pipes.sent()[1]
    assert found == said or found[0] == said


@pytest.mark.usefixtures("mortal_here")
def test_a_child_tells_the_points_that_a_call_comes_to() -> None:
    with Subject(folders.folder) as subject:
        pipes = Pipes()
        life = mortal.Life(pipes.channel, Opener(pack(subject)), "n", START)
        with pytest.raises(Killed):
            asyncio.run(life.record([write("1", 1)], read("1")))

    assert pipes.sent()[0][0] == "places"


def test_a_parent_buries_its_child(monkeypatch: pytest.MonkeyPatch) -> None:
    buried: list[int] = []

    def bury(child: int, _options: int) -> None:
        buried.append(child)

    monkeypatch.setattr(os, "fork", lambda: 7)
    monkeypatch.setattr(os, "waitpid", bury)
    with Subject(folders.folder) as subject:
        pipes = Pipes(("leave", "n", START, []), ("end",))
        mortal.serve(pipes.channel, pack(subject))

    assert buried == [7]
    assert pipes.sent() == [("ready",), ("buried",)]


def test_killing_is_by_sigkill(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []

    def kill(process: int, by: int) -> None:
        killed.append((process, by))

    monkeypatch.setattr(os, "kill", kill)
    mortal.kill_this_process()
    assert killed == [(os.getpid(), signal.SIGKILL)]


def test_without_fork_nothing_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with Subject(folders.folder) as subject, pytest.raises(LeftOut, match="no fork"):
        asyncio.run(promise_named("kill_leaves_old_or_new").ask(subject))
