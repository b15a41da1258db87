"""What people see: in a terminal with colours and without, in a pipe, and how far things are."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl

import pytest

from sessionkit._cli import output
from sessionkit._cli.output import Output, Plain, Progress, pretty, shown, size, span, until
from sessionkit.types import Entry
from tests.cli.conftest import Shell


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (12_345, "12 KB"),
        (5e6, "5.0 MB"),
        (3e9, "3.0 GB"),
    ],
)
def test_sizes(number: float, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (90_000, "1 d 1 h")],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_instants() -> None:
    assert until(None, 0) == "never"
    assert until(70, 10) == "in 1 min 0 s"
    assert until(5, 10) == "in 0 s"


def test_texts() -> None:
    assert shown("a/ÄB 🍕") == "a/ÄB 🍕"
    assert shown("a\x1b[1m\n") == "a\\x1b[1m\\n"
    assert pretty({"ä": {1}}) == '{\n  "ä": "{1}"\n}'


def test_progress_tells_rate_and_time_left() -> None:
    progress = Progress("copied", 1000, None)
    progress.add(250)
    assert progress.text(10.0) == "copied 250 of 1,000 (25 %), 25/s, 30 s left"
    assert progress.text(0.0) == "copied 250 of 1,000 (25 %), 0/s"
    progress.end()
    assert Progress("exported", None, None).text(1.0) == "exported 0, 0/s"


def test_progress_is_shown_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    texts: list[str] = []
    progress = Progress("copied", 10, texts.append)
    progress.add(1)
    assert texts == []
    now = 1.0
    progress.add(1)
    progress.add(1)
    progress.end()
    assert texts == ["copied 2 of 10 (20 %), 2/s, 4 s left", ""]


def test_plain_looks(capsys: pytest.CaptureFixture[str]) -> None:
    looks = Plain()
    looks.table(("SIZE", "KEY"), [("1 B", "long key"), ("12 KB", "5")])
    looks.value("{}")
    assert capsys.readouterr().out == " SIZE  KEY\n  1 B  long key\n12 KB  5\n{}\n"
    looks.status("x" * 200)
    looks.status("")
    shown = capsys.readouterr().err
    assert len(shown) < 200
    assert shown.endswith(" \r")


def test_without_the_extra_the_looks_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def load(self) -> None:
            raise ImportError

    def missing(group: str) -> list[Missing]:
        return [Missing()]

    def yes(_: object) -> bool:
        return True

    monkeypatch.setattr(output, "entry_points", missing)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(output._looks(), Plain)
    monkeypatch.setattr(output, "_is_terminal", yes)
    assert Output(as_json=False).shows_progress


KEPT = ("PATH", "HOME", "COVERAGE_")


class Terminal:
    """A terminal of a width, in which a command is run."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def __call__(self, *arguments: str, columns: int = 80, **environment: str) -> str:
        ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        kept = {name: text for name, text in os.environ.items() if name.startswith(KEPT)}
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "sessionkit", *arguments],
            cwd=self._shell.folder,
            env={"TERM": "xterm-256color", **kept, **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        seen = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # how Linux ends it
                break
            if not part:
                break
            seen += part
        os.close(ours)
        assert process.wait(30) in (0, 1)
        return seen.decode().replace("\r\n", "\n")


@pytest.fixture
def terminal(shell: Shell) -> Terminal:
    shell.sqlite(Entry("424242", {"count": 1}), Entry("k" * 100, ["a"], 4102444800.0))
    return Terminal(shell)


def test_in_a_plain_terminal(terminal: Terminal) -> None:
    text = terminal("ls", "--long", "sqlite:///bot.db", TERM="dumb")
    assert text.splitlines()[0].split() == ["SIZE", "EXPIRES", "KEY"]
    assert [line.split() for line in text.splitlines() if "never" in line] == [
        ["11", "B", "never", "424242"]
    ]
    assert "\x1b" not in text
    assert terminal("get", "sqlite:///bot.db", "424242", TERM="dumb") == '{\n  "count": 1\n}\n'


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_in_a_terminal_with_colours(terminal: Terminal, columns: int) -> None:
    pytest.importorskip("rich")
    text = terminal("ls", "--long", "sqlite:///bot.db", columns=columns)
    plain = terminal("ls", "--long", "sqlite:///bot.db", columns=columns, NO_COLOR="1")

    assert "\x1b[35m" in text
    assert "\x1b[3" not in plain
    bare = re.sub(r"\x1b\[\d*m", "", plain)  # the header is bold
    assert max(map(len, bare.splitlines())) <= columns
    assert bare.count("k") == 100
    assert '"count"' in terminal("get", "sqlite:///bot.db", "424242", columns=columns)


@pytest.mark.parametrize("term", ["dumb", "xterm-256color"])
def test_progress_in_a_terminal(shell: Shell, term: str) -> None:
    shell.sqlite(*(Entry(str(number), {"n": number}) for number in range(30_000)))
    text = Terminal(shell)("copy", "sqlite:///bot.db", "sqlite:///new.db", TERM=term)

    assert " of 30,000 (" in text
    assert " left" in text
    assert text.endswith("verified 30,000\n")
