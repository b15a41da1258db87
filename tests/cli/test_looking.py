"""``ls``, ``get``, ``count``, ``stats``: what is there, and nothing is changed."""

from __future__ import annotations

import time

import pytest

from sessionkit.types import Entry
from tests.cli.conftest import Shell

FAR = 4102444800.0  # 2100-01-01


@pytest.fixture(autouse=True)
def stored(shell: Shell) -> None:
    entries = [
        Entry("5", {"count": 1}),
        Entry("-100", {"text": "x" * 3000}, FAR),
        Entry("5/-100", {}),
        Entry("g/5", 0),
        Entry("cart:5", ["a"]),
        Entry("line\nbreak", 1),
    ]
    shell.sqlite(*entries)
    shell.file(*entries)


SQLITE = "sqlite:///bot.db"
BOTH = pytest.mark.parametrize("url", [SQLITE, "file:sessions"])


@BOTH
def test_ls_lists_keys(shell: Shell, url: str) -> None:
    before = shell.files()
    done = shell("ls", url)

    assert sorted(done.lines) == ["-100", "5", "5/-100", "cart:5", "g/5", "line\\nbreak"]
    assert (done.code, done.err) == (0, "")
    if url == SQLITE:
        assert {key: before[key] for key in before} == shell.files()


@BOTH
def test_ls_filters(shell: Shell, url: str) -> None:
    assert shell("ls", url, "--prefix", "cart:").lines == ["cart:5"]
    assert sorted(shell("ls", url, "--chat", "-100").lines) == ["-100", "5/-100"]
    assert sorted(shell("ls", url, "--user", "5").lines) == ["5", "5/-100"]
    assert shell("count", url, "--user", "5").lines == ["2"]
    nothing = shell("ls", url, "--user", "77")
    assert (nothing.code, nothing.out) == (1, "")


def test_ls_long_tells_size_and_expiry(shell: Shell) -> None:
    lines = shell("ls", SQLITE, "--long", "--chat", "-100").lines
    days = (FAR - time.time()) // 86400

    assert sorted(lines) == [
        "2 B\tnever\t5/-100",
        f"3.0 KB\tin {days:.0f} d {(FAR - time.time()) % 86400 // 3600:.0f} h\t-100",
    ]


def test_ls_gives_programs_one_object_per_line(shell: Shell) -> None:
    assert shell("ls", SQLITE, "--prefix", "-100", "--json").json == {"key": "-100"}
    assert shell("ls", SQLITE, "--prefix", "-100", "--json", "-l").json == {
        "key": "-100",
        "size": 3011,
        "expires": "2100-01-01T00:00:00.000+00:00",
    }


@BOTH
def test_get_prints_json(shell: Shell, url: str) -> None:
    assert shell("get", url, "5").json == {"count": 1}
    assert shell("get", url, "g/5").out == "0\n"
    missing = shell("get", url, "6")
    assert (missing.code, missing.out) == (1, "")
    assert f"nothing is stored under '6' in {url}" in missing.err


def test_get_knows_sessions_by_their_prefix(shell: Shell) -> None:
    shell.program(f"""
from sessionkit import session, storage_from_url
storage = storage_from_url("{SQLITE}")
carts = session(list, storage=storage, prefix="cart:")
""")
    assert shell("ls", "bot:carts").lines == ["cart:5"]
    assert shell("ls", "bot:carts", "--user", "5").lines == ["cart:5"]
    assert shell("ls", "bot:carts", "--prefix", "c").lines == ["cart:5"]
    assert shell("ls", "bot:carts", "--prefix", "cart:6").lines == []
    assert shell("ls", "bot:carts", "--prefix", "d").lines == []
    assert shell("get", "bot:carts", "cart:5").json == ["a"]
    wrong = shell("get", "bot:carts", "5")
    assert (wrong.code, wrong.out) == (2, "")
    assert "the keys of bot:carts begin with 'cart:', and '5' does not" in wrong.err


def test_stats_for_people_and_programs(shell: Shell) -> None:
    text = shell("stats", SQLITE).out
    assert text.startswith(
        "6 sessions, 3.0 KB as JSON, 505 B each on average\n1 with an expiry, the next in"
    )
    assert "    2 B         1 " in text
    assert "  4.1 KB         1 ####################" in text
    assert text.splitlines()[-5] == "  3.0 KB -100"
    found = shell("stats", SQLITE, "--json").json
    assert (found["sessions"], found["expiring"]) == (6, 1)
    assert found["biggest"][0] == {"key": "-100", "bytes": 3011}
    assert shell("stats", SQLITE, "--prefix", "none").out == "0 sessions, 0 B as JSON\n"
    assert "none expires" in shell("stats", SQLITE, "--prefix", "cart:").out


def test_a_damaged_value_is_named_and_the_rest_is_listed(shell: Shell) -> None:
    shell.folder.joinpath("sessions", "5", "5.json").write_text("{")
    done = shell("ls", "file:sessions", "--long", "--prefix", "5")

    assert done.lines == ["2 B\tnever\t5/-100"]
    assert "cannot be read and were left out: '5'" in done.err
    assert "Run doctor" in done.err


def test_an_envelope_tells_when_it_expires(shell: Shell) -> None:
    shell.file(Entry("e", {"__d": 1, "e": FAR * 1000}), Entry("n", {"__d": 1}), path="grammy")
    expiries = {
        each.split("\t")[2]: each.split("\t")[1] for each in shell("ls", "file:grammy", "-l").lines
    }
    assert expiries["n"] == "never"
    assert expiries["e"].startswith("in ")
