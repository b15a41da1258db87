"""The suite for codecs: what is right passes, each mistake is caught by a promise of its name."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import os
import unittest
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from sessionkit.codecs import JSONCodec, PickleCodec
from sessionkit.testing import BrokenPromise, CodecSuite
from sessionkit.testing._codecs.damage import damage
from sessionkit.testing._codecs.values import values
from sessionkit.testing._factory import FactoryError
from tests.profiles import thorough

PROMISES = {promise.name: promise for promise in (*values, *damage)}


# Codecs that are right


class GzippedJSON(JSONCodec):
    def encode(self, value: Any, /) -> bytes:
        return gzip.compress(super().encode(value), mtime=0)

    def decode(self, raw: bytes, /) -> Any:
        return super().decode(gzip.decompress(raw))


class SignedJSON(JSONCodec):
    def __init__(self, secret: bytes = b"secret") -> None:
        super().__init__()
        self._secret = secret

    def encode(self, value: Any, /) -> bytes:
        raw = super().encode(value)
        return self.signature(raw) + raw

    def decode(self, raw: bytes, /) -> Any:
        signature, body = raw[:32], raw[32:]
        if not hmac.compare_digest(signature, self.signature(body)):
            raise ValueError("the signature does not fit")
        return super().decode(body)

    def signature(self, body: bytes) -> bytes:
        return hmac.digest(self._secret, body, hashlib.sha256)


class SaltedJSON(SignedJSON):
    """Never gives the same bytes twice."""

    def encode(self, value: Any, /) -> bytes:
        salted = os.urandom(4) + JSONCodec.encode(self, value)
        return self.signature(salted) + salted

    def decode(self, raw: bytes, /) -> Any:
        signature, salted = raw[:32], raw[32:]
        if signature != self.signature(salted):
            raise ValueError("the signature does not fit")
        return JSONCodec.decode(self, salted[4:])


class TestJSON(CodecSuite):
    codec = JSONCodec()


class TestPickle(CodecSuite):
    codec = PickleCodec


class TestGzippedJSON(CodecSuite):
    detects_changes = True

    def codec(self) -> GzippedJSON:
        return GzippedJSON()


class TestSignedJSON(CodecSuite):
    detects_changes = True
    seed = 3

    def codec(self) -> SignedJSON:
        return SignedJSON()


class TestSaltedJSON(CodecSuite):
    detects_changes = True
    codec = SaltedJSON


# Codecs that are wrong


class Text(JSONCodec):
    def encode(self, value: Any, /) -> Any:
        return super().encode(value).decode()

    def decode(self, raw: Any, /) -> Any:
        return json.loads(raw)


class Undone(GzippedJSON):
    def encode(self, value: Any, /) -> bytes:
        return zlib.compress(super().encode(value))


class FalsyIsEmpty(JSONCodec):
    def decode(self, raw: bytes, /) -> Any:
        return super().decode(raw) or {}


class Floats(JSONCodec):
    def decode(self, raw: bytes, /) -> Any:
        return json.loads(raw, parse_int=float)


class FewDigits(JSONCodec):
    def decode(self, raw: bytes, /) -> Any:
        return json.loads(raw, parse_float=lambda text: float(f"{float(text):.15g}"))


class Wrapping(JSONCodec):
    def decode(self, raw: bytes, /) -> Any:
        return json.loads(raw, parse_int=lambda text: (int(text) + 2**63) % 2**64 - 2**63)


class WithoutNone(JSONCodec):
    def encode(self, value: Any, /) -> bytes:
        return super().encode(without_none(value))


def without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_none(each) for key, each in value.items() if each is not None}  # pyright: ignore[reportUnknownVariableType]  # of anything
    return value


class ASCII(JSONCodec):
    def encode(self, value: Any, /) -> bytes:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("ascii", "ignore")


class CutAtNUL(JSONCodec):
    def encode(self, value: Any, /) -> bytes:
        return super().encode(value.split("\x00")[0] if isinstance(value, str) else value)


class Marks(JSONCodec):
    def decode(self, raw: bytes, /) -> Any:
        return json.loads(raw, object_hook=lambda found: found.get("__d", found))


class ShortLength(JSONCodec):
    def encode(self, value: Any, /) -> bytes:
        raw = super().encode(value)
        return (len(raw) % 65536).to_bytes(2) + raw

    def decode(self, raw: bytes, /) -> Any:
        return super().decode(raw[2 : 2 + int.from_bytes(raw[:2])])


class Stringifying(JSONCodec):
    def encode(self, value: Any, /) -> bytes:
        return json.dumps(value, default=str, allow_nan=False).encode()


class NaN(JSONCodec):
    def encode(self, value: Any, /) -> bytes:
        return json.dumps(value).encode()

    def decode(self, raw: bytes, /) -> Any:
        return json.loads(raw, parse_constant=lambda _: None)


class AnyJSON(JSONCodec):
    any_value = True


class AnyJSONText(Stringifying):
    any_value = True


class InPlace(JSONCodec):
    def encode(self, value: Any, /) -> bytes:
        if isinstance(value, dict):
            value.pop("note", None)  # pyright: ignore[reportUnknownMemberType]  # of anything
        return super().encode(value)

    def decode(self, raw: bytes, /) -> Any:
        found = super().decode(raw)
        return {**found, "note": None} if "toppings" in found else found


class Sorting(JSONCodec):
    def encode(self, value: Any, /) -> bytes:
        if isinstance(value, dict):
            items: list[Any] = sorted(value.items())  # pyright: ignore[reportUnknownArgumentType]  # of anything
            value.clear()  # pyright: ignore[reportUnknownMemberType]  # of anything
            value.update(items)  # pyright: ignore[reportUnknownMemberType]  # of anything
        return super().encode(value)


class Caching(JSONCodec):
    def __init__(self) -> None:
        super().__init__()
        self._known: dict[bytes, Any] = {}

    def decode(self, raw: bytes, /) -> Any:
        if raw not in self._known:
            self._known[raw] = super().decode(raw)
        return self._known[raw]


class Streaming(JSONCodec):
    def __init__(self) -> None:
        super().__init__()
        self._in, self._out = zlib.compressobj(), zlib.decompressobj()

    def encode(self, value: Any, /) -> bytes:
        return self._in.compress(super().encode(value)) + self._in.flush(zlib.Z_SYNC_FLUSH)

    def decode(self, raw: bytes, /) -> Any:
        return super().decode(self._out.decompress(raw))


class Buffering(JSONCodec):
    def __init__(self) -> None:
        super().__init__()
        self._buffer = b""

    def decode(self, raw: bytes, /) -> Any:
        self._buffer += raw
        found = super().decode(self._buffer)
        self._buffer = b""
        return found


class RandomSecret(SignedJSON):
    def __init__(self) -> None:
        super().__init__(os.urandom(8))


class WithoutEmptyLists(JSONCodec):
    """Wrong where no table looks."""

    def encode(self, value: Any, /) -> bytes:
        if isinstance(value, dict):
            value = {key: each for key, each in value.items() if each != []}  # pyright: ignore[reportUnknownVariableType]  # of anything
        return super().encode(value)


class EmptyIsNew(JSONCodec):
    def decode(self, raw: bytes, /) -> Any:
        return super().decode(raw) if raw else {}


class CutIsNew(JSONCodec):
    def decode(self, raw: bytes, /) -> Any:
        return super().decode(raw) if raw.endswith((b"}", b"]")) or not raw else {}


class AnythingGoes(JSONCodec):
    def decode(self, raw: bytes, /) -> Any:
        try:
            return super().decode(raw)
        except UnicodeDecodeError:
            return {}


class LastLine(JSONCodec):
    def decode(self, raw: bytes, /) -> Any:
        return super().decode(raw[raw.rindex(b'{"n"') :] if raw.startswith(b'{"n"') else raw)


class Mending(JSONCodec):
    """Makes one value of the beginning of one and the end of another."""

    def decode(self, raw: bytes, /) -> Any:
        return super().decode(raw.replace(b'}"', b',"'))


class HalfSigned(SignedJSON):
    def signature(self, body: bytes) -> bytes:
        return super().signature(body[:8])


BROKEN: dict[str, Callable[[], Any]] = {
    "encode_gives_bytes": Text,
    "encoded_is_decoded": Undone,
    "falsy_values_come_back": FalsyIsEmpty,
    "types_come_back": Floats,
    "numbers_come_back": FewDigits,
    "huge_integers_come_back_or_are_refused": Wrapping,
    "nested_values_come_back": WithoutNone,
    "texts_come_back": ASCII,
    "odd_texts_come_back_or_are_refused": CutAtNUL,
    "look_alikes_come_back": Marks,
    "large_values_come_back": ShortLength,
    "unstorable_values_are_refused": Stringifying,
    "any_value_comes_back": AnyJSON,
    "encoding_changes_no_value": InPlace,
    "decoded_values_are_independent": Caching,
    "calls_are_independent": Streaming,
    "errors_leave_nothing_behind": Buffering,
    "another_codec_decodes": RandomSecret,
    "generated_values_come_back": WithoutEmptyLists,
    "empty_bytes_raise": EmptyIsNew,
    "cut_bytes_raise": CutIsNew,
    "foreign_bytes_raise": AnythingGoes,
    "leftovers_change_no_value": LastLine,
    "changed_bytes_raise": HalfSigned,
}


def suite_of(make: Callable[[], Any], **attributes: Any) -> CodecSuite:
    def codec(_self: CodecSuite) -> Any:
        return make()

    kind = type("Suite", (CodecSuite,), {"codec": codec, **attributes})
    suite: CodecSuite = kind()
    return suite


def ask(name: str, make: Callable[[], Any], **attributes: Any) -> None:
    suite_of(make, **attributes).ask(PROMISES[name])


def test_each_promise_has_a_test_and_is_broken_once() -> None:
    assert BROKEN.keys() == PROMISES.keys()
    for promise in PROMISES.values():
        test = getattr(CodecSuite, f"test_{promise.name}")
        assert (test.__name__, test.__doc__) == (f"test_{promise.name}", promise.sentence)


@pytest.mark.parametrize("name", BROKEN)
def test_a_codec_that_breaks_a_promise_is_caught(name: str) -> None:
    with pytest.raises(BrokenPromise) as caught:
        ask(name, BROKEN[name], detects_changes=True)

    assert caught.value.promise is PROMISES[name]
    assert 1 <= len(caught.value.history) <= 9
    assert str(caught.value).startswith(PROMISES[name].sentence)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("encoding_changes_no_value", Sorting),
        ("unstorable_values_are_refused", NaN),
        ("unstorable_values_are_refused", AnyJSONText),
        ("errors_leave_nothing_behind", Streaming),
        ("leftovers_change_no_value", Mending),
    ],
)
def test_more_mistakes_are_caught(name: str, make: Callable[[], Any]) -> None:
    with pytest.raises(BrokenPromise):
        ask(name, make)


def test_what_is_not_declared_is_left_out() -> None:
    reasons = {
        "any_value_comes_back": "does not declare any_value = True",
        "changed_bytes_raise": "does not declare detects_changes = True",
    }
    for name, reason in reasons.items():
        with pytest.raises(unittest.SkipTest, match=reason):
            ask(name, JSONCodec)
    with pytest.raises(unittest.SkipTest, match="codec is one object"):
        TestJSON().ask(PROMISES["another_codec_decodes"])


def test_a_break_shows_the_value_and_the_bytes() -> None:
    with pytest.raises(BrokenPromise) as caught:
        ask("types_come_back", Floats)

    assert str(caught.value) == (
        "Values come back with their types: 1, 1.0 and True are three different values.\n"
        "\n"
        "    codec.encode(1)  # -> b'1'\n"
        "    codec.decode(b'1')  # -> 1.0\n"
        "\n"
        "expected: 1\n"
        "got:      1.0\n"
        "\n"
        "Usual cause: the format does not know all types of JSON, or numbers are converted on "
        "their way.\n"
        "(promise types_come_back)"
    )


def test_an_error_shows_where_it_came_from() -> None:
    class Failing(JSONCodec):
        def decode(self, raw: bytes, /) -> Any:
            raise OSError("no such key")

    with pytest.raises(BrokenPromise) as caught:
        ask("encoded_is_decoded", Failing)

    assert caught.value.got == "OSError: no such key"
    assert caught.value.history[-1].endswith("# raised OSError('no such key')")
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("seed", [0, 1, 2, *map(thorough, range(3, 20))])
def test_each_seed_finds_the_shortest_history(seed: int) -> None:
    with pytest.raises(BrokenPromise) as caught:
        ask("generated_values_come_back", WithoutEmptyLists, seed=seed)

    assert caught.value.history == (
        "codec.encode({'': []})  # -> b'{}'",
        "codec.decode(b'{}')  # -> {}",
    )
    assert caught.value.__notes__ == []


def test_the_same_seed_gives_the_same_run() -> None:
    drawn: dict[int, list[Any]] = {1: [], 2: [], 3: []}
    for run, seed in ((1, 1), (2, 1), (3, 2)):

        class Noting(JSONCodec):
            def encode(self, value: Any, /) -> bytes:
                drawn[run].append(value)  # noqa: B023
                return super().encode(value)

        ask("generated_values_come_back", Noting, seed=seed)

    assert repr(drawn[1]) == repr(drawn[2])
    assert repr(drawn[1]) != repr(drawn[3])


def test_a_thorough_run_draws_more(monkeypatch: pytest.MonkeyPatch) -> None:
    from sessionkit.testing._codecs import generated

    monkeypatch.setattr(generated, "_THOROUGH", 300)
    drawn: list[Any] = []

    class Counting(JSONCodec):
        def encode(self, value: Any, /) -> bytes:
            drawn.append(value)
            return super().encode(value)

    ask("generated_values_come_back", Counting)
    assert len(drawn) == 200
    ask("generated_values_come_back", Counting, profile="thorough")
    assert len(drawn) == 500


def test_a_suite_without_codec_says_what_to_write() -> None:
    with pytest.raises(FactoryError, match=r"CodecSuite has no codec, but None: write codec ="):
        CodecSuite().ask(PROMISES["encoded_is_decoded"])
    with pytest.raises(FactoryError, match="has no codec, but 5"):
        ask("encoded_is_decoded", lambda: 5)
