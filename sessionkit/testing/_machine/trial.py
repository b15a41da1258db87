"""One history under way: the openings of the storage, and what they must answer."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from sessionkit.testing._equal import alike
from sessionkit.testing._kinds import is_pair
from sessionkit.testing._machine.model import Model
from sessionkit.testing._machine.pools import Stand, fresh
from sessionkit.testing._machine.revisions import Revisions
from sessionkit.testing._show import show

if TYPE_CHECKING:
    from types import TracebackType

    from sessionkit.testing._client import Client
    from sessionkit.testing._subject import Subject

Place: TypeAlias = Literal["storage", "second", "sync", "elsewhere"]
"""Where a step is done: on an opening, another one, a view for threads, another namespace."""


@dataclass
class _Opening:
    client: Client
    closing: AsyncExitStack


class Trial:
    """One history under way, on namespaces of its own.

    Use it as an asynchronous context manager: it closes what it opened.

    Args:
        subject: The storage under test; its history is written on.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._stack = AsyncExitStack()
        self._namespaces = {False: subject.namespace(), True: subject.namespace()}
        self._models = {other: Model(subject.now, subject.limits.ttl) for other in self._namespaces}
        self._revisions = {other: Revisions() for other in self._namespaces}
        self._openings: dict[Place, _Opening] = {}
        self._last: dict[tuple[Place, str], Any] = {}
        self._counted = 0

    async def __aenter__(self) -> Self:
        await self._opening("storage")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    # Openings.

    async def storage(self, place: Place) -> Client:
        """Return the storage as it is used at *place*, opened if need be."""
        opening = await self._opening(place)
        return opening.client.sync_view() if place == "sync" else opening.client

    async def reopen(self, place: Place) -> None:
        """Close what is open at *place*, and open it again."""
        opening = self._openings.pop(_opened_at(place), None)
        if opening is not None:
            await opening.closing.aclose()
        await self._opening(place)

    async def _opening(self, place: Place) -> _Opening:
        place = _opened_at(place)
        if place not in self._openings:
            namespace = self._namespaces[place == "elsewhere"]
            closing = AsyncExitStack()
            client = await closing.enter_async_context(self.subject.client(namespace))
            self._stack.push_async_exit(closing)
            self._openings[place] = _Opening(client, closing)
        return self._openings[place]

    # What must be there.

    def model(self, place: Place) -> Model:
        """Return what the namespace of *place* must hold."""
        return self._models[place == "elsewhere"]

    def revisions(self, place: Place) -> Revisions:
        """Return the revisions that the namespace of *place* gave."""
        return self._revisions[place == "elsewhere"]

    def value(self, place: Place, key: str, value: Any) -> Any:
        """Return what to write where a step says *value*, as an object of its own."""
        if value is Stand.NONE:
            return None
        if value is Stand.AGAIN:
            value = self._last.get((place, key), Stand.NEW)
        if value is Stand.NEW:
            self._counted += 1
            return {"n": self._counted}
        return fresh(value)

    def wrote(self, place: Place, key: str, value: Any, expires: float | None = None) -> None:
        """Take note that *value* must be stored under *key* from now on; None: nothing."""
        model, revisions = self.model(place), self.revisions(place)
        if value is not None:
            revisions.change(key)
            model.write(key, value, expires)
            self._last[place, key] = value
        elif model.expired_for(key) is not None:
            revisions.doubt(key)  # nothing is there: whether its remains go is open
        elif model.entry(key) is not None:
            revisions.change(key)
            model.delete(key)

    def saw(self, place: Place, key: str, revision: Any) -> None:
        """Take note of the *revision* that the storage gave for *key* as it is now."""
        self.revisions(place).see(key, revision, self.model(place).read(key))

    # Whether it is.

    def expect_value(
        self, storage: Client, place: Place, key: str, got: Any, *, of_many: bool = False
    ) -> None:
        """Break the promise unless *got*, maybe one *of many*, is what *key* must read as."""
        model = self.model(place)
        expected = model.read(key)
        if not alike(got, expected):
            under = f" under {show(key)}" if of_many else ""
            storage.fail(
                expected=f"{show(expected)}{under}{_expiry_of(model, key)}",
                got=f"{show(got)}{_origin_of(model, key, got)}",
            )

    def expect_stored(self, storage: Client, place: Place, key: str, got: object) -> None:
        """Break the promise unless *got* tells whether *key* is there."""
        model = self.model(place)
        expected = model.read(key) is not None
        if bool(got) is not expected:
            storage.fail(expected=f"{expected}{_expiry_of(model, key)}", got=show(got))

    def expect_keys(self, storage: Client, place: Place, prefix: str, got: list[Any]) -> None:
        """Break the promise unless *got* are the keys that begin with *prefix*, each once."""
        model = self.model(place)
        expected = list(model.live(prefix))
        remarks = [
            *(f"{show(key)} is missing" for key in expected if key not in got),
            *(
                f"{show(key)} is too much{_expiry_of(model, key)}"
                for key in got
                if key not in expected
            ),
            *(f"{show(key)} is there twice" for key in expected if got.count(key) > 1),
        ]
        if remarks:
            order = ", in any order" if len(expected) > 1 else ""
            storage.fail(
                expected=f"{show(expected)}{order}", got=f"{show(got)}: {', '.join(remarks)}"
            )

    def expect_pairs(self, storage: Client, place: Place, prefix: str, got: list[Any]) -> None:
        """Break the promise unless *got* are the pairs of key and value under *prefix*."""
        strangers = [item for item in got if not is_pair(item)]
        if strangers:
            storage.fail(expected="pairs of key and value", got=show(strangers[0]))
        self.expect_keys(storage, place, prefix, [key for key, _ in got])
        for key, value in got:
            self.expect_value(storage, place, key, value, of_many=True)


def _opened_at(place: Place) -> Place:
    return "storage" if place == "sync" else place


def _expiry_of(model: Model, key: str) -> str:
    seconds = model.expired_for(key)
    if seconds is None:
        return ""
    return f": it expired {seconds:g} seconds ago" if seconds else ": it expires at this instant"


def _origin_of(model: Model, key: str, got: Any) -> str:
    others = [other for other in model.keys_holding(got) if other != key]
    return f", which was written under {show(others[0])}" if len(others) == 1 else ""
