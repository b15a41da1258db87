"""Bytes that were spoiled, by a full disk or by somebody else."""

from __future__ import annotations

from typing import Any, Final

from sessionkit.testing._codecs.bench import CodecSubject
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._suites import Collection

damage: Final[Collection[CodecSubject]] = Collection()

_STORED: Final[tuple[Any, ...]] = ({"n": 1}, [1, {"text": "pizza " * 5}])
_FOREIGN: Final = (
    b"\x00" * 16,
    b"\xff" * 16,
    b"\x89PNG\r\n\x1a\n",
    b"<html>502 Bad Gateway</html>",
    b"no value of this codec",
    b"\xc3\x28{",
)
_MASKS: Final = (0x01, 0x80)


_NOTHING: Final = object()  # no codec gives it


@damage.promise(
    "decode() raises for no bytes at all: an empty file is not a new chat.",
    hint="decode() asks 'if raw', or gives a default: let it raise.",
)
async def empty_bytes_raise(subject: CodecSubject) -> None:
    subject.codec().expect_error(b"", unless=_NOTHING)


@damage.promise(
    "decode() raises if the end is missing, at any place where the bytes break off.",
    hint="decode() catches the error and gives a default, or reads only as far as it gets. The "
    "session would start again and overwrite what could have been repaired: let it raise.",
)
async def cut_bytes_raise(subject: CodecSubject) -> None:
    for value in _STORED:
        for end in range(len(subject.codec().encode(value))):
            codec = subject.anew()
            codec.expect_error(codec.encode(value)[:end], unless=value)


@damage.promise(
    "decode() raises for bytes that no codec of this kind made.",
    hint="decode() catches the error and gives a default, or the bytes as they are: let it raise.",
)
async def foreign_bytes_raise(subject: CodecSubject) -> None:
    for raw in _FOREIGN:
        subject.anew().expect_error(raw, unless=_NOTHING)


@damage.promise(
    "decode() raises, or gives the right value, if the rest of an older, longer one is behind it.",
    hint="decode() takes the last part, or mixes both: refuse what is left over at the end.",
)
async def leftovers_change_no_value(subject: CodecSubject) -> None:
    older, value = {"n": 2, "text": "pizza " * 20}, {"n": 1}
    codec = subject.codec()
    left_over = codec.encode(older)
    raw = codec.encode(value)
    codec.expect_error(raw + left_over[len(raw) :], unless=value)
    codec.expect_error(raw + left_over, unless=value)


@damage.promise(
    "With detects_changes = True, decode() raises if a byte is changed, or gives the right value.",
    hint="not all bytes are covered by the checksum or signature, it is cut short, or it is not "
    "compared in full.",
)
async def changed_bytes_raise(subject: CodecSubject) -> None:
    if not subject.detects_changes:
        msg = "the suite does not declare detects_changes = True"
        raise LeftOut(msg)
    for value in _STORED:
        for index in range(len(subject.codec().encode(value))):
            for mask in _MASKS:
                codec = subject.anew()
                changed = bytearray(codec.encode(value))
                changed[index] ^= mask
                codec.expect_error(bytes(changed), unless=value)
