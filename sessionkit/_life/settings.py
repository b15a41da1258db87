"""The options of one ``Sessions``, checked, in the form its sessions use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from sessionkit._drive import resolve
from sessionkit._life.backend import Backend
from sessionkit._locks.table import KeyLocks, locks_of
from sessionkit._types import MaybeAwaitable, SessionLock
from sessionkit.errors import InvalidSessionKeyError
from sessionkit.keys import parse

if TYPE_CHECKING:
    from sessionkit._life.late import Kept

KeyFunction: TypeAlias = Callable[[Any], MaybeAwaitable[str | int | None]]
Merge: TypeAlias = Callable[[Any, Any, Any], Any]
OnConflict: TypeAlias = Literal["raise", "overwrite"] | Merge


class Conversion(Protocol):
    """A converter that keeps aside what it does not know."""

    def open(self, plain: Any, /) -> tuple[Any, Any]:
        """Return data, and the residue to give to ``close``."""
        ...

    def close(self, data: Any, residue: Any, /) -> Any:
        """Return plain values, the residue's among them."""
        ...


class SettingsFor(Protocol):
    """Gives the settings of one ``Sessions``, for loops or for threads."""

    def __call__(self, *, blocking: bool) -> Settings: ...


@dataclass(slots=True, eq=False, weakref_slot=True, kw_only=True)
class Settings:
    """What every session of one ``Sessions`` shares."""

    seated: dict[int, Any]
    """The sessions open on contexts, by ``id`` of these; shared by loops and threads."""
    backend: Backend
    locks: KeyLocks
    get_key: KeyFunction
    prefix: str
    attribute: str
    initial: Callable[[], Any] | None
    conversion: Conversion | None
    any_value: bool
    locked: bool
    lock: SessionLock | None
    lock_timeout: float | None
    on_conflict: OnConflict
    save_on_error: tuple[type[BaseException], ...]
    kept: dict[str, Kept] | None = None
    """In debug mode, the data of ended sessions: to notice changes that came too late."""
    moved: dict[str, str] = field(default_factory=dict[str, str])
    """Where the sessions of chats went that moved while this program ran."""

    def __post_init__(self) -> None:
        if callable(self.on_conflict) and not self.backend.has_revisions:
            msg = (
                f"on_conflict is of no use with {self.backend.storage!r}: without "
                "read_with_revision() and write_if() a storage cannot notice conflicts"
            )
            raise ValueError(msg)

    async def key_of(self, ctx: Any) -> str | None:
        """Ask the key function; None if this context has no session.

        Raises:
            InvalidSessionKeyError: It gave something that is no key.
        """
        key = await checked(self.get_key(ctx))
        return self.followed(key) if key is not None and self.moved else key

    def follow(self, old_key: str, new_key: str) -> None:
        """From now on, contexts that have the old key get the session of the new one."""
        self.moved.pop(new_key, None)
        self.moved[old_key] = new_key

    def followed(self, key: str) -> str:
        """The key that took the place of *key*, by itself or with its whole chat."""
        if key in self.moved:
            return self.moved[key]
        try:
            parsed = parse(key)
        except InvalidSessionKeyError:
            return key
        chat = self.moved.get(str(parsed.chat))
        return key if chat is None else str(replace(parsed, chat=int(chat)))

    def over(self, storage: Any) -> Settings:
        """The same options over another storage: it takes no more than the first one does."""
        backend = Backend(storage)
        return replace(
            self,
            backend=backend,
            locks=locks_of(storage),
            any_value=self.any_value and backend.any_value,
            seated={},
            kept=None if self.kept is None else {},
            moved={},
        )


async def checked(key: MaybeAwaitable[object]) -> str | None:
    """Return what a key function gave, awaited if need be, as text."""
    return check_key(await resolve(key))


def check_key(key: object) -> str | None:
    """Return a session key as text.

    Raises:
        InvalidSessionKeyError: It is empty, or neither ``str`` nor ``int``.
    """
    if key is None:
        return None
    if isinstance(key, str) and key:
        return str.__str__(key)  # an Enum would name its member
    if isinstance(key, int) and not isinstance(key, bool):
        return str(int(key))
    what = "empty" if key == "" else f"{key!r} ({type(key).__name__})"
    msg = (
        f"a session key must be a non-empty str or an int, and this one is {what}; "
        "a key function returns None where there is no session"
    )
    raise InvalidSessionKeyError(msg)
