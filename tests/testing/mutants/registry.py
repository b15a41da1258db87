"""Broken storages, each with its mistake and the promises that must catch it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sessionkit.testing import Limits
from sessionkit.testing._subject import Subject
from tests.testing.reference import subject_of

K = TypeVar("K", bound=type[Any])

TOPICS: Final = {
    "basics": "Reading, writing, deleting",
    "values": "Values",
    "keys": "Keys",
    "openings": "Openings, the end, limits",
    "listing": "Listing, batches, has, sync",
    "revisions": "Conditional writes",
    "times": "Timeouts",
    "histories": "Only in histories of many steps",
    "races": "Many at once",
    "files": "Files and processes",
}
"""The modules with the mutants, and their headings, in the order of the kill matrix."""

_registry: Final[dict[str, Mutant]] = {}


@dataclass(frozen=True)
class Mutant:
    """A broken storage.

    Attributes:
        topic: The module that it is registered in.
        mistake: What its author did wrong, one sentence.
        kind: Its class.
        caught_by: The promises that must catch it, whatever the seed.
        limits: What is declared of it.
        subject: Makes the kit over it, with the options of ``Subject``.
    """

    topic: str
    mistake: str
    kind: type[Any]
    caught_by: tuple[str, ...]
    limits: Limits
    subject: Callable[..., Subject]

    @property
    def name(self) -> str:
        return self.kind.__name__


def mutant(
    topic: str,
    mistake: str,
    *caught_by: str,
    limits: Limits | None = None,
    subject: Callable[..., Subject] | None = None,
) -> Callable[[K], K]:
    """Register the decorated class; without *subject*, one that is opened as the reference is."""
    declared = limits or Limits()

    def register(kind: K) -> K:
        def over_kind(**options: Any) -> Subject:
            return subject_of(kind, declared, **options)

        if kind.__name__ in _registry or not caught_by:
            raise ValueError(kind.__name__)
        made = Mutant(topic, mistake, kind, caught_by, declared, subject or over_kind)
        _registry[made.name] = made
        return kind

    return register


def with_fresh(kind: type[Any], **shared: Callable[[], Any]) -> Callable[..., Subject]:
    """Return what makes the kit over *kind*, whose shared attributes are made for each."""

    def subject(**options: Any) -> Subject:
        made = {name: make() for name, make in shared.items()}
        fresh: Any = type(kind.__name__, (kind,), made)
        return subject_of(fresh, **options)

    return subject


def mutants() -> list[Mutant]:
    """Return all mutants, topic by topic."""
    for topic in TOPICS:
        importlib.import_module(f"tests.testing.mutants.{topic}")
    order = list(TOPICS)
    return sorted(_registry.values(), key=lambda each: order.index(each.topic))
