"""``session()`` and ``lazy_session()``: options in, checked at once, ``Sessions`` out."""

from __future__ import annotations

import inspect
import os
from asyncio import CancelledError
from collections.abc import Callable
from datetime import timedelta  # noqa: TC003 (shown by help and inspect)
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from sessionkit import keys
from sessionkit._api.sessions import AnySessions, LazySessions, Sessions
from sessionkit._locks.table import KeyLocks, locks_of
from sessionkit._session.context import ContextSlots
from sessionkit._session.lazy import LazyRecord
from sessionkit._session.record import Record
from sessionkit._session.serializer import Conversion, Serializer
from sessionkit._session.settings import KeyFunction, OnConflict, Settings
from sessionkit._storage.backend import Backend
from sessionkit._storage.checks import file_lock_of
from sessionkit._storage.seconds import seconds
from sessionkit._storage.sync_or_async import resolve, run_sync
from sessionkit.protocols import Converter, SessionLock, Storage
from sessionkit.storages.memory import MemorySessionStorage

if TYPE_CHECKING:
    from sessionkit._session.once import Once


class Options(TypedDict, total=False):
    """The options that say nothing about the type of the data."""

    storage: Storage[Any] | str | os.PathLike[str]
    get_session_key: KeyFunction
    prefix: str
    shared_prefix: bool
    lock: bool | Literal["file"] | SessionLock
    lock_timeout: timedelta | float | None
    on_conflict: OnConflict
    save_on_error: bool | type[BaseException] | tuple[type[BaseException], ...]
    once: bool | Once
    attribute: str
    debug: bool


S = TypeVar("S")

UNSET: Final[Any] = object()


@overload
def session(
    data_type: type[S],
    *,
    initial: Callable[[], S] = ...,
    converter: Converter[S] | None = ...,
    **options: Unpack[Options],
) -> Sessions[S]: ...
@overload
def session(
    data_type: type[S],
    *,
    initial: None,
    converter: Converter[S] | None = ...,
    **options: Unpack[Options],
) -> Sessions[S | None]: ...
@overload
def session(
    *,
    initial: Callable[[], S],
    converter: Converter[S] | None = ...,
    **options: Unpack[Options],
) -> Sessions[S]: ...
@overload
def session(*, initial: None = ..., **options: Unpack[Options]) -> Sessions[dict[str, Any]]: ...
def session(
    data_type: Any = None,
    *,
    initial: Any = UNSET,
    converter: Any = None,
    **options: Unpack[Options],
) -> Sessions[Any]:
    """Make strict sessions: loaded before the handler, saved after it if they changed.

    Args:
        data_type: What a session's data is: a dataclass, a ``TypedDict``, ``dict``,
            or any type of plain values.  New fields take their defaults, unknown
            stored fields are kept.
        initial: A function that returns the data of a chat that has none; by default
            the data type.  Called for each new chat.  None makes missing read as None.
        converter: Turns data of other types into plain values and back.
        storage: An object with ``read``, ``write`` and ``delete``; a URL such as
            ``"sqlite:///bot.db"``; or a path: an existing folder, or a file named
            ``.db``, ``.sqlite`` or ``.sqlite3``.  Without, data stays in this process's
            memory, and is held to what a durable storage accepts.
        get_session_key: A function of the context, sync or async, that returns a
            ``str``, an ``int``, or None for "no session"; by default the chat.
        prefix: Goes before each key; needed where two key functions, or two types of
            data, share a storage.
        shared_prefix: Whether sessions with another type may have the same prefix, and
            so the same values: for scripts that turn one into the other.
        lock: Whether updates of one key wait for each other, which they should; or a
            lock that also holds between processes: ``"file"`` for those on one host, over
            SQLite or files (then ``lock_timeout`` limits that wait, too).
        lock_timeout: How long to wait for a key, as ``timedelta`` or seconds; None: no limit.
        on_conflict: What if another process wrote in between: ``"raise"``,
            ``"overwrite"``, or a function of what was read, what is stored now and
            what is to be written (None for missing), such as ``merge_fields``.
        save_on_error: Save in spite of an error of the handler: of these types, or True.
            A group of errors is covered if all in it are.
        once: Whether an update that is delivered again is known by its id, which is
            stored with the data, and does not run its handler again; or an ``Once``.
        attribute: The name under which a session shows on a context.
        debug: Keep the data of ended sessions, to log changes that came too late; and log
            a storage that blocks the event loop for more than 50 ms.

    Raises:
        TypeError: An option is of a wrong type, or the data type cannot be stored.
        ValueError: An option has an impossible value, or the prefix is taken.
    """
    return _made(Sessions[Any], data_type, initial, converter, **options)


@overload
def lazy_session(
    data_type: type[S],
    *,
    initial: Callable[[], S] = ...,
    converter: Converter[S] | None = ...,
    **options: Unpack[Options],
) -> LazySessions[S]: ...
@overload
def lazy_session(
    data_type: type[S],
    *,
    initial: None,
    converter: Converter[S] | None = ...,
    **options: Unpack[Options],
) -> LazySessions[S | None]: ...
@overload
def lazy_session(
    *,
    initial: Callable[[], S],
    converter: Converter[S] | None = ...,
    **options: Unpack[Options],
) -> LazySessions[S]: ...
@overload
def lazy_session(
    *, initial: None = ..., **options: Unpack[Options]
) -> LazySessions[dict[str, Any]]: ...
def lazy_session(
    data_type: Any = None,
    *,
    initial: Any = UNSET,
    converter: Any = None,
    **options: Unpack[Options],
) -> LazySessions[Any]:
    """Make lazy sessions: nothing is locked or read until a handler awaits ``ctx.session``.

    The options and errors are those of ``session``.
    """
    return _made(LazySessions[Any], data_type, initial, converter, **options)


M = TypeVar("M", bound=AnySessions[Any, Any, Any])


def _made(
    kind: Callable[[Settings], M],
    data_type: Any,
    initial: Any,
    converter: Any,
    storage: Any = UNSET,
    **options: Any,
) -> M:
    data = _made_of(data_type, initial, converter)
    once = options.pop("once", False)
    checked = {"data_type": data_type, **_with_defaults(**_known(options))}
    owned = _opened(storage)
    if owned is None:
        return kind(_settings(storage, data, checked, once))
    try:
        sessions = kind(_settings(owned, data, checked, once))
    except BaseException:
        view = getattr(owned, "sync", owned)  # a loop cannot be waited for here
        run_sync(resolve(view.close()))
        raise
    sessions._owned = owned
    return sessions


def _settings(storage: Any, data: dict[str, Any], checked: dict[str, Any], once: Any) -> Settings:
    kept = _kept_in(storage, data)
    kept |= _once(once, kept["backend"], kept["locks"])
    if checked["file_lock"]:
        checked["lock"] = file_lock_of(kept["backend"].storage, checked["lock_timeout"])
    return Settings(**kept, **checked)


def _opened(storage: Any) -> Any:
    """The storage that a URL or path names, to be closed with the sessions; None for others."""
    if not isinstance(storage, str | os.PathLike):
        return None
    # All storages and their libraries: not for bots that keep data in memory, or open one storage
    from sessionkit.storages.urls import storage_from_path, storage_from_url  # noqa: PLC0415

    if isinstance(storage, str):
        return storage_from_url(storage)
    return storage_from_path(cast("os.PathLike[str]", storage))


def _known(options: dict[str, Any]) -> dict[str, Any]:
    names = [*Options.__annotations__, "initial", "converter"]
    for name in options.keys() - set(names):
        from difflib import get_close_matches  # noqa: PLC0415 (only mistakes need it)

        close = get_close_matches(name, names, 1)
        msg = f"there is no option {name!r}" + (f": did you mean {close[0]!r}?" if close else "")
        raise TypeError(msg)
    return options


def _kept_in(storage: Any, data: dict[str, Any]) -> dict[str, Any]:
    if storage is None:
        msg = (
            "storage is None: an environment variable that is not set? "
            "To keep data in memory, leave storage= out"
        )
        raise TypeError(msg)
    backend = Backend(MemorySessionStorage() if storage is UNSET else storage)
    # What works without a storage must work with one
    any_value = backend.any_value and storage is not UNSET
    return {
        "backend": backend,
        "locks": locks_of(backend.storage),
        "serializer": Serializer(**data, any_value=any_value),
    }


def _once(given: Any, backend: Backend, locks: KeyLocks) -> dict[str, Any]:
    if given is False:
        return {"record": Record, "lazy_record": LazyRecord}
    # Ids of updates: not for bots that do not ask for them
    from sessionkit._session.once import OnceRules, once_of  # noqa: PLC0415
    from sessionkit._session.once_record import OnceLazyRecord, OnceRecord  # noqa: PLC0415

    rules = OnceRules(once_of(given), backend, locks)
    return {"record": OnceRecord, "lazy_record": OnceLazyRecord, "once": rules}


def _made_of(data_type: Any, initial: Any, converter: Any) -> dict[str, Any]:
    conversion = _conversion(data_type, converter)
    if initial is UNSET:
        initial = None if data_type is None or converter else _initial_for(data_type)
    elif initial is None:
        initial = _nothing
    return {"initial": _checked_initial(initial), "conversion": conversion}


def _initial_for(data_type: Any) -> Any:
    from sessionkit._data.converters import initial_for  # noqa: PLC0415 (see _conversion)

    return initial_for(data_type)


def _nothing() -> None:
    """What is missing reads as None."""


def _checked_initial(initial: Any) -> Callable[[], Any] | None:
    if initial is None:
        return None
    if not callable(initial):
        msg = (
            "initial must be a function or class, so that chats do not share one object: "
            f"initial=lambda: {initial!r}"
        )
        raise TypeError(msg)
    if inspect.iscoroutinefunction(initial):
        msg = "initial cannot be async: it makes data, it does not fetch it"
        raise TypeError(msg)
    _require(_accepts(initial), f"initial is called without arguments, and {initial!r} needs some")
    return cast("Callable[[], Any]", initial)


def _accepts(function: Any, *args: object) -> bool:
    """Whether *function* can be called so; True as well if it does not say."""
    try:
        inspect.signature(function).bind(*args)
    except TypeError:
        return False
    except ValueError:  # a class of C, without signature
        return True
    return True


def _conversion(data_type: Any, converter: Any) -> Conversion | None:
    if data_type is None and converter is None:
        return None
    # What data types there are, decimals and time zones: not for bots that keep a dict
    from sessionkit._data.converters import converter_for, given_converter  # noqa: PLC0415

    if converter is not None:
        if not (callable(getattr(converter, "encode", None)) and hasattr(converter, "decode")):
            msg = f"converter must have encode(data) and decode(plain), and {converter!r} has not"
            raise TypeError(msg)
        return given_converter(converter)
    if isinstance(data_type, str):
        msg = f"the first argument is the type of the data, not {data_type!r}: a URL is storage=..."
        raise TypeError(msg)
    return converter_for(data_type)


def _with_defaults(
    *,
    get_session_key: Any = keys.chat,
    prefix: Any = "",
    shared_prefix: bool = False,
    lock: Any = True,
    lock_timeout: Any = 60,
    on_conflict: Any = "raise",
    save_on_error: Any = False,
    attribute: Any = "session",
    debug: bool = False,
) -> dict[str, Any]:
    _require(callable(get_session_key), "get_session_key must be a function of the context")
    _require(isinstance(prefix, str), f"prefix must be a str, not {prefix!r}")
    _require(isinstance(attribute, str) and attribute.isidentifier(), "attribute must be a name")
    _require(
        isinstance(lock, bool) or lock == "file" or _is_lock(lock),
        "lock must be True, False, 'file', or an object with acquire(key) and release(key, held)",
    )
    _require(
        on_conflict in ("raise", "overwrite") or callable(on_conflict),
        f"on_conflict must be 'raise', 'overwrite' or a function, not {on_conflict!r}",
    )
    return {
        "get_key": get_session_key,
        "prefix": prefix,
        "shared_prefix": shared_prefix,
        "locked": lock is not False,
        "lock": None if isinstance(lock, bool) else lock,
        "file_lock": lock == "file",
        "lock_timeout": None if lock_timeout is None else seconds("lock_timeout", lock_timeout),
        "on_conflict": on_conflict,
        "save_on_error": _error_types(save_on_error),
        "slots": ContextSlots(attribute),
        "open_on": {},
        "kept": {} if debug else None,
    }


def _is_lock(lock: Any) -> bool:
    acquire, release = (getattr(lock, name, None) for name in ("acquire", "release"))
    if not (callable(acquire) and callable(release)) or inspect.isclass(lock):
        return False
    return _accepts(acquire, "key") and _accepts(release, "key", None)


def _error_types(save_on_error: Any) -> tuple[type[BaseException], ...]:
    if isinstance(save_on_error, bool):
        return (Exception, CancelledError) if save_on_error else ()
    types: Any = save_on_error
    if not isinstance(save_on_error, tuple):
        types = (save_on_error,)
    _require(
        all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in types),
        "save_on_error must be True, False, or exception types, as except takes them",
    )
    return cast("tuple[type[BaseException], ...]", types)


def _require(holds: bool, message: str) -> None:  # noqa: FBT001
    if not holds:
        raise TypeError(message)
