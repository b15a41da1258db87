"""Random histories of a bot, for both sides to live through."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from hypothesis import strategies as st

from tests.grammy.bridge import Key, Options
from tests.grammy.changes import Add, Append, Change, Drop, Fail, Put, Rename
from tests.grammy.compare import Enhancement
from tests.grammy.programs import DOCUMENTS, LEAVES, NESTED, RARELY, Situation, programs, weighted
from tests.grammy.steps import Assign, Step
from tests.grammy.wire import JSON, UNDEFINED, defined

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.grammy.mirror import Kind, Place
    from tests.grammy.outcome import Op

STEP_MS: Final = 7
"""Times are multiples of it, timeouts are not: nothing expires at the very instant of a look."""

START_MS: Final = 1_000_000_000 * STEP_MS
TTL_MS: Final = 1000
VERSIONS: Final = (1, 2, 5, 10)
CHATS: Final = (1, 1, 1, 1, -100, None)
USERS: Final = (1, 1, 1, 1, 3, None)


@dataclass(frozen=True)
class Setup:
    """A bot as it is made.

    Attributes:
        missing: What means an absent ``initial`` on our side.
        shared: Whether all fragments share a storage.
        recorded: Whether our storage is one of three methods whose calls are compared;
            otherwise it is ``MemorySessionStorage``, with all it can do.
        enhancements: One for each release of the bot, each with more migrations.
    """

    kind: Kind
    fragments: Mapping[str, Options]
    missing: Literal["absent", "None"]
    shared: bool
    recorded: bool
    enhancements: tuple[Enhancement | None, ...]


@dataclass(frozen=True)
class Update:
    """An update, and from which side what is stored is taken over after it."""

    steps: tuple[Step, ...]
    chat: int | None
    user: int | None
    place: Place
    faults: tuple[Op, ...]
    keep: Literal["ours", "theirs"]


@dataclass(frozen=True)
class Advance:
    """Time passes."""

    ms: int


@dataclass(frozen=True)
class Deploy:
    """The next release of the bot starts."""


@dataclass(frozen=True)
class Found:
    """Something is in the storage of a fragment, from elsewhere."""

    name: str
    chat: int | None
    user: int | None
    raw: JSON


Event: TypeAlias = Update | Advance | Deploy | Found


def key_of(options: Options, chat: int | None, user: int | None) -> str | None:
    """Return the full key of an update; None if it has none, or if asking fails."""
    place = None if chat is None or user is None else f"{user}/{chat}"
    found: dict[Key, Any] = {
        "chat": chat,
        "async_chat": chat,
        "user": user,
        "number": user,
        "user_in_chat": place,
    }
    key = found.get(options.key)
    return None if key is None else f"{options.prefix or ''}{key}"


# --- setups -------------------------------------------------------------------------------

KEYS: Final[tuple[Key, ...]] = ("chat", "user", "user_in_chat", "async_chat", "number")
RARE_KEYS: Final[tuple[Key, ...]] = ("none", "failing")


@st.composite
def options(draw: st.DrawFn, prefixes: st.SearchStrategy[str | None]) -> Options:
    """Return the options of a fragment."""
    key = draw(st.sampled_from(KEYS * 10 + RARE_KEYS))
    return Options(draw(DOCUMENTS | st.just(UNDEFINED)), draw(prefixes), key)


@st.composite
def setups(draw: st.DrawFn, kind: Kind) -> Setup:
    """Return a bot of a kind."""
    if kind == "multi":
        fragments = {name: draw(options(st.just(f"{name}-"))) for name in ("a", "b")}
    else:
        fragments = {"": draw(options(st.sampled_from([None, "p-", "1"])))}
    return Setup(
        kind,
        fragments,
        missing=draw(st.sampled_from(["absent", "None"])),
        shared=draw(st.booleans()),
        recorded=draw(st.sampled_from([True, True, False])),
        enhancements=draw(releases(with_failures=kind != "lazy")),
    )


@st.composite
def releases(draw: st.DrawFn, *, with_failures: bool) -> tuple[Enhancement | None, ...]:
    """Return what enhances the storage in one release after the other."""
    if draw(st.booleans()):
        return (None,)
    ttl = draw(st.sampled_from([None, TTL_MS]))
    table = {version: draw(_changes(with_failures)) for version in VERSIONS}
    newest = sorted(draw(st.lists(st.sampled_from([0, *VERSIONS]), min_size=1, max_size=3)))
    known = [{v: each for v, each in table.items() if v <= last} or None for last in newest]
    enhanced = [Enhancement(ttl, each) for each in known]
    return (None, *enhanced) if draw(st.booleans()) else tuple(enhanced)


def _changes(with_failures: bool) -> st.SearchStrategy[Sequence[Change]]:
    change: st.SearchStrategy[Change] = st.one_of(
        st.builds(Put, st.sampled_from(["x", "y"]), NESTED),
        st.builds(Drop, st.sampled_from(["x", "y"])),
        st.builds(Rename, st.just("x"), st.just("y")),
        st.builds(Append, st.just("list"), LEAVES),
        st.builds(Add, st.just("n"), st.integers(1, 3)),
    )
    changes = st.lists(change, max_size=2)
    if not with_failures:
        return changes
    failing: list[Change] = [Fail("migration was made to fail")]
    return weighted((15, changes), (1, st.just(failing)))


# --- histories ----------------------------------------------------------------------------


@dataclass(frozen=True)
class History:
    """A bot, and what happens to it."""

    setup: Setup
    events: tuple[Event, ...]


@st.composite
def histories(draw: st.DrawFn, kind: Kind) -> History:
    """Return a history of a bot of a kind."""
    setup = draw(setups(kind))
    with_migrations = any(each and each.table for each in setup.enhancements)
    with_ttl = any(each and each.ttl_ms for each in setup.enhancements)
    base = Situation(
        kind,
        tuple(setup.fragments),
        has_key=True,
        scalars=not with_migrations,
        in_flight=not with_ttl,
    )
    found, update = _found(setup), updates(setup, base)
    event: st.SearchStrategy[Event] = weighted(
        (8, update),
        (2, found),
        (3, st.sampled_from([0, 1, 40, 140, 150, 400]).map(lambda n: Advance(n * STEP_MS))),
        (1, st.just(Deploy())),
    )
    before = [draw(found) for _ in range(draw(st.integers(0, 2)))]
    return History(setup, (*before, *(draw(event) for _ in range(draw(st.integers(2, 9))))))


@st.composite
def _found(draw: st.DrawFn, setup: Setup) -> Found:
    """Something from before there was an enhancer, or from an earlier release."""
    name = draw(st.sampled_from(list(setup.fragments)))
    raw: JSON = draw(DOCUMENTS)
    if None not in setup.enhancements and draw(st.booleans()):
        oldest = min(each.latest for each in setup.enhancements if each)
        versions: list[JSON] = [UNDEFINED, *(version for version in VERSIONS if version <= oldest)]
        expiries: st.SearchStrategy[JSON] = st.sampled_from([UNDEFINED, 0, 50, 300])
        expiry = draw(expiries.map(_instant))
        raw = defined({"__d": raw, "v": draw(st.sampled_from(versions)), "e": expiry})
        if all(each and each.ttl_ms is None for each in setup.enhancements):
            raw.pop("e", None)
    return Found(name, draw(st.sampled_from(CHATS)), draw(st.sampled_from(USERS)), raw)


def _instant(steps: JSON) -> JSON:
    return UNDEFINED if steps is UNDEFINED else START_MS + steps * STEP_MS + 1


@st.composite
def updates(draw: st.DrawFn, setup: Setup, base: Situation) -> Update:
    """Return an update that *setup* and the sides can be compared in."""
    chat = draw(st.sampled_from(CHATS))
    user = draw(st.sampled_from(USERS))
    keys = [key_of(each, chat, user) for each in setup.fragments.values()]
    has_key = None not in keys
    faults = draw(_faults(setup))
    situation = replace(
        base,
        has_key=has_key,
        reads_work="R" not in faults,
    )
    place: Place = "flavor"
    if has_key:  # without, a plain context cannot tell that it is assigned to
        place = draw(st.sampled_from(["object", "object", "flavor", "mapping"]))
    steps = draw(programs(situation))
    if base.kind == "multi" and place == "flavor" and has_key and draw(RARELY):
        steps += (Assign(None),)
    return Update(steps, chat, user, place, faults, draw(st.sampled_from(["ours", "theirs"])))


def _faults(setup: Setup) -> st.SearchStrategy[tuple[Op, ...]]:
    # grammY's enhancer writes while it reads, so that faults would hit elsewhere.
    if not setup.recorded or setup.enhancements != (None,):
        return st.just(())
    some: list[tuple[Op, ...]] = [("R",), ("W",), ("D",), ("W", "D")]
    return weighted((5, st.just(())), (1, st.sampled_from(some)))
