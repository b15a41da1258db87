"""One opened storage, sync or async, whose every use is written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, NoReturn

from sessionkit._storage.sync_or_async import discard, is_awaitable
from sessionkit.errors import SessionConflictError
from sessionkit.protocols import Expected, Revision
from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._capabilities import capabilities_of
from sessionkit.testing._equal import alike
from sessionkit.testing._history import History, Line
from sessionkit.testing._kinds import each_of, is_async_iterable, is_mapping, is_pair
from sessionkit.testing._ops import (
    Op,
    delete,
    has,
    look,
    read,
    read_many,
    touch,
    write,
    write_many,
)
from sessionkit.testing._show import show


class Client:
    """One opened storage: every method is async, and recorded in a history.

    What the storage raises is recorded and raised on.

    Args:
        storage: The user's storage.
        history: Where its use is written down.
        name: Its name there.
        blocking: It is a view for threads: its methods are called on another
            thread, and must not answer with awaitables.
        around: Gives a context for each call, from the method's name.

    Attributes:
        storage: The user's storage itself.
        capabilities: The names of what it offers beside the three methods.
    """

    def __init__(
        self,
        storage: Any,
        history: History,
        name: str = "storage",
        *,
        blocking: bool = False,
        around: Callable[[str], AbstractAsyncContextManager[Any]] = nullcontext,
    ) -> None:
        self.storage = storage
        self.history = history
        self.name = name
        self.capabilities = capabilities_of(storage)
        self._blocking = blocking
        self._around = around

    # The three methods, and the optional ones; each gives what the storage gives.

    async def read(self, key: str) -> Any:
        """Call ``read``."""
        return await self.do(read(key))

    async def write(self, key: str, value: Any) -> None:
        """Call ``write``."""
        await self.do(write(key, value))

    async def delete(self, key: str) -> None:
        """Call ``delete``."""
        await self.do(delete(key))

    async def has(self, key: str) -> Any:
        """Call ``has``."""
        return await self.do(has(key))

    async def read_many(self, keys: Sequence[str]) -> Any:
        """Call ``read_many``; return a ``dict`` if it gives a mapping."""
        found = await self.do(read_many(*keys))
        return dict(found) if is_mapping(found) else found

    async def write_many(self, values: Mapping[str, Any]) -> None:
        """Call ``write_many``."""
        await self.do(write_many(values))

    async def touch(self, key: str) -> Any:
        """Call ``touch``."""
        return await self.do(touch(key))

    async def purge_expired(self) -> Any:
        """Call ``purge_expired``."""
        return await self.do(Op("purge_expired"))

    async def read_with_revision(self, key: str) -> tuple[Any, Revision | None]:
        """Return value and revision.

        Raises:
            BrokenPromise: The storage gave no such pair.
        """
        found = await self.do(look(key))
        if not is_pair(found):
            self.fail(expected="a tuple of value and revision", got=show(found))
        return found

    async def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Revision | None:
        """Return the new revision; *expires* is passed on only if it is given."""
        options = () if expires is None else (("expires", expires),)
        revision: Revision | None = await self.do(Op("write_if", (key, value, expected), options))
        return revision

    async def renew(self, key: str, revision: Revision | None) -> Any:
        """Call ``renew``."""
        return await self.do(Op("renew", (key, revision)))

    async def close(self) -> None:
        """Call ``close``."""
        await self.do(Op("close"))

    async def keys(self, prefix: str | None = "") -> list[Any]:
        """Return all that ``iter_keys`` yields, in its order; None leaves the prefix out."""
        return await self._list("iter_keys", prefix)

    async def items(self, prefix: str | None = "") -> list[Any]:
        """Return all that ``iter_items`` yields, in its order; None leaves the prefix out."""
        return await self._list("iter_items", prefix)

    async def iterate(self, method: str, prefix: str = "") -> AsyncGenerator[Any, None]:
        """Yield what ``iter_keys`` or ``iter_items`` yields, one by one.

        Other calls may come in between; each item is a line of the history.
        """
        op = Op(method, (prefix,))
        line = self._begin(op)
        listing = await self._run(line, op)
        line.outcome = None
        async for item in each_of(listing):
            self.history.note(f"# the listing gave {show(item)}")
            yield item

    async def do(self, op: Op) -> Any:
        """Do *op*, and return what it gives."""
        line = self._begin(op)
        answer = await self._run(line, op)
        line.outcome = self.history.gave(op, answer)
        return answer

    def sync_view(self) -> Client:
        """Return the storage's ``sync`` view, to be used on threads without an event loop."""
        view = self.storage.sync
        return Client(view, self.history, f"{self.name}.sync", blocking=True, around=self._around)

    # What a check expects.

    def fail(self, *, expected: str, got: str) -> NoReturn:
        """Say that the promise under test is broken by the last step."""
        self.history.fail(expected=expected, got=got)

    def expect(self, got: Any, expected: Any) -> None:
        """Break the promise unless *got* is equal to *expected*, types included."""
        if not alike(got, expected):
            self.history.fail_value(expected=expected, got=got)

    async def expect_read(self, key: str, expected: Any) -> None:
        """Break the promise unless *key* reads as *expected*."""
        self.expect(await self.read(key), expected)

    async def expect_conflict(self, key: str, value: Any, expected: Expected) -> None:
        """Break the promise unless this conditional write is refused."""
        try:
            revision = await self.write_if(key, value, expected)
        except SessionConflictError:
            return
        except Exception as error:
            raise BrokenPromise(
                self.history.lines, expected="SessionConflictError", got=show(error)
            ) from error
        name = self.history.revision_name(revision)
        self.fail(expected="SessionConflictError", got=f"the write went through and gave {name}")

    # How a call is made.

    async def _list(self, method: str, prefix: str | None) -> list[Any]:
        op = Op(method, () if prefix is None else (prefix,))
        line = self._begin(op)
        awaitable_line, line.call = line.call, f"list({line.call})"
        if self._blocking:
            listed: list[Any] = await self._run(line, op, collect=True)
        else:
            listing = await self._run(line, op)
            if is_async_iterable(listing):
                line.call = f"[each async for each in {awaitable_line}]"
            try:
                listed = [item async for item in each_of(listing)]
            except Exception as error:
                line.outcome = f"raised {show(error)}"
                raise
        line.outcome = f"-> {show(listed)}"
        return listed

    def _begin(self, op: Op) -> Line:
        return self.history.begin(f"{self.name}.{self.history.shown(op)}")

    async def _run(self, line: Line, op: Op, *, collect: bool = False) -> Any:
        op = op.for_users()
        async with self._around(op.method):
            try:
                if self._blocking:
                    return await asyncio.to_thread(_blocking_call, self.storage, op, collect)
                answer = op.call(self.storage)
                if is_awaitable(answer):
                    line.call = f"await {line.call}"
                    answer = await answer
            except BaseException as error:
                line.outcome = f"raised {show(error)}"
                raise
            return answer


def _blocking_call(storage: Any, op: Op, collect: bool) -> Any:  # noqa: FBT001 (of a thread)
    answer = op.call(storage)
    if is_awaitable(answer) or is_async_iterable(answer):
        discard(answer)
        msg = "a method of a sync view must block, and this one answers with an awaitable"
        raise TypeError(msg)
    return list(answer) if collect else answer
