"""Mistakes on the way from a key to its place."""

from __future__ import annotations

import posixpath
import unicodedata
import zlib
from collections.abc import Callable
from urllib.parse import unquote

from tests.testing import broken_basics
from tests.testing.mutants.registry import mutant
from tests.testing.reference import Reference


def placed(name: str, mistake: str, place: Callable[[str], str], *caught_by: str) -> None:
    """Register a storage that puts a key at ``place(key)``."""

    def place_of(_storage: Reference, key: str) -> str:
        return place(key)

    mutant("keys", mistake, *caught_by)(type(name, (Reference,), {"place": place_of}))


def _number(key: str) -> str:
    try:
        return str(float(key))
    except ValueError:
        return key


def _one_of_1000(key: str) -> str:
    return str(zlib.crc32(key.encode("utf-8", "surrogatepass")) % 1000)


placed("LowerCase", "The file system does not tell case.", str.lower, "keys_differ_by_case")
placed(
    "CaseFolded",
    "The collation of the column folds case.",
    str.casefold,
    "keys_differ_by_case",
)
placed(
    "Sanitised",
    "Slashes and colons become underscores in file names.",
    lambda key: key.replace("/", "_").replace(":", "_"),
    "keys_differ_by_separators",
)
placed(
    "Slug",
    "All but letters, digits and - is left out.",
    lambda key: "".join(char for char in key if char.isalnum() or char == "-"),
    "keys_differ_by_separators",
    "keys_may_have_quotes",
)
placed(
    "HalfEscaped",
    "A slash becomes %2F, and % stays.",
    lambda key: key.replace("/", "%2F"),
    "keys_differ_by_escapes",
)
placed("UnescapedTwice", "Keys are unquoted on their way.", unquote, "keys_differ_by_escapes")
placed(
    "Composed",
    "Keys are normalised to NFC.",
    lambda key: unicodedata.normalize("NFC", key),
    "keys_differ_by_unicode_form",
)
placed(
    "Compatible",
    "Keys are normalised to NFKC.",
    lambda key: unicodedata.normalize("NFKC", key),
    "keys_differ_by_unicode_form",
)
placed("Stripped", "Keys are stripped.", str.strip, "keys_differ_by_whitespace")
placed(
    "PaddedColumn",
    "The column compares without trailing spaces.",
    lambda key: key.rstrip(" "),
    "keys_differ_by_whitespace",
)
placed("FileNames", "Keys are paths.", posixpath.normpath, "keys_are_not_paths")
placed(
    "Options",
    "Keys are arguments of a program.",
    lambda key: key.lstrip("-"),
    "keys_may_look_like_options",
)
placed("NumericColumn", "The column takes numbers for numbers.", _number, "keys_are_not_numbers")
placed(
    "NamesOfNothing",
    "None and null are names of nothing.",
    lambda key: "" if key in ("None", "null") else key,
    "keys_are_not_literals",
)
placed(
    "WithoutQuotes",
    "Quotes are taken out, against injection.",
    lambda key: key.replace("'", "").replace('"', ""),
    "keys_may_have_quotes",
)
placed(
    "FirstLine",
    "Keys are sent over a protocol of lines.",
    lambda key: key.split("\n")[0],
    "keys_differ_by_whitespace",
)
placed(
    "OnlyASCII",
    "Keys are encoded as ASCII, and errors ignored.",
    lambda key: key.encode("ascii", "ignore").decode(),
    "keys_may_have_any_script",
)
placed(
    "QuestionMarks",
    "Keys are encoded as Latin-1, with errors='replace'.",
    lambda key: key.encode("latin-1", "replace").decode("latin-1"),
    "keys_may_have_any_script",
)
placed(
    "Varchar32",
    "The column cuts off keys at 32.",
    lambda key: key[:32],
    "long_keys_differ_at_the_end",
)
placed(
    "Column255",
    "The column cuts off keys at 255.",
    lambda key: key[:255],
    "long_keys_differ_at_the_end",
)
placed(
    "OnlyTheEnd",
    "Long names are shortened at their beginning.",
    lambda key: key[-200:],
    "long_keys_differ_at_the_end",
)
placed(
    "UpToNUL",
    "Keys end at the first NUL, as in C.",
    lambda key: key.split("\x00")[0],
    "odd_keys_are_distinguished_or_refused",
)
placed(
    "ReplacedSurrogates",
    "Keys are encoded as UTF-8, with errors='replace'.",
    lambda key: key.encode("utf-8", "replace").decode(),
    "odd_keys_are_distinguished_or_refused",
)
placed("SmallHash", "Keys are hashed, and collide.", _one_of_1000, "many_keys_are_kept")

mutant("keys", "A lock file lies beside the file.", "keys_may_be_internal_names")(
    broken_basics.Locking
)
