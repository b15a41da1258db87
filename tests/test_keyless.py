"""A session without a key says so whenever it is asked, after its end as well."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sessionkit import NoSessionKeyError, keys, multi_session, session
from tests.contexts import NO_KEY, Inline, run, strict, update


async def by_middleware(kept: list[Any]) -> None:
    sessions = strict(get_session_key=keys.chat)
    await update(sessions, Inline(), lambda ctx: kept.append(sessions.of(ctx)))


async def by_open(kept: list[Any]) -> None:
    async with strict(get_session_key=keys.chat).open(Inline()) as opened:
        kept.append(opened)


async def by_open_in_vain(kept: list[Any]) -> None:
    with pytest.raises(RuntimeError, match="mine"):
        async with strict(get_session_key=keys.chat).open(Inline()) as opened:
            kept.append(opened)
            raise RuntimeError("mine")


async def by_multi(kept: list[Any]) -> None:
    fragment = session(dict[str, int], get_session_key=keys.chat)
    async with multi_session(part=fragment).open(Inline()) as opened:
        kept.append(fragment._handle(opened._fragment(fragment)))


@pytest.mark.parametrize("way", [by_middleware, by_open, by_open_in_vain, by_multi])
def test_it_says_so_after_its_end(way: Callable[[list[Any]], Coroutine[Any, Any, None]]) -> None:
    kept: list[Any] = []
    run(way(kept))

    assert repr(kept[0]) == "<Session None, without a key>"
    assert not kept[0].has_key
    with pytest.raises(NoSessionKeyError) as caught:
        kept[0].data  # noqa: B018 (the error under test)
    assert str(caught.value) == NO_KEY


def test_what_a_context_shows_says_so_too() -> None:
    kept: list[Any] = []
    run(update(strict(get_session_key=keys.chat), Inline(), lambda ctx: kept.append(ctx.session)))

    with pytest.raises(NoSessionKeyError, match="inline_query has no chat"):
        kept[0]["count"] = 1
