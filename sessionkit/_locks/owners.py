"""Who has which session open, and where: call chains.

A call chain is a task, or a thread that runs no event loop.  Its sessions are
found in two ways, and only when one has to wait.  A life cycle marked with
``holds_session`` is seen on the stack while it runs; it has the session in a local
variable named ``session``.  Where the life cycle is suspended meanwhile (in the
body of ``async with``), ``own`` and ``disown`` record the frame in which that body runs:
that is all, because it happens at each ``open()`` and is rarely looked at.

A session whose frame is not on the stack of a call chain may be closed by another:
its generator was abandoned, or it was opened by one function and is closed by another.
So waiting for it may end.

A task started by a call chain is another chain, even if it starts eagerly.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR, currentframe
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar, cast
from weakref import WeakKeyDictionary, ref

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Iterator
    from types import CodeType, FrameType, FunctionType

Loop: TypeAlias = asyncio.AbstractEventLoop
Owner: TypeAlias = "asyncio.Task[Any] | Thread"
LifeCycle = TypeVar("LifeCycle", bound="Callable[..., Awaitable[Any]]")

_life_cycles: Final[set[CodeType]] = set()


# By the frame in which the body of `with` runs, the sessions that are open there. They may
# hold no key just now, in a pause.
opened_by: Final[dict[FrameType, tuple[object, ...]]] = {}

_GENERATORS: Final = CO_GENERATOR | CO_ASYNC_GENERATOR


class _BuiltinModules(dict[object, bool]):
    """By the name of a module, whether it is ours, or the standard library's."""

    def __missing__(self, name: object) -> bool:
        package = str(name).partition(".")[0]
        found = package.startswith("sessionkit") or package in sys.stdlib_module_names
        self[name] = found
        return found


_builtin: Final = _BuiltinModules()


def holds_session(function: LifeCycle) -> LifeCycle:
    """Mark *function* as one that holds the session in its local variable ``session``."""
    _life_cycles.add(cast("FunctionType", function).__code__)
    return function


def own(session: object, frame: FrameType) -> FrameType | None:
    """Note that *session* is open in the body of ``with`` that runs in *frame*.

    ``disown`` must follow.  Generators of context managers are passed: the body is that of
    what called them.

    Returns:
        The frame to give to ``disown``.  None in a bare callback of an event loop, which
        belongs to no call chain: then there is nothing to disown.
    """
    place = _place_at(frame) if _is_passed(frame) else frame
    if place is not None:
        others = opened_by.get(place)
        opened_by[place] = (session,) if others is None else (*others, session)
    return place


def own_for(session: object, task: asyncio.Task[Any]) -> FrameType | None:
    """Note that *session* is open in all of *task*, otherwise as ``own``; None if it has ended."""
    place = _root_frame(task)
    return None if place is None else own(session, place)


def disown(session: object, place: FrameType) -> None:
    """Forget that *session* is open in *place*.  It need not be called by that call chain."""
    opened = opened_by.pop(place, ())  # nothing in a forked child
    if len(opened) > 1:
        opened_by[place] = tuple(each for each in opened if each is not session)


def _place_at(passed: FrameType) -> FrameType | None:
    """Return the frame in whose body a session is open that is opened in one that is passed."""
    owner = _current_owner()
    if owner is None:
        return None
    root = _root_frame(owner)
    frame: FrameType | None = passed
    while frame is not None and frame is not root and _is_passed(frame):
        frame = frame.f_back
    return frame


def _is_passed(frame: FrameType) -> bool:
    """Return whether a session that is opened in *frame* is open in what called that.

    The generators of context managers are suspended while the body of ``with`` runs.
    """
    if _builtin[frame.f_globals.get("__name__")]:
        return True
    if not frame.f_code.co_flags & _GENERATORS:
        return False
    back = frame.f_back
    return back is not None and back.f_globals.get("__name__") == "contextlib"


def forget_owners() -> None:
    """Forget all owners: in a forked child, they are gone."""
    opened_by.clear()


def open_here() -> list[object]:
    """Return the sessions that the current call chain has open."""
    return list(_on_stack(_root_frame(_current_owner())))


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
    # Not by isinstance(owner, Thread): a greenlet of gevent has an owner that is none.
    get_coro = getattr(owner, "get_coro", None)
    return None if get_coro is None else getattr(get_coro(), "cr_frame", None)


def _on_stack(root: FrameType | None) -> Iterator[object]:
    frame = currentframe()
    while frame is not None:
        if frame.f_code in _life_cycles and (session := _session_in(frame)) is not None:
            yield from _holders_of(session)
        yield from _held_in_body(frame)
        frame = None if frame is root else frame.f_back


def _session_in(frame: FrameType) -> object | None:
    # The test comes first: reading f_locals of foreign frames has side effects.
    return frame.f_locals.get("session") if frame.f_code in _life_cycles else None


def _held_in_body(frame: FrameType) -> Iterator[object]:
    """Yield what holds keys for the sessions of which *frame* runs the body of ``with``."""
    for session in opened_by.get(frame, ()):
        yield from (each for each in _holders_of(session) if getattr(each, "_held", True))


def _holders_of(session: object) -> Iterable[object]:
    """Return what holds keys for *session*: several for a multi session, or itself."""
    holders = getattr(type(session), "_holders", None)
    return (session,) if holders is None else holders(session)


# Messages


def describe_owner(holder: object | None, held: Iterable[object] = ()) -> str:
    """Return by whom and where *holder* is held: "by task 'on_text' (app.py:31)".

    It is looked for among the tasks of the event loops that run in any thread,
    and among the threads.  A *holder* of None is nobody.

    Looking through all tasks is slow.  So it is done once for all sessions that are
    *held*, and for none of them again.
    """
    if holder is None:
        return "by nobody at this moment"
    strand = _known_strand(holder)
    if strand is None and _seen_in.get(holder) is not _nobody:
        _look_for(holder, *held)
        strand = _known_strand(holder)
    if strand is not None:
        return f"by {strand.kind} {_describe(strand.name, strand.frames)}"
    place = _place_of(holder)
    if place is not None:
        return f"by {_describe('', [place])}, which is suspended or has returned"
    return "by an unknown owner (another event loop, thread, or a finished task)"


def _place_of(holder: object) -> FrameType | None:
    """Return the frame that runs, or ran, the body of ``with`` in which *holder* is open."""
    places = (place for place in list(opened_by) if holder in _held_in_body(place))
    return next(places, None)


def expect_owner(holder: object, chain: Iterable[object]) -> None:
    """Note where *holder*, which waits in the current call chain, will have its key.

    Nowhere that can be seen, unless it is among the sessions on this *chain*'s stack.
    """
    owner = _current_owner()
    seen = owner is not None and any(each is holder for each in chain)
    _seen_in[holder] = ref(owner) if owner is not None and seen else _nobody


def _nobody() -> None:
    return None


# By a session, the call chain on whose stack it was seen; _nobody if it was looked for in vain.
_seen_in: Final[WeakKeyDictionary[object, Callable[[], Owner | None]]] = WeakKeyDictionary()


def _look_for(*holders: object) -> None:
    for strand in _strands():
        for frame in strand.frames:
            session = _session_in(frame)
            for holder in () if session is None else _holders_of(session):
                _seen_in[holder] = ref(strand.owner)
            for holder in _held_in_body(frame):
                _seen_in[holder] = ref(strand.owner)
    for holder in holders:
        _seen_in.setdefault(holder, _nobody)


def _known_strand(holder: object) -> _Strand | None:
    """Return the call chain that is known to have *holder* open, from there on."""
    owner = _seen_in.get(holder, _nobody)()
    return None if owner is None else _strand(owner).within(holder)


class _Strand(NamedTuple):
    """A call chain as the outside sees it: frames, outermost first."""

    owner: Owner
    kind: str
    name: str
    frames: list[FrameType]

    def within(self, holder: object) -> _Strand | None:
        """Return what runs while *holder* is open, None if it is not this chain's."""
        for depth, frame in enumerate(self.frames):
            if any(each is holder for each in _holders_of(_session_in(frame))):
                return self._replace(frames=self.frames[depth + 1 :])
            if any(each is holder for each in _held_in_body(frame)):
                return self._replace(frames=self.frames[depth:])
        return None


def _strands() -> Iterator[_Strand]:
    threads = [_strand(thread) for thread in threading.enumerate()]
    for loop in _loops(thread.frames for thread in threads):
        yield from map(_strand, asyncio.all_tasks(loop))
    yield from threads


def _strand(owner: Owner) -> _Strand:
    get_coro = getattr(owner, "get_coro", None)
    if get_coro is not None:
        task = cast("asyncio.Task[Any]", owner)
        return _Strand(task, "task", task.get_name(), list(_suspended(get_coro())))
    thread = cast("Thread", owner)
    return _Strand(thread, "thread", thread.name, _stack(thread))


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
        course = _first(course, "cr_await", "gi_yieldfrom", "ag_await")


def _first(thing: object, *names: str) -> Any:
    found = (getattr(thing, name, None) for name in names)
    return next((value for value in found if value is not None), None)


def _describe(name: str, frames: list[FrameType]) -> str:
    foreign = [frame for frame in frames if not _builtin[frame.f_globals.get("__name__")]]
    telling = [frame for frame in foreign if not _is_installed(frame)] or foreign
    named = (frame.f_code.co_name for frame in telling)
    name = next((function for function in named if not function.startswith("<")), name)
    return repr(name) + "".join(f" ({_line(frame)})" for frame in telling[-1:])


def _is_installed(frame: FrameType) -> bool:
    return not {"site-packages", "dist-packages"}.isdisjoint(_steps(frame))


def _line(frame: FrameType) -> str:
    return f"{_steps(frame)[-1]}:{frame.f_lineno}"


def _steps(frame: FrameType) -> list[str]:
    """The folders and the name of a source file; pathlib would cost each start of a bot."""
    return frame.f_code.co_filename.replace("\\", "/").split("/")
