"""Updates that were handled already: see ``once=``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sessionkit.errors import RepeatedUpdateError


class Ending:
    """Swallows the error that reports an update that was handled already.

    Args:
        ctx: The context of that update.
        stop: What is raised in its place; None: nothing.
    """

    __slots__ = ("_ctx", "_stop")

    def __init__(self, ctx: object, stop: type[BaseException] | None) -> None:
        self._ctx = ctx
        self._stop = stop

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if type(error) is not RepeatedUpdateError or error.ctx is not self._ctx:
            return False
        if self._stop is not None:
            raise self._stop from None
        return True


def refuse_unknown_ids(fragments: Mapping[str, Any]) -> None:
    """Check the sessions of a framework whose updates have no ids of their own.

    Raises:
        TypeError: One has ``once=``, and no identity function.
    """
    for name, sessions in fragments.items():
        once = sessions._settings.once
        if once is not None and once.once.identity is None:
            msg = (
                f"the sessions {name!r} have once=True, and updates have no id here: give "
                "once=Once(identity=function), which returns what identifies an update, "
                "such as its chat and message id"
            )
            raise TypeError(msg)
