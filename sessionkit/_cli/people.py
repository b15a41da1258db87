"""``forget``: erase what is stored of a user."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from sessionkit._api.personal import forget_user
from sessionkit._cli.exits import DONE, MISUSED, NO, CommandError
from sessionkit._cli.output import shown
from sessionkit._cli.targets import all_opened, loaded

if TYPE_CHECKING:
    from argparse import Namespace

    from sessionkit._cli.output import Output
    from sessionkit._cli.places import Place


async def forget(options: Namespace, output: Output) -> int:
    """Delete the sessions of a user, and edit shared ones."""
    erase = None if options.erase is None else loaded(options.erase)
    if erase is not None and not callable(erase):
        msg = f"{options.erase} is not a function of key, data and user"
        raise CommandError(msg)
    async with AsyncExitStack() as stack:
        places: list[Place] = []
        for target in options.targets:
            places += await stack.enter_async_context(all_opened(target))
        unknown = [place for place in places if not place.sources]
        if unknown:
            return await _list_candidates(unknown, options.user, output)
        sources = [source for place in places for source in place.sources]
        done = await forget_user(sources, options.user, erase=erase, dry_run=options.dry_run)
    record = {"deleted": done.deleted, "edited": done.edited, "failed": done.failed}
    if output.as_json:
        output.json(record | {"shared": done.shared, "remains": done.remains})
    else:
        would = "would be " if options.dry_run else ""
        output.line(f"{would}deleted: {done.deleted}, {would}edited: {done.edited}")
        output.note(done.remains)
    if done.shared:
        output.note(
            f"shared by several users, and not looked at: {done.shared}. Give --erase "
            "module:function, which returns the data without what is of the user"
        )
    for kind, number in Counter(type(error).__name__ for error in done.errors).items():
        output.note(f"{number} could not be read or written ({kind}): see doctor")
    return NO if done.failed else DONE


async def _list_candidates(places: list[Place], user: int, output: Output) -> int:
    """List the keys that may be of *user*: what others mean by that number is unknown."""
    candidate = re.compile(rf"(?<![\d-]){user}(?!\d)")
    for place in places:
        async for key in place.keys():
            if candidate.search(key):
                output.line(shown(key))
    output.note(
        f"These keys have the number {user}, and nothing was deleted: from a URL alone it is not "
        "known whether it is that of a user. Name your sessions, module:object; or delete by key"
    )
    return MISUSED


def add(commands: Any) -> None:
    """Add the command to the parser."""
    forgetting = commands(
        "forget",
        forget,
        "erase what is stored of a user",
        "Delete the sessions of a user in all module:objects (Sessions, lists of them, and the "
        "states and persistence of adapters): private chats, groups, topics, business chats, and "
        "as a guest. From a URL alone, it lists candidates and deletes nothing.",
        places=(),
    )
    forgetting.add_argument("targets", metavar="TARGET", nargs="+", help="module:object")
    forgetting.add_argument("--user", type=int, required=True, metavar="ID", help="the user's id")
    forgetting.add_argument(
        "--erase",
        metavar="MODULE:FUNCTION",
        help="gets key, data and user of each session that a group shares, and returns the "
        "data without what is of the user",
    )
    forgetting.add_argument("--dry-run", action="store_true", help="change nothing, and count")
