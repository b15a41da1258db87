"""Bots whose data type changes, here and as their users install them; old and new libraries."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from tests.adapters import data_type_releases
from tests.adapters.environments import ROOT, InstallError, new_environment, run_in

LIBRARIES = ["attrs", "msgspec", "pydantic"]
HERE = Path(__file__).parent
FIRST_WHEELS = {  # for Pythons that are younger than the oldest version that works
    "msgspec": {(3, 12): "0.18.3", (3, 13): "0.19.0", (3, 14): "0.20.0"},
    "pydantic": {(3, 14): "2.12.0"},
}


@pytest.mark.parametrize("library", ["dataclass", *LIBRARIES])
def test_each_release_reads_what_others_have_written(library: str, tmp_path: Path) -> None:
    data_type_releases.run(library, tmp_path / "bot.db")


@pytest.mark.parametrize(
    ("library", "module"),
    [
        ("attrs", ""),
        ("msgspec", "__version__ = '0.16.0'"),
        ("pydantic", "VERSION = '2.8.2'"),
        ("pydantic", "VERSION = '1.10.27'"),
    ],
)
def test_a_library_that_is_too_old_is_named(library: str, module: str, tmp_path: Path) -> None:
    (tmp_path / f"{library}.py").write_text(module, "utf-8")

    done = run_in(tmp_path, Path(sys.executable), "-c", f"import sessionkit_{library}")

    (extra,) = declared(library)
    needed = re.sub(r"(.*)>=([0-9.]+).*", r"needs \1 \2 or later", extra)
    message = done.stdout.splitlines()[-1]
    assert needed in message
    assert f'python -m pip install "<checkout>[{library}]"' in message


def declared(library: str) -> list[str]:
    """Return what pyproject.toml requires for the extra of a library."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return project["optional-dependencies"][library]  # type: ignore[no-any-return]


def environment_with(folder: Path, *wanted: str) -> Path:
    try:
        return new_environment(folder, *wanted)
    except InstallError as error:
        pytest.skip(str(error))


@pytest.mark.thorough
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_bot_runs_where_its_extra_alone_is_installed(library: str, tmp_path: Path) -> None:
    python = environment_with(tmp_path, f"{ROOT}[{library}]")
    shutil.copy(HERE / "data_type_releases.py", tmp_path / "bot.py")

    done = run_in(tmp_path, python, "bot.py", library, "bot.db")

    assert done.stdout == f"{library}: every release did as documented\n"
    others = [other for other in LIBRARIES if other != library]
    for other in others:
        done = run_in(tmp_path, python, "-c", f"import sessionkit_{other}")
        assert f'python -m pip install "<checkout>[{other}]"' in done.stdout.splitlines()[-1]


def oldest(library: str) -> str:
    """Return the oldest version that pyproject.toml declares and this Python has a wheel of."""
    (requirement,) = declared(library)
    bound = re.fullmatch(rf"{library}>=([0-9.]+)(,<[0-9]+)?", requirement)
    assert bound is not None
    by_python = FIRST_WHEELS.get(library, {})
    newer = [version for python, version in by_python.items() if python <= sys.version_info[:2]]
    return newer[-1] if newer else bound[1]


@pytest.mark.thorough
def test_the_adapters_work_with_the_oldest_versions(tmp_path: Path) -> None:
    wanted = [f"{each}=={oldest(each)}" for each in LIBRARIES]
    python = environment_with(tmp_path, str(ROOT), "hypothesis", "pytest", *wanted)
    tests = tmp_path / "tests" / "adapters"
    tests.mkdir(parents=True)
    for name in ("data_types.py", "test_data_types.py", "test_data_type_rules.py"):
        shutil.copy(HERE / name, tests)

    done = run_in(tmp_path, python, "-m", "pytest", "-q", "--import-mode=importlib", "tests")

    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 80
