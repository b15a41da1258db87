"""A storage whose every answer is held against a model of what it must give."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sessionkit.errors import SessionConflictError
from sessionkit.testing._equal import alike
from sessionkit.testing._kinds import is_dict, is_pair
from sessionkit.testing._model import Model, SeenRevision, Verdict
from sessionkit.testing._ops import Instant, Seen, Span
from sessionkit.testing._show import show, show_error

if TYPE_CHECKING:
    from sessionkit.testing._client import Client
    from sessionkit.testing._subject import Subject

_ALMOST: Final = 0.5
_A_WHILE: Final = 1.0


class Value(Enum):
    """Placeholders for a value that is known only when a history is under way."""

    NEW = "a value that the history did not see before"
    AGAIN = "the value that the same opening wrote last under the key, or a new one"
    NONE = "no value: delete"


class _Condition(NamedTuple):
    """On what condition a write is made, what must become of it, and why, for people."""

    revision: Any
    verdict: Verdict = Verdict.THROUGH
    reason: str = ""


class Checked:
    """One opening of a storage: its methods, each of which breaks the promise if it must.

    Values to be written may be placeholders, and expected revisions ``Seen``.  A step that
    makes no sense as things are does nothing.

    Args:
        client: The storage.
        subject: Where the time comes from.
        model: What the namespace must hold.
        numbers: Numbers for new values.
        last: What was written last at this place, by key; survives reopening.
    """

    def __init__(
        self,
        client: Client,
        subject: Subject,
        model: Model,
        numbers: Iterator[int],
        last: dict[str, Any],
    ) -> None:
        self.client = client
        self._subject = subject
        self._model = model
        self._revisions = model.revisions
        self._numbers = numbers
        self._last = last

    # Reading; each returns what it read.

    async def read(self, key: str) -> Any:
        """Read."""
        value = await self.client.read(key)
        self._expect_value(key, value)
        return value

    async def has(self, key: str) -> None:
        """Ask whether there is a value."""
        self._expect_stored(key, await self.client.has(key))

    async def read_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """Read several keys, some maybe twice."""
        values = await self.client.read_many(keys)
        if not is_dict(values):
            self.client.fail(expected="a mapping", got=show(values))
        for key in keys:
            self._expect_value(key, values.get(key), of_many=True)
            if key in values and values[key] is None:
                expected = "a mapping without the keys that are missing"
                self.client.fail(expected=expected, got=show(values))
        if not values.keys() <= set(keys):
            self.client.fail(expected="a mapping of the keys asked for", got=show(values))
        return values

    async def read_with_revision(self, key: str) -> Any:
        """Read value and revision."""
        return (await self._look(key))[0]

    async def _look(self, key: str) -> tuple[Any, Any]:
        value, revision = await self.client.read_with_revision(key)
        self._expect_value(key, value)
        if revision is not None:
            if self._model.entry(key) is None:
                self.client.fail(expected="(None, None), since nothing is stored", got="a revision")
            self._saw(key, revision)
        elif self._model.read(key) is not None:
            self.client.fail(expected="a revision beside the value", got="None")
        return value, revision

    async def iter_keys(self, prefix: str | None = "") -> None:
        """List keys; None leaves the prefix out."""
        self._expect_keys(prefix or "", await self.client.keys(prefix))

    async def iter_items(self, prefix: str | None = "") -> dict[str, Any]:
        """List pairs of key and value; None leaves the prefix out."""
        items = await self.client.items(prefix)
        strangers = [item for item in items if not is_pair(item)]
        if strangers:
            self.client.fail(expected="pairs of key and value", got=show(strangers[0]))
        self._expect_keys(prefix or "", [key for key, _ in items])
        for key, value in items:
            self._expect_value(key, value, of_many=True)
        return dict(items)

    # Writing; each returns the very object that it wrote.

    async def write(self, key: str, value: Any) -> Any:
        """Write."""
        value, kept = self._value(key, value)
        await self.client.write(key, value)
        self._wrote(key, kept)
        return value

    async def write_many(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Write several."""
        made = {key: self._value(key, value)[0] for key, value in values.items()}
        kept = copy.deepcopy(made)
        await self.client.write_many(made)
        for key, value in kept.items():
            self._wrote(key, value)
        return made

    async def delete(self, key: str) -> None:
        """Delete, whether it is there or not."""
        await self.client.delete(key)
        self._wrote(key, None)

    async def write_if(
        self, key: str, value: Any, expected: Any, *, expires: Span | float | None = None
    ) -> Any:
        """Write, or delete, on a condition.

        Args:
            key: The key.
            value: The value.
            expected: A revision, a ``Seen``, None or ``ANY``.
            expires: After how many seconds it expires; or an ``Instant``, long past.
        """
        condition = _Condition(expected)
        if isinstance(expected, Seen):
            seen = self._revisions.pick(key, expected.age)
            if seen is None:
                return None
            condition = self._on(key, seen, holds=expected.holds)
        elif expected is None:
            condition = self._if_missing(key)
        return await self._write_if(key, value, condition, expires)

    async def update(self, key: str, value: Any) -> None:
        """Read, and then write on condition of what was read."""
        _, revision = await self._look(key)
        reason = "nobody wrote since it was read"
        await self._write_if(key, value, _Condition(revision, reason=reason))

    def _on(self, key: str, seen: SeenRevision, *, holds: bool) -> _Condition:
        model = self._model
        there, lapsed = model.read(key) is not None, model.is_past(seen.expires)
        verdict = self._revisions.verdict(key, seen, model.entry(key), there=there, lapsed=lapsed)
        was = "was changed" if verdict is Verdict.REFUSED else "is as it was"
        name = self.client.history.revision_name(seen.revision)
        reason = f"{key!r} {was} since {name} was seen"
        return _Condition(seen.revision, Verdict.THROUGH if holds else verdict, reason)

    def _if_missing(self, key: str) -> _Condition:
        if self._model.read(key) is not None:
            return _Condition(None, Verdict.REFUSED, f"{key!r} is stored")
        state = "is missing" if self._model.expired_for(key) is None else "has expired"
        return _Condition(None, reason=f"{key!r} {state}")

    async def _write_if(
        self, key: str, value: Any, condition: _Condition, span: Span | float | None = None
    ) -> Any:
        value, kept = self._value(key, value)
        expires, kept_until = self._expiry(span)
        try:
            given = await self.client.write_if(key, value, condition.revision, expires=expires)
        except SessionConflictError as error:
            if condition.verdict is Verdict.THROUGH:
                expected = f"no error{condition.reason and ': '}{condition.reason}"
                self.client.fail(expected=expected, got=show_error(error))
            return value
        if condition.verdict is Verdict.REFUSED:
            expected = f"SessionConflictError: {condition.reason}"
            self.client.fail(expected=expected, got="the write went through")
        self._wrote(key, kept, kept_until)
        if value is None and given is not None:
            self.client.fail(expected="None, for a delete", got="a revision")
        if value is not None:
            if given is None:
                self.client.fail(expected="the revision of what was written", got="None")
            self._saw(key, given)
        return value

    def _expiry(self, span: Span | float | None) -> tuple[Instant | None, float | None]:
        """Return when a value expires, by the clock of the storage and by that of the model."""
        if span is None:
            return None, None
        if isinstance(span, Instant):
            return span, -math.inf
        span = self._seconds(span)
        return Instant(self._subject.now() + span, span), self._subject.model_time() + span

    # Time, and the end.

    async def touch(self, key: str) -> None:
        """Restart the timeout, if the value has none of its own."""
        entry = self._model.entry(key)
        has_own = entry is not None and entry.has_own_expiry
        if has_own and self._subject.limits.ttl is not None and self._model.read(key) is not None:
            return  # the contract leaves open which of the two counts
        self._expect_stored(key, await self.client.touch(key))
        self._model.touch(key)
        self._revisions.doubt(key)

    async def renew(self, key: str, seen: Seen) -> None:
        """Renew a sliding timeout if it is due, which changes no data."""
        known = self._revisions.pick(key, seen.age)
        await self.client.renew(key, None if known is None else known.revision)
        self._revisions.doubt(key)

    async def purge_expired(self, exactly: int | None = None) -> None:
        """Remove what has expired; some may be gone already, unless it must be so many."""
        expired = self._model.expired()
        count = await self.client.purge_expired()
        if exactly is not None:
            self.client.expect(count, exactly)
        elif type(count) is not int or not 0 <= count <= len(expired):
            self.client.fail(expected=f"a number up to {len(expired)}", got=repr(count))
        for key in expired:
            self._model.delete(key)
            self._revisions.doubt(key)

    async def wait(self, span: Span | float) -> None:
        """Let time pass, so many seconds."""
        await self._subject.pass_time(self._seconds(span))

    def _seconds(self, span: Span | float) -> float:
        if not isinstance(span, Span):
            return span
        lifetime = self._subject.lifetime
        ttl = self._subject.limits.ttl or lifetime
        whole = {"ttl": ttl, "lifetime": lifetime, "shorter": min(ttl, lifetime)}[span.of]
        return whole * span.part + span.more

    async def wait_until(self, which: int, almost: bool) -> None:  # noqa: FBT001 (drawn)
        """Let time pass up to an instant at which something expires, or almost.

        Also up to one that counts no more, since the value was written again: a storage
        may still go by it.
        """
        instants = self._model.instants()
        if instants:
            instant = instants[min(which, len(instants) - 1)]
            seconds = instant - self._subject.model_time() - (_ALMOST if almost else 0.0)
            if seconds > 0:
                await self._subject.pass_time(seconds)

    async def outlive(self) -> None:
        """Let time pass until all that was written to expire has been gone for a while."""
        instants = self._model.instants()
        if instants:
            await self._subject.pass_time(instants[-1] - self._subject.model_time() + _A_WHILE)

    async def close(self) -> None:
        """Close the storage."""
        await self.client.close()

    # What the model says.

    def _value(self, key: str, value: Any) -> tuple[Any, Any]:
        """Return what to write, and a copy that nobody else has."""
        if value is Value.NONE:
            return None, None
        if value is Value.AGAIN:
            value = self._last.get(key, Value.NEW)
        if value is Value.NEW:
            value = {"n": next(self._numbers)}
        return copy.deepcopy(value), copy.deepcopy(value)

    def _wrote(self, key: str, value: Any, expires: float | None = None) -> None:
        """Note that *value* must be stored under *key* from now on; None: nothing."""
        if value is not None:
            self._revisions.change(key)
            self._model.write(key, value, expires)
            self._last[key] = value
        elif self._model.expired_for(key) is not None:
            self._revisions.doubt(key)  # nothing is there: whether its remains go is open
        elif self._model.entry(key) is not None:
            self._revisions.change(key)
            self._model.delete(key)

    def _saw(self, key: str, revision: Any) -> None:
        """Note the *revision* that the storage gave for *key* as it is now."""
        hash(revision)
        entry, value = self._model.entry(key), self._model.read(key)
        if value is not None:
            self._check_revision(key, revision, value)
        expires = None if entry is None else entry.expires
        self._revisions.see(key, revision, value, expires)

    def _check_revision(self, key: str, revision: Any, value: Any) -> None:
        name = self.client.history.revision_name
        before = self._revisions.unchanged(key)
        if before is not None and before.revision != revision:
            self.client.fail(
                expected=f"{name(before.revision)}: nothing has changed since it was given",
                got=name(revision),
            )
        if self._revisions.belongs_to_another(key, revision, value):
            self.client.fail(expected="a revision that no other value had", got=name(revision))

    # Whether an answer is what the model says.

    def _expect_value(self, key: str, got: Any, *, of_many: bool = False) -> None:
        expected = self._model.read(key)
        if not alike(got, expected):
            under = f" under {show(key)}" if of_many else ""
            self.client.fail(
                expected=f"{show(expected)}{under}{self._expiry_of(key)}",
                got=f"{show(got)}{self._origin_of(key, got)}",
            )

    def _expect_stored(self, key: str, got: object) -> None:
        expected = self._model.read(key) is not None
        if got is not expected:
            self.client.fail(expected=f"{expected}{self._expiry_of(key)}", got=show(got))

    def _expect_keys(self, prefix: str, got: list[Any]) -> None:
        expected = list(self._model.live(prefix))
        strangers = [key for key in got if key not in expected]
        remarks = [
            *(f"{show(key)} is missing" for key in expected if key not in got),
            *(f"{show(key)} is too much{self._expiry_of(key)}" for key in strangers),
            *(f"{show(key)} is there twice" for key in expected if got.count(key) > 1),
        ]
        if remarks:
            order = ", in any order" if len(expected) > 1 else ""
            self.client.fail(
                expected=f"{show(expected)}{order}", got=f"{show(got)}: {', '.join(remarks)}"
            )

    def _expiry_of(self, key: str) -> str:
        seconds = self._model.expired_for(key)
        if seconds is None:
            return ""
        if not seconds:
            return ": it expires at this instant"
        return f": it expired {seconds:g} seconds ago"

    def _origin_of(self, key: str, got: Any) -> str:
        others = [other for other in self._model.keys_holding(got) if other != key]
        return f", which was written under {show(others[0])}" if len(others) == 1 else ""
