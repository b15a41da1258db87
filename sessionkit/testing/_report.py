"""What a run of the kit found, for people and for programs."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import Any, Final, Literal, TypeAlias

from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._limits import Limits
from sessionkit.testing._linearizable.picture import as_page
from sessionkit.testing._promises import Promise
from sessionkit.testing._subject import Profile

Kind: TypeAlias = Literal["kept", "broken", "left out"]
_FORMAT: Final = 1
_WIDTH: Final = 100


@dataclass(frozen=True)
class Outcome:
    """What came of one promise.

    Attributes:
        promise: The promise.
        kind: "kept", "broken" or "left out".
        reason: Why it was left out; None otherwise.
        broken: What broke it; None otherwise.
    """

    promise: Promise
    kind: Kind
    reason: str | None = None
    broken: BrokenPromise | None = None


@dataclass(frozen=True)
class Report:
    """What a run of the kit found.  ``str(report)`` is for people, ``as_json()`` for programs.

    Attributes:
        storage: The name of the storage's class.
        capabilities: What it offers beside the three methods: names of methods and
            declarations.
        outcomes: What came of each promise.
        profile: "default" or "thorough".
        seed: The seed of the run.
        limits: What was declared that the storage cannot do.
    """

    storage: str
    capabilities: frozenset[str]
    outcomes: tuple[Outcome, ...]
    profile: Profile
    seed: int
    limits: Limits

    @property
    def ok(self) -> bool:
        """Whether no promise was broken."""
        return not self.broken

    @property
    def kept(self) -> tuple[Outcome, ...]:
        """The promises that were kept."""
        return self._of("kept")

    @property
    def broken(self) -> tuple[Outcome, ...]:
        """The promises that were broken."""
        return self._of("broken")

    @property
    def left_out(self) -> tuple[Outcome, ...]:
        """The promises that the storage could not be asked for."""
        return self._of("left out")

    def _of(self, kind: Kind) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.kind == kind)

    def __str__(self) -> str:
        parts = [self._head()]
        if len(self.broken) > 1:
            parts.append("Begin with the first one: what comes later is often the same mistake.")
        parts += map(_broken_part, self.broken)
        if self.left_out:
            parts.append("\n".join(["Left out:", *self._left_out_lines()]))
        return "\n\n".join(parts)

    def _head(self) -> str:
        counts = f"{len(self.kept)} kept, {len(self.broken)} broken, {len(self.left_out)} left out"
        offers = ", ".join(sorted(self.capabilities)) or "nothing"
        lines = [
            f"{self.storage}: {counts}  (profile {self.profile}, seed {self.seed})",
            textwrap.fill(f"Beside read, write, delete it offers {offers}.", _WIDTH),
        ]
        if self.limits.declared:
            lines.append(f"Declared: {self.limits}.")
        return "\n".join(lines)

    def _left_out_lines(self) -> list[str]:
        reasons = Counter(outcome.reason for outcome in self.left_out)
        return [f"  {_count(number)}: {reason}" for reason, number in reasons.items()]

    def as_json(self) -> str:
        """Return the report as JSON text.

        An object: ``format`` (1), ``storage``, ``ok``, ``profile``, ``seed``,
        ``capabilities`` (sorted names), ``limits`` (those that were declared, by name)
        and ``promises``, a list of objects with ``name``, ``layer``, ``sentence`` and
        ``outcome`` ("kept", "broken", "left out").  One that was left out has ``reason``.
        One that is broken has ``history`` (lines of Python), ``expected``, ``got``,
        ``hint``, and ``broke``: the name of the promise that the history breaks, another
        one where a layer tries all promises together; and ``timeline``, a picture of
        characters, if no order of the calls explains the answers.  New members may come,
        with the same ``format``.
        """
        report = {
            "format": _FORMAT,
            "storage": self.storage,
            "ok": self.ok,
            "profile": self.profile,
            "seed": self.seed,
            "capabilities": sorted(self.capabilities),
            "limits": self.limits.declared,
            "promises": list(map(_as_object, self.outcomes)),
        }
        return json.dumps(report, indent=2)

    def as_html(self) -> str:
        """Return the report as a page of its own, which loads nothing: for people.

        Where no order of the calls explains the answers, a picture shows it.
        """
        parts = [f"<pre>{escape(self._head())}</pre>"]
        parts += [_as_section(outcome.broken) for outcome in self.broken if outcome.broken]
        if not self.broken:
            parts.append("<p>No promise was broken.</p>")
        return as_page(f"{self.storage}: what it keeps", "\n".join(parts))


def _broken_part(outcome: Outcome) -> str:
    sentence, _, rest = str(outcome.broken).partition("\n")
    return f"{textwrap.fill(f'BROKEN: {sentence}', _WIDTH)}\n{rest}"


def _as_section(broken: BrokenPromise) -> str:
    sentence = "" if broken.promise is None else broken.promise.sentence
    picture = "" if broken.violation is None else broken.violation.as_svg()
    timeline = f"{textwrap.indent(str(broken.violation), '    ')}\n\n"
    rest = str(broken).removeprefix(sentence).replace(timeline, "").strip("\n")
    return f"<h2>{escape(sentence)}</h2>\n{picture}\n<pre>{escape(rest)}</pre>"


def _count(promises: int) -> str:
    return "1 promise" if promises == 1 else f"{promises} promises"


def _as_object(outcome: Outcome) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": outcome.promise.name,
        "layer": outcome.promise.layer,
        "sentence": outcome.promise.sentence,
        "outcome": outcome.kind,
    }
    if outcome.reason is not None:
        shown["reason"] = outcome.reason
    if outcome.broken is not None:
        broke = outcome.broken.promise or outcome.promise
        shown["history"] = list(outcome.broken.history)
        shown["expected"] = outcome.broken.expected
        shown["got"] = outcome.broken.got
        shown["hint"] = outcome.broken.hint
        shown["broke"] = broke.name
        if outcome.broken.violation is not None:
            shown["timeline"] = str(outcome.broken.violation)
    return shown
