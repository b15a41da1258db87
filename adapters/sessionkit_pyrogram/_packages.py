"""Which of the packages is here: pyrogram, kurigram and pyrofork share the name ``pyrogram``."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, Protocol

_found: Final[list[Any]] = [
    import_module(name) for name in ("pyrogram", "hydrogram") if find_spec(name)
]

INSTALLED: Final = tuple(each for each in _found if hasattr(each, "Client"))  # else just a folder

if not INSTALLED:
    msg = (
        "sessionkit_pyrogram needs pyrogram, or one of kurigram, pyrofork and hydrogram instead. "
        "pyrogram comes with the extra 'pyrogram': "
        'python -m pip install "<checkout>[pyrogram]"'
    )
    raise ImportError(msg, name="pyrogram")

SIGNALS: Final[tuple[type[BaseException], ...]] = tuple(
    signal for each in INSTALLED for signal in (each.StopPropagation, each.ContinuePropagation)
)
"""What handlers raise to say where to go on, not that they failed."""


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
