"""The ids of updates, as the field ``__u`` of an envelope keeps them.

    {"done": {"490138": " 42:1001 42:1007 "}, "begun": {"42:1010": 490138},
     "moved": {"-1005": 490138}}

``done`` has the ids of updates whose handler has ended, by the hour since the epoch in
which they were written; each is between two spaces.  ``begun`` has those that wrote
something before their end, with the hour.  ``moved`` has the full keys to which the data of
this key went.  Any of the three may be missing.

In this process ``done`` is one text, which is quick to search and to append to, and shares
nothing: ``"%%490138 42:1001 42:1007 "``.  No id has two percent signs in a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast

from sessionkit.errors import SessionDecodeError

UPDATES: Final = "__u"
DONE: Final = "done"
_BEGUN: Final = "begun"
MOVED: Final = "moved"
_HOUR: Final = 3600
_MARK: Final = "%%"

Others: TypeAlias = dict[str, dict[str, int]]
"""What is not done: ``begun`` and ``moved``, if there are any.  Never changed, but replaced."""
UpdateIds: TypeAlias = tuple[str, Others]
Beside: TypeAlias = tuple[UpdateIds, dict[str, Any] | None]
"""What an envelope has beside its data: ids, and what belongs to other releases.

None in the place of the latter: there is no envelope.  Never changed, but replaced.
"""

NO_OTHERS: Final[Others] = {}
NO_IDS: Final[UpdateIds] = ("", NO_OTHERS)
_NONE: Final[dict[str, Any]] = {}


def ids_in(kept: Mapping[str, Any] | None, key: str) -> UpdateIds:
    """Return the ids among the fields that an envelope has beside its data.

    Raises:
        SessionDecodeError: They have another form: taken for none, updates would count twice.
    """
    fields: Any = None if kept is None else kept.get(UPDATES)
    if fields is None:
        return NO_IDS
    if not _is_understood(fields):
        msg = (
            f"the ids of updates stored under {key!r} are not in the form of this release: did "
            "a newer one write them? The stored value was kept"
        )
        raise SessionDecodeError(msg, key=key)
    others = {part: fields[part] for part in (_BEGUN, MOVED) if fields.get(part)}
    return _made(fields.get(DONE, _NONE), others)


def _is_understood(fields: Any) -> bool:
    if not isinstance(fields, dict):
        return False
    parts = [cast("dict[str, Any]", fields).get(part, _NONE) for part in (DONE, _BEGUN, MOVED)]
    return all(isinstance(part, dict) for part in parts) and all(map(_is_spaced, parts[0].values()))


def _is_spaced(text: Any) -> bool:
    return isinstance(text, str) and text[:1] == text[-1:] == " " and _MARK not in text


def without_ids(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that an envelope has beside its data, but for the ids."""
    return {name: value for name, value in kept.items() if name != UPDATES}


def fields_of(beside: Beside) -> dict[str, Any] | None:
    """Return what an envelope is to have beside its data; None if there is to be none."""
    ids, kept = beside
    return kept if ids is NO_IDS else {**(kept or {}), UPDATES: as_stored(ids)}


def as_stored(ids: UpdateIds) -> dict[str, Any]:
    """Return ids in the form in which they are stored."""
    done, others = ids
    return {DONE: _hours_in(done), **others} if done else {**others}


def _hours_in(done: str) -> dict[str, str]:
    """Return the ids of each hour, in spaces.

    An hour is there twice if the clock went back: that of another process, perhaps.
    """
    hours: dict[str, str] = {}
    for part in done.split(_MARK)[1:]:
        hour, _, ids = part.partition(" ")
        hours[hour] = hours.get(hour, " ") + ids
    return hours


def _number_in(done: str) -> int:
    return done.count(" ") - done.count(_MARK)


def _made(done: Mapping[str, str], others: Others) -> UpdateIds:
    if not done and not others:
        return NO_IDS
    return "".join([f"{_MARK}{hour}{text}" for hour, text in done.items()]), others


def as_id(value: str | int) -> str:
    """Return an identity as it is stored: without spaces."""
    text = str(value)
    if " " in text or "%" in text:
        return text.replace("%", "%25").replace(" ", "%20")
    return text


def is_done(ids: UpdateIds, update_id: str) -> bool:
    """Whether the handler of this update has ended."""
    return f" {update_id} " in ids[0]


def is_begun(ids: UpdateIds, update_id: str) -> bool:
    """Whether this update has written something, and not ended."""
    return update_id in ids[1].get(_BEGUN, _NONE)


def moved_to(ids: UpdateIds) -> tuple[str, ...]:
    """Return the full keys to which the data went."""
    return tuple(ids[1].get(MOVED, _NONE))


class Memory:
    """How long ids are kept.

    Args:
        ttl: At least as many seconds.
        keep: As many of the newest are kept longer.
    """

    def __init__(self, ttl: float, keep: int) -> None:
        self._ttl = ttl
        self._keep = keep

    def with_begun(self, ids: UpdateIds, update_id: str, now: float) -> UpdateIds:
        """Return *ids* with one that has begun."""
        done, others = ids
        begun = self._young(others.get(_BEGUN, _NONE), now)
        return done, {**others, _BEGUN: {**begun, update_id: int(now) // _HOUR}}

    def with_move(self, ids: UpdateIds, key: str, now: float) -> UpdateIds:
        """Return *ids* of a key whose data went to *key*."""
        done, others = ids
        return done, {**others, MOVED: {**others.get(MOVED, _NONE), key: int(now) // _HOUR}}

    def with_done(self, ids: UpdateIds, update_id: str, now: float) -> UpdateIds:
        """Return *ids* with one that has ended; some that are old are forgotten on the way."""
        done, others = ids
        hour = f"{_MARK}{int(now) // _HOUR} "
        if done.startswith(hour, done.rfind(_MARK)):
            done = f"{done}{update_id} "
        else:
            done = f"{done}{hour}{update_id} "
            if others or _number_in(done) > self._keep:
                done, others = self.pruned((done, others), now)
        if others and update_id in others.get(_BEGUN, _NONE):
            begun = {each: since for each, since in others[_BEGUN].items() if each != update_id}
            others = _filled({**others, _BEGUN: begun})
        return done, others

    def pruned(self, ids: UpdateIds, now: float, *, gone: bool = False) -> UpdateIds:
        """Return *ids* without those that are too old; of a key without data keep none longer."""
        oldest = int(now - self._ttl) // _HOUR
        begun, moved = (self._young(ids[1].get(part, _NONE), now) for part in (_BEGUN, MOVED))
        done: dict[str, str] = {}
        room = 0 if gone else self._keep
        for hour, text in sorted(_hours_in(ids[0]).items(), key=_by_hour, reverse=True):
            if int(hour) >= oldest:
                done[hour] = text
                room -= text.count(" ") - 1
            elif room > 0:
                newest = text.split()[-room:]
                done[hour] = f" {' '.join(newest)} "
                room -= len(newest)
        in_order = dict(sorted(done.items(), key=_by_hour))
        return _made(in_order, _filled({_BEGUN: begun, MOVED: moved}))

    def _young(self, hours: Mapping[str, int], now: float) -> dict[str, int]:
        oldest = int(now - self._ttl) // _HOUR
        return {name: hour for name, hour in hours.items() if hour >= oldest}

    def expires(self, now: float) -> float:
        """Return when what is written now can be forgotten."""
        return now + self._ttl + _HOUR


def _by_hour(item: tuple[str, str]) -> int:
    return int(item[0])


def _filled(others: Others) -> Others:
    return {name: part for name, part in others.items() if part}


def united(mine: UpdateIds, theirs: UpdateIds) -> UpdateIds:
    """Return the ids of both: done if they are done in one of them."""
    if theirs is NO_IDS or mine is NO_IDS:
        return theirs if mine is NO_IDS else mine
    done = _hours_in(mine[0])
    for hour, text in _hours_in(theirs[0]).items():
        missing = [each for each in text.split() if not is_done(mine, each)]
        if missing:
            done[hour] = f"{done.get(hour, ' ')}{' '.join(missing)} "
    both = _made(done, NO_OTHERS)
    begun = {**theirs[1].get(_BEGUN, _NONE), **mine[1].get(_BEGUN, _NONE)}
    left = {each: hour for each, hour in begun.items() if not is_done(both, each)}
    return _made(done, _filled({**mine[1], _BEGUN: left}))
