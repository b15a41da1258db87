"""What is done about open files when this process is forked.

A child inherits SQLite's memory, but none of the locks that the memory says it
holds: even a new connection of its own, to a file that was open at the fork, takes
none.  When the parent closes the file then, it removes the log that the child still
writes to.  So files are closed for the moment of a fork.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, Protocol
from weakref import WeakSet


class _Worker(Protocol):
    def let_go(self) -> None: ...

    def go_on(self) -> None: ...

    def renew(self) -> None: ...


_workers: Final[WeakSet[_Worker]] = WeakSet()


def watch(worker: _Worker) -> None:
    """Let *worker* know of each fork from now on."""
    _workers.add(worker)


def _for_each(call: Callable[[_Worker], None]) -> Callable[[], None]:
    def act() -> None:
        for worker in list(_workers):
            call(worker)

    return act


if hasattr(os, "register_at_fork"):  # pragma: no branch (everywhere but on Windows)
    os.register_at_fork(
        before=_for_each(lambda worker: worker.let_go()),
        after_in_parent=_for_each(lambda worker: worker.go_on()),
        after_in_child=_for_each(lambda worker: worker.renew()),
    )
