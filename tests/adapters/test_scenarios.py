"""Every adapter does the same: one table of scenarios, run on each framework's real dispatch.

The drivers are the classes in ``*_bot.py`` that say what they can.  Where a
framework is not installed, its scenarios are skipped, and say so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias, cast

import pytest

from tests.adapters.driver import Driver
from tests.adapters.scenarios import SCENARIOS, Scenario, Stage
from tests.contexts import Spy, assert_nothing_left
from tests.core import make_storage

Framework: TypeAlias = type[Driver]


def drivers_in(module: str) -> list[Framework]:
    """The drivers that a module defines."""
    found = vars(import_module(module)).values()
    return [
        cast("Framework", each)
        for each in found
        if isinstance(each, type) and each.__module__ == module and hasattr(each, "has_go_on")
    ]


def drivers() -> Iterator[Any]:
    for path in sorted(Path(__file__).parent.glob("*_bot.py")):
        try:
            found = drivers_in(f"tests.adapters.{path.stem}")
        except ImportError as error:
            missing = (error.name or "tests").partition(".")[0]
            if missing.startswith(("sessionkit", "tests")):
                raise  # that is ours, and no framework
            skip = pytest.mark.skip(reason=f"{missing} is not installed")
            yield pytest.param(None, id=path.stem, marks=skip)
        else:
            for driver in found:
                yield pytest.param(driver, id=driver.name)


def plays() -> Iterator[Any]:
    for scenario in SCENARIOS:
        for kind in scenario.storages:
            yield pytest.param(scenario, kind, id=f"{scenario.name}, {kind}")


@pytest.mark.parametrize("framework", list(drivers()))
@pytest.mark.parametrize(("scenario", "kind"), list(plays()))
def test_scenario(framework: Framework, scenario: Scenario, kind: str, tmp_path: Path) -> None:
    if scenario.needs and not getattr(framework, scenario.needs):
        pytest.skip(f"{framework.name}: {scenario.needs} is false")
    storage: Any = Spy() if kind == "spy" else make_storage(kind, tmp_path)
    stage = Stage(framework, storage)
    try:
        asyncio.run(play(scenario, stage))
    finally:
        if kind != "spy":
            storage.sync.close()


async def play(scenario: Scenario, stage: Stage) -> None:
    await scenario.play(stage)
    assert_nothing_left(*stage.sessions)


def test_every_framework_has_a_driver() -> None:
    """A driver that nobody finds would be a driver that nobody tests."""
    found = [driver.id for driver in drivers()]

    for framework in ("aiogram", "ptb", "pyrogram", "telebot"):
        assert [name for name in found if name.startswith(framework)], framework
