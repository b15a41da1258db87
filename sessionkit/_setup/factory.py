"""``session()`` and ``lazy_session()``: options in, checked at once, ``Sessions`` out."""

from __future__ import annotations

import inspect
from asyncio import CancelledError
from collections.abc import Callable
from datetime import timedelta  # noqa: TC003 (shown by help and inspect)
from difflib import get_close_matches
from typing import Any, Final, TypedDict, TypeVar, Unpack, cast, overload

from sessionkit import keys
from sessionkit._convert.types import converter_for, initial_for
from sessionkit._drive import resolve, run_sync
from sessionkit._life.backend import Backend
from sessionkit._life.settings import Conversion, KeyFunction, OnConflict, Settings
from sessionkit._locks.table import locks_of
from sessionkit._seconds import seconds
from sessionkit._setup.sessions import AnySessions, LazySessions, Sessions
from sessionkit._setup.urls import storage_from_url
from sessionkit._types import Converter, SessionLock, Storage
from sessionkit.errors import SessionDecodeError, SessionEncodeError, SessionError
from sessionkit.storages.memory import MemorySessionStorage


class Options(TypedDict, total=False):
    """The options that say nothing about the type of the data."""

    storage: Storage[Any] | str | None
    get_session_key: KeyFunction
    prefix: str
    lock: bool | SessionLock
    lock_timeout: timedelta | float | None
    on_conflict: OnConflict
    save_on_error: bool | type[BaseException] | tuple[type[BaseException], ...]
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
            the data type.  Called for each chat anew.  None makes missing read as None.
        converter: Turns data of other types into plain values and back.
        storage: An object with ``read``, ``write`` and ``delete``, or a URL such as
            ``"sqlite:///bot.db"``.  Without, data stays in this process's memory,
            and is held to what a durable storage accepts.
        get_session_key: A function of the context, sync or async, that returns a
            ``str``, an ``int``, or None for "no session"; by default the chat.
        prefix: Goes before each key; needed where two key functions share a storage.
        lock: Whether updates of one key wait for each other, which they should; or a
            lock that also holds between processes.
        lock_timeout: How long to wait for a key, as ``timedelta`` or seconds; None for ever.
        on_conflict: What if another process wrote in between: ``"raise"``,
            ``"overwrite"``, or a function of what was read, what is stored now and
            what is to be written (None for missing), such as ``merge_fields``.
        save_on_error: Save in spite of an error of the handler: of these types, or True.
        attribute: The name under which a session shows on a context.
        debug: Keep the data of ended sessions, to log changes that came too late.

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
    storage: Any = None,
    **options: Any,
) -> M:
    checked = {**_made_of(data_type, initial, converter), **_told(**_known(options))}
    if not isinstance(storage, str):
        return kind(Settings(**_kept_in(storage), **checked))
    owned = storage_from_url(storage)
    try:
        sessions = kind(Settings(**_kept_in(owned), **checked))
    except BaseException:
        view = getattr(owned, "sync", owned)  # a loop cannot be waited for here
        run_sync(resolve(view.close()))
        raise
    sessions._owned = owned
    return sessions


def _known(options: dict[str, Any]) -> dict[str, Any]:
    names = [*Options.__annotations__, "initial", "converter"]
    for name in options.keys() - set(names):
        close = get_close_matches(name, names, 1)
        msg = f"there is no option {name!r}" + (f": did you mean {close[0]!r}?" if close else "")
        raise TypeError(msg)
    return options


def _kept_in(storage: Any) -> dict[str, Any]:
    backend = Backend(MemorySessionStorage() if storage is None else storage)
    return {
        "backend": backend,
        "locks": locks_of(backend.storage),
        # What works without a storage must work with one
        "any_value": backend.any_value and storage is not None,
    }


def _made_of(data_type: Any, initial: Any, converter: Any) -> dict[str, Any]:
    if initial is UNSET:
        initial = None if data_type is None or converter else initial_for(data_type)
    elif initial is None:
        initial = _nothing
    return {"initial": _checked_initial(initial), "conversion": _conversion(data_type, converter)}


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
    if converter is not None:
        if not (callable(getattr(converter, "encode", None)) and hasattr(converter, "decode")):
            msg = f"converter must have encode(data) and decode(plain), and {converter!r} has not"
            raise TypeError(msg)
        return _WithoutResidue(converter)
    return None if data_type is None else converter_for(data_type)


class _WithoutResidue:
    """A user's converter, which keeps nothing aside."""

    def __init__(self, converter: Converter[Any]) -> None:
        self._converter = converter

    def open(self, plain: Any, /) -> tuple[Any, None]:
        try:
            return self._converter.decode(plain), None
        except SessionError:
            raise
        except Exception as error:
            msg = f"what is stored cannot be decoded: {error}. It was left where it is."
            raise SessionDecodeError(msg) from error

    def close(self, data: Any, _: None, /) -> Any:
        try:
            return self._converter.encode(data)
        except SessionError:
            raise
        except Exception as error:
            msg = f"session.data cannot be encoded: {error}. The stored value was kept."
            raise SessionEncodeError(msg) from error


def _told(
    *,
    get_session_key: Any = keys.chat,
    prefix: Any = "",
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
        isinstance(lock, bool) or _is_lock(lock),
        "lock must be True, False, or an object with acquire(key) and release(key, held)",
    )
    _require(
        on_conflict in ("raise", "overwrite") or callable(on_conflict),
        f"on_conflict must be 'raise', 'overwrite' or a function, not {on_conflict!r}",
    )
    return {
        "get_key": get_session_key,
        "prefix": prefix,
        "locked": lock is not False,
        "lock": None if isinstance(lock, bool) else lock,
        "lock_timeout": None if lock_timeout is None else seconds("lock_timeout", lock_timeout),
        "on_conflict": on_conflict,
        "save_on_error": _error_types(save_on_error),
        "attribute": attribute,
        "seated": {},
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
