"""grammY and sessionkit, living through one history side by side."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sessionkit import enhance_storage
from tests.grammy.bridge import Options
from tests.grammy.changes import functions
from tests.grammy.compare import (
    Difference,
    Expected,
    Handled,
    Stored,
    expected_calls,
    observed,
    same,
    told,
)
from tests.grammy.doubles import Memory, Recorded
from tests.grammy.histories import START_MS, Advance, Deploy, Event, Found, History, Update, key_of
from tests.grammy.mirror import Mirror
from tests.grammy.wire import JSON, UNDEFINED

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tests.grammy.bridge import Grammy, MemoryStorage
    from tests.grammy.doubles import OwnStorage
    from tests.grammy.handler import Run
    from tests.grammy.outcome import Call, Op, Outcome

NO_KEYS = "getSessionKey was made to fail"


class Pair:
    """Both sides of a history.  A mismatch without a name fails.

    Attributes:
        seen: How often each difference was seen.
    """

    def __init__(self, grammy: Grammy, runner: asyncio.Runner, history: History) -> None:
        grammy.reset()
        self.grammy = grammy
        self.runner = runner
        self.setup = history.setup
        self.seen: Counter[Difference] = Counter()
        self.now = START_MS
        self._advance(0)
        names = list(self.setup.fragments)
        places = [names[0]] * len(names) if self.setup.shared else names
        theirs = {place: grammy.memory() for place in places}
        ours = {place: self._own_storage() for place in places}
        self.theirs: dict[str, MemoryStorage] = {
            name: theirs[place] for name, place in zip(names, places, strict=True)
        }
        self.ours: dict[str, OwnStorage] = {
            name: ours[place] for name, place in zip(names, places, strict=True)
        }
        self.releases = list(self.setup.enhancements)
        self._deploy()

    def _own_storage(self) -> OwnStorage:
        return Recorded() if self.setup.recorded else Memory(clock=self._clock)

    def _clock(self) -> float:
        return self.now / 1000

    def live(self, events: Sequence[Event]) -> None:
        """Live through *events*."""
        for event in events:
            match event:
                case Update():
                    self._update(event)
                case Advance(ms):
                    self._advance(ms)
                case Deploy():
                    self._deploy()
                case _:
                    self._find(event)

    def _advance(self, ms: int) -> None:
        self.now += ms
        self.grammy.set_clock(self.now)

    def _deploy(self) -> None:
        if not self.releases:
            return
        self.enhancement = self.releases.pop(0)
        theirs = _each(self.theirs, self._enhanced_by_grammy)
        ours = _each(self.ours, self._enhanced)
        fragments = {
            name: Options(each.initial, each.prefix, each.key, theirs[name])
            for name, each in self.setup.fragments.items()
        }
        if self.setup.kind == "multi":
            self.bot = self.grammy.multi_bot(fragments)
        else:
            self.bot = self.grammy.bot(self.setup.kind, **vars(fragments[""]))
        self.mirror = Mirror(self.setup.kind, fragments, ours, self.setup.missing)

    def _enhanced_by_grammy(self, storage: Any) -> Any:
        if self.enhancement is None:
            return storage
        table = self.enhancement.table
        migrations = None if table is None else {str(v): each for v, each in table.items()}
        return self.grammy.enhanced(storage, ttl_ms=self.enhancement.ttl_ms, migrations=migrations)

    def _enhanced(self, own: OwnStorage) -> Any:
        if self.enhancement is None:
            return own.storage
        ttl_ms, table = self.enhancement.ttl_ms, self.enhancement.table
        return enhance_storage(
            own.storage,
            ttl=None if ttl_ms is None else ttl_ms / 1000,
            migrations=None if table is None else functions(table),
            clock=self._clock,
        )

    def _find(self, event: Found) -> None:
        key = key_of(self.setup.fragments[event.name], event.chat, event.user)
        if key is not None:
            self._put(event.name, key, event.raw)

    def _put(self, name: str, key: str, raw: JSON) -> None:
        self.ours[name].put(key, raw)
        self._put_theirs(name, key, raw)

    def _put_theirs(self, name: str, key: str, raw: JSON) -> None:
        if raw is UNDEFINED:
            self.theirs[name].delete(key)
        else:
            self.theirs[name].write(key, raw)

    # An update.

    def _update(self, event: Update) -> None:
        keys = {
            name: key
            for name, each in self.setup.fragments.items()
            if (key := key_of(each, event.chat, event.user)) is not None
        }
        before = {name: self._stored(name, key) for name, key in keys.items()}
        self._fail(event.faults)
        theirs = self.bot.update(event.steps, chat=event.chat, user=event.user)
        ours = self.runner.run(
            self.mirror.update(event.steps, chat=event.chat, user=event.user, place=event.place)
        )
        expected = {
            name: expected_calls(
                self._calls(theirs, name, keys), stored, self._handled(theirs, ours, name)
            )
            for name, stored in before.items()
        }
        self._fail(())
        self._compare_what_was_seen(theirs, ours)
        self._compare_errors(theirs, ours, expected)
        self._compare_calls(expected)
        for name, key in keys.items():
            self._compare_what_is_stored(name, key, before[name], expected[name])
            self._take_over(name, key, event)
            self.seen.update(expected[name].differences)

    def _stored(self, name: str, key: str) -> Stored:
        raw = self.ours[name].raw(key)
        theirs = self._their_raw(name, key)
        if raw is UNDEFINED and observed(theirs, self.enhancement, self.now) is UNDEFINED:
            self._put_theirs(name, key, raw)  # our storage was given the expiry
        else:
            assert same(raw, theirs)
        return Stored(key, raw, self.setup.fragments[name].initial, self.enhancement, self.now)

    def _their_raw(self, name: str, key: str) -> JSON:
        return self.theirs[name].dump().get(key, UNDEFINED)

    def _fail(self, faults: tuple[Op, ...]) -> None:
        """Let the storage of the first fragment fail, on both sides."""
        first = next(iter(self.ours))
        own = self.ours[first]
        if isinstance(own, Recorded):
            self.theirs[first].fail(*faults)
            own.fail(*faults)

    def _calls(self, theirs: Outcome, name: str, keys: Mapping[str, str]) -> list[Call]:
        return [call for call in theirs.of(self.theirs[name].id) if call.key == keys[name]]

    def _handled(self, theirs: Outcome, ours: Run, name: str) -> Handled:
        written = [call for call in theirs.calls if call.op != "R"]
        failed = theirs.error is not None and not any(call.error for call in written)
        reads = self.setup.kind != "lazy" or name in ours.reads
        has_keys = told(theirs.error) != NO_KEYS
        return Handled(reads, name in ours.assigned, failed, has_keys)

    def _compare_what_was_seen(self, theirs: Outcome, ours: Run) -> None:
        assert not theirs.hang
        saw = [None if value is UNDEFINED else value for value in ours.saw]
        assert same(saw, [None if value is UNDEFINED else value for value in theirs.saw])
        assert [told(each) for each in ours.caught] == [told(each) for each in theirs.caught]
        if self.setup.kind != "lazy" and told(theirs.error) != NO_KEYS:
            assert ours.initials == theirs.initials

    def _compare_errors(self, theirs: Outcome, ours: Run, expected: Mapping[str, Expected]) -> None:
        their_faults = {call.error for call in theirs.calls}
        if theirs.error is None or theirs.error not in their_faults:
            assert told(ours.error) == told(theirs.error)
            return
        failing = {told(call.error) for each in expected.values() for call in each.calls}
        assert told(ours.error) in (failing - {""} or {""})

    def _compare_calls(self, expected: Mapping[str, Expected]) -> None:
        if not self.setup.recorded:
            return
        storages = {id(storage): storage for storage in self.ours.values()}
        made = [call for storage in storages.values() for call in storage.recorded() or ()]
        assert _sorted(made) == _sorted(call for each in expected.values() for call in each.calls)

    def _compare_what_is_stored(
        self, name: str, key: str, before: Stored, expected: Expected
    ) -> None:
        raw = before.raw
        for call in expected.calls:
            if call.op != "R" and call.error is None:
                raw = call.value
        ours = self.ours[name].raw(key)
        assert same(ours, raw)
        theirs = observed(self._their_raw(name, key), self.enhancement, self.now)
        seen = observed(ours, self.enhancement, self.now)
        if seen is UNDEFINED and Difference.INITIAL in expected.differences:
            seen = before.initial  # which is what the next update begins with
            if theirs is UNDEFINED:  # made to fail
                return
        assert same(theirs, seen)

    def _take_over(self, name: str, key: str, event: Update) -> None:
        if event.keep == "ours":
            self._put_theirs(name, key, self.ours[name].raw(key))
        else:
            self.ours[name].put(key, self._their_raw(name, key))


def _sorted(calls: Iterable[Call]) -> list[Call]:
    """Calls by key; those of one key stay in order."""
    return sorted(calls, key=lambda call: call.key)


def _each(storages: Mapping[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """Change each storage once, though several fragments may share it."""
    changed = {id(storage): change(storage) for storage in storages.values()}
    return {name: changed[id(storage)] for name, storage in storages.items()}
