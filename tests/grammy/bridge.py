"""Real grammY for differential and interop tests, asked from Python.

    with Grammy(install()) as grammy:
        bot = grammy.bot("strict", initial={"n": 0})
        outcome = bot.update([SetField("n", 1)], chat=1)
        assert outcome.ops == "RW"

A *bot* is a stack of session middleware and a handler; a *storage* is one of
grammY's own; many of both live in the one node process that a ``Grammy`` keeps.
Updates go through ``bot.handleUpdate`` and never reach a network.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias, get_args

from tests.grammy.outcome import Op, Outcome, make_errors, make_outcome
from tests.grammy.process import JSError, NodeProcess
from tests.grammy.wire import JSON, UNDEFINED, defined

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from tests.grammy.changes import Change
    from tests.grammy.steps import Step

Key: TypeAlias = Literal[
    "chat", "user", "user_in_chat", "async_chat", "number", "none", "null", "empty", "failing"
]
"""The functions for ``getSessionKey`` that the driver knows; ``chat`` is grammY's default."""

KEYS: Final[tuple[Key, ...]] = get_args(Key)


class Storage:
    """A storage of grammY's, for bots; can also be used directly, outside any update.

    ``read``, ``write`` and ``delete`` raise ``DriverError`` if the storage threw.
    """

    def __init__(self, node: NodeProcess, storage_id: int) -> None:
        self._node = node
        self.id = storage_id

    def read(self, key: str) -> JSON:
        """Return what the storage gives, UNDEFINED for missing."""
        return self._node.ask("read", id=self.id, key=key)

    def write(self, key: str, value: JSON) -> None:
        """Write *value*."""
        self._node.ask("write", id=self.id, key=key, value=value)

    def delete(self, key: str) -> None:
        """Delete *key*."""
        self._node.ask("delete", id=self.id, key=key)


class RecordedStorage(Storage):
    """A storage whose calls are recorded; it can be made to fail."""

    def fail(self, *ops: Op) -> None:
        """Let each call of *ops* throw from now on, and all others work."""
        self._node.ask("failing", id=self.id, ops=ops)


Engine: TypeAlias = Literal["redis", "psql", "mongodb"]


class ServedStorage(RecordedStorage):
    """A storage over a server, with a connection of its own."""

    def write_odd(self, key: str, *names: str) -> None:
        """Write an object whose fields, of these *names*, JSON cannot say."""
        self._node.ask("write_odd", id=self.id, key=key, names=names)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._node.ask("close", id=self.id)


class MemoryStorage(RecordedStorage):
    """A ``MemorySessionStorage``."""

    def dump(self) -> dict[str, JSON]:
        """Return everything that is stored, expired or not, in the order of insertion."""
        return dict(self._node.ask("dump", id=self.id))


class FreeStorage(RecordedStorage):
    """A ``freeStorage``."""

    def keys(self) -> JSON:
        """Return what ``readAllKeys`` gives."""
        return self._node.ask("keys", id=self.id)


@dataclass(frozen=True)
class Options:
    """The options of a session, or of one fragment.

    *initial* is what the ``initial`` function returns, a copy each time; there
    is none if it is UNDEFINED.  Without *storage* a new ``MemoryStorage`` is made.
    """

    initial: JSON = UNDEFINED
    prefix: str | None = None
    key: Key = "chat"
    storage: Storage | None = None


@dataclass(frozen=True)
class Plan:
    """An update that a bot is to handle."""

    bot: int
    update: Mapping[str, JSON]
    steps: Sequence[Step]


class Bot:
    """A bot with one session middleware.

    Attributes:
        storages: The storage of each fragment, under ``""`` that of a single session.
    """

    def __init__(self, node: NodeProcess, bot_id: int, storages: Mapping[str, Storage]) -> None:
        self._node = node
        self.id = bot_id
        self.storages = storages

    def plan(
        self,
        steps: Sequence[Step] = (),
        *,
        chat: int | None = None,
        user: int | None = None,
        raw: Mapping[str, JSON] | None = None,
    ) -> Plan:
        """Return an update for ``Grammy.together``; arguments as in ``update``."""
        update = make_update(chat, user) if raw is None else raw
        return Plan(self.id, {"update_id": 1, **update}, steps)

    def update(
        self,
        steps: Sequence[Step] = (),
        *,
        chat: int | None = None,
        user: int | None = None,
        raw: Mapping[str, JSON] | None = None,
    ) -> Outcome:
        """Let the bot handle an update, with *steps* as its handler.

        With *chat* it is a message, in it and from *user*; with *user* only, an
        inline query; with neither, a poll.  *raw* is an update of the Bot API.
        """
        (outcome,) = _play(self._node, [self.plan(steps, chat=chat, user=user, raw=raw)])
        return outcome


class Grammy:
    """A node process, *node*, that runs the real grammY of the folder *home*."""

    def __init__(self, home: Path) -> None:
        self.node = NodeProcess(home)
        self._ids = itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.node.close()

    def set_clock(self, ms: int) -> None:
        """Let ``Date.now()`` give *ms* from now on; it moves only by this, and is 0 at first."""
        self.node.ask("clock", ms=ms)

    def reset(self) -> None:
        """Forget all bots and storages, and set the clock to 0."""
        self.node.ask("reset")

    def vocabulary(self) -> list[set[str]]:
        """Return the names of the steps, changes and keys that the driver knows."""
        return [set(names) for names in self.node.ask("vocabulary")]

    def strays(self) -> list[JSError]:
        """Return the unhandled rejections that belong to no update, each only once."""
        return make_errors(self.node.ask("strays"))

    def together(self, *plans: Plan) -> list[Outcome]:
        """Let the updates be handled at the same time; return what each did."""
        return _play(self.node, plans)

    def memory(
        self,
        data: Mapping[str, JSON] | None = None,
        *,
        live: bool = False,
        ttl_ms: float | None = None,
    ) -> MemoryStorage:
        """Return a ``MemorySessionStorage`` that holds *data*.

        Values are copied in and out, as any other storage would, unless *live*:
        then they are live references, as grammY's users get them.
        """
        storage = MemoryStorage(self.node, self._storage("memory", live=live, ttl_ms=ttl_ms))
        for key, value in (data or {}).items():
            storage.write(key, value)
        return storage

    def file(self, folder: Path) -> RecordedStorage:
        """Return a ``FileAdapter`` of ``@grammyjs/storage-file`` on *folder*."""
        return RecordedStorage(self.node, self._storage("file", folder=str(folder)))

    def served(
        self,
        engine: Engine,
        url: str,
        table: str | None = None,
        *,
        older: bool = False,
        ttl_s: int | None = None,
    ) -> ServedStorage:
        """Return ``@grammyjs/storage-redis`` and so on, today's version or the first of 2.0.

        *table* is that of PostgreSQL, and the collection of MongoDB.
        """
        options = {"engine": engine, "url": url, "table": table, "older": older, "ttl_s": ttl_s}
        return ServedStorage(self.node, self._storage("served", **options))

    def free(self, token: str, root_url: str, *, older: bool = False) -> FreeStorage:
        """Return a ``freeStorage`` of ``@grammyjs/storage-free``, today's or 2.0, at *root_url*."""
        options = {"token": token, "root_url": root_url, "older": older}
        return FreeStorage(self.node, self._storage("free", **options))

    def enhanced(
        self,
        storage: Storage,
        *,
        ttl_ms: float | None = None,
        migrations: Mapping[str, Sequence[Change]] | None = None,
    ) -> Storage:
        """Return ``enhanceStorage`` around *storage*; versions are property names, so strings.

        Raises:
            DriverError: grammY refused.
        """
        options = {"inner": storage.id, "ttl_ms": ttl_ms, "migrations": migrations}
        return Storage(self.node, self._storage("enhanced", **options))

    def bot(
        self,
        kind: Literal["strict", "lazy"] = "strict",
        *,
        initial: JSON = UNDEFINED,
        prefix: str | None = None,
        key: Key = "chat",
        storage: Storage | None = None,
        times: int = 1,
    ) -> Bot:
        """Return a bot with ``session`` or ``lazySession``, installed *times*; see ``Options``."""
        return self._bot(kind, {"": Options(initial, prefix, key, storage)}, times)

    def multi_bot(self, fragments: Mapping[str, Options], *, lazy: bool = False) -> Bot:
        """Return a bot with a multi session.

        Raises:
            DriverError: grammY refused, as it does if *lazy*.
        """
        return self._bot("lazy_multi" if lazy else "multi", fragments)

    def _bot(self, kind: str, fragments: Mapping[str, Options], times: int = 1) -> Bot:
        storages = {name: each.storage or self.memory() for name, each in fragments.items()}
        wire = {name: _wire(each, storages[name]) for name, each in fragments.items()}
        bot_id = next(self._ids)
        self.node.ask("bot", id=bot_id, kind=kind, fragments=wire, times=times)
        return Bot(self.node, bot_id, storages)

    def _storage(self, kind: str, **options: JSON) -> int:
        storage_id = next(self._ids)
        self.node.ask("storage", id=storage_id, kind=kind, **_without_none(options))
        return storage_id


def make_update(chat: int | None, user: int | None) -> dict[str, JSON]:
    """Return a small update of the Bot API: a message, an inline query or a poll."""
    sender = None if user is None else {"id": user, "is_bot": False, "first_name": "Ann"}
    if chat is not None:
        place = {"id": chat, "type": "private" if chat == user else "group"}
        message = {"message_id": 1, "date": 0, "chat": place, "from": sender, "text": "hi"}
        return {"message": _without_none(message)}
    if sender is not None:
        return {"inline_query": {"id": "1", "from": sender, "query": "", "offset": ""}}
    return {"poll": {"id": "1", "question": "?", "options": [], "is_closed": True}}


def _play(node: NodeProcess, plans: Sequence[Plan]) -> list[Outcome]:
    return [make_outcome(told) for told in node.ask("updates", updates=plans)]


def _wire(options: Options, storage: Storage) -> dict[str, JSON]:
    given = {"prefix": options.prefix, "key": options.key, "storage": storage.id}
    return defined({**_without_none(given), "initial": options.initial})


def _without_none(values: Mapping[str, JSON]) -> dict[str, JSON]:
    return {name: value for name, value in values.items() if value is not None}
