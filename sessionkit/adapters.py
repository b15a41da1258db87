"""For authors of adapters and plug-ins: what every ``install`` has in common.

A ``Binding`` holds the sessions that handlers ask for by name; ``open`` opens
them for one update, and ``inject`` wraps a handler.  See docs/adapters.md.
``SessionProperty`` goes on a context class, and ``session_data`` gives the data of
the session on any context.
"""

from contextlib import AbstractContextManager

from sessionkit._api.personal import KeepsPersonalData, PersonalSource
from sessionkit._api.plugins import session_data
from sessionkit._api.signatures import is_async
from sessionkit._integration.binding import Bindable, Binding, MergeChats, Use
from sessionkit._integration.isolations import pause_along
from sessionkit._session.flavors import SessionProperty


def any_number_of_times(ctx: object) -> AbstractContextManager[None]:
    """While this lasts, no session opened on *ctx* stores the id of its update: ``with``.

    For handlers of errors: their update has failed, and is handled again if it comes again.
    """
    from sessionkit._session.once import AnyNumberOfTimes  # noqa: PLC0415 (only once= needs it)

    return AnyNumberOfTimes(ctx)


__all__ = [
    "Bindable",
    "Binding",
    "KeepsPersonalData",
    "MergeChats",
    "PersonalSource",
    "SessionProperty",
    "Use",
    "any_number_of_times",
    "is_async",
    "pause_along",
    "session_data",
]
