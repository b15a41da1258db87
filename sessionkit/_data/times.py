"""Moments and durations as text that gives them back exactly."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

_DURATION: Final = re.compile(
    r"(?P<sign>-?)P(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?"
    r"(?:(?P<seconds>\d+)(?:\.(?P<fraction>\d{1,6}))?S)?)?",
    re.ASCII,
)


_LOST_FOLD: Final = "has fold=1, which would be lost: use a datetime with a ZoneInfo, or fold=0"


def _refuse_lost_zone(offset: timedelta | None, zone: tzinfo | None) -> None:
    if offset is None and zone is not None:
        msg = f"has the time zone {zone!r} without an offset, which would be lost"
        raise ValueError(msg)
    if offset is not None and offset.microseconds:
        # Python reads an offset below a second back as UTC
        msg = f"has the offset {offset}, and fractions of a second would be lost"
        raise ValueError(msg)


def datetime_text(moment: datetime) -> str:
    """Return ISO 8601 text; the name of a ``ZoneInfo`` follows in brackets (RFC 9557).

    Raises:
        ValueError: The time zone has no offset, or one with a fraction of a second; or
            ``fold`` is set without a time zone.
    """
    zone = moment.tzinfo
    if zone is None:
        if moment.fold:
            raise ValueError(_LOST_FOLD)
        return moment.isoformat()
    _refuse_lost_zone(moment.utcoffset(), zone)
    name = zone.key if isinstance(zone, ZoneInfo) else None
    return f"{moment.isoformat()}[{name}]" if name else moment.isoformat()


def parse_datetime(text: str) -> datetime:
    """Return what ``datetime_text`` was given; other zones come back by their offset."""
    stamp, _, name = text.partition("[")
    moment = datetime.fromisoformat(stamp)
    if not name:
        return moment
    zone = ZoneInfo(name.removesuffix("]"))
    for fold in (0, 1):
        local = moment.replace(tzinfo=zone, fold=fold)
        if local.utcoffset() == moment.utcoffset():
            return local
    return moment.astimezone(zone)  # the zone's rules have changed since


def time_text(moment: time) -> str:
    """Return ISO 8601 text.

    Raises:
        ValueError: The time zone has no offset without a date, or one with a fraction; or
            ``fold`` is set.
    """
    if moment.fold:
        raise ValueError(_LOST_FOLD)
    _refuse_lost_zone(moment.utcoffset(), moment.tzinfo)
    return moment.isoformat()


def duration_text(span: timedelta) -> str:
    """Return an ISO 8601 duration: ``P1DT30.000001S``."""
    sign, span = ("-", -span) if span < timedelta(0) else ("", span)
    fraction = f".{span.microseconds:06d}".rstrip("0") if span.microseconds else ""
    return f"{sign}P{span.days}DT{span.seconds}{fraction}S"


def parse_duration(text: str) -> timedelta:
    """Return the duration of ISO 8601 text; of days and shorter units only.

    Raises:
        ValueError: It is none.
    """
    found = _DURATION.fullmatch(text)
    if found is None or text[-1] in "PT":
        msg = "is not an ISO 8601 duration"
        raise ValueError(msg)
    days, hours, minutes, seconds = (
        int(found[unit] or 0) for unit in ("days", "hours", "minutes", "seconds")
    )
    span = timedelta(
        days=days,
        hours=hours,
        minutes=minutes,
        seconds=seconds,
        microseconds=int((found["fraction"] or "").ljust(6, "0")),
    )
    return -span if found["sign"] else span
