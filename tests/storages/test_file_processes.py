"""Several processes on one folder, and processes that are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sessionkit.storages.file import FileSessionStorage

WORKER = Path(__file__).with_name("file_worker.py")


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(WORKER), *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_four_processes_that_count_lose_nothing(tmp_path: Path) -> None:
    workers = [start("increment", tmp_path, "424242", 25) for _ in range(4)]

    for worker in workers:
        with worker:
            assert worker.wait() == 0

    assert FileSessionStorage(tmp_path).sync.read("424242") == 100


@pytest.mark.parametrize("key", ["424242", "3/-100", "x" * 1000])
def test_a_killed_writer_leaves_the_value_whole_and_what_it_acknowledged(
    tmp_path: Path, key: str
) -> None:
    storage = FileSessionStorage(tmp_path).sync
    number = -1
    for acknowledgements in (1, 4, 9):
        with start("scribble", tmp_path, key, number + 1) as worker:
            assert worker.stdout
            for _ in range(acknowledgements):
                number = int(worker.stdout.readline())
            worker.kill()
            rest = worker.stdout.read().split()
        number = int(rest[-1]) if rest else number

        value = storage.read(key)
        assert value["padding"] == "x" * 50_000
        assert value["number"] in {number, number + 1}  # killed between rename and word of it
        assert list(storage.iter_keys()) == [key]
        number = value["number"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork() is not for Windows")
def test_a_forked_child_can_go_on_using_a_storage(tmp_path: Path) -> None:
    with start("fork", tmp_path) as worker:
        assert worker.wait(30) == 0

    assert sorted(FileSessionStorage(tmp_path).sync.iter_keys()) == ["before", "child", "parent"]
