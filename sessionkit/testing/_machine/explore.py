"""The way from a promise to hypothesis, which need not be installed for what comes before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sessionkit.testing._machine.theme import Theme
from sessionkit.testing._subject import Subject

_THOROUGH: Final = 28
"""How many searches there are for one: so many that all layers together take 20 times longer,
for a race cannot be stopped at more lines than there are."""


async def explore(subject: Subject, name: str, themes: Sequence[Theme]) -> None:
    """Search each of *themes* for a history that breaks the promise, and raise the first one.

    Args:
        subject: The storage under test.
        name: What the seeds of these searches have in common.
        themes: What the histories are made of: one search each, more if the run is thorough.

    Raises:
        Exception: What the check under way is to raise; ``subject.history`` shows how it came.
        FactoryError: No storage could be opened.
    """
    from sessionkit.testing._machine.search import Search  # noqa: PLC0415 (imports hypothesis)

    for number, theme in enumerate([*themes] * (_THOROUGH if subject.thorough else 1)):
        seed = f"{subject.seed} {name} {number}"
        failure = await Search(subject, theme, seed=seed).run()
        if failure is not None:
            subject.history = failure.history
            raise failure.error
