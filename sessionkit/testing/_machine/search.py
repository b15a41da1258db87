"""The search for a history that breaks a promise, and for the shortest one: by hypothesis."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Sequence
from itertools import chain
from typing import Final, TypeVar

import hypothesis
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from sessionkit.testing._factory import FactoryError
from sessionkit.testing._machine.attempt import Failure, Program, attempt, prune
from sessionkit.testing._machine.theme import Theme
from sessionkit.testing._subject import Subject
from sessionkit.testing._trial import Step

T = TypeVar("T")
_CHUNKS: Final = 4
_CHUNK: Final = 10
EXAMPLES: Final = 12
"""How many histories a search tries: after the first ten hypothesis varies what it has."""

SHRINKING_TRIES: Final = 100
"""How often hypothesis may try to make a failure shorter: the same on every machine."""

SHRINKING: Final = 5.0
"""For how many seconds, where a try takes long; and for how many more it is pruned."""

_NO_MATTER: Final = (
    hypothesis.HealthCheck.too_slow,  # the storage, that is
    hypothesis.HealthCheck.data_too_large,
    hypothesis.HealthCheck.large_base_example,
)
_BIT: Final = st.booleans()


class _Failed(Exception):  # noqa: N818 (for hypothesis: make this one shorter)
    """A program failed."""


class _Enough(BaseException):
    """Ends a search at once; no ``Exception``, which hypothesis would take for a failure."""


class Search:
    """The search for the shortest history that breaks a promise.

    Hypothesis runs on a thread of its own, since it cannot wait; the storage is used
    on the event loop of the caller, on which what its factory shares may well depend.

    Args:
        subject: The storage under test.
        theme: What its histories are made of.
        seed: The same seed gives the same search.
    """

    def __init__(self, subject: Subject, theme: Theme, *, seed: str) -> None:
        self._subject = subject
        self._theme = theme
        self._seed = seed
        self._audit = theme.audit()
        self._shortest: tuple[Failure, Program] | None = None
        self._tries_left = math.inf
        self._deadline = math.inf
        self._is_stopped = False
        self._factory_error: FactoryError | None = None

    async def run(self) -> Failure | None:
        """Return the shortest failure that was found; None if there was none.

        Raises:
            FactoryError: No storage could be opened.
        """
        loop = asyncio.get_running_loop()
        searching = asyncio.ensure_future(asyncio.to_thread(self._search, loop))
        try:
            await asyncio.shield(searching)
        except asyncio.CancelledError:
            self._is_stopped = True
            await searching  # ends with the history that is under way
            raise
        if self._factory_error is not None:
            raise self._factory_error
        if self._shortest is None:
            return None
        failure, program = self._shortest
        plain = self._theme.reads()
        return await prune(self._subject, program, failure, plain=plain, seconds=SHRINKING)

    def _search(self, loop: asyncio.AbstractEventLoop) -> None:
        @hypothesis.seed(self._seed)
        @hypothesis.settings(
            max_examples=EXAMPLES,
            phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
            database=None,
            deadline=None,
            derandomize=False,
            print_blob=False,
            report_multiple_bugs=False,
            suppress_health_check=_NO_MATTER,
            verbosity=hypothesis.Verbosity.quiet,
        )
        @hypothesis.given(_programs(self._theme))
        def holds(program: Program) -> None:
            if self._is_stopped or not self._may_shrink():
                raise _Enough
            if not program:  # each search begins with it; the table asks for as much
                return
            trying = self._try([*program, *self._audit])
            if asyncio.run_coroutine_threadsafe(trying, loop).result():
                raise _Failed

        with contextlib.suppress(_Failed, _Enough, Flaky):
            holds()

    async def _try(self, program: Program) -> bool:
        """Return whether *program* fails, and remember the shortest one that did."""
        try:
            failure = await attempt(self._subject, program)
        except FactoryError as error:
            self._factory_error, self._is_stopped = error, True
            return True
        if failure is None:
            return False
        if self._shortest is None:
            self._tries_left, self._deadline = SHRINKING_TRIES, time.monotonic() + SHRINKING
        if self._shortest is None or failure.length <= self._shortest[0].length:
            self._shortest = failure, program[: failure.steps]
        return True

    def _may_shrink(self) -> bool:
        self._tries_left -= 1
        return self._tries_left >= 0 and time.monotonic() < self._deadline


def _programs(theme: Theme) -> st.SearchStrategy[Program]:
    # One list would have five steps on average, and a least size would keep it from shrinking
    chunk = st.lists(_steps(theme), max_size=_CHUNK)
    return st.tuples(*[chunk] * _CHUNKS).map(lambda chunks: list(chain.from_iterable(chunks)))


@st.composite
def _steps(draw: st.DrawFn, theme: Theme) -> Step:
    def choose(options: Sequence[T]) -> T:
        # Bits, and no integers: among these hypothesis mixes constants that it finds in the
        # modules of the user, so that another import would make another run of the same seed
        index = 0
        for _ in range((len(options) - 1).bit_length()):
            index = 2 * index + draw(_BIT)
        return options[index % len(options)]

    return choose(theme.kinds)(choose, theme.pools)
