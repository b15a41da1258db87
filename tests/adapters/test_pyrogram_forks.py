"""The adapter of pyrogram on its forks: the same tests, in an interpreter for each of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.adapters.forks import FORKS, Fork, InstallError

HERE = Path(__file__).parent
TESTS = [
    str(path) for path in sorted(HERE.glob("test_pyrogram_*.py")) if path != Path(__file__)
] + [str(HERE / "test_scenarios.py")]


@pytest.mark.thorough
@pytest.mark.parametrize("fork", FORKS, ids=[fork.name for fork in FORKS])
def test_all_tests_of_pyrogram_pass_on(fork: Fork) -> None:
    try:
        home = fork.install()
    except InstallError as error:
        pytest.skip(str(error))

    done = fork.run_tests(home, *TESTS, "-k", "pyrogram")

    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None and int(passed[1]) > 100


def test_a_fork_that_cannot_be_installed_says_what_pip_said() -> None:
    missing = Fork("kurigram", "0.0.0.0")

    with pytest.raises(InstallError, match=r"pip could not install kurigram==0\.0\.0\.0:\n.+"):
        missing.install()


def test_a_fork_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fork = Fork("kurigram", "0.0.0.0")
    (tmp_path / fork._home().name).mkdir()

    assert fork.install().parent == tmp_path
