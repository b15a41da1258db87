"""The command line: ``python -m sessionkit``."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from io import TextIOWrapper
from typing import TYPE_CHECKING, Final

from sessionkit import __doc__ as about
from sessionkit import __version__
from sessionkit._demo.terminal import demo

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def parser() -> ArgumentParser:
    """Return what understands the command line."""
    top = ArgumentParser(
        "python -m sessionkit",
        description=about,
        epilog="Try it: python -m sessionkit demo",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"sessionkit {__version__}")
    commands = top.add_subparsers(dest="command", title="commands", metavar="COMMAND")
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
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    _speak_utf8()
    usage = parser()
    options = usage.parse_args(arguments)
    if options.command is None:
        usage.print_help()
        return 0
    return demo(options.storage, options.chat)


def _speak_utf8() -> None:
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, TextIOWrapper):  # None if it is closed
            stream.reconfigure(encoding="utf-8", errors="replace")


if __name__ == "__main__":
    sys.exit(main())
