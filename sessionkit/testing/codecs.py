"""The kit for codecs, under pytest: a test per promise, without plugins."""

from __future__ import annotations

import inspect
from typing import Any

from sessionkit.testing._asking import ask_for
from sessionkit.testing._codecs.bench import CodecSubject
from sessionkit.testing._codecs.damage import damage
from sessionkit.testing._codecs.values import values
from sessionkit.testing._factory import FactoryError
from sessionkit.testing._promises import Promise
from sessionkit.testing._subject import Profile
from sessionkit.testing._suites import run


class CodecSuite:
    """Tests of a codec: derive a class whose name begins with ``Test``, and give ``codec``.

        class TestMyCodec(CodecSuite):
            def codec(self):
                return MyCodec(key=b"...")

    ``codec = MyCodec()`` will do as well; as a method it is tested that a codec reads
    what another one wrote, as after a restart.  A codec with ``any_value = True`` is
    asked for Python values beyond JSON, too.

    Attributes:
        detects_changes: Whether ``decode`` must raise for every changed byte, as
            checksums and signatures see to it; JSON alone cannot.
        profile: "thorough" takes about 20 times longer than "default".
        seed: The same seed gives the same run.
    """

    codec: Any = None
    detects_changes: bool = False
    profile: Profile = "default"
    seed: int = 0

    def ask(self, promise: Promise) -> None:
        """Let the codec keep *promise*, or raise ``BrokenPromise``."""
        __tracebackhide__ = True
        with CodecSubject(
            self._make,
            makes_new_ones=_is_factory(self.codec),
            detects_changes=self.detects_changes,
            profile=self.profile,
            seed=self.seed,
        ) as subject:
            run(lambda: ask_for(promise, subject))

    def _make(self) -> Any:
        made: Any = self.codec() if _is_factory(self.codec) else self.codec
        if not all(callable(getattr(made, name, None)) for name in ("encode", "decode")):
            msg = (
                f"{type(self).__name__} has no codec, but {made!r}: write codec = MyCodec(), or "
                "def codec(self), which returns one; a codec has encode(value) and decode(raw)"
            )
            raise FactoryError(msg)
        return made


def _is_factory(codec: object) -> bool:
    return isinstance(codec, type) or inspect.isroutine(codec)


values.add_tests(CodecSuite)
damage.add_tests(CodecSuite)
