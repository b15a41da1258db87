"""A plugin of pytest: what coverage sees belongs to the test that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import coverage

if TYPE_CHECKING:
    import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    # Not dynamic_context: coverage then calls Python for each frame, and a test that reaches the
    # limit of recursion in such a call ends all tracing of its process.
    current = coverage.Coverage.current()
    assert current is not None
    current.switch_context(item.nodeid.partition("[")[0])
