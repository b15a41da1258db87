"""The storage under test: how to open it again and again, and how time passes for it."""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    suppress,
)
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, Literal, Self, TypeAlias, TypeVar

from sessionkit._storage.sync_or_async import resolve
from sessionkit.testing._client import Client
from sessionkit.testing._factory import Factory, FactoryError, open_storage, wishes_of
from sessionkit.testing._guard import close_within
from sessionkit.testing._history import History
from sessionkit.testing._lag import Lag
from sessionkit.testing._limits import Limits
from sessionkit.testing._needs import Circumstances, LeftOut, reason_against
from sessionkit.testing._show import show
from sessionkit.testing.clock import FakeClock

T = TypeVar("T")

Profile: TypeAlias = Literal["default", "thorough"]

PROFILES: Final[tuple[Profile, ...]] = ("default", "thorough")
_NAMES: Final = ("storage", "second", "third", "fourth")
_FAREWELL: Final = 1.0
_SKIPPED: Final = 100.0
_WAITED: Final = 2.0
_folder: Final = partial(tempfile.TemporaryDirectory[str], prefix="sessionkit-")


class Subject:
    """The storage under test: a factory, and everything a check needs beside it.

    Use it as a context manager, or its folder and its processes stay.

    Args:
        factory: ``factory(namespace)`` or ``factory(namespace, clock)``; one more
            parameter may be called ``folder``.  Sync or async, returns the storage or
            a context manager, sync or async, that gives it.  A storage with
            ``close`` is closed, one that is a context manager is entered.
        limits: What the storage cannot do.
        profile: "thorough" takes more time.
        seed: The same seed gives the same run.
        damage: ``damage(namespace, key)`` spoils a stored value, sync or async.
        lose: ``lose(namespace)`` takes away all that is stored, sync or async.

    Attributes:
        clock: The time of the storages that take it; does not advance until ``pass_time``.
        uses_clock: Whether the factory takes it.
        lag: The time until one opening sees what another one wrote.
        history: What the current check did so far.
        storage_name: The class of the storage; known after ``capabilities``.

    Raises:
        FactoryError: The factory cannot be called.
        ValueError: There is no such profile.
    """

    def __init__(
        self,
        factory: Factory,
        *,
        limits: Limits | None = None,
        profile: Profile = "default",
        seed: int = 0,
        damage: Callable[[str, str], Any] | None = None,
        lose: Callable[[str], Any] | None = None,
    ) -> None:
        if profile not in PROFILES:
            msg = f"profile must be one of {', '.join(PROFILES)}, not {profile!r}"
            raise ValueError(msg)
        self.factory = factory
        self.limits: Limits = Limits() if limits is None else limits
        self.profile: Profile = profile
        self.seed = seed
        self._damage = damage
        self._lose = lose
        self.clock: FakeClock = FakeClock()
        self.history: History = History()
        self.storage_name: str = ""
        self._wishes = wishes_of(factory)
        self.uses_clock: bool = "clock" in self._wishes.values()
        self._kept: dict[Any, Any] = {}
        self._stack = ExitStack()
        self._token = uuid.uuid4().hex[:8]
        self._namespaces = 0
        self._names_in_use: set[str] = set()
        self._capabilities: frozenset[str] | None = None
        self._slept = 0.0
        self.lag: Lag = Lag(self.limits.eventually_consistent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    @property
    def folder(self) -> Path:
        """A folder of its own, for storages on disk; removed at the end."""
        return Path(self.kept(_folder))

    def kept(self, kind: Callable[[], AbstractContextManager[T]]) -> T:
        """Return what *kind* makes: the same for all checks, and left after the last one."""
        if kind not in self._kept:
            self._kept[kind] = self._stack.enter_context(kind())
        found: T = self._kept[kind]
        return found

    @property
    def thorough(self) -> bool:
        """Whether more time may be taken."""
        return self.profile == "thorough"

    def random(self) -> Random:
        """Return numbers that are the same for the same seed, from the beginning."""
        return Random(self.seed)  # noqa: S311 (no secrets here)

    # A check begins.

    async def begin(self, needs: Iterable[str] = ()) -> None:
        """Begin a check, with an empty history.

        Raises:
            LeftOut: The storage does not offer all *needs*.
            FactoryError: No storage could be opened.
        """
        for need in needs:
            reason = reason_against(need, await self._circumstances())
            if reason is not None:
                raise LeftOut(reason)
        self.start_history()

    def start_history(self) -> None:
        """Forget the steps so far: what comes now shows a break by itself."""
        self.history = History()

    async def capabilities(self) -> frozenset[str]:
        """Return the names of what the storage offers beside the three methods.

        Raises:
            FactoryError: No storage could be opened.
        """
        if self._capabilities is None:
            namespace = self.namespace()
            try:
                async with self.client(namespace, history=History()) as storage:
                    self._capabilities = storage.capabilities
                    self.storage_name = type(storage.storage).__name__
            except FactoryError:
                raise
            except Exception as error:
                if self._capabilities is None:  # otherwise it did open; a check will tell
                    msg = f"open({namespace!r}) raised {type(error).__name__}: {error}"
                    raise FactoryError(msg) from error
        return self._capabilities

    async def _circumstances(self) -> Circumstances:
        offered = await self.capabilities()
        return Circumstances(offered, self.limits, self.uses_clock, self.thorough)

    # Opening.

    def namespace(self) -> str:
        """Return a namespace that was never used: a word that fits names of files and tables."""
        self._namespaces += 1
        return f"n{self._namespaces}_{self._token}"

    @asynccontextmanager
    async def client(
        self, namespace: str | None = None, *, history: History | None = None
    ) -> AsyncGenerator[Client, None]:
        """Open the storage of *namespace* (None: a new one), and close it at the end.

        Raises:
            FactoryError: The factory gave no storage.
            BrokenPromise: It hangs when it is closed.
        """
        namespace = self.namespace() if namespace is None else namespace
        history = self.history if history is None else history
        name = self._take_name()
        wishes = {name: getattr(self, wish) for name, wish in self._wishes.items()}
        line = history.begin(f"{name} = open({history.namespace_name(namespace)!r})")
        stack = AsyncExitStack()
        try:
            storage = await open_storage(self.factory, namespace, wishes, stack)
            line.outcome = None
            yield Client(storage, history, name, around=partial(self.lag.around, namespace, stack))
        except BaseException as error:
            if line.outcome is not None:
                line.outcome = f"raised {show(error)}"
            with suppress(Exception):  # what went wrong first is what counts
                async with asyncio.timeout(_FAREWELL):
                    await stack.aclose()
            raise
        else:
            history.note(f"# {name} is closed")
            await close_within(stack, history)
        finally:
            self._names_in_use.discard(name)

    async def damage(self, namespace: str, key: str) -> None:
        """Spoil what is stored, as a full disk or a stranger's program would.

        Raises:
            LeftOut: Nobody said how.
            FactoryError: It cannot be done so.
        """
        await self._past_the_storage(
            "damage", "spoils a stored value", self._damage, namespace, key
        )
        self.history.note(f"# what is stored under {key!r} is damaged")

    async def lose(self, namespace: str) -> None:
        """Take away all that is stored while it is in use, as ``rm`` does.

        Raises:
            LeftOut: Nobody said how.
            FactoryError: It cannot be done so.
        """
        await self._past_the_storage("lose", "takes away all that is stored", self._lose, namespace)
        self.history.note("# all that is stored is taken away, past the storage")

    async def _past_the_storage(
        self, name: str, meaning: str, spoil: Callable[..., Any] | None, *args: str
    ) -> None:
        if spoil is None:
            parameters = ", ".join(("namespace", "key")[: len(args)])
            msg = f"no {name}({parameters}) is given, which {meaning}"
            raise LeftOut(msg)
        try:
            await resolve(spoil(*args))
        except LeftOut:
            raise
        except Exception as error:
            msg = f"{name}({', '.join(map(repr, args))}) raised {type(error).__name__}: {error}"
            raise FactoryError(msg) from error

    def _take_name(self) -> str:
        name = next(name for name in self._possible_names() if name not in self._names_in_use)
        self._names_in_use.add(name)
        return name

    def _possible_names(self) -> Iterable[str]:
        yield from _NAMES
        number = len(_NAMES)
        while True:
            number += 1
            yield f"storage{number}"

    # Time.

    @property
    def lifetime(self) -> float:
        """How many seconds a value should live in a check: few, if they must be waited for."""
        return _SKIPPED if self.uses_clock else _WAITED

    def now(self) -> float:
        """Return the storage's time, in seconds since the epoch."""
        return self.clock() if self.uses_clock else time.time()

    def model_time(self) -> float:
        """Return the time for a model: where it must be waited for, only what was waited."""
        return self.clock() if self.uses_clock else self._slept

    async def pass_time(self, seconds: float) -> None:
        """Let time pass for the storage: skipped if it takes the kit's clock, else waited."""
        if self.uses_clock:
            self.history.note(f"clock.advance({seconds:g})")
            self.clock.advance(seconds)
        else:
            self.history.note(f"time.sleep({seconds:g})")
            await asyncio.sleep(seconds)
            self._slept += seconds
