"""The kit on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import MemorySessionStorage
from sessionkit.testing import Limits
from sessionkit.testing import _check as module
from sessionkit.testing.__main__ import main
from tests.testing.reference import promise_named
from tests.testing.variants import Bare

if TYPE_CHECKING:
    from pathlib import Path

IN_MEMORY = Limits(shared=False, durable=False)
HERE = __name__


@pytest.fixture(autouse=True)
def _few_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("missing_is_none", "falsy_is_data", "second_opening_sees_the_same_data")
    monkeypatch.setattr(module, "promises", lambda: tuple(map(promise_named, names)))
    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])


class Factories:
    @staticmethod
    def good(namespace: str, clock: Any) -> Any:
        return MemorySessionStorage(clock=clock)


def bad(namespace: str) -> Any:
    class Truthful(Bare):
        def read(self, key: str) -> Any:
            return self.rows.get(key) or None

    from tests.testing.reference import Disk

    return Truthful(Disk(), lambda: 0.0)


def fails(namespace: str) -> Any:
    raise OSError("no such host")


def test_a_good_storage_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    ended = main([f"{HERE}:Factories.good", "--limits", f"{HERE}:IN_MEMORY", "--seed", "3"])

    assert ended == 0
    assert capsys.readouterr().out.startswith(
        "MemorySessionStorage: 2 kept, 0 broken, 1 left out  (profile default, seed 3)"
    )


def test_a_broken_storage_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{HERE}:bad"]) == 1

    assert "BROKEN: A falsy value" in capsys.readouterr().out


def test_the_report_can_be_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{HERE}:bad", "--json", "--thorough"]) == 1

    report = json.loads(capsys.readouterr().out)
    assert report["profile"] == "thorough"
    assert not report["ok"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([f"{HERE}:fails"], "raised OSError: no such host"),
        ([f"{HERE}:no_such_name"], "has no attribute 'no_such_name'"),
        (["no_such_module:open"], "ModuleNotFoundError"),
        (["open"], "'open' is not of the form module:factory: write for example mybot.tests:open"),
        ([":open"], "write for example mybot.tests:open"),
        (
            [f"{HERE}:bad", "--limits", "ttl=60"],
            "'ttl=60' is not of the form --limits module:limits",
        ),
        (
            [f"{HERE}:bad", "--limits", f"{HERE}:HERE"],
            f"--limits {HERE}:HERE is not a Limits object",
        ),
        ([f"{HERE}:HERE"], "cannot be called"),
    ],
)
def test_what_cannot_be_checked_ends_with_2(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2

    printed = capsys.readouterr()
    assert text in printed.err
    assert printed.out == ""


def test_it_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "sessionkit.testing", "--help"]

    ended = subprocess.run(command, capture_output=True, text=True, check=True)

    assert "module:factory" in ended.stdout


def test_a_page_can_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "report.html"

    assert main([f"{HERE}:bad", "--html", str(page)]) == 1
    assert "A falsy value" in page.read_text("utf-8")
    assert main([f"{HERE}:bad", "--html", str(tmp_path / "no" / "folder")]) == 2
    assert "No such file" in capsys.readouterr().err
