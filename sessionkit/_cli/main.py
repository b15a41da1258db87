"""The command line: its parser, and how a command ends."""

from __future__ import annotations

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from io import TextIOWrapper
from typing import Any, Final, TypeAlias

from sessionkit import __doc__ as about
from sessionkit import __version__
from sessionkit._cli import doctor, editing, looking, moving, people, serving, targets
from sessionkit._cli.demo import demo
from sessionkit._cli.exits import (
    CONFLICT,
    EXPLAINED,
    FAILED,
    INTERRUPTED,
    MISUSED,
    NOBODY_READS,
    CommandError,
)
from sessionkit._cli.output import Output
from sessionkit._cli.places import what
from sessionkit.errors import InvalidSessionKeyError, SessionConflictError

Command: TypeAlias = Callable[[Namespace, Output], Coroutine[Any, Any, int]]

DEMO: Final = """\
Talk to a bot that counts pizza. Each line you type, or feed from a pipe, is one message:

  a line with \N{SLICE OF PIZZA}   counts one; the bot says nothing
  /hunger          answers "Your hunger level is N!"
  /reset           forgets the count of the chat
  987654: /hunger  the same in another chat; so does its answer begin

Every other line is ignored. An answer means that all before it is stored: kill the
bot however you like, start it again, and no count is lost. Ctrl-D or Ctrl-C ends it.
"""

STORAGES: Final = """\
storages:
  sqlite:///PATH   a file, relative to the current folder; sqlite:////PATH is absolute
  file:PATH        a folder with one JSON file per chat
  memory:          nothing is kept
  Adapters add others, such as redis: and postgresql:

exit codes: 0 the chat has ended, 1 the storage failed meanwhile, 2 it could not be opened
"""


class CommandParser(ArgumentParser):
    """Takes options before, between and after arguments, also where the last may be left out."""

    _is_mixing = False

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride] (its overloads)
        self, args: Any = None, namespace: Any = None
    ) -> Any:
        """Parse, in the same way as ``parse_known_intermixed_args``, which calls this."""
        if self._is_mixing:
            return super().parse_known_args(args, namespace)
        self._is_mixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_mixing = False


def parser() -> ArgumentParser:
    """Return the parser of the command line."""
    top = ArgumentParser(
        "sessionkit",
        description=about,
        epilog=f"{targets.EXPLAINED}\n{EXPLAINED}\nTry it: sessionkit demo",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"sessionkit {__version__}")
    top.set_defaults(run=None)
    commands = top.add_subparsers(title="commands", metavar="COMMAND", parser_class=CommandParser)

    def command(
        name: str,
        run: Command,
        summary: str,
        description: str,
        places: Sequence[str] = ("target",),
    ) -> ArgumentParser:
        added = commands.add_parser(
            name,
            help=summary,
            description=description,
            epilog=f"{targets.EXPLAINED}\n{EXPLAINED}",
            formatter_class=RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        for target in places:
            added.add_argument(target, metavar=target.upper(), help=targets.HELP)
        added.add_argument("--json", action="store_true", help="print results for programs")
        added.set_defaults(run=partial(perform, run))
        return added

    for group in (looking, editing, moving, people, doctor, serving):
        group.add(command)
    _add_demo(commands)
    return top


def _add_demo(commands: Any) -> None:
    chat = commands.add_parser(
        "demo",
        help="talk to the pizza bot of grammY's page on sessions",
        description=DEMO,
        epilog=STORAGES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    chat.add_argument(
        "--storage",
        default="sqlite:///sessionkit-demo.db",
        metavar="URL",
        help="where the counts are kept (default: %(default)s)",
    )
    chat.add_argument(
        "--chat",
        type=int,
        default=424242,
        metavar="ID",
        help="the chat of lines that name none (default: %(default)s)",
    )
    chat.set_defaults(run=_demo)


def _demo(options: Namespace) -> int:
    return demo(options.storage, options.chat)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    _speak_utf8()
    usage = parser()
    options = usage.parse_args(arguments)
    if options.run is None:
        usage.print_help()
        return 0
    code: int = options.run(options)
    return code


def perform(command: Command, options: Namespace) -> int:
    """Run a command in an event loop; return its exit code, and say what is wrong."""
    output = Output(as_json=options.json)
    try:
        with asyncio.Runner() as runner:
            code = runner.run(command(options, output))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _failed(output, "interrupted. Run it again to go on", INTERRUPTED)
    except BrokenPipeError:
        # Nobody reads the output any more: keep Python from complaining at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    except Exception as error:  # noqa: BLE001 (whatever the library of an adapter raises)
        return _failed(output, what(error), _code_of(error))
    return code


def _code_of(error: Exception) -> int:
    match error:
        case CommandError():
            return error.code
        case InvalidSessionKeyError():
            return MISUSED
        case SessionConflictError():
            return CONFLICT
        case _:
            return FAILED


def _failed(output: Output, text: str, code: int) -> int:
    output.note(f"sessionkit: {text}")
    return code


def _speak_utf8() -> None:
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # None if it is closed
            stream.reconfigure(encoding="utf-8", errors="replace")
