"""What awaiting gives data: a lazy session, as its context shows it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import NoReturn, TypeVar

S_co = TypeVar("S_co", covariant=True)


class LazyData(Awaitable[S_co]):
    """What ``ctx.session`` gives in a lazy session: awaiting it gives the data.

    Any number of times, also at the same time: it is read once.
    """

    __slots__ = ()

    def __getitem__(self, name: object) -> NoReturn:
        msg = f"lazy session: write (await ctx.session)[{name!r}]"
        raise TypeError(msg)

    def __setitem__(self, name: object, value: object) -> NoReturn:
        msg = f"lazy session: write (await ctx.session)[{name!r}] = ..."
        raise TypeError(msg)

    def __getattr__(self, name: str) -> NoReturn:
        msg = f"lazy session: write (await ctx.session).{name}"
        raise AttributeError(msg)
