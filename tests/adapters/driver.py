"""What the scenarios need of a framework: a bot that is fed raw updates through the real dispatch.

Each framework has a ``Driver`` in ``tests/adapters/<framework>_bot.py``.  Its
handlers are the scenarios' coroutines; where a framework calls handlers in
threads, ``run_in_thread`` runs them to their end there.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from itertools import count
from typing import Any, ClassVar, Final, Protocol, Self, TypeAlias

from sessionkit._storage.sync_or_async import is_awaitable

Raw: TypeAlias = dict[str, Any]
"""An update as the Bot API sends it."""

PATIENCE: Final = 60.0
"""After so many seconds, a test that waits for something fails."""

AT_ONCE: Final = 6
"""So many handlers a driver must be able to run at the same time."""

CHAT: Final = 11
USER: Final = 11
GROUP: Final = -55
SUPERGROUP: Final = -1001000000077
BOT_ID: Final = 42
TOKEN: Final = f"{BOT_ID}:TEST"


class Turn:
    """One call of a scenario's handler.

    Args:
        text: What the message says; of an inline query, what it asks for.
        sessions: The open sessions, by name.
        given: What the handler got, and may pass on: the update, parts of it, a context.
        holder: What has the data as attributes; None where handlers get arguments only.
        blocking: Whether the handler runs in a thread, and has a ``SyncSession``.
    """

    def __init__(
        self,
        text: str,
        sessions: Mapping[str, Any],
        *given: object,
        holder: object = None,
        blocking: bool = False,
    ) -> None:
        self.text = text
        self.sessions = sessions
        self.given = given
        self.blocking = blocking
        self._holder = holder

    @property
    def session(self) -> Any:
        """The open ``Session``, where there is one."""
        (session,) = self.sessions.values()
        return session

    @property
    def data(self) -> Any:
        """The data, in the native form: attribute or argument.  Of lazy sessions, await it."""
        return self.get(self._only)

    @data.setter
    def data(self, value: Any) -> None:
        self.set(self._only, value)

    @data.deleter
    def data(self) -> None:
        self.delete(self._only)

    def get(self, name: str) -> Any:
        """The data of one of several sessions."""
        if self._holder is None:
            return self.sessions[name].data
        return getattr(self._holder, name)

    def set(self, name: str, value: Any) -> None:
        """Assign the data of one of several sessions."""
        if self._holder is None:
            self.sessions[name].data = value
        else:
            setattr(self._holder, name, value)

    def delete(self, name: str) -> None:
        """Delete the data of one of several sessions."""
        if self._holder is None:
            del self.sessions[name].data
        else:
            delattr(self._holder, name)

    async def read(self, name: str | None = None) -> Any:
        """The data, awaited if the session is lazy."""
        data = self.get(name or self._only)
        return await data if is_awaitable(data) else data

    async def pause(self) -> None:
        """Let others go on, if the framework lets them."""
        if not self.blocking:
            await asyncio.sleep(0)

    @property
    def _only(self) -> str:
        (name,) = self.sessions
        return name


Handler: TypeAlias = Callable[[Turn], Awaitable[Any]]


class Driver(Protocol):
    """A bot of one framework, fed with raw updates of the Bot API through its real dispatch.

    The arguments are those of ``install``.  Handlers are added before it is entered.
    """

    name: ClassVar[str]
    io_when_unmatched: ClassVar[bool]
    """Whether sessions are read for updates that no handler takes."""
    blocking: ClassVar[bool]
    """Whether handlers run in threads, and get a ``SyncSession``."""
    has_stop: ClassVar[bool]
    """Whether a handler can say that no further one is to see the update."""
    has_go_on: ClassVar[bool]
    """Whether a handler can say that the next one is to see it as well."""
    has_error_handlers: ClassVar[bool]
    """Whether users can handle the errors of handlers in one place."""
    once: ClassVar[Any]
    """What ``once=`` is to be: updates without ids need a function."""

    def __init__(
        self, sessions: Any = None, /, *, migrate_chats: Any = True, **named: Any
    ) -> None: ...

    @property
    def errors(self) -> list[BaseException]:
        """What handlers and sessions raised, as the framework's own error handling saw it."""
        ...

    def on(self, word: str, handler: Handler, group: int = 0) -> None:
        """Handle messages that begin with *word*, with the sessions; groups come in order."""
        ...

    def on_quiet(self, word: str, handler: Handler) -> None:
        """Handle messages that begin with *word* without asking for a session."""
        ...

    def on_inline(self, handler: Handler) -> None:
        """Handle inline queries, which have no chat, with the sessions."""
        ...

    def on_error(self, handler: Callable[[BaseException], None]) -> None:
        """Handle all errors of handlers, in the framework's own way."""
        ...

    def stop(self) -> Any:
        """Raise, or return for the handler to return, what stops the update here."""
        ...

    def go_on(self) -> Any:
        """Raise, or return for the handler to return, what lets the next handler see it."""
        ...

    async def feed(self, *updates: Raw) -> None:
        """Dispatch all at once, as the framework really does it; end when all are through.

        Late work of handlers is waited for.  Never raises what handlers raised: see ``errors``.
        """
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc_info: object) -> None: ...


def run_in_thread(course: Coroutine[Any, Any, Any]) -> Any:
    """Run a scenario's handler to its end where no loop runs: it waits for nothing but threads."""
    try:
        course.send(None)
    except StopIteration as end:
        return end.value
    course.close()
    raise AssertionError("a handler in a thread waits for an event loop")


class Meeting:
    """Where handlers wait until all have come: shows that they run at the same time."""

    def __init__(self, parties: int) -> None:
        self._threads = threading.Barrier(parties)
        self._tasks = asyncio.Barrier(parties)

    async def arrive(self, turn: Turn) -> None:
        if turn.blocking:
            self._threads.wait(PATIENCE)
        else:
            async with asyncio.timeout(PATIENCE):
                await self._tasks.wait()


class Gate:
    """What a handler waits at, until the test lets it through."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._thread = threading.Event()
        self._task = asyncio.Event()

    async def pass_through(self, turn: Turn) -> None:
        self._reached.set()
        if turn.blocking:
            assert self._thread.wait(PATIENCE)
        else:
            async with asyncio.timeout(PATIENCE):
                await self._task.wait()

    async def reached(self) -> None:
        """Wait until a handler is there."""
        assert await asyncio.to_thread(self._reached.wait, PATIENCE)

    def open(self) -> None:
        self._thread.set()
        self._task.set()


# --- raw updates --------------------------------------------------------------------------

_numbers = count(1)


def update(kind: str, **event: Any) -> Raw:
    """Any update; ``from_`` is a keyword's way to say ``from``."""
    named = {key.removesuffix("_"): value for key, value in event.items()}
    return {"update_id": next(_numbers), kind: named}


def message(text: str | None = None, *, chat: int = CHAT, user: int = USER, **more: Any) -> Raw:
    """A message; in a private chat, a group or a supergroup, as the number of the chat says."""
    content: Raw = {} if text is None else {"text": text}
    if text and text.startswith("/"):  # Telegram marks commands, and some libraries go by that
        length = len(text.split(maxsplit=1)[0])
        content["entities"] = [{"type": "bot_command", "offset": 0, "length": length}]
    return update(
        "message",
        message_id=next(_numbers),
        date=1_700_000_000,
        chat=chat_of(chat),
        from_=user_of(user),
        **content,
        **more,
    )


def migrate_to(old: int = GROUP, new: int = SUPERGROUP) -> Raw:
    """The service message in the old chat."""
    return message(chat=old, migrate_to_chat_id=new)


def migrate_from(old: int = GROUP, new: int = SUPERGROUP) -> Raw:
    """The service message in the new chat."""
    return message(chat=new, migrate_from_chat_id=old)


def inline_query(text: str = "", *, user: int = USER) -> Raw:
    """An update with a user and no chat."""
    return update(
        "inline_query", id=str(next(_numbers)), from_=user_of(user), query=text, offset=""
    )


def pressed(message: Raw | None = None, *, user: int = USER) -> Raw:
    """An inline button was pressed: of a message, or of one that the bot cannot see."""
    of = {} if message is None else {"message": message}
    return update(
        "callback_query",
        id=str(next(_numbers)),
        from_=user_of(user),
        chat_instance="1",
        data="pressed",
        **of,
    )


def poll() -> Raw:
    """An update with neither user nor chat."""
    options = [
        {"persistent_id": str(n), "text": text, "voter_count": n} for n, text in enumerate("ab")
    ]
    flags = dict.fromkeys(
        ("is_closed", "is_anonymous", "allows_multiple_answers", "allows_revoting", "members_only"),
        False,
    )
    return update(
        "poll",
        id=str(next(_numbers)),
        question="?",
        options=options,
        total_voter_count=1,
        type="regular",
        **flags,
    )


def chat_of(chat: int) -> Raw:
    if chat > 0:
        return {"id": chat, "type": "private", "first_name": f"User {chat}"}
    kind = "supergroup" if chat < -1_000_000_000_000 else "group"
    return {"id": chat, "type": kind, "title": f"Group {chat}"}


def user_of(user: int) -> Raw:
    return {"id": user, "is_bot": False, "first_name": f"User {user}"}
