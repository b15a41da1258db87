"""What the suites beside ``StorageSuite`` have in common."""

from __future__ import annotations

import asyncio
import unittest
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._factory import FactoryError
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import Promise
from sessionkit.testing._subject import Subject

if TYPE_CHECKING:
    from sessionkit.testing._promises import Check

S = TypeVar("S", bound=Subject)


class Collection(Generic[S]):
    """The promises of one suite, in the order in which they are written."""

    def __init__(self) -> None:
        self._promises: dict[str, Promise] = {}

    def __iter__(self) -> Iterator[Promise]:
        return iter(self._promises.values())

    def promise(
        self,
        sentence: str,
        *,
        hint: str,
        needs: tuple[str, ...] = (),
        modules: tuple[str, ...] = (),
    ) -> Callable[[Callable[[S], Awaitable[None]]], Callable[[S], Awaitable[None]]]:
        """Add the decorated check as that of a promise, under the function's name."""

        def add(check: Callable[[S], Awaitable[None]]) -> Callable[[S], Awaitable[None]]:
            name = check.__name__
            self._promises[name] = Promise(
                name, sentence, hint, "table", needs, modules, 60.0, cast("Check", check)
            )
            return check

        return add

    def add_tests(self, suite: type[Any]) -> None:
        """Give *suite* a test method for each promise; its ``ask`` runs them."""
        for promise in self:
            setattr(suite, f"test_{promise.name}", _test_of(promise))


def run(asking: Callable[[], Awaitable[None]]) -> None:
    """Run *asking*; what is left out is skipped, what is broken shows no lines of the kit."""
    __tracebackhide__ = True

    async def main() -> None:
        await asking()

    try:
        asyncio.run(main())
    except LeftOut as reason:
        raise unittest.SkipTest(str(reason)) from None
    except (BrokenPromise, FactoryError) as error:
        raise error.with_traceback(None) from error.__cause__


def _test_of(promise: Promise) -> Callable[[Any], None]:
    def test(self: Any) -> None:
        __tracebackhide__ = True
        self.ask(promise)

    test.__name__ = f"test_{promise.name}"
    test.__doc__ = promise.sentence
    return test
