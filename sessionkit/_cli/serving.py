"""``serve-free``: grammY's free storage, served from any storage."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib.metadata import entry_points
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sessionkit._cli.exits import DONE, CommandError
from sessionkit._cli.targets import opened

if TYPE_CHECKING:
    from argparse import Namespace

    from sessionkit._cli.output import Output

ENTRY_POINTS: Final = "sessionkit.servers"
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


async def serve_free(options: Namespace, output: Output) -> int:
    """Serve until Ctrl-C or SIGTERM, then finish what is under way."""
    make_server = _maker()
    async with opened(options.target, makes=True) as place:
        try:
            server = make_server(
                place.storage,
                bots=_lines(options.bots),
                telegram_api=options.telegram_api,
                max_sessions=options.max_sessions,
            )
        except (TypeError, ValueError) as error:
            raise CommandError(str(error)) from error
        await _serve(server, options, output, place.storage)
    return DONE


async def _serve(server: Any, options: Namespace, output: Output, storage: Any) -> None:
    with _ended_by_signals() as ended:
        try:
            async with server.running(options.host, options.port) as url:
                output.json({"url": url}) if output.as_json else output.line(url)
                output.note(f"serving {storage!r} for {server.bots}. Ctrl-C ends it")
                if not _is_loopback(options.host):
                    output.note(
                        "Others can reach this, and bot tokens travel as they are: put a proxy "
                        "with TLS before it"
                    )
                await ended.wait()
                output.note("finishing what is under way")
        except OSError as error:
            msg = f"cannot listen at {options.host} port {options.port}: {error.strerror or error}"
            raise CommandError(msg) from error


@contextmanager
def _ended_by_signals() -> Generator[asyncio.Event]:
    """Set an event at the first signal; the second one has its usual effect."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def end() -> None:
        ended.set()
        restore()

    def restore() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    with suppress(NotImplementedError):  # Windows: Ctrl-C interrupts
        for number in _SIGNALS:
            loop.add_signal_handler(number, end)
    try:
        yield ended
    finally:
        with suppress(NotImplementedError):
            restore()


def _maker() -> Any:
    for entry in entry_points(group=ENTRY_POINTS, name="free"):
        try:
            return entry.load()
        except ImportError as error:
            raise CommandError(str(error)) from error
    msg = (
        "the server comes with the extra 'serve-free': "
        "python -m pip install '<checkout>[serve-free]'"
    )
    raise CommandError(msg)


def _lines(path: str | None) -> list[str] | None:
    if path is None:
        return None
    try:
        return Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise CommandError(msg) from error


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def add(commands: Any) -> None:
    """Add the command to the parser."""
    serving = commands(
        "serve-free",
        serve_free,
        "serve grammY's free storage from any storage",
        "Keep the sessions of several bots, those of grammY included, in one storage. Bots reach "
        "it at the address that is printed, by sessionkit_free or @grammyjs/storage-free. Each "
        "sees its own sessions only. Ends at Ctrl-C or SIGTERM.",
    )
    serving.add_argument(
        "--bots",
        metavar="FILE",
        help="who may use it: in each line the token of a bot, its SHA-256, or, with "
        "--telegram-api, its id",
    )
    serving.add_argument(
        "--telegram-api",
        metavar="URL",
        help="ask this Bot API whose token it is, https://api.telegram.org; without --bots, every "
        "bot that it knows may use the storage",
    )
    serving.add_argument(
        "--host", default="127.0.0.1", help="the address to listen at (default: %(default)s)"
    )
    serving.add_argument(
        "--port", type=int, default=8080, help="0 takes one that is free (default: %(default)s)"
    )
    serving.add_argument(
        "--max-sessions",
        type=int,
        default=50_000,
        metavar="N",
        help="how many a bot may have (default: %(default)s)",
    )
