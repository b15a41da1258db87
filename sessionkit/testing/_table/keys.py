"""Keys that look alike are different keys."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from sessionkit.testing._ops import Op, delete, read
from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject
from sessionkit.testing._table.rows import REFUSALS, number_keys, promised_of, with_fewest


class Family(NamedTuple):
    """Keys that a careless storage mixes up."""

    name: str
    sentence: str
    hint: str
    keys: tuple[str, ...]


_LENGTHS: Final = (16, 60, 64, 127, 128, 200, 201, 250, 255, 256, 300, 512, 1000, 5000)

FAMILIES: Final = (
    Family(
        "keys_differ_by_case",
        "Keys that differ in upper and lower case are different keys.",
        "the file system or the collation of the column does not tell case: encode capitals, or "
        "make the column binary.",
        ("a", "A", "ab", "AB", "Ab", "aB", "ß", "SS", "ss", "\u0131", "I", "i", "İ", "É", "é"),
    ),
    Family(
        "keys_differ_by_separators",
        "Keys with different separators are different keys.",
        "separators are replaced to make file names or paths, and two come out alike: escape "
        "them, and the escape sign too.",
        (
            *("a/b", "a_b", "a:b", "a::b", "a\\b", "a.b", "a-b", "a b", "a+b", "a,b", "a;b"),
            *("a|b", "ab", "a//b", "a/", "/a", "a", "a__b", "a_/b", "a/_b", "3/-100/t12"),
        ),
    ),
    Family(
        "keys_differ_by_escapes",
        "Keys that look like escaped forms of others are different keys.",
        "the escape sign itself is not escaped, or keys are unescaped once too often.",
        (
            *("a/b", "a%2Fb", "a%2fb", "a%252fb", "a%b", "a%%b", "a b", "a+b", "a%20b"),
            *("&", "&amp;", "\\n", "\n", "a~b", "a=2Fb", "a\\x2fb", "=", "==", "%", "%25"),
        ),
    ),
    Family(
        "keys_differ_by_unicode_form",
        "Keys that look the same and are written with different characters are different keys.",
        "keys are normalised (NFC, NFKC), by the storage or by the file system.",
        (
            *("é", "e\u0301", "e", "\u1100\u1161", "가", "ﬁ", "fi", "\uff11", "1", "K"),
            *("\u212a", "\u0430", "a"),
        ),
    ),
    Family(
        "keys_differ_by_whitespace",
        "Keys that differ in whitespace are different keys.",
        "keys are stripped, or the column compares without trailing spaces.",
        ("a", "a ", " a", " a ", "a  ", "a\t", "a\n", "\na", "a\r", "a\u00a0", " ", "  ", "\n"),
    ),
    Family(
        "keys_may_have_wildcards",
        "Keys with *, ?, [, ] or % are taken as they are.",
        "keys are used as a pattern: in glob(), LIKE, KEYS or SCAN.",
        (
            *("*", "**", "?", "a*", "a?", "ab", "a", "[a]", "[ab]", "a%", "a_", "_", "%", "["),
            *("]", ".*"),
        ),
    ),
    Family(
        "keys_are_not_paths",
        "Keys such as .. and /etc are keys like any other, and lead nowhere else.",
        "keys are used as file names as they are: escape them.",
        (
            *(".", "..", "...", "../a", "../../a", "./a", "a", "a/..", "a/../b", "b", "/a", "~"),
            *("C:", "C:a", "\\a", ".a", "a.", "a.json", "CON", "con", "NUL", "aux.txt", ".git"),
        ),
    ),
    Family(
        "keys_may_look_like_options",
        "Keys that begin with - are keys like any other.",
        "keys are given to a program as arguments.",
        ("-a", "--", "--a", "-", "-1", "-100", "- 100", "+a", "@a", "#a", "!a", "$a"),
    ),
    Family(
        "keys_are_not_numbers",
        "Keys that are numbers of the same value are different keys.",
        "keys become numbers on their way: the column is of a numeric type, or JSON decodes them.",
        ("1", "01", "1.0", " 1", "1 ", "+1", "1e0", "0x1", "-0", "0", "00", "1_0", "10", "\u0661"),
    ),
    Family(
        "keys_are_not_literals",
        "Keys such as None, null or true are keys like any other.",
        "keys are decoded as JSON or YAML, or compared with None as text.",
        ("None", "null", "nil", "true", "True", "1", "0", "false", "NaN", "undefined", "{}", "[1]"),
    ),
    Family(
        "keys_may_share_a_beginning",
        "A key that is the beginning of another one is a different key.",
        "keys are looked up or deleted by prefix, or cut.",
        ("1", "10", "100", "-1", "-10", "-100", "-100/t1", "-100/t12", "3/-100", "3/-1", "3/"),
    ),
    Family(
        "keys_may_have_quotes",
        "Keys with quotes and pieces of SQL are taken as they are.",
        "keys are pasted into a statement: use parameters.",
        (
            *("'", "''", '"', "`", "a'b", 'a"b', "1' OR '1'='1", "a'; DROP TABLE sessions; --"),
            *("$1", "?", "%s", ":a", "{0}", "{a}", "a\\'", "\\", "--", "/*"),
        ),
    ),
    Family(
        "keys_may_have_control_characters",
        "Keys with line ends and other control characters are taken as they are.",
        "keys are written one per line, or sent over a protocol of lines.",
        (
            *("a\nb", "a\rb", "a\r\nb", "ab", "a\tb", "a\x01b", "a\x1fb", "a\x7fb", "a\u2028b"),
            "\ufeffa",
        ),
    ),
    Family(
        "keys_may_have_any_script",
        "Keys in any script, emoji too, are taken as they are.",
        "keys are encoded by something smaller than UTF-8, or with errors='ignore'.",
        (
            *("🍕", "🍔", "👩", "👩\u200d👧", "👍", "👍🏽", "Привет", "привет", "你好", "שלום"),
            *("a\u200bb", "ab"),
        ),
    ),
    Family(
        "keys_may_be_internal_names",
        "Keys that the storage might use itself are keys like any other.",
        "the storage keeps data of its own among the sessions: give it a place apart.",
        (
            *("_id", "id", "key", "value", "data", "__class__", "__proto__", "__init__", "meta"),
            *(
                "version",
                "lock",
                ".lock",
                "a.lock",
                "a.tmp",
                "a",
                "index",
                ".keys",
                "sqlite_master",
            ),
        ),
    ),
    Family(
        "long_keys_differ_at_the_end",
        "Long keys that differ only at their end are different keys.",
        "keys are cut: hash what does not fit, or declare Limits(max_key_bytes=...).",
        tuple("x" * (length - 1) + end for length in _LENGTHS for end in "ab")
        + tuple("é" * 150 + end for end in "ab"),
    ),
)


def allows_key(subject: Subject, key: str) -> bool:
    """Return whether *key* is inside the limits."""
    return subject.limits.allows_key(key)


def _each_has_its_value(keys: Sequence[str]) -> list[Op]:
    reads = [read(key) for key in keys]
    return [*number_keys(keys), *reads, *map(delete, keys[::2]), *reads]


for _family in FAMILIES:
    _name, _sentence, _hint, _keys = _family
    promised_of(_name, _sentence, _hint, _keys, _each_has_its_value, most=2, allowed=allows_key)


@promise(
    "Keys with NUL or half a surrogate pair are different keys, or the write raises.",
    hint="keys are cut at NUL, or encoded with errors='ignore' or 'replace'.",
)
async def odd_keys_are_distinguished_or_refused(subject: Subject) -> None:
    async def check(keys: Sequence[str]) -> None:
        async with subject.client() as storage:
            await storage.write("1", {"n": 1})
            taken: list[str] = []
            for key in keys:
                with suppress(*REFUSALS):
                    await storage.write(key, {"key": len(taken)})
                    taken.append(key)
            for number, key in enumerate(taken):
                await storage.expect_read(key, {"key": number})
            await storage.expect_read("1", {"n": 1})

    odd = ("a", "a\x00", "a\x00b", "\x00", "\ud800", "\ud801", "a\udc00", "?", "\ufffd")
    allowed = [key for key in odd if subject.limits.allows_key(key)]
    await with_fewest(subject, ["2", *allowed], check, most=2)
