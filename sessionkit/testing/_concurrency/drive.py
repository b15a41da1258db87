"""A plan put into practice, and written down as the clients saw it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Final

from sessionkit.protocols import ANY
from sessionkit.testing._concurrency.actors import Actor
from sessionkit.testing._concurrency.plan import CLIENTS, Begin, Plan
from sessionkit.testing._concurrency.wait_policy import WaitPolicy
from sessionkit.testing._linearizable.operation import (
    ANY_REVISION,
    Fate,
    Operation,
    Revision,
)
from sessionkit.testing._ops import Op, Outcome, Seen, look, read, write

_FAREWELL: Final = 1.0


class Log:
    """Writes down what all clients saw; the time is counted in calls and answers."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.now = count(1).__next__
        self._revisions: list[tuple[Any, Revision]] = []

    def add(self, client: str, called: int, **given: Any) -> None:
        """Add an operation that is answered now."""
        given.setdefault("answered", self.now())
        self.operations.append(Operation(client, called=called, **given))

    def revision(self, given: Any) -> Revision:
        """Return what *given*, a revision that a storage gave, is called here."""
        if given is None:
            return ANY_REVISION
        for known, revision in self._revisions:
            if known == given:
                return revision
        self._revisions.append((given, Revision(f"r{len(self._revisions) + 1}")))
        return self._revisions[-1][1]


class _Client:
    """One of those who use the storage at once: it does one call after the other."""

    def __init__(self, actor: Actor, log: Log, names: Mapping[str, str]) -> None:
        self._actor = actor
        self._name = actor.name.strip()
        self._log = log
        self._names = names
        self._seen: dict[str, Any] = {}
        self._waiting: list[Begin] = []
        self._working: asyncio.Task[None] | None = None
        self._may_go_on: asyncio.Event = asyncio.Event()
        self._stops_no_more = False
        self._paused = False
        self._rests: asyncio.Future[None] | None = None

    def begin(self, move: Begin) -> None:
        """Begin a call as soon as those before have ended."""
        self._waiting.append(move)
        self._stir()
        if self._working is None or (self._working.done() and not self._working.exception()):
            self._working = asyncio.ensure_future(self._work())

    def go_on(self) -> None:
        """Resume the paused call; a no-op if none is."""
        if self._paused:
            self._paused = False
            self._stir()
            self._may_go_on.set()

    async def settle(self, waits: WaitPolicy) -> None:
        """Wait until it is paused, has nothing to do, or seems to wait for another one."""
        if self._rests is not None:
            await waits.wait(self._rests, self._actor)

    async def end(self) -> None:
        """Let it do all that is left, without a stop.

        Raises:
            BrokenPromise: A call raised, or hangs.
        """
        self._stops_no_more = True
        self.go_on()
        if self._working is not None:
            await self._working

    async def give_up(self) -> None:
        """Let it end, whatever comes of it, but do not wait for long."""
        self._stops_no_more = True
        self._waiting.clear()
        self.go_on()
        if self._working is not None:
            await asyncio.wait((self._working,), timeout=_FAREWELL)
            self._working.cancel()
            with suppress(BaseException):
                self._working.exception()

    async def do(self, op: Op) -> None:
        """Do *op* at once, from its beginning to its end."""
        await self._do(Begin(0, op))

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._do(self._waiting.pop(0))
        finally:
            self._rest()

    async def _do(self, move: Begin) -> None:
        op = move.op.with_keys(self._names)
        called = self._log.now()
        if move.stop is None:
            outcome = await self._actor.do(op)
        else:
            place = await self._actor.start(op, move.stop)
            if place is not None and not self._stops_no_more:
                await self._pause()
            outcome = await self._actor.finish()
        self._write_down(move.op, called, outcome)

    async def _pause(self) -> None:
        self._may_go_on.clear()
        self._paused = True
        self._rest()
        await self._may_go_on.wait()

    def _stir(self) -> None:
        if not self._paused and (self._rests is None or self._rests.done()):
            self._rests = asyncio.get_running_loop().create_future()

    def _rest(self) -> None:
        assert self._rests is not None
        self._rests.set_result(None)

    # What it saw.

    def _write_down(self, op: Op, called: int, outcome: Outcome) -> None:
        answered = self._log.now()
        for given in self._seen_of(op, outcome):
            self._log.add(self._name, called, answered=answered, **given)

    def _seen_of(self, op: Op, outcome: Outcome) -> Iterable[dict[str, Any]]:
        """Yield what was seen of each key; of many keys, each may have its own instant."""
        answer = outcome.answer
        match op.method:
            case "read_many" | "iter_items":
                for key in op.keys or self._names:
                    yield {"op": "read", "key": key, "result": answer.get(self._names[key])}
            case "iter_keys":
                for key, name in self._names.items():
                    yield {"op": "has", "key": key, "result": name in answer}
            case "write_many":
                for key, value in op.args[0].items():
                    yield {"op": "write", "key": key, "args": (value,)}
            case "purge_expired":
                yield from ({"op": op.method, "key": key} for key in self._names)
            case "write_if":
                yield self._conditional(op, outcome)
            case "read_with_revision":
                yield self._look(op, outcome)
            case _:
                args = op.args[1:]
                yield {"op": op.method, "key": op.args[0], "args": args, "result": answer}

    def _look(self, op: Op, outcome: Outcome) -> dict[str, Any]:
        value, revision = outcome.answer, outcome.revision
        if value is not None or revision is not None:  # of what has expired, maybe
            revision = self._log.revision(revision)
        self._seen[op.args[0]] = revision
        return {"op": op.method, "key": op.args[0], "result": (value, revision)}

    def _conditional(self, op: Op, outcome: Outcome) -> dict[str, Any]:
        key, value, expected = op.args
        fate: Fate = "refused" if outcome.kind == "conflict" else "answered"
        if isinstance(expected, Seen):
            expected = self._seen[key]
        if expected is ANY_REVISION:  # nobody can tell here which one that is
            expected, fate = ANY, "unknown"
        expires = dict(op.options).get("expires")
        args = value, expected
        return {"op": op.method, "key": key, "args": args, "fate": fate, "expires": expires}


class Drive:
    """Puts a plan into practice.

    Args:
        actors: Who uses the storage.
        waits: What is known of who waits for whom.
        names: The names of the keys in the storage.

    Attributes:
        log: What they saw.
    """

    def __init__(
        self, actors: Sequence[Actor], waits: WaitPolicy, names: Mapping[str, str]
    ) -> None:
        self.log = Log()
        self._waits = waits
        self._clients = [_Client(actor, self.log, names) for actor in actors[:CLIENTS]]

    async def store(self, ops: Sequence[Op]) -> None:
        """Let the first client do *ops*, before anything else."""
        for op in ops:
            await self._clients[0].do(op)

    def passed(self, seconds: float) -> None:
        """Take note that time has passed."""
        self.log.add("clock", self.log.now(), op="advance", args=(seconds,))

    async def run(
        self, plan: Plan, *, looks: bool, catch_up: Callable[[], Awaitable[None]]
    ) -> None:
        """Do what *plan* says, and then read all keys (with *looks*: and their revisions).

        After each move *catch_up* waits until all must see what was written.

        Raises:
            BrokenPromise: A call raised, or hangs.
        """
        try:
            for move in plan.moves:
                client = self._clients[move.who]
                if isinstance(move, Begin):
                    client.begin(move)
                else:
                    client.go_on()
                await client.settle(self._waits)
                await catch_up()
            for client in self._clients:
                client.go_on()
            await asyncio.gather(*(client.end() for client in self._clients))
        finally:
            for client in self._clients:
                await client.give_up()
        for key in plan.keys:
            await self._clients[-1].do(look(key) if looks else read(key))


def writes(keys: Iterable[str]) -> list[Op]:
    """Return writes of something under *keys*."""
    return [write(key, {"n": number}) for number, key in enumerate(keys, 1)]
