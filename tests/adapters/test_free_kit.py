"""A free storage keeps every promise that its protocol lets it give, over a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit.testing import Limits, StorageSuite
from sessionkit.testing.session_suite import SessionSuite
from sessionkit_free import FreeSessionStorage
from tests.adapters import free_servers
from tests.profiles import thoroughly, without

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("few_histories")


@pytest.fixture(scope="module")
def server() -> Iterator[free_servers.Server]:
    with free_servers.server() as started:
        yield started


class Served:
    """Opens storages on a server, each namespace for a bot of its own."""

    url: str
    home: Path

    @pytest.fixture(autouse=True)
    def _serve(self, server: free_servers.Server) -> None:
        self.url, self.home = server.url, server.folder

    def open(self, namespace: str) -> Any:
        return FreeSessionStorage(free_servers.token_of(namespace), root_url=self.url)

    def damage(self, namespace: str, key: str) -> None:
        free_servers.damage(self.home, namespace, key)


class OnAServer(Served, StorageSuite):
    limits = Limits(max_key_bytes=63, max_value_bytes=16_383)


@thoroughly("machine", "concurrency")
class TestFree(OnAServer):
    pass


@pytest.mark.thorough
@without("machine", "concurrency")
class TestInThreads(OnAServer):
    """The same storage, asked by threads."""

    def open(self, namespace: str) -> Any:
        return super().open(namespace).sync


class TestSessions(Served, SessionSuite):
    pass
