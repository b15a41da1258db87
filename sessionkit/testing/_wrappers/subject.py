"""The wrapper under test, around a storage of the kit."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

from sessionkit._storage.sync_or_async import resolve
from sessionkit.testing._asking import ask_for
from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import Promise
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject
from sessionkit.testing._wrappers.inside import Inside, Variant
from sessionkit.testing._wrappers.rows import Rows

_SHOWN: Final = 4
_IN_MEMORY: Final = "the storage inside is in the memory of this process"


class WrapperSubject(Subject):
    """A wrapper around storages that all offer the same.

    Args:
        wrap: Wraps a storage, sync or async.
        variant: What the storages inside offer.
        offers: Returns what the wrapped storage must offer, of what the one inside does.
        **options: As for ``Subject``.

    Attributes:
        variant: What the storages inside offer.
    """

    def __init__(
        self,
        wrap: Callable[[Any], Any],
        variant: Variant,
        *,
        offers: Callable[[frozenset[str]], frozenset[str]],
        **options: Any,
    ) -> None:
        super().__init__(_Here(self._open), damage=self._spoil, **options)
        self.uses_clock = True
        self.variant = variant
        self._wrap = wrap
        self._offers = offers
        self._rows: dict[str, Rows] = {}

    def offers(self, *names: str) -> bool:
        """Return whether the wrapped storage must offer *names* where the one inside does."""
        return self._offers(self.variant.offers | {*names}).issuperset(names)

    def expected(self) -> frozenset[str]:
        """Return the names of what the wrapped storage must offer."""
        return self._offers(self.variant.offers)

    def rows(self, namespace: str) -> Rows:
        """Return what is stored inside."""
        return self._rows.setdefault(namespace, Rows(self.clock))

    def inside(self, namespace: str) -> Any:
        """Return a storage for the wrapper to wrap."""
        return Inside(self.rows(namespace), self.variant)

    async def wrapped(self, inner: object) -> Any:
        """Return a storage of one's own, wrapped."""
        return await resolve(self._wrap(inner))

    @asynccontextmanager
    async def failing(
        self, namespace: str, error: BaseException, *methods: str
    ) -> AsyncGenerator[None, None]:
        """Let methods of the storage inside raise *error*."""
        rows = self.rows(namespace)
        shown = ", ".join(methods if len(methods) <= _SHOWN else (*methods[:2], "..."))
        self.history.note(f"# now the storage inside raises {show(error)} in {shown}")
        rows.failing = dict.fromkeys(methods, error)
        yield
        rows.failing = {}
        self.history.note("# now it works again")

    async def ask(self, promise: Promise) -> None:
        """Let the wrapped storage keep *promise*, or raise; say what the one inside offers."""
        try:
            await ask_for(promise, self)
        except LeftOut as reason:
            raise LeftOut(_IN_MEMORY if _IN_MEMORY in str(reason) else reason) from None
        except BrokenPromise as error:
            error.history = (f"# the storage inside {self.variant}", *error.history)
            raise

    def _open(self, namespace: str) -> Any:
        return self._wrap(self.inside(namespace))

    def _spoil(self, namespace: str, key: str) -> None:
        self.rows(namespace).damaged = key


class _Here:
    """A factory that other processes cannot have."""

    def __init__(self, factory: Callable[[str], Any]) -> None:
        self._factory = factory

    def __call__(self, namespace: str) -> Any:
        return self._factory(namespace)

    def __reduce__(self) -> NoReturn:
        raise TypeError(_IN_MEMORY)
