"""An application that ends the sessions of an update when its last handler has ended."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Generator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from telegram.ext import Application

from sessionkit import RepeatedUpdateError
from sessionkit_ptb._context import ContextProperty
from sessionkit_ptb._under_way import UnderWay, has_sessions

if TYPE_CHECKING:
    from telegram.ext import Job

    from sessionkit.adapters import Binding
    from sessionkit.types import Hold

BT = TypeVar("BT", bound=Any)
CCT = TypeVar("CCT", bound=Any)
UD = TypeVar("UD")
CD = TypeVar("CD")
BD = TypeVar("BD")
JQ = TypeVar("JQ", bound=Any)
R = TypeVar("R")


class SessionApplicationMixin(Application[BT, CCT, UD, CD, BD, JQ]):
    """Ends the sessions of each update: saved if its handlers ended well.

    ``install`` adds it to the application class of the builder.  Put it before
    the other bases of a class of your own to build on what it does.
    """

    __slots__ = ()

    _session_binding: Binding
    _sessions_under_way: dict[int, UnderWay]
    _session_tasks: set[asyncio.Task[Any]]
    """Hold sessions, or end them."""

    def __init__(self, *, session_binding: Binding, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._session_binding = session_binding
        self._sessions_under_way = {}
        self._session_tasks = set()

    async def initialize(self) -> None:
        """Check that the contexts can show sessions, and initialize.

        Raises:
            TypeError: They cannot: ``context_types`` was set after ``install``.
        """
        check_context(self.context_types.context, self._session_binding)
        await super().initialize()

    async def process_update(self, update: object) -> None:
        """Handle an update; open its sessions if a handler matches, and save them."""
        if not has_sessions(update) or id(update) in self._sessions_under_way:
            await super().process_update(update)
            return
        under_way = self._sessions_under_way[id(update)] = UnderWay(self._session_binding, update)
        error: BaseException | None = None
        try:
            await super().process_update(update)
        except BaseException as caught:
            error = caught
            raise
        finally:
            await self._leave(under_way, error)

    async def process_error(
        self,
        update: object | None,
        error: Exception,
        job: Job[CCT] | None = None,
        coroutine: Any = None,
    ) -> bool:
        """Handle an error; nothing of its update is saved.

        Returns:
            Whether no further handler is to see the update: also if its
            sessions could not be opened, or it was handled already.
        """
        if isinstance(error, RepeatedUpdateError) and error.ctx is update:
            return True
        under_way = self._sessions_under_way.get(id(update))
        if under_way is None:
            return await super().process_error(update, error, job, coroutine)
        under_way.fail(error)
        stopped = await super().process_error(update, error, job, coroutine)
        return stopped or under_way.could_not_open

    def create_task(
        self,
        coroutine: Generator[Any, None, R] | Awaitable[R],
        update: object | None = None,
        *,
        name: str | None = None,
    ) -> asyncio.Task[R]:
        """Start a task; for an *update* under way, its sessions stay open until the task ends."""
        with nullcontext() if self.running else _warnings_of_the_caller():
            task: asyncio.Task[R] = super().create_task(coroutine, update, name=name)
        under_way = self._sessions_under_way.get(id(update))
        if under_way is not None and under_way.is_open:
            self._session_tasks.add(task)
            task.add_done_callback(partial(self._end_task, under_way, under_way.hold(task)))
        return task

    async def stop(self) -> None:
        """Stop, when the sessions of all updates have ended."""
        await super().stop()
        await self._ended()

    async def shutdown(self) -> None:
        """Shut down, when the sessions of all updates have ended."""
        await self._ended()
        await super().shutdown()

    def _end_task(self, under_way: UnderWay, hold: Hold, task: asyncio.Task[Any]) -> None:
        self._session_tasks.discard(task)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        ending = asyncio.create_task(self._leave(under_way, error, hold))
        self._session_tasks.add(ending)
        ending.add_done_callback(self._session_tasks.discard)

    async def _leave(
        self, under_way: UnderWay, error: BaseException | None, hold: Hold | None = None
    ) -> None:
        """End one party's use of an update's sessions."""
        under_way.fail(error)
        under_way.leave()
        if under_way.is_over:
            del self._sessions_under_way[id(under_way.update)]
        try:
            await under_way.end(hold)
        except Exception as failure:  # noqa: BLE001 (as PTB does with those of handlers)
            await self.process_error(under_way.update, failure)

    async def _ended(self) -> None:
        while others := self._session_tasks - {asyncio.current_task()}:
            await asyncio.wait(others)


@contextmanager
def _warnings_of_the_caller() -> Generator[None, None, None]:
    """Let what PTB warns of name the line that calls the method around, not that method."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for each in caught:
        warnings.warn(each.message, stacklevel=4)


def check_context(context: type, binding: Binding) -> None:
    """Check that a context class shows sessions.

    Raises:
        TypeError: It does not.
    """
    for name in binding.names:
        if not isinstance(getattr(context, name, None), ContextProperty):
            msg = (
                f"context.{name} is missing in {context.__name__}: builder.context_types() was "
                "called after install(). Call it before"
            )
            raise TypeError(msg)
