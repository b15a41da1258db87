"""The codec under test, whose every use is written down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sessionkit.codecs import takes_any_value
from sessionkit.testing._equal import alike
from sessionkit.testing._history import History
from sessionkit.testing._show import show
from sessionkit.testing._subject import Profile, Subject


class Bench:
    """One codec, whose every use is written down in a history.

    Args:
        codec: The user's codec.
        history: Where its use is written down.
    """

    def __init__(self, codec: Any, history: History) -> None:
        self.codec = codec
        self.history = history
        self.any_value = takes_any_value(codec)

    def encode(self, value: Any) -> bytes:
        """Return what ``encode`` gives."""
        raw: bytes = self._call("codec.encode", self.codec.encode, value)
        return raw

    def decode(self, raw: bytes) -> Any:
        """Return what ``decode`` gives."""
        return self._call("codec.decode", self.codec.decode, raw)

    def expect(self, got: Any, expected: Any) -> None:
        """Break the promise unless *got* is equal to *expected*, types included."""
        if not alike(got, expected):
            self.history.fail_value(expected=expected, got=got)

    def expect_back(self, value: Any) -> None:
        """Break the promise unless *value* comes back as it was."""
        self.expect(self.decode(self.encode(value)), value)

    def expect_back_or_refused(self, value: Any) -> None:
        """Break the promise unless *value* comes back as it was, or ``encode`` raises."""
        try:
            raw = self.encode(value)
        except Exception:  # noqa: BLE001 (a codec may raise what it likes)
            return
        got = self.decode(raw)
        if not alike(got, value):
            self.history.fail(expected=f"an error of encode, or {show(value)}", got=show(got))

    def expect_error(self, raw: bytes, *, unless: Any) -> None:
        """Break the promise unless ``decode`` raises, or still gives *unless*."""
        try:
            got = self.decode(raw)
        except Exception:  # noqa: BLE001 (a codec may raise what it likes)
            return
        if not alike(got, unless):
            self.history.fail(expected="an error", got=show(got))

    def _call(self, call: str, method: Callable[[Any], Any], argument: Any) -> Any:
        line = self.history.begin(f"{call}({show(argument)})")
        try:
            answer = method(argument)
        except BaseException as error:
            line.outcome = f"raised {show(error)}"
            raise
        line.outcome = f"-> {show(answer)}"
        return answer


class CodecSubject(Subject):
    """The codec under test: how to make one again and again.

    Args:
        make: Returns a codec.
        makes_new_ones: Whether each is a new one.
        detects_changes: Whether a changed byte must be noticed.
        profile: "thorough" takes more time.
        seed: The same seed gives the same run.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        *,
        makes_new_ones: bool,
        detects_changes: bool,
        profile: Profile = "default",
        seed: int = 0,
    ) -> None:
        super().__init__(_no_storage, profile=profile, seed=seed)
        self.makes_new_ones = makes_new_ones
        self.detects_changes = detects_changes
        self._make = make

    def codec(self) -> Bench:
        """Return a codec, a new one if there are new ones, with the history so far."""
        return Bench(self._make(), self.history)

    def anew(self) -> Bench:
        """Return a codec with an empty history: what comes now shows a break by itself."""
        self.start_history()
        return self.codec()


def _no_storage(_namespace: str) -> None:
    """Replace a storage, which a codec does not need."""
