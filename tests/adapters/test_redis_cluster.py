"""The Redis storage over a cluster whose slots move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from typing import Any

import pytest
import redis.asyncio
from redis.crc import key_slot
from redis.exceptions import MovedError

from sessionkit import SessionError, session, storage_from_url
from sessionkit.storages.authoring import UnknownOutcomeError
from sessionkit_redis import BlockingRedisSessionStorage, RedisLock, RedisSessionStorage
from sessionkit_redis._cluster import Address, Cluster
from sessionkit_redis._protocol import Command, pack
from sessionkit_redis._wire import Reply
from tests.adapters import redis_servers


@pytest.fixture(scope="module")
def nodes() -> Generator[list[redis_servers.Server]]:
    with redis_servers.cluster() as started:
        yield started


class Mover:
    """Moves the slot of a key to the next server, in the steps in which it is done."""

    def __init__(self, nodes: list[redis_servers.Server], key: str) -> None:
        self.name = key.encode()
        self.slot = key_slot(self.name)
        self._clients = [redis_servers.connect(node.url) for node in nodes]
        owner = self.slot * redis_servers.NODES // redis_servers.SLOTS
        self._source = self._clients[owner]
        self._target = self._clients[(owner + 1) % len(nodes)]
        self._port = nodes[(owner + 1) % len(nodes)].port

    def begin(self) -> None:
        ids = [each.execute_command("CLUSTER MYID").decode() for each in self._ends()]
        self._ids = ids
        self._target.execute_command("CLUSTER", "SETSLOT", self.slot, "IMPORTING", ids[0])
        self._source.execute_command("CLUSTER", "SETSLOT", self.slot, "MIGRATING", ids[1])

    def move_keys(self) -> None:
        arguments = ["127.0.0.1", self._port, self.name, 0, 5000]
        self._source.execute_command("MIGRATE", *arguments)

    def end(self) -> None:
        for each in reversed(self._ends()):
            each.execute_command("CLUSTER", "SETSLOT", self.slot, "NODE", self._ids[1])
        for client in self._clients:
            client.close()

    def _ends(self) -> list[Any]:
        return [self._source, self._target]


def test_keys_are_found_while_their_slot_moves(nodes: list[redis_servers.Server]) -> None:
    async def main() -> None:
        async with RedisSessionStorage(nodes[0].url, cluster=True, prefix="m:") as storage:
            revision = await storage.write_if("moving", {"n": 1}, None)
            mover = Mover(nodes, "m:moving")
            await asyncio.to_thread(mover.begin)
            assert await storage.read("moving") == {"n": 1}
            await asyncio.to_thread(mover.move_keys)
            assert await storage.read("moving") == {"n": 1}
            revision = await storage.write_if("moving", {"n": 2}, revision)
            await asyncio.to_thread(mover.end)
            assert await storage.read("moving") == {"n": 2}
            await storage.write_if("moving", {"n": 3}, revision)
            assert [item async for item in storage.iter_items()] == [("moving", {"n": 3})]

    asyncio.run(main())


def one(_: object) -> dict[str, int]:
    return {"n": 1}


def test_more_than_a_page_of_each_server_is_listed(nodes: list[redis_servers.Server]) -> None:
    async def main() -> None:
        async with RedisSessionStorage(nodes[0].url, cluster=True, prefix="pages:") as storage:
            keys = [str(number) for number in range(3000)]
            await storage.write_many(dict.fromkeys(keys, 1))
            assert sorted([key async for key in storage.iter_keys()]) == sorted(keys)

    asyncio.run(main())


def test_clients_of_a_cluster_show_where_it_is_and_stay_open(
    nodes: list[redis_servers.Server],
) -> None:
    async def main() -> None:
        untyped: Any = redis.asyncio.RedisCluster
        async with untyped.from_url(nodes[0].url) as client:
            async with RedisSessionStorage(client, prefix="c:") as storage:
                sessions = session(dict[str, int], storage=storage, lock=RedisLock(storage))
                async with asyncio.TaskGroup() as tasks:
                    for number in range(50):
                        tasks.create_task(sessions.update(number, one))
                assert len([key async for key in storage.iter_keys()]) == 50
            assert await client.ping()

    asyncio.run(main())
    with redis_servers.connect(nodes[1].url, cluster=True) as client:
        with BlockingRedisSessionStorage(client, prefix="c:") as storage:
            assert storage.read_many(["1", "2"]) == {"1": {"n": 1}, "2": {"n": 1}}
            assert "the cluster at 127.0.0.1" in repr(storage)
        assert client.ping()


def test_a_server_that_is_not_a_cluster_says_so(valkey_url: str) -> None:
    async def main() -> None:
        async with storage_from_url(f"{valkey_url}?cluster=true") as storage:
            with pytest.raises(SessionError, match="does not answer as a cluster"):
                await storage.read("1")

    asyncio.run(main())


@pytest.fixture(scope="module")
def valkey_url() -> Generator[str]:
    with redis_servers.server() as started:
        yield started.url.removesuffix("/0")


def test_a_server_that_is_killed_is_an_error_and_the_others_go_on() -> None:
    async def main(nodes: list[redis_servers.Server]) -> None:
        url = nodes[0].url
        numbers = {str(number): number for number in range(30)}
        async with RedisSessionStorage(url, cluster=True) as storage:
            await storage.write_many(numbers)
            async with RedisSessionStorage(url, cluster=True, deadline=1.5) as impatient:
                await asyncio.to_thread(nodes[2].kill)
                found: list[object] = []
                for _ in range(20):  # a busy machine may be late for those of the others too
                    reads = map(impatient.read, numbers)
                    found = await asyncio.gather(*reads, return_exceptions=True)
                    if any(isinstance(each, int) for each in found):
                        break

        lost = [each for each in found if isinstance(each, SessionError)]
        assert 0 < len(lost) < 30
        assert len([each for each in found if isinstance(each, int)]) == 30 - len(lost)

    with redis_servers.cluster() as nodes:
        asyncio.run(main(nodes))


# Faults that no server makes when it is asked to


class Node:
    """A server of a cluster, whose answers a test gives."""

    def __init__(self, address: Address, answer: Callable[[Node], Reply], last: int) -> None:
        self.address = address
        self.asked = 0
        self._answer = answer
        self._slots = [[0, last, [address[0].encode(), address[1]]]]

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        if commands[0].key is None:
            return [self._slots]
        self.asked += 1
        return [self._answer(self)] * len(commands)


class Nodes:
    """A cluster of two, found by asking the first, which has all slots up to *last*."""

    def __init__(self, answer: Callable[[Node], Reply], last: int = 16383) -> None:
        self.nodes: list[Node] = []
        self._answer, self._last = answer, last
        connect: Any = self._connect
        self.cluster = Cluster("two", [("a", 1)], connect, blocking=True)

    def _connect(self, address: Address) -> Node:
        self.nodes.append(Node(address, self._answer, self._last))
        return self.nodes[-1]

    def ask(self) -> Reply:
        """What comes of one command."""
        with pytest.raises(StopIteration) as ended:
            self.cluster.exchange([Command(pack(b"GET", b"1"), key=b"1")]).send(None)
        (reply,) = ended.value.value
        return reply


def test_servers_that_send_a_command_to_and_fro_do_so_in_vain() -> None:
    def elsewhere(node: Node) -> Reply:
        return MovedError(f"{key_slot(b'1')} {'b:2' if node.address[0] == 'a' else 'a:1'}")

    nodes = Nodes(elsewhere)
    assert isinstance(nodes.ask(), MovedError)
    assert [node.asked for node in nodes.nodes] == [8, 8]


def test_what_may_have_been_run_is_not_sent_again() -> None:
    nodes = Nodes(lambda _: UnknownOutcomeError("lost"))
    assert isinstance(nodes.ask(), UnknownOutcomeError)
    assert [node.asked for node in nodes.nodes] == [1]
    assert not nodes.cluster._known


def test_a_server_that_is_down_is_asked_again_after_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("sessionkit_redis._cluster.time.sleep", pauses.append)
    nodes = Nodes(lambda _: SessionError("down"))
    assert isinstance(nodes.ask(), SessionError)
    assert [node.asked for node in nodes.nodes] == [4]
    assert pauses == [0.0, 0.05, 0.1]


def test_slots_that_belong_to_no_server_are_an_error_that_says_so() -> None:
    nodes = Nodes(lambda _: None, last=100)
    assert "some slots belong to no server" in str(nodes.ask())
