"""Values drawn by hypothesis."""

from __future__ import annotations

from typing import Any, Final

import hypothesis
from hypothesis import strategies as st

from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._codecs.bench import CodecSubject

_EXAMPLES: Final = 200
_THOROUGH: Final = 4_000
_NO_MATTER: Final = (hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large)

_TEXT: Final = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
_LEAVES: Final[st.SearchStrategy[Any]] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    _TEXT,
)
_PLAIN: Final[st.SearchStrategy[Any]] = st.recursive(
    _LEAVES,
    lambda inside: st.lists(inside, max_size=5) | st.dictionaries(_TEXT, inside, max_size=5),
    max_leaves=20,
).filter(lambda value: value is not None)


def examples(subject: CodecSubject) -> None:
    """Let many plain values come back.

    Raises:
        BrokenPromise: One did not; it has the shortest history that was found.
    """

    @hypothesis.seed(subject.seed)
    @hypothesis.settings(
        max_examples=_THOROUGH if subject.thorough else _EXAMPLES,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        database=None,
        deadline=None,
        derandomize=False,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=_NO_MATTER,
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(_PLAIN)
    def come_back(value: Any) -> None:
        subject.anew().expect_back(value)

    try:
        come_back()
    except BrokenPromise as error:
        error.__notes__ = []  # of hypothesis: the history says it already
        raise
