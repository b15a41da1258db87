"""The pizza bot in the terminal: real processes that are piped to, typed at, and killed."""

from __future__ import annotations

import asyncio
import codecs
import errno
import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

import sessionkit
from sessionkit import SQLiteSessionStorage
from sessionkit.__main__ import main
from sessionkit._cli.demo import answer_at_last
from sessionkit._cli.interrupts import Interrupts
from sessionkit._cli.pizza import pizza_sessions
from sessionkit.protocols import Expected, Revision

COMMAND = [sys.executable, "-W", "error", "-m", "sessionkit"]
DEMO = [*COMMAND, "demo"]
PIZZA = "🍕"
RAW = PIZZA.encode()
PATIENCE = 60.0

# Answers have to arrive without that
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals or terminals")


def talk(folder: Path, text: str | bytes, *options: str) -> str:
    """Return what a demo answers to *text*, having ended well and without complaint."""
    given = text.encode() if isinstance(text, str) else text
    done = subprocess.run(
        [*DEMO, *options],
        input=given,
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode().replace("\r\n", "\n")


def complaint(folder: Path, *options: str, text: bytes = b"") -> tuple[int, list[str]]:
    """Return exit code and lines on standard error of a demo that fails."""
    done = subprocess.run(
        [*DEMO, *options],
        input=text,
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    return done.returncode, done.stderr.decode().splitlines()


class Demo:
    """A demo that runs; its answers are read one by one."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin and process.stdout and process.stderr
        self.process = process
        self.stdin: IO[bytes] = process.stdin
        self.stdout: IO[bytes] = process.stdout
        self.stderr: IO[bytes] = process.stderr

    def say(self, *lines: str) -> None:
        self.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.stdin.flush()

    def answer(self) -> str:
        assert select.select([self.stdout], [], [], PATIENCE)[0], "no answer"
        return self.stdout.readline().decode().rstrip()

    def ask(self, *lines: str) -> str:
        self.say(*lines)
        return self.answer()

    def end(self, signum: int | None = None) -> tuple[int, bytes, bytes]:
        """End the input, or send a signal; return exit code and what is left of its output."""
        if signum is not None:
            self.process.send_signal(signum)
        else:
            self.stdin.close()
        code = self.process.wait(PATIENCE)
        return code, self.stdout.read(), self.stderr.read()


@contextmanager
def running(folder: Path, *options: str) -> Generator[Demo, None, None]:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*DEMO, *options], cwd=folder, env=BUFFERED, stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        try:
            yield Demo(process)
        finally:
            process.kill()


# --- the bot ------------------------------------------------------------------------------


def test_messages_with_a_pizza_count_one_and_hunger_tells(tmp_path: Path) -> None:
    text = f"{PIZZA}\nmore Pizza\nyes, {PIZZA}{PIZZA}!\n/hunger\n/hungry {PIZZA}\n/hunger {PIZZA}\n"

    assert talk(tmp_path, text) == "Your hunger level is 3!\nYour hunger level is 4!\n"


def test_what_it_does_not_understand_is_answered_by_what_it_knows(tmp_path: Path) -> None:
    known = f"I know {PIZZA} (or the word), /hunger and /reset."

    assert talk(tmp_path, "hello\n\n/hungry\n7: ham\n").splitlines() == [
        known,
        known,
        f"7: {known}",
    ]


def test_counts_are_in_a_file_of_the_current_folder_and_go_on(tmp_path: Path) -> None:
    talk(tmp_path, f"{PIZZA}\n")

    assert talk(tmp_path, f"{PIZZA}\n/hunger") == "Your hunger level is 2!\n"
    assert {path.name for path in tmp_path.iterdir()} >= {"sessionkit-demo.db"}
    database = sqlite3.connect(tmp_path / "sessionkit-demo.db")
    rows = database.execute("SELECT key FROM sessions").fetchall()
    database.close()
    assert rows == [("424242",)]


def test_every_chat_has_a_count_of_its_own(tmp_path: Path) -> None:
    text = f"-100: {PIZZA}\n{PIZZA}\n-100: 7: {PIZZA}\n7: /hunger\n-100: /hunger\n/hunger\n"

    assert talk(tmp_path, text).splitlines() == [
        "7: Your hunger level is 0!",
        "-100: Your hunger level is 2!",
        "Your hunger level is 1!",
    ]
    assert talk(tmp_path, "/hunger", "--chat", "-100") == "Your hunger level is 2!\n"
    assert talk(tmp_path, "424242: /hunger", "--chat", "7") == "424242: Your hunger level is 1!\n"


def test_what_only_looks_like_a_chat_is_text(tmp_path: Path) -> None:
    text = f"12:30 {PIZZA}\nx1: {PIZZA}\n: {PIZZA}\n{'9' * 5000}: {PIZZA}\n/hunger\n"

    assert talk(tmp_path, text) == "Your hunger level is 4!\n"


def test_reset_forgets_one_chat(tmp_path: Path) -> None:
    text = f"{PIZZA}\n7: {PIZZA}\n/reset\n/hunger\n{PIZZA}\n/hunger\n7: /hunger\n"

    assert talk(tmp_path, text).splitlines() == [
        "Your hunger is forgotten.",
        "Your hunger level is 0!",
        "Your hunger level is 1!",
        "7: Your hunger level is 1!",
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (b"", None),
        (b"\n\n\r\n  \n/hunger", 0),
        (f"{PIZZA}\r\n{PIZZA}\r\n/hunger\r\n".encode(), 2),
        (f"{PIZZA}\n{PIZZA}\n/hunger".encode(), 2),
        (b"\xff\xfe\n%b\n\xff%b\0\xff\n/hunger\n" % (RAW[:3], RAW), 1),
        (f"{'x' * 5_000_000}{PIZZA}\n/hunger\n".encode(), 1),
        (f"{PIZZA * 500_000}\n/hunger {'x' * 5_000_000}\n".encode(), 1),
    ],
)
def test_any_bytes_are_read_as_lines(tmp_path: Path, text: bytes, count: int | None) -> None:
    answer = [] if count is None else [f"Your hunger level is {count}!"]

    assert talk(tmp_path, text, "--storage", "memory:").splitlines()[-1:] == answer


# --- line by line -------------------------------------------------------------------------


@needs_posix
def test_each_line_is_answered_before_the_next_is_sent(tmp_path: Path) -> None:
    with running(tmp_path) as demo:
        assert demo.ask("/hunger") == "Your hunger level is 0!"
        for count in range(1, 4):
            assert demo.ask(PIZZA, "/hunger") == f"Your hunger level is {count}!"
        demo.say(PIZZA)
        assert demo.end() == (0, b"", b"")


@needs_posix
@pytest.mark.parametrize("storage", ["sqlite:///counts.db", "file:counts"])
def test_counts_survive_being_killed_between_messages(tmp_path: Path, storage: str) -> None:
    for count in range(1, 4):
        with running(tmp_path, "--storage", storage) as demo:
            assert demo.ask("/hunger") == f"Your hunger level is {count - 1}!"
            assert demo.ask(f"7: {PIZZA}", PIZZA, "/hunger") == f"Your hunger level is {count}!"
            assert demo.end(signal.SIGKILL)[0] == -signal.SIGKILL

    assert talk(tmp_path, "7: /hunger", "--storage", storage) == "7: Your hunger level is 3!\n"


@needs_posix
@pytest.mark.parametrize("storage", ["sqlite:///counts.db", "file:counts"])
def test_what_was_answered_is_stored_even_if_killed_in_the_middle(
    tmp_path: Path, storage: str
) -> None:
    with running(tmp_path, "--storage", storage) as demo:
        demo.say(*[PIZZA, "/hunger"] * 300)
        first = [demo.answer() for _ in range(5)]
        _, rest, _ = demo.end(signal.SIGKILL)

    answered = len(first) + rest.count(b"!")
    with running(tmp_path, "--storage", storage) as demo:
        stored = demo.ask("/hunger")
    assert stored in {f"Your hunger level is {answered + more}!" for more in (0, 1)}


@needs_posix
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly_while_it_waits(tmp_path: Path, signum: int) -> None:
    with running(tmp_path) as demo:
        demo.ask(PIZZA, "/hunger")
        assert demo.end(signum) == (0, b"", b"")


@needs_posix
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_loses_nothing_and_makes_no_noise(
    tmp_path: Path, signum: int
) -> None:
    with running(tmp_path) as demo:
        demo.say(*[PIZZA, "/hunger"] * 300)
        first = demo.answer()
        code, rest, noise = demo.end(signum)

    assert (first, code, noise) == ("Your hunger level is 1!", 0, b"")
    answered = 1 + rest.count(b"!")
    stored = talk(tmp_path, "/hunger")
    assert stored in {f"Your hunger level is {answered + more}!\n" for more in (0, 1)}


@needs_posix
def test_an_ignored_signal_stays_ignored(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *DEMO]
    with subprocess.Popen(command, cwd=tmp_path, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        demo = Demo(process)
        demo.ask("/hunger")
        process.send_signal(signal.SIGINT)
        assert demo.ask(PIZZA, "/hunger") == "Your hunger level is 1!"
        assert demo.end(signal.SIGTERM) == (0, b"", b"")


def test_a_signal_waits_for_the_message_in_hand_and_a_second_does_not() -> None:
    done: list[str] = []
    interrupts = Interrupts()

    with pytest.raises(KeyboardInterrupt):
        interrupts(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt), interrupts.deferred():
        interrupts(signal.SIGINT, None)
        done.append("the message")
    with pytest.raises(KeyboardInterrupt), interrupts.deferred():
        interrupts(signal.SIGINT, None)
        done.append("not reached")
    assert done == ["the message"]


@needs_posix
def test_readers_that_go_away_end_it_quietly(tmp_path: Path) -> None:
    with running(tmp_path) as demo:
        demo.ask(PIZZA, "/hunger")
        demo.stdout.close()
        demo.say(PIZZA, "/hunger")
        assert demo.process.wait(PATIENCE) == 0
        assert demo.stderr.read() == b""

    assert talk(tmp_path, "/hunger") == "Your hunger level is 2!\n"


@needs_posix
@pytest.mark.parametrize("redirection", ["<&-", ">&-"])
def test_closed_streams_mean_no_input_and_no_output(tmp_path: Path, redirection: str) -> None:
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", *DEMO]

    done = subprocess.run(
        command, cwd=tmp_path, input=b"/hunger\n", capture_output=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("storage", ["sqlite:///counts.db", "file:counts"])
def test_two_demos_in_one_chat_lose_no_pizza(tmp_path: Path, storage: str) -> None:
    command = [*DEMO, "--storage", storage]
    demos = [
        subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for demo in demos:
        assert demo.stdin
        demo.stdin.write(f"{PIZZA}\n".encode() * 100)
        demo.stdin.flush()
    errors = [demo.communicate()[1] for demo in demos]

    assert errors == [b"", b""]
    assert talk(tmp_path, "/hunger", "--storage", storage) == "Your hunger level is 200!\n"


class Rival(SQLiteSessionStorage):
    """Lets somebody else write just before the first write."""

    was_here = False

    async def write_if(
        self, key: str, value: Any, expected: Expected, /, *, expires: float | None = None
    ) -> Revision | None:
        if not self.was_here:
            self.was_here = True
            await self.write(key, {"pizza_count": 41})
        return await super().write_if(key, value, expected, expires=expires)


def test_a_message_is_handled_again_if_another_demo_wrote_meanwhile() -> None:
    async def main() -> None:
        async with Rival(":memory:") as storage:
            sessions = pizza_sessions("memory:").with_storage(storage)
            assert await answer_at_last(sessions, 7, PIZZA) is None
            assert await answer_at_last(sessions, 7, "/hunger") == "Your hunger level is 42!"

    asyncio.run(main())


# --- by hand ------------------------------------------------------------------------------


class Terminal:
    """A terminal that a demo runs in; its control characters do what they do by hand."""

    def __init__(self, folder: Path) -> None:
        self.screen = ""
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._master, slave = os.openpty()
        command = ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(slave), *DEMO]
        self.process = subprocess.Popen(command, cwd=folder, start_new_session=True)
        self._slave = slave

    def type(self, text: str) -> None:
        for byte in text.encode():
            os.write(self._master, bytes([byte]))

    def until(self, shown: str) -> str:
        """Return what is shown up to *shown*, which has to come."""
        deadline = time.monotonic() + PATIENCE
        while shown not in self.screen:
            assert time.monotonic() < deadline, self.screen
            self._look()
        before, _, self.screen = self.screen.partition(shown)
        return before

    def end(self) -> tuple[int, str]:
        """Return exit code and what was shown last."""
        code = self.process.wait(PATIENCE)
        while self._look():
            pass
        return code, self.screen

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)

    def _look(self) -> bool:
        ready = bool(select.select([self._master], [], [], 0.1)[0])
        if ready:
            self.screen += self._decode(os.read(self._master, 1024)).replace("\r", "")
        return ready


@contextmanager
def terminal(folder: Path) -> Generator[Terminal, None, None]:
    opened = Terminal(folder)
    try:
        yield opened
    finally:
        opened.close()


@needs_posix
def test_at_a_terminal_it_greets_prompts_and_answers(tmp_path: Path) -> None:
    with terminal(tmp_path) as here:
        greeting = here.until("\n> ")
        assert greeting == (
            f"This is chat 424242. Send {PIZZA} or type pizza, ask /hunger, leave with Ctrl-D."
        )
        here.type(f"{PIZZA}\r")
        assert here.until("\n> ") == PIZZA
        here.type("/hunger\r")
        assert here.until("\n> ") == "/hunger\nYour hunger level is 1!"
        here.type("7: /hunger\r")
        assert here.until("\n> ") == "7: /hunger\n7: Your hunger level is 0!"
        here.type("\x04")
        assert here.end() == (0, "\n")


@needs_posix
def test_ctrl_c_at_a_terminal_ends_it_quietly(tmp_path: Path) -> None:
    with terminal(tmp_path) as here:
        here.until("\n> ")
        here.type(f"{PIZZA}\r")
        here.until("\n> ")
        here.type("half a li")
        here.until("half a li")
        here.type("\x03")
        assert here.end() == (0, "^C\n")

    assert talk(tmp_path, "/hunger") == "Your hunger level is 1!\n"


# --- what cannot work ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("storage", "text"),
    [
        ("nonsense:x", "there is no storage for nonsense: URLs"),
        ("counts.db", "is not a storage URL: write 'sqlite:///counts.db'"),
        ("mongodb://localhost", "names no database: write mongodb://localhost:27017/NAME"),
        ("sqlite:///missing/counts.db", "its directory does not exist"),
        ("sqlite:///note.txt", "note.txt"),
        ("file:note.txt", "Name a folder into which this program may write"),
        ("file:damaged", "424242"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_one_line_and_code_2(
    tmp_path: Path, storage: str, text: str
) -> None:
    tmp_path.joinpath("note.txt").write_text("no database, and no folder", "utf-8")
    damage(tmp_path, "damaged/42/424242.json")

    code, lines = complaint(tmp_path, "--storage", storage)

    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith("sessionkit demo: ") and text in lines[0]
    assert tmp_path.joinpath("note.txt").read_text("utf-8") == "no database, and no folder"


def damage(folder: Path, file: str) -> None:
    folder.joinpath(file).parent.mkdir(parents=True)
    folder.joinpath(file).write_bytes(b"{")


def test_a_storage_that_fails_later_is_one_line_and_code_1(tmp_path: Path) -> None:
    damage(tmp_path, "counts/7/7.json")

    code, lines = complaint(tmp_path, "--storage", "file:counts", text=f"{PIZZA}\n7: x\n".encode())

    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith("sessionkit demo: ") and "'7'" in lines[0]
    assert tmp_path.joinpath("counts/7/7.json").read_bytes() == b"{"
    assert talk(tmp_path, "/hunger", "--storage", "file:counts") == "Your hunger level is 1!\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no device that is always full")
def test_output_that_cannot_be_written_is_one_line_and_code_1(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            DEMO,
            input=b"/hunger\n",
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        f"sessionkit demo: [Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}"
    ]


# --- the command line ---------------------------------------------------------------------


def test_without_a_command_it_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0

    told = capsys.readouterr().out
    assert "demo" in told and "sessionkit demo" in told


def test_help_is_there_whatever_the_encoding_of_the_terminal(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}

    done = subprocess.run(
        [*DEMO, "--help"], cwd=tmp_path, env=environment, capture_output=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")
    for word in (PIZZA, "/hunger", "/reset", "987654: /hunger", "--storage", "--chat", "Ctrl-D"):
        assert word in done.stdout.decode()


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"sessionkit {sessionkit.__version__}\n"


@pytest.mark.parametrize("arguments", [["dem"], ["demo", "--chat", "x"], ["demo", "--stor", "y"]])
def test_wrong_arguments_end_with_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "usage: sessionkit" in capsys.readouterr().err
