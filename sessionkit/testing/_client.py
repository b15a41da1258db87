"""One opened storage, sync or async, whose every use is written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any, NoReturn

from sessionkit._drive import discard, is_awaitable
from sessionkit._types import Expected, Revision
from sessionkit.errors import SessionConflictError
from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._capabilities import capabilities_of
from sessionkit.testing._equal import alike
from sessionkit.testing._history import History, Line
from sessionkit.testing._kinds import is_async_iterable, is_mapping, is_pair
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

    # The three methods, and the optional ones.

    async def read(self, key: str) -> Any:
        """Return what ``read`` gives."""
        return await self._call("read", key)

    async def write(self, key: str, value: Any) -> None:
        """Call ``write``."""
        await self._call("write", key, value, silent=True)

    async def delete(self, key: str) -> None:
        """Call ``delete``."""
        await self._call("delete", key, silent=True)

    async def has(self, key: str) -> Any:
        """Return what ``has`` gives."""
        return await self._call("has", key)

    async def read_many(self, keys: Sequence[str]) -> Any:
        """Return what ``read_many`` gives, as a ``dict`` if it is a mapping."""
        found = await self._call("read_many", keys)
        return dict(found) if is_mapping(found) else found

    async def write_many(self, values: Mapping[str, Any]) -> None:
        """Call ``write_many``."""
        await self._call("write_many", values, silent=True)

    async def touch(self, key: str) -> Any:
        """Return what ``touch`` gives."""
        return await self._call("touch", key)

    async def purge_expired(self) -> Any:
        """Return what ``purge_expired`` gives."""
        return await self._call("purge_expired")

    async def read_with_revision(self, key: str) -> tuple[Any, Revision | None]:
        """Return value and revision.

        Raises:
            BrokenPromise: The storage gave no such pair.
        """
        line = self._begin("read_with_revision", show(key))
        found = await self._run(line, "read_with_revision", (key,))
        if not is_pair(found):
            line.outcome = f"-> {show(found)}"
            self.fail(expected="a tuple of value and revision", got=show(found))
        value, revision = found
        line.outcome = f"-> ({show(value)}, {self.history.revision_name(revision)})"
        return value, revision

    async def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Revision | None:
        """Return the new revision; *expires* is passed on only if it is given."""
        options = {} if expires is None else {"expires": expires}
        shown = [show(key), show(value), self.history.revision_name(expected)]
        shown += [f"{name}={given}" for name, given in options.items()]
        line = self._begin("write_if", *shown)
        revision = await self._run(line, "write_if", (key, value, expected), options)
        line.outcome = f"-> {self.history.revision_name(revision)}"
        return revision  # type: ignore[no-any-return]  # of anything

    async def renew(self, key: str, revision: Revision | None) -> Any:
        """Return what ``renew`` gives."""
        line = self._begin("renew", show(key), self.history.revision_name(revision))
        renewed = await self._run(line, "renew", (key, revision))
        line.outcome = f"-> {self.history.revision_name(renewed)}"
        return renewed

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
        line = self._begin(method, show(prefix))
        listing = await self._run(line, method, (prefix,))
        line.outcome = None
        async for item in _each(listing):
            self.history.note(f"# the listing gave {show(item)}")
            yield item

    async def close(self) -> None:
        """Call ``close``."""
        await self._call("close", silent=True)

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

    async def _call(self, method: str, *args: Any, silent: bool = False) -> Any:
        line = self._begin(method, *map(show, args))
        answer = await self._run(line, method, args)
        line.outcome = None if silent else f"-> {show(answer)}"
        return answer

    async def _list(self, method: str, prefix: str | None) -> list[Any]:
        args = () if prefix is None else (prefix,)
        line = self._begin(method, *map(show, args))
        awaitable_line, line.call = line.call, f"list({line.call})"
        if self._blocking:
            listed: list[Any] = await self._run(line, method, args, collect=True)
        else:
            listing = await self._run(line, method, args)
            if is_async_iterable(listing):
                line.call = f"[each async for each in {awaitable_line}]"
            try:
                listed = [item async for item in _each(listing)]
            except Exception as error:
                line.outcome = f"raised {show(error)}"
                raise
        line.outcome = f"-> {show(listed)}"
        return listed

    def _begin(self, method: str, *shown: str) -> Line:
        return self.history.begin(f"{self.name}.{method}({', '.join(shown)})")

    async def _run(
        self,
        line: Line,
        method: str,
        args: tuple[Any, ...],
        options: Mapping[str, Any] | None = None,
        *,
        collect: bool = False,
    ) -> Any:
        call = partial(getattr(self.storage, method), *args, **(options or {}))
        async with self._around(method):
            try:
                if self._blocking:
                    return await asyncio.to_thread(_blocking_call, call, collect=collect)
                answer = call()
                if is_awaitable(answer):
                    line.call = f"await {line.call}"
                    answer = await answer
            except BaseException as error:
                line.outcome = f"raised {show(error)}"
                raise
            return answer


def _blocking_call(call: Callable[[], Any], *, collect: bool) -> Any:
    answer = call()
    if is_awaitable(answer) or is_async_iterable(answer):
        discard(answer)
        msg = "a method of a sync view must block, and this one answers with an awaitable"
        raise TypeError(msg)
    return list(answer) if collect else answer


async def _each(listing: Any) -> AsyncIterator[Any]:
    if is_async_iterable(listing):
        async for item in listing:
            yield item
    else:
        for item in listing:
            yield item
