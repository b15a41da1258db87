"""An application that reports to its persistence at once which data it drops.

PTB itself reports it when the persistence is next written.  Until then one that loads
data when it is first used would load what was dropped.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol, cast

from telegram.ext import Application

from sessionkit_ptb._classes import derived

if TYPE_CHECKING:
    from types import FrameType

    from telegram import Message

AnyApplication = Application[Any, Any, Any, Any, Any, Any]


class SupportsDrops(Protocol):
    """A persistence that loads data when it is first used."""

    def dropped(self, kind: str, number: int) -> None:
        """Load nothing more of a chat or user: its data is what the application has."""
        ...

    def is_loaded(self, kind: str, number: int) -> bool:
        """Whether the application has all the data of a chat or user."""
        ...


class DroppingApplicationMixin(Application[Any, Any, Any, Any, Any, Any]):
    """Tells its persistence of each drop."""

    __slots__ = ()

    def drop_chat_data(self, chat_id: int) -> None:
        """Drop the data of a chat, stored data as well."""
        super().drop_chat_data(chat_id)
        self._recorder.dropped("chat", chat_id)

    def drop_user_data(self, user_id: int) -> None:
        """Drop the data of a user, stored data as well."""
        super().drop_user_data(user_id)
        self._recorder.dropped("user", user_id)

    def migrate_chat_data(
        self,
        message: Message | None = None,
        old_chat_id: int | None = None,
        new_chat_id: int | None = None,
    ) -> None:
        """Move the data of a chat; a no-op if the old chat has none, moved already perhaps.

        Raises:
            RuntimeError: The data of the old chat was not loaded, and would be lost.
            ValueError: As in PTB.
        """
        old, new = old_chat_id, new_chat_id
        if message is not None and old is new is None:
            old = message.migrate_from_chat_id or message.chat.id
            new = message.migrate_to_chat_id or message.chat.id
        is_valid = isinstance(old, int) and isinstance(new, int) and old != new
        if is_valid and not self.chat_data.get(cast("int", old)):
            if self._recorder.is_loaded("chat", cast("int", old)):
                return
            msg = (
                f"the data of chat {old} was not loaded, and would be lost: move it in a handler "
                "of a message in that chat (its migrate_to_chat_id says where to), or load all "
                "at start, SessionPersistence(..., preload=True)"
            )
            raise RuntimeError(msg)
        super().migrate_chat_data(message, old_chat_id, new_chat_id)
        self._recorder.dropped("chat", cast("int", new))

    @property
    def _recorder(self) -> SupportsDrops:
        return cast("SupportsDrops", self.persistence)


def calling_application(persistence: object) -> AnyApplication | None:
    """Return the application that calls its *persistence*, made to report drops.

    PTB gives a persistence no other way to know.  None if it is called by hand.
    """
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]  # documented
    while frame is not None:
        caller: Any = frame.f_locals.get("self")
        if isinstance(caller, Application) and cast("Any", caller).persistence is persistence:
            return _telling(cast("Any", caller))
        frame = frame.f_back
    return None


def _telling(application: AnyApplication) -> AnyApplication:
    if not isinstance(application, DroppingApplicationMixin):
        kind = derived(type(application), DroppingApplicationMixin, {"__slots__": ()})
        application.__class__ = kind
    return application
