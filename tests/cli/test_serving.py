"""``serve-free`` from its start, right or wrong, to its end; what it serves is tried elsewhere."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from sessionkit._cli import serving
from tests.cli.conftest import Shell

START = ("serve-free", "sqlite:///free.db", "--port", 0)


class Entry:
    """An entry point whose library is missing."""

    def load(self) -> Any:
        raise ImportError("it comes with the extra 'serve-free'")


@contextmanager
def signalled(number: signal.Signals) -> Generator[None]:
    """Send a signal to this process as soon as it would end in an orderly way."""
    usual = signal.getsignal(signal.SIGTERM)

    def send() -> None:
        while signal.getsignal(signal.SIGTERM) is usual:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    sending = threading.Thread(target=send)
    sending.start()
    yield
    sending.join()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_it_serves_until_a_signal(shell: Shell, number: signal.Signals, host: str) -> None:
    shell.folder.joinpath("bots").write_text("42:never-shown\n43:never-shown\n")
    usual = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with signalled(number):
        done = shell(*START, "--bots", "bots", "--host", host)
    assert done.code == 0
    assert done.out.startswith(f"http://{host}:")
    assert done.out.endswith("/api\n")
    assert "free.db', table 'sessions'> for 2 bots. Ctrl-C ends it" in done.err
    assert "finishing what is under way" in done.err
    assert ("put a proxy with TLS before it" in done.err) == (host == "0.0.0.0")
    assert "never" not in done.err
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == usual


def test_programs_get_the_address_as_json(shell: Shell) -> None:
    shell.program("from sessionkit import session\nsessions = session(dict, storage='file:s')")
    with signalled(signal.SIGTERM):
        done = shell(
            *("serve-free", "bot:sessions", "--port", 0, "--json"),
            *("--telegram-api", "http://127.0.0.1:1"),
        )
    assert done.code == 0
    assert done.json["url"].startswith("http://127.0.0.1:")
    assert "for every bot that the Bot API knows" in done.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([*START], "it has to be said who may use it"),
        ([*START, "--bots", "nowhere"], "nowhere cannot be read: No such file"),
        ([*START, "--bots", "binary"], "binary cannot be read: "),
        ([*START, "--bots", "wrong"], "line 1 is neither the token of a bot nor its SHA-256"),
        ([*START, "--telegram-api", "telegram"], "is not the address of a Bot API"),
        ([*START, "--bots", "bots", "--max-sessions", 0], "at least 1, not 0"),
        ([*START, "--bots", "bots", "--host", "192.0.2.1"], "cannot listen at 192.0.2.1 port 0"),
        (["serve-free", "bot:bare", "--bots", "bots"], "cannot list its keys"),
        (["serve-free", "memory:", "--bots", "bots"], "is the memory of one process"),
        (["serve-free", "nosuch:x", "--bots", "bots"], "there is no module 'nosuch'"),
    ],
)
def test_what_cannot_be_served_is_said_at_the_start(
    shell: Shell, arguments: list[object], text: str
) -> None:
    shell.folder.joinpath("bots").write_text("42:never-shown")
    shell.folder.joinpath("wrong").write_text("never shown")
    shell.folder.joinpath("binary").write_bytes(b"\xff")
    shell.program(
        "class Bare:\n"
        "    def read(self, key): ...\n"
        "    def write(self, key, value): ...\n"
        "    def delete(self, key): ...\n"
        "bare = Bare()\n"
    )
    done = shell(*arguments)
    assert (done.code, done.out) == (2, "")
    assert text in done.err
    assert "never" not in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("entries", [[], [Entry()]])
def test_without_the_extra_it_is_named(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, entries: list[Entry]
) -> None:
    def entry_points(**_: str) -> list[Entry]:
        return entries

    monkeypatch.setattr(serving, "entry_points", entry_points)
    done = shell(*START, "--bots", "bots")
    assert done.code == 2
    assert "comes with the extra 'serve-free'" in done.err
