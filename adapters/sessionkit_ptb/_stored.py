"""What PTB's persistence keeps, as a storage can have it."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Generator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from telegram import Bot, TelegramObject

from sessionkit import MemorySessionStorage, SessionEncodeError, Sessions, session

T = TypeVar("T")
Keyboard: TypeAlias = tuple[str, float, dict[str, Any]]
CallbackData: TypeAlias = tuple[list[Keyboard], dict[str, str]]


def with_bot(value: T, bot: Bot) -> T:
    """Give the Telegram objects in what was loaded their bot back, which is never stored."""
    _BotGiver(bot).dump(value)
    return value


class _BotGiver(pickle.Pickler):
    """Visits all that was unpickled, by the way on which it was pickled."""

    def __init__(self, bot: Bot) -> None:
        super().__init__(io.BytesIO(), protocol=5)
        self._bot = bot

    def reducer_override(self, found: object) -> Any:
        if isinstance(found, TelegramObject):
            found.set_bot(self._bot)
        return NotImplemented


@contextmanager
def writing(what: str, again: Callable[[], None] | None = None) -> Generator[None, None, None]:
    """Let errors speak of *what*, since users know of no session here.

    Call *again*, so that the next run tries again, unless the same data would fail again.
    """
    try:
        yield
    except SessionEncodeError as error:
        msg = str(error).replace("session.data", what)
        raise SessionEncodeError(msg, key=error.key, path=error.path) from error
    except BaseException:
        if again is not None:
            again()
        raise


def is_mapping(kind: type) -> bool:
    """Whether a type of ``chat_data``, ``user_data`` or ``bot_data`` is a kind of dict."""
    return issubclass(kind, MutableMapping)


class DictConverter:
    """Keeps a dict of the bot's own class as a plain one."""

    def __init__(self, kind: Callable[[], MutableMapping[Any, Any]]) -> None:
        self._kind = kind

    def encode(self, data: Mapping[Any, Any], /) -> dict[Any, Any]:
        """Return what is stored."""
        return dict(data)

    def decode(self, plain: Any, /) -> MutableMapping[Any, Any]:
        """Return what the bot uses."""
        data = self._kind()
        data.update(plain)
        return data


class Buttons:
    """Which buttons of inline keyboards can be stored, each by itself.

    Args:
        any_value: Whether the storage takes more than plain values.
    """

    def __init__(self, *, any_value: bool) -> None:
        storage = MemorySessionStorage(plain=not any_value)
        self._trial: Sessions[Any] = session(initial=None, storage=storage)
        self._told: set[str] = set()

    async def storable(self, keyboards: list[Keyboard]) -> tuple[list[Keyboard], list[str]]:
        """Return *keyboards* with their storable buttons, and what is wrong with the others.

        Reported once for each button.
        """
        kept: list[Keyboard] = []
        faults: list[str] = []
        for uuid, accessed, buttons in keyboards:
            good: dict[str, Any] = {}
            for button, data in buttons.items():
                fault = await self._fault(data)
                if fault is None:
                    good[button] = data
                elif button not in self._told:
                    self._told.add(button)
                    faults.append(fault)
            if good:
                kept.append((uuid, accessed, good))
        return kept, faults

    async def _fault(self, data: object) -> str | None:
        if data is None:  # which would delete
            return None
        try:
            with writing("callback_data"):
                await self._trial.update("button", lambda _: data)
        except SessionEncodeError as error:
            return str(error)
        return None
