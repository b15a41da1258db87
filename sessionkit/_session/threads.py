"""Sessions for threads that run no event loop: the same, without ``await``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from sessionkit._storage.sync_or_async import run_sync

if TYPE_CHECKING:
    from sessionkit._session.lazy import LazySession
    from sessionkit._session.strict import Session

S = TypeVar("S")


class _SyncView(ABC, Generic[S]):
    """What both kinds share: each verb of the session, driven to its end."""

    __slots__ = ("_session",)

    def __init__(self, session: Session[S] | LazySession[S]) -> None:
        self._session = session

    def __repr__(self) -> str:
        return f"<Sync{repr(self._session)[1:]}"

    def __getitem__(self, name: object) -> NoReturn:
        msg = f"this is the session, its data is one step away: session.data[{name!r}]"
        raise TypeError(msg)

    @property
    def key(self) -> str | None:
        """The key, without prefix; None if this update has none."""
        return self._session.key

    @property
    def has_key(self) -> bool:
        """Whether this update has a session at all."""
        return self._session.has_key

    @property
    def data(self) -> S:
        """The data: change it in place, assign to replace it, assign None or ``del`` to delete.

        Raises:
            NoSessionKeyError: This update has no session.
            NoInitialDataError: Nothing is stored, and there is no ``initial``.
            SessionClosedError: The session has ended, or is paused.
        """
        return self._data()

    @data.setter
    def data(self, value: S | None) -> None:
        self._session.data = value

    @data.deleter
    def data(self) -> None:
        del self._session.data

    @abstractmethod
    def _data(self) -> S: ...

    @property
    def is_new(self) -> bool:
        """Whether nothing is stored under this key."""
        return self._session.is_new

    @property
    def is_changed(self) -> bool:
        """Whether the end of the update would write or delete something."""
        return self._session.is_changed

    @property
    def update_id(self) -> str | None:
        """The identity of this update; see ``Session.update_id``."""
        return self._session.update_id

    @property
    def redelivered(self) -> bool:
        """Whether this update has run before; see ``Session.redelivered``."""
        return self._session.redelivered

    def save(self, *, force: bool = False) -> None:
        """Write what changed, now; see ``Session.save``."""
        run_sync(self._session.save(force=force))

    def reload(self) -> None:
        """Read the data again; what was not saved is lost."""
        run_sync(self._session.reload())

    def revert(self) -> None:
        """Make the data what it was when it was loaded, or last saved."""
        self._session.revert()

    def reset(self) -> None:
        """Make the data what ``initial`` gives."""
        self._session.reset()

    def delete(self) -> None:
        """Delete what is stored, now; the data becomes None."""
        run_sync(self._session.delete())

    def move(self, new_key: str | int, merge: Callable[[S, S], S] | None = None) -> None:
        """Store the data under *new_key* instead, now; see ``Session.move``."""
        run_sync(self._session.move(new_key, merge))

    @contextmanager
    def paused(self, *others: object) -> Generator[None, None, None]:
        """Save and let go of all keys of the update; see ``Session.paused``."""
        pause: Any = self._session.paused(*others)
        run_sync(pause.__aenter__())
        try:
            yield
        except BaseException as error:
            run_sync(pause.__aexit__(type(error), error, error.__traceback__))
            raise
        run_sync(pause.__aexit__(None, None, None))

    def discard(self) -> None:
        """Write nothing at the end but what was saved."""
        self._session.discard()


class SyncSession(_SyncView[S]):
    """A ``Session`` for threads, from ``with sessions.open(...) as session``."""

    __slots__ = ()

    _session: Session[S]

    def _data(self) -> S:
        return self._session.data


class SyncLazySession(_SyncView[S]):
    """A ``LazySession`` for threads: reads when ``data`` is first touched."""

    __slots__ = ()

    _session: LazySession[S]

    def _data(self) -> S:
        return run_sync(_awaited(self._session))


async def _awaited(session: LazySession[S]) -> S:
    return await session
