"""Failing assertions of the scenarios say what was there; servers are started once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.adapters.served import Running

pytest.register_assert_rewrite("tests.adapters.scenarios")


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    """The servers of the table in ``served``, shared by all tests of this process."""
    from tests.adapters.served import Running

    with ExitStack() as stack:
        yield Running(stack)
