"""The data that the benchmarks keep in a session: small and medium, as dicts and as dataclasses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SMALL: dict[str, Any] = {"count": 1, "name": "Ann", "latest": list(range(10))}
MEDIUM: dict[str, Any] = {
    "count": 1,
    "name": "Ann Smith",
    "language": "en",
    "joined": "2026-01-01T12:00:00Z",
    "points": 1250,
    "balance": 37.5,
    "premium": True,
    "blocked": False,
    "referrer": None,
    "step": "checkout",
    "cart": [{"id": 17, "quantity": 2}, {"id": 4, "quantity": 1}],
    "address": {"street": "1 High Street", "city": "Springfield", "zip": "12345"},
    "settings": {"theme": "dark", "mute": True, "digest": "weekly"},
    "latest": list(range(10)),
    "tags": ["vip", "beta"],
    "last_order": 90210,
    "visits": 321,
    "rating": 4.5,
    "note": "prefers evening delivery",
    "version": 3,
}


@dataclass
class Small:
    count: int
    name: str
    latest: list[int]


@dataclass
class Item:
    id: int
    quantity: int


@dataclass
class Address:
    street: str
    city: str
    zip: str


@dataclass
class Settings:
    theme: str
    mute: bool
    digest: str


@dataclass
class Medium:
    count: int
    name: str
    language: str
    joined: str
    points: int
    balance: float
    premium: bool
    blocked: bool
    referrer: int | None
    step: str
    cart: list[Item]
    address: Address
    settings: Settings
    latest: list[int]
    tags: list[str]
    last_order: int
    visits: int
    rating: float
    note: str
    version: int


def small() -> Small:
    fields: dict[str, Any] = {**SMALL, "latest": list(SMALL["latest"])}
    return Small(**fields)


def medium() -> Medium:
    parts: dict[str, Any] = {
        "cart": [Item(**item) for item in MEDIUM["cart"]],
        "address": Address(**MEDIUM["address"]),
        "settings": Settings(**MEDIUM["settings"]),
        "latest": list(MEDIUM["latest"]),
        "tags": list(MEDIUM["tags"]),
    }
    return Medium(**{**MEDIUM, **parts})


PINNED: dict[str, tuple[dict[str, Any], type[Any], Callable[[], Any]]] = {
    "small": (SMALL, Small, small),
    "medium": (MEDIUM, Medium, medium),
}
