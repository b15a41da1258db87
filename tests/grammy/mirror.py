"""The programs of ``steps.py``, played on sessionkit as the driver plays them on grammY."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from sessionkit import (
    LazySessionFlavor,
    SessionFlavor,
    keys,
    lazy_session,
    multi_session,
    session,
)
from tests.grammy.bridge import Key, Options, make_update
from tests.grammy.doubles import ThrownError
from tests.grammy.handler import Handler, Run
from tests.grammy.wire import JSON, UNDEFINED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.grammy.steps import Step

Kind: TypeAlias = Literal["strict", "lazy", "multi"]
Place: TypeAlias = Literal["object", "flavor", "mapping"]
"""What kind of context shows the session."""


class Context:
    """A plain object that carries an update."""

    def __init__(self, update: Mapping[str, JSON]) -> None:
        self.update = update


class StrictContext(SessionFlavor[Any], Context):
    """A context that keeps every promise, for strict and multi sessions."""


class LazyContext(LazySessionFlavor[Any], Context):
    """A context that keeps every promise, for lazy sessions."""


def make_context(kind: Kind, place: Place, chat: int | None, user: int | None) -> Any:
    """Return a context with the update that ``Bot.update`` of the bridge makes."""
    update: dict[str, JSON] = {"update_id": 1, **make_update(chat, user)}
    if place == "mapping":
        return update
    if place == "object":
        return Context(update)
    return LazyContext(update) if kind == "lazy" else StrictContext(update)


# --- sessions -----------------------------------------------------------------------------


def _none(_: Any) -> None:
    return None


def _empty(_: Any) -> str:
    return ""


def _failing(_: Any) -> str:
    msg = "getSessionKey was made to fail"
    raise ThrownError(msg)


def _number(ctx: Any) -> int | None:
    user = keys.user(ctx)
    return None if user is None else int(user)


async def _async_chat(ctx: Any) -> str | None:
    await asyncio.sleep(0)
    return keys.chat(ctx)


KEY_FUNCTIONS: Final[Mapping[Key, Callable[[Any], Any]]] = {
    "chat": keys.chat,
    "user": keys.user,
    "user_in_chat": keys.user_in_chat,
    "async_chat": _async_chat,
    "number": _number,
    "none": _none,
    "null": _none,
    "empty": _empty,
    "failing": _failing,
}


class Mirror:
    """Sessions with the options of a bot of the bridge.

    Args:
        storages: The storage of each fragment as the sessions get it, enhanced or not.
        missing: What means an absent ``initial``: none here either, or the
            ``initial=None`` that makes missing read as None.
    """

    def __init__(
        self,
        kind: Kind,
        fragments: Mapping[str, Options],
        storages: Mapping[str, Any],
        missing: Literal["absent", "None"] = "None",
    ) -> None:
        self.kind: Kind = kind
        self._run = Run()
        made = {
            name: self._sessions(options, storages[name], missing)
            for name, options in fragments.items()
        }
        self.sessions: Any = multi_session(**made) if kind == "multi" else made[""]

    def _sessions(self, options: Options, storage: Any, missing: str) -> Any:
        make: Any = lazy_session if self.kind == "lazy" else session
        given: dict[str, Any] = {
            "storage": storage,
            "prefix": options.prefix or "",
            "get_session_key": KEY_FUNCTIONS[options.key],
        }
        if options.initial is not UNDEFINED:
            given["initial"] = lambda: self._initial(options.initial)
        elif missing == "None":
            given["initial"] = lambda: None
        return make(**given)

    def _initial(self, value: JSON) -> JSON:
        self._run.initials += 1
        return deepcopy(value)

    async def update(
        self,
        program: Sequence[Step] = (),
        *,
        chat: int | None = None,
        user: int | None = None,
        place: Place = "flavor",
    ) -> Run:
        """Handle an update, with *program* as the handler."""
        run = self._run = Run()
        ctx = make_context(self.kind, place, chat, user)
        handler = Handler(ctx, run)

        async def handle(_: object) -> None:
            await handler.play(program)

        try:
            await self.sessions(ctx, handle)
        except Exception as error:
            run.error = error
        await asyncio.gather(*handler.tasks, return_exceptions=True)
        return run
