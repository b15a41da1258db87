"""Which of the packages is here: all but hydrogram share the name ``pyrogram``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, Protocol

from sessionkit.adapters import Bindable, Binding, MergeChats

_found: Final[list[Any]] = [
    import_module(name) for name in ("pyrogram", "hydrogram") if find_spec(name)
]

INSTALLED: Final = tuple(each for each in _found if hasattr(each, "Client"))  # else just a folder

if not INSTALLED:
    msg = (
        "sessionkit_pyrogram needs pyrogram, or one of kurigram, pyrofork, pyrotgfork and "
        "hydrogram instead. "
        "pyrogram comes with the extra 'pyrogram': "
        'python -m pip install "<checkout>[pyrogram]"'
    )
    raise ImportError(msg, name="pyrogram")

SIGNALS: Final[tuple[type[BaseException], ...]] = tuple(
    signal for each in INSTALLED for signal in (each.StopPropagation, each.ContinuePropagation)
)
"""What handlers raise to say where to go on, not that they failed."""


def binding_of(
    sessions: Bindable | None,
    named: Mapping[str, Bindable],
    *,
    name: str,
    migrate_chats: bool | MergeChats,
    package: Any = INSTALLED[0],
) -> Binding:
    """Return the binding of sessions to clients of a package.

    Raises:
        TypeError, ValueError: The arguments make no sense; see ``Binding``.
    """
    return Binding(
        sessions,
        named,
        name=name,
        migrate_chats=migrate_chats,
        signals=SIGNALS,
        stop=package.StopPropagation,
        has_update_ids=False,  # MTProto has none
    )


class AnyClient(Protocol):
    """A ``Client`` of any of the packages."""

    dispatcher: Any
    loop: Any

    def add_handler(self, handler: Any, group: int = 0) -> Any: ...
    def remove_handler(self, handler: Any, group: int = 0) -> Any: ...


def package_of(app: object) -> Any:
    """Return the package whose ``Client`` *app* is.

    Raises:
        TypeError: It is none.
    """
    for package in INSTALLED:
        if isinstance(app, package.Client):
            return package
    names = " or ".join(f"{each.__name__}.Client" for each in INSTALLED)
    msg = f"install() takes the client, a {names}, not {app!r}"
    raise TypeError(msg)
