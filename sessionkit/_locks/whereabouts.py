"""Who has which session open, and where: call chains.

A call chain is a task, or a thread that runs no event loop.  Its sessions are
found in two ways, and only when somebody has to wait.  A life cycle marked with
``lifecycle`` is seen on the stack while it runs; it has the session in a local
variable named ``session``.  Where the life cycle is suspended meanwhile (in the
body of ``async with``), ``own`` and ``disown`` say whose session it is.

A task started by a call chain is another chain, even if it starts eagerly.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from inspect import currentframe
from pathlib import PurePath
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar, cast
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator
    from types import CodeType, FrameType, FunctionType

Loop: TypeAlias = asyncio.AbstractEventLoop
Owner: TypeAlias = "asyncio.Task[Any] | Thread"
LifeCycle = TypeVar("LifeCycle", bound="Callable[..., Awaitable[Any]]")

_life_cycles: Final[set[CodeType]] = set()


class _Claim(ref[object]):
    """That a call chain has a session open; keeps neither alive."""

    __slots__ = ("name", "owner")
    name: int
    owner: ref[Owner]


# By the id of the session. Looked through only when somebody waits, written at each open():
# a WeakKeyDictionary would make that three times as dear.
claims: Final[dict[int, _Claim]] = {}


def lifecycle(function: LifeCycle) -> LifeCycle:
    """Mark *function* as one that holds the session in its local variable ``session``."""
    _life_cycles.add(cast("FunctionType", function).__code__)
    return function


def own(holder: object) -> None:
    """Note that *holder* is open in the current call chain, and in no other.

    *holder* is not kept alive; it must allow weak references.  A no-op in a
    bare callback of an event loop, which belongs to no call chain.
    """
    owner = _current_owner()
    if owner is not None:
        claim = _Claim(holder, _lapse)
        claim.name, claim.owner = id(holder), ref(owner)
        claims[claim.name] = claim


def _lapse(claim: _Claim) -> None:
    claims.pop(claim.name, None)


def disown(holder: object) -> None:
    """Forget which call chain has *holder* open; a no-op if none has.

    It need not be called by the chain that owns it.
    """
    claims.pop(id(holder), None)


def open_here() -> list[object]:
    """Return the sessions that the current call chain has open."""
    owner = _current_owner()
    return [*_on_stack(_root_frame(owner)), *_owned_by(owner)]


def running_loop() -> Loop | None:
    """Return the event loop that this thread is running, None if it runs none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _current_owner() -> Owner | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        return threading.current_thread()


def _root_frame(owner: Owner | None) -> FrameType | None:
    """Return the outermost frame of a task, below which others' frames begin."""
    if owner is None or isinstance(owner, Thread):
        return None
    return getattr(owner.get_coro(), "cr_frame", None)


def _on_stack(root: FrameType | None) -> Iterator[object]:
    frame = currentframe()
    while frame is not None:
        if frame.f_code in _life_cycles and (session := _session_in(frame)) is not None:
            yield session
        frame = None if frame is root else frame.f_back


def _session_in(frame: FrameType) -> object | None:
    # The test comes first: reading f_locals of other people's frames has side effects.
    return frame.f_locals.get("session") if frame.f_code in _life_cycles else None


def _owned_by(owner: Owner | None) -> Iterator[object]:
    for claim in list(claims.values()):
        holder = claim()
        if holder is not None and owner is not None and claim.owner() is owner:
            yield holder


# Telling people


def whereabouts(holder: object | None) -> str:
    """Return by whom and where *holder* is held: "by task 'on_text' (app.py:31)".

    It is looked for among the tasks of the event loops that run in any thread,
    and among the threads.  A *holder* of None is nobody.
    """
    if holder is None:
        return "by nobody at this moment"
    for strand in _strands():
        frames = strand.frames_within(holder)
        if frames is not None:
            return f"by {strand.kind} {_describe(strand.name, frames)}"
    return "by somebody out of sight (another loop or thread, or a task that has ended)"


class _Strand(NamedTuple):
    """A call chain as the outside sees it: frames, outermost first."""

    owner: Owner
    kind: str
    name: str
    frames: list[FrameType]

    def frames_within(self, holder: object) -> list[FrameType] | None:
        """Return the frames that run while *holder* is open, None if it is not this chain's."""
        for depth, frame in enumerate(self.frames):
            if _session_in(frame) is holder:
                return self.frames[depth + 1 :]
        claim = claims.get(id(holder))
        return self.frames if claim is not None and claim.owner() is self.owner else None


def _strands() -> Iterator[_Strand]:
    stacks = {thread: _stack(thread) for thread in threading.enumerate()}
    for loop in _loops(stacks.values()):
        for task in asyncio.all_tasks(loop):
            yield _Strand(task, "task", task.get_name(), list(_suspended(task.get_coro())))
    for thread, frames in stacks.items():
        yield _Strand(thread, "thread", thread.name, frames)


def _stack(thread: Thread) -> list[FrameType]:
    frames: list[FrameType] = []
    # private by its name only, it is documented
    frame = sys._current_frames().get(thread.ident or 0)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def _loops(stacks: Iterable[list[FrameType]]) -> set[Loop]:
    runs: CodeType = asyncio.BaseEventLoop.run_forever.__code__
    found = {frame.f_locals["self"] for stack in stacks for frame in stack if frame.f_code is runs}
    current = running_loop()  # of another make, it has no such frame
    return found if current is None else {current, *found}


def _suspended(course: object) -> Iterator[FrameType]:
    """Yield the frames of a suspended coroutine, and of all that it awaits."""
    while course is not None:
        frame = _first(course, "cr_frame", "gi_frame", "ag_frame")
        if frame is None:
            return
        yield frame
        awaited = _first(course, "cr_await", "gi_yieldfrom", "ag_await")
        course = _driven_by(frame) if awaited is None else awaited


def _first(thing: object, *names: str) -> Any:
    found = (getattr(thing, name, None) for name in names)
    return next((value for value in found if value is not None), None)


def _driven_by(frame: FrameType) -> object:
    """Return the coroutine that one of our drivers runs step by step, which no link shows."""
    ours = frame.f_globals.get("__name__") == "sessionkit._drive"
    return frame.f_locals.get("course") if ours else None


def _describe(name: str, frames: list[FrameType]) -> str:
    foreign = [frame for frame in frames if not _is_builtin(frame)]
    telling = [frame for frame in foreign if not _is_installed(frame)] or foreign
    named = (frame.f_code.co_name for frame in telling)
    name = next((function for function in named if not function.startswith("<")), name)
    return repr(name) + "".join(f" ({_line(frame)})" for frame in telling[-1:])


def _is_builtin(frame: FrameType) -> bool:
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    return package.startswith("sessionkit") or package in sys.stdlib_module_names


def _is_installed(frame: FrameType) -> bool:
    folders = PurePath(frame.f_code.co_filename).parts
    return "site-packages" in folders or "dist-packages" in folders


def _line(frame: FrameType) -> str:
    return f"{PurePath(frame.f_code.co_filename).name}:{frame.f_lineno}"
