"""Everything sessionkit raises on purpose.

    SessionError
    ├── NoSessionKeyError          this update has no key, so it has no session
    ├── InvalidSessionKeyError     a key of a wrong type, or an empty one
    ├── NoInitialDataError         nothing stored, and no ``initial`` to begin with
    ├── SessionClosedError         a session or storage used after its end
    ├── SessionConflictError       somebody else wrote in between
    ├── SessionWriteError          some could not be written, or nobody knows whether they were
    ├── SessionDeadlockError       waiting would never end
    │   └── SessionReentrancyError the key is already open in this call chain
    ├── SessionLockTimeoutError    waited too long for a key
    ├── SessionLockLostError       a lock beyond the process was lost before the write
    ├── RepeatedUpdateError        this update was handled already (``once=``)
    ├── SessionDecodeError         what is stored cannot be read
    ├── SessionListingError        a listing left out what cannot be read
    ├── SessionEncodeError         the data cannot be stored
    └── SessionMigrationError      a migration failed
        └── NewerVersionError      the stored data is newer than this program

The message is for people and says what to do next; the attributes are for
programs.  Wrong options (a ``ttl`` of zero, an ``initial`` that is not a
function) raise the usual ``TypeError`` or ``ValueError`` at set-up.
"""

from __future__ import annotations

from typing import Any


class SessionError(Exception):
    """Base of all errors of sessionkit.

    Attributes:
        key: The full storage key concerned, or None where there is none.
    """

    def __init__(self, message: str, *, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), self.__dict__)


def _rebuild(cls: type[SessionError], message: str, state: dict[str, Any]) -> SessionError:
    error = cls.__new__(cls, message)
    error.__dict__.update(state)
    return error


class NoSessionKeyError(SessionError):
    """Raised if a session is touched in an update that has no session key."""


class InvalidSessionKeyError(SessionError):
    """Raised if a session key is empty, or neither ``str`` nor ``int``."""


class NoInitialDataError(SessionError):
    """Raised if data is read where nothing is stored and no ``initial`` was given."""


class SessionClosedError(SessionError):
    """Raised if a session, or a storage, is used after it was closed."""


class SessionConflictError(SessionError):
    """Raised if a conditional write finds a value other than the one that was read."""


class SessionWriteError(SessionError):
    """Raised if of several sessions that end together some could not be written.

    Also raised if it cannot be known whether one was: the connection to a database was
    lost, or there was no answer in time.  Then nothing was repeated; read it again.

    Attributes:
        written: The names (or keys) of those that were written.
        failed: The names of those that were not; the first error is the cause.
        unknown: The keys of those that may have been written, or not.
    """

    def __init__(
        self,
        message: str,
        *,
        key: str | None = None,
        written: tuple[str, ...] = (),
        failed: tuple[str, ...] = (),
        unknown: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, key=key)
        self.written = written
        self.failed = failed
        self.unknown = unknown


class SessionDeadlockError(SessionError):
    """Raised if waiting for a key could never end: 1 waits for 2, 2 for 1."""


class SessionReentrancyError(SessionDeadlockError):
    """Raised if a key is opened again in the call chain that has it open."""


class SessionLockTimeoutError(SessionError):
    """Raised if a key was not free within ``lock_timeout`` seconds.

    Attributes:
        timeout: The seconds waited.
    """

    def __init__(self, message: str, *, key: str | None = None, timeout: float = 0.0) -> None:
        super().__init__(message, key=key)
        self.timeout = timeout


class SessionLockLostError(SessionError):
    """Raised before a write if the lock that the session held beyond the process was lost.

    Nothing was written.
    """


class RepeatedUpdateError(SessionError):
    """Raised where the session of an update is opened that was handled already: see ``once=``.

    A middleware, or an adapter, ends the update quietly then.  It is also raised inside a
    handler whose update was handled by another process meanwhile: let it pass.

    Attributes:
        update_id: The identity of the update, ``"42:1001"``.
        ctx: The context whose session was opened; None in a copy from another process.
    """

    def __init__(
        self, message: str, *, key: str | None = None, update_id: str = "", ctx: object = None
    ) -> None:
        super().__init__(message, key=key)
        self.update_id = update_id
        self.ctx = ctx

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), {**self.__dict__, "ctx": None})


class SessionDecodeError(SessionError):
    """Raised if what is stored cannot be turned back into data.

    The stored value stays where it is: it is never taken for missing.
    """


class SessionListingError(SessionError):
    """Raised at the end of a listing that had to leave out values it could not read.

    Everything else was listed.  The first error is the cause.

    Attributes:
        key: The first key that was left out.
        keys: All keys that were left out.
    """

    def __init__(self, message: str, *, key: str | None = None, keys: tuple[str, ...] = ()) -> None:
        super().__init__(message, key=key)
        self.keys = keys


class SessionEncodeError(SessionError):
    """Raised if data cannot be stored, or would not come back equal.

    Nothing was written, the stored value was kept.

    Attributes:
        path: Where in the data, as Python would write it: ``['last']['at']``.
    """

    def __init__(self, message: str, *, key: str | None = None, path: str = "") -> None:
        super().__init__(message, key=key)
        self.path = path


class SessionMigrationError(SessionError):
    """Raised if a migration function fails; the stored value was kept.

    Attributes:
        version: The version that the failing function leads to.
    """

    def __init__(self, message: str, *, key: str | None = None, version: object = None) -> None:
        super().__init__(message, key=key)
        self.version = version


class NewerVersionError(SessionMigrationError):
    """Raised if stored data is newer than the newest migration of this program.

    Attributes:
        version: The version of the stored data.
        latest: The newest version this program knows.
    """

    def __init__(
        self,
        message: str,
        *,
        key: str | None = None,
        version: object = None,
        latest: object = None,
    ) -> None:
        super().__init__(message, key=key, version=version)
        self.latest = latest
