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


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[str]:
    """The URL of a cluster of Redis servers, shared by all tests that leave its slots in place."""
    from tests.adapters import redis_servers

    with redis_servers.cluster() as nodes:
        yield nodes[0].url
