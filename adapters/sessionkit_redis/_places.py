"""Where Redis is: a URL, or a client that was handed in."""

from __future__ import annotations

from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import redis.asyncio.connection
import redis.connection
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from sessionkit_redis._cluster import Address, Cluster
from sessionkit_redis._wire import Connections, OneLoop, PerLoop, Server, Wire

_SCHEMES: Final = {"valkey": "redis", "valkeys": "rediss"}
_SCHEMES_KNOWN: Final = ("redis", "rediss", "unix", *_SCHEMES)
_OF_POOLS: Final = ("max_connections", "timeout")
_SHARED: Final = ("username", "password", "credential_provider", "client_name")


class Place(NamedTuple):
    """A server or a cluster.

    Attributes:
        name: What errors call it; without user and password.
        wire: The way there.
        is_cluster: Whether each key may be on a server of its own.
    """

    name: str
    wire: Wire
    is_cluster: bool


def place_of(client: Any, *, cluster: bool, deadline: float, blocking: bool) -> Place:
    """Return where *client*, a URL or a client of redis-py, leads to.

    Raises:
        TypeError: It is neither, or of the other kind.
        ValueError: The URL is wrong; its text, which may hold a password, is not shown.
    """
    if isinstance(client, str):
        settings = _settings(client, blocking=blocking)
        name = _name(settings)
        start = [(settings.get("host", "localhost"), settings.get("port", 6379))]
        if not cluster:
            return _opened(name, settings, deadline, blocking=blocking)
        return _cluster(name, start, settings, deadline, blocking=blocking)
    _check_kind(client, blocking=blocking)
    if hasattr(client, "nodes_manager"):
        start = [(node.host, node.port) for node in _nodes(client)]
        settings = _settings_of_cluster(client, blocking=blocking)
        name = "the cluster at " + ", ".join(f"{host}:{port}" for host, port in start)
        return _cluster(name, start, settings, deadline, blocking=blocking)
    pool = client.connection_pool
    name = _name(pool.connection_kwargs)

    def borrow() -> Wire:
        return Server(name, pool)

    return Place(name, borrow() if blocking else OneLoop(name, borrow), is_cluster=False)


def _opened(name: str, settings: dict[str, Any], deadline: float, *, blocking: bool) -> Place:
    def connect() -> Wire:
        return Server(name, _connections(settings, deadline, blocking=blocking))

    return Place(name, connect() if blocking else PerLoop(name, connect), is_cluster=False)


def _cluster(
    name: str,
    start: list[Address],
    settings: dict[str, Any],
    deadline: float,
    *,
    blocking: bool,
) -> Place:
    def connect(address: Address) -> Server:
        host, port = address
        there = {**settings, "host": host, "port": port}
        return Server(f"{host}:{port}", _connections(there, deadline, blocking=blocking))

    def find() -> Wire:
        return Cluster(name, start, connect, blocking=blocking)

    return Place(name, find() if blocking else PerLoop(name, find), is_cluster=True)


def _connections(settings: dict[str, Any], deadline: float, *, blocking: bool) -> Connections:
    """Return connections that repeat nothing by themselves."""
    # the deadline of the storage holds for everything: another one would only cost time
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_timeout": deadline if blocking else None,
        "socket_connect_timeout": deadline,
        "retry": (Retry if blocking else AsyncRetry)(NoBackoff(), 0),
        **{name: value for name, value in settings.items() if name not in _OF_POOLS},
    }
    module: Any = redis.connection if blocking else redis.asyncio.connection
    kind = options.pop("connection_class", module.Connection)
    return Connections(partial(kind, **options))


def _settings(url: str, *, blocking: bool) -> dict[str, Any]:
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.lower() not in _SCHEMES_KNOWN:
        msg = "a URL of Redis begins with redis://, rediss://, valkey://, valkeys:// or unix://"
        raise ValueError(msg)
    scheme = _SCHEMES.get(scheme.lower(), scheme.lower())
    module: Any = redis.connection if blocking else redis.asyncio.connection
    try:
        settings: dict[str, Any] = dict(module.parse_url(f"{scheme}://{rest}"))
        database = urlsplit(f"{scheme}://{rest}").path.strip("/")
    except ValueError:
        settings, database = {}, "?"
    if scheme != "unix" and database and not database.isdecimal():
        msg = (
            "the URL of Redis cannot be read: write redis://user:password@host:port/0, where "
            "'/', '@', ':', '?' and '#' in user or password are %2F, %40, %3A, %3F and %23, and "
            "the database is a number"
        )
        raise ValueError(msg) from None
    return settings


def _settings_of_cluster(client: Any, *, blocking: bool) -> dict[str, Any]:
    holder = client.nodes_manager if blocking else client
    found: dict[str, Any] = holder.connection_kwargs
    module: Any = redis.connection if blocking else redis.asyncio.connection
    settings = {
        name: value
        for name, value in found.items()
        if value is not None and (name in _SHARED or name.startswith("ssl_"))
    }
    if found.get("ssl") or found.get("connection_class") is module.SSLConnection:
        settings["connection_class"] = module.SSLConnection
    else:
        settings = {name: value for name, value in settings.items() if name in _SHARED}
    return settings


def _nodes(client: Any) -> list[Any]:
    return list(client.nodes_manager.startup_nodes.values())


def _check_kind(client: Any, *, blocking: bool) -> None:
    kinds: tuple[Any, ...] = (
        (redis.Redis, redis.RedisCluster)
        if blocking
        else (redis.asyncio.Redis, redis.asyncio.RedisCluster)
    )
    if not isinstance(client, kinds):
        wanted = (
            "redis.Redis or RedisCluster" if blocking else "redis.asyncio.Redis or RedisCluster"
        )
        other = "RedisSessionStorage" if blocking else "BlockingRedisSessionStorage"
        kind = f"{type(client).__module__}.{type(client).__qualname__}"
        msg = f"give a URL, or a client: {wanted}, not {kind}; {other} takes the other kind"
        raise TypeError(msg)


def _name(settings: dict[str, Any]) -> str:
    if "path" in settings:
        return f"Redis at {settings['path']}, database {settings.get('db', 0)}"
    host, port = settings.get("host", "localhost"), settings.get("port", 6379)
    return f"Redis at {host}:{port}, database {settings.get('db', 0)}"
