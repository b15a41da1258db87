"""What sessionkit_free asks, refuses and repeats, and what it makes of a server's answers."""

from __future__ import annotations

import asyncio
import json
import pprint
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any, Final, TypeAlias

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from sessionkit import (
    InvalidSessionKeyError,
    SessionClosedError,
    SessionDecodeError,
    SessionEncodeError,
    SessionError,
    SessionListingError,
    SessionWriteError,
    session,
    storage_from_url,
)
from sessionkit.storages.authoring import BlockingView
from sessionkit_free import FreeSessionStorage
from sessionkit_free._client import Request
from sessionkit_free._keys import escaped, unescaped
from tests.adapters.loads import zero
from tests.adapters.redis_servers import free_port

TOKEN: Final = "42:never-shown"
HERE: Final = "http://127.0.0.1:8080/api"

Says: TypeAlias = "tuple[int, Any] | web.Response | None"
"""Status and body, as JSON unless it is bytes; None: the connection is closed instead."""


class Stage:
    """A server that says what a test wants; beyond that, it does all right.

    Attributes:
        script: What it says to the next requests, and to logins, one after the other.
        asked: Method and path of each request so far.
        slept: How long the storage waited between repetitions.
    """

    def __init__(self) -> None:
        self.script: list[Says] = []
        self.logins: list[Says] = []
        self.asked: list[str] = []
        self.slept: list[float] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.url = ""
        self._passes = 0

    @property
    def number_of_logins(self) -> int:
        return self.asked.count("POST /api/login")

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.raw_path}")
        body = await request.read()
        await self.gate.wait()
        if request.raw_path == "/api/login":
            assert json.loads(body) == {"token": TOKEN}
            self._passes += 1
            said = self.logins.pop(0) if self.logins else (201, {"token": f"pass{self._passes}"})
        elif request.headers["Authorization"] != f"Bearer pass{self._passes}":
            said = (401, {"error": "unauthorized"})
        else:
            said = self.script.pop(0) if self.script else (200, {"n": 1})
        if said is None:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if isinstance(said, web.Response):
            return said
        status, content = said
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        return web.Response(status=status, body=raw)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def open(self, **options: Any) -> FreeSessionStorage:
        storage = FreeSessionStorage(TOKEN, root_url=self.url, **options)
        storage._sleep = self.sleep
        return storage


@asynccontextmanager
async def staged() -> AsyncGenerator[tuple[Stage, FreeSessionStorage]]:
    """A server, and a storage that uses it."""
    stage = Stage()
    runner = web.ServerRunner(web.Server(stage.answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        stage.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api"
        async with stage.open() as storage:
            yield stage, storage
    finally:
        await runner.cleanup()


def on_stage(test: Callable[[Stage, FreeSessionStorage], Awaitable[None]]) -> Callable[[], None]:
    """Make a test of a coroutine that is given a server and a storage."""

    async def main() -> None:
        async with staged() as (stage, storage):
            await test(stage, storage)

    def run() -> None:
        asyncio.run(main())

    run.__name__ = test.__name__
    return run


# Set-up


@pytest.mark.parametrize(
    ("token", "url", "error", "text"),
    [
        ("never-shown", HERE, ValueError, "not the token of a bot"),
        ("42:never shown", HERE, ValueError, "not the token of a bot"),
        (42, HERE, TypeError, "must be a str, not int"),
        (TOKEN, 42, TypeError, "must be a str, not int"),
        (TOKEN, "", ValueError, "must be the address"),
        (TOKEN, "127.0.0.1:8080/api", ValueError, "must be the address"),
        (TOKEN, "ftp://host/api", ValueError, "must be the address"),
        (TOKEN, "https://me:never-shown@host/api", ValueError, "without user, password"),
        (TOKEN, f"{HERE}?a=1", ValueError, "must be the address"),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    token: Any, url: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text) as caught:
        FreeSessionStorage(token, root_url=url)
    assert "never" not in str(caught.value)


@pytest.mark.parametrize(
    ("missing", "module", "extra"),
    [("aiohttp", "sessionkit_free", "free"), ("jwt", "sessionkit_free.serving", "serve-free")],
)
def test_without_a_library_the_extra_is_named(missing: str, module: str, extra: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import {module}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f'python -m pip install "<checkout>[{extra}]"' in run.stderr


def test_a_url_takes_the_token_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOT_TOKEN", raising=False)
    with pytest.raises(ValueError, match="set BOT_TOKEN"):
        storage_from_url(f"free:{HERE}")
    monkeypatch.setenv("BOT_TOKEN", TOKEN)
    storage = storage_from_url(f"free:{HERE}/")
    assert repr(storage) == f"<FreeSessionStorage of bot 42 at {HERE}>"
    assert storage.identity == FreeSessionStorage("42:other", root_url=HERE).identity
    assert storage.identity != FreeSessionStorage("43:other", root_url=HERE).identity
    mine = FreeSessionStorage(TOKEN, root_url=HERE)
    assert "never" not in pprint.pformat(vars(mine))


# Keys and limits


@given(st.text(min_size=1), st.text(min_size=1))
def test_each_key_has_a_form_of_its_own_in_a_path(one: str, other: str) -> None:
    sent = escaped(one)
    assert unescaped(sent) == one
    assert (sent == escaped(other)) == (one == other)
    assert sent.isascii()
    assert sent.isprintable()
    assert not {".", ".."} & set(sent.split("/"))
    assert not set("?# \\") & set(sent)


@pytest.mark.parametrize("sent", ["", "a b", "100%", "%c3%a9", "é", "%FF", "%FFa", "a/../b", "%2F"])
def test_what_is_not_the_form_of_a_key_is_recognised(sent: str) -> None:
    assert unescaped(sent) is None


@on_stage
async def test_limits_are_checked_before_anything_is_sent(
    stage: Stage, storage: FreeSessionStorage
) -> None:
    with pytest.raises(InvalidSessionKeyError, match="has 64 characters as it is sent"):
        await storage.read("k" * 64)
    with pytest.raises(InvalidSessionKeyError, match="has 66 characters"):
        _ = storage.delete("é" * 11)
    with pytest.raises(SessionEncodeError, match="has 16,384 bytes as JSON"):
        _ = storage.write("1", "x" * 16_382)
    with pytest.raises(SessionEncodeError):
        _ = storage.write("1", float("nan"))
    assert stage.asked == []
    await storage.write("k" * 63, "x" * 16_381)


# Logins


@on_stage
async def test_all_who_come_at_once_share_a_login(
    stage: Stage, storage: FreeSessionStorage
) -> None:
    assert await asyncio.gather(*[storage.read("1") for _ in range(64)]) == [{"n": 1}] * 64
    assert stage.number_of_logins == 1


@on_stage
async def test_all_who_come_at_once_share_a_login_that_fails(
    stage: Stage, storage: FreeSessionStorage
) -> None:
    stage.logins = [(401, {"error": f"invalid bot token {TOKEN}"})]
    calls = [storage.read("1"), *[storage.write("1", 1) for _ in range(63)]]
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert stage.number_of_logins == 1
    assert {type(error) for error in errors} == {SessionError}
    assert "does not let this bot in" in str(errors[0])
    assert str(errors[1]).endswith("Nothing was written")
    assert "never" not in repr(errors)
    assert await storage.read("1") == {"n": 1}  # the next call tries again


@on_stage
async def test_one_who_gives_up_leaves_the_login_to_the_others(
    stage: Stage, storage: FreeSessionStorage
) -> None:
    stage.gate.clear()
    first, second = [asyncio.create_task(storage.read("1")) for _ in range(2)]
    while not stage.asked:
        await asyncio.sleep(0.001)
    first.cancel()
    stage.gate.set()
    assert await second == {"n": 1}
    assert stage.number_of_logins == 1


@on_stage
async def test_a_login_that_nobody_waits_for_ends_with_the_storage(
    stage: Stage, storage: FreeSessionStorage
) -> None:
    stage.gate.clear()
    only = asyncio.create_task(storage.read("1"))
    while not stage.asked:
        await asyncio.sleep(0.001)
    only.cancel()
    await asyncio.wait((only,))
    await storage.close()
    with pytest.raises(SessionClosedError):
        await storage.read("1")


@on_stage
async def test_an_expired_login_is_renewed_once_for_all(
    stage: Stage, storage: FreeSessionStorage
) -> None:
    await storage.read("1")
    stage._passes += 1  # what was given out is not valid any more
    assert await asyncio.gather(*[storage.read("1") for _ in range(64)]) == [{"n": 1}] * 64
    assert stage.number_of_logins == 2


@on_stage
async def test_a_server_that_refuses_its_own_logins_is_an_error(
    stage: Stage, storage: FreeSessionStorage
) -> None:
    stage.script = [(401, {"error": "unauthorized"})] * 2
    with pytest.raises(SessionError, match=r"it answered 401.*Nothing was written"):
        await storage.write("1", 1)
    assert len(stage.asked) == 4


@pytest.mark.parametrize(
    "said",
    [
        (404, {"error": "not found"}),
        (200, b"<html>"),
        (200, [1]),
        (201, {"token": 5}),
        (201, {"token": "a\r\nb"}),
        (201, b"[" * 9000),
    ],
)
def test_what_is_not_a_login_is_an_error(said: Says) -> None:
    @on_stage
    async def test(stage: Stage, storage: FreeSessionStorage) -> None:
        stage.logins = [said]
        with pytest.raises(SessionError, match="the bot cannot log in: it answered"):
            await storage.read("1")

    test()


# Repetitions


@on_stage
async def test_a_server_that_fails_for_a_while_is_asked_again(
    stage: Stage, storage: FreeSessionStorage
) -> None:
    stage.script = [(500, {}), (503, {}), (204, b""), (502, {}), None, (504, {}), (200, 5)]
    await storage.write("1", 5)
    assert await storage.read("1") == 5
    assert len(stage.slept) == 5
    for pause, most in zip(stage.slept, (0.1, 0.2, 0.1, 0.2, 0.4), strict=True):
        assert most / 2 <= pause <= most


@on_stage
async def test_a_server_that_fails_is_not_asked_without_end(
    stage: Stage, storage: FreeSessionStorage
) -> None:
    stage.script = [(500, {"error": "out of order"})] * 100
    with pytest.raises(SessionError, match=r"it answered 500: .*out of order"):
        await storage.read("1")
    with pytest.raises(SessionWriteError, match="'1' may have been written, or not") as caught:
        await storage.write("1", 1)
    assert caught.value.unknown == ("1",)
    assert len(stage.asked) == 1 + 6 + 6


@pytest.mark.parametrize("said", [None, (502, b"<html>"), (504, b"")])
def test_a_write_that_may_be_under_way_is_not_repeated(said: Says) -> None:
    @on_stage
    async def test(stage: Stage, storage: FreeSessionStorage) -> None:
        stage.script = [said]
        with pytest.raises(SessionWriteError, match="may have been written, or not") as caught:
            await storage.write("1", 1)
        assert caught.value.unknown == ("1",)
        assert len(stage.asked) == 2

    test()


@on_stage
async def test_a_server_may_ask_for_patience(stage: Stage, storage: FreeSessionStorage) -> None:
    def wait(header: str) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": header})

    soon = formatdate(time.time() + 600, usegmt=True)
    stage.script = [wait("7"), wait(soon), wait("nonsense"), wait(formatdate(0)), (204, b"")]
    async with stage.open(deadline=3600) as patient:
        await patient.write("1", 5)
    first, second, *others = stage.slept
    assert first == 7
    assert 500 < second <= 600
    assert max(others) < 1


@on_stage
async def test_patience_ends_with_the_deadline(stage: Stage, storage: FreeSessionStorage) -> None:
    headers = {"Retry-After": "3600"}
    stage.script = [web.Response(status=429, text="slow down", headers=headers)]
    with pytest.raises(SessionError, match="slow down, try again in 3600 seconds") as caught:
        await storage.write("1", 5)
    assert "Nothing was written" in str(caught.value)
    assert stage.slept == []


# Answers


@on_stage
async def test_missing_is_a_404_without_a_text_and_on_reads_only(
    stage: Stage, storage: FreeSessionStorage
) -> None:
    stage.script = [(404, b""), (404, {"error": "not found"}), (404, b""), (404, b"")]
    assert await storage.read("1") is None
    with pytest.raises(SessionError, match="Is root_url right"):
        await storage.read("1")
    with pytest.raises(SessionError, match="Nothing was written"):
        await storage.delete("1")
    with pytest.raises(SessionError, match="Nothing was written"):
        await storage.write("1", 1)


@on_stage
async def test_a_refusal_is_an_error_that_says_why(
    stage: Stage, storage: FreeSessionStorage
) -> None:
    stage.script = [(409, {"error": "max session count reached"})]
    with pytest.raises(SessionError, match=r"max session count reached.*Nothing was written"):
        await storage.write("1", 1)
    elsewhere = {"Location": "https://grammy.dev"}
    stage.script = [web.Response(status=301, headers=elsewhere)]
    with pytest.raises(SessionError, match="Is root_url the address itself"):
        await storage.read("1")


@on_stage
async def test_what_is_damaged_is_not_taken_for_missing(
    stage: Stage, storage: FreeSessionStorage
) -> None:
    stage.script = [(200, b'{"n": '), (200, b""), (200, b"null"), (422, {"error": TOKEN})]
    for _ in list(stage.script):
        with pytest.raises(SessionDecodeError) as caught:
            await storage.read("1")
        assert "never" not in str(caught.value)


@on_stage
async def test_an_answer_without_end_is_cut(stage: Stage, storage: FreeSessionStorage) -> None:
    stage.script = [(200, b'"' + b"x" * (17 * 2**20) + b'"')]
    with pytest.raises(SessionDecodeError):
        await storage.read("1")
    assert await storage.read("1") == {"n": 1}


# Listings


@pytest.mark.parametrize("answer", [{"keys": ["1", "a%20b", "2"]}, ["1", "a%20b", "2"]])
def test_both_forms_of_a_listing_are_understood(answer: Any) -> None:
    @on_stage
    async def test(stage: Stage, storage: FreeSessionStorage) -> None:
        stage.script = [(200, answer)]
        assert [key async for key in storage.iter_keys()] == ["1", "a b", "2"]
        stage.script = [(200, answer)]
        assert [key async for key in storage.iter_keys("a")] == ["a b"]

    test()


@pytest.mark.parametrize("answer", [{}, {"keys": "12"}, {"keys": [1]}, 5, b"<html>", b"[" * 9000])
def test_what_is_not_a_listing_is_an_error(answer: Any) -> None:
    @on_stage
    async def test(stage: Stage, storage: FreeSessionStorage) -> None:
        stage.script = [(200, answer)]
        with pytest.raises(SessionError, match="that is not a list of keys"):
            [key async for key in storage.iter_keys()]

    test()


@on_stage
async def test_a_listing_goes_past_keys_that_cannot_be_sent(
    stage: Stage, storage: FreeSessionStorage
) -> None:
    listed = {"keys": ["1", "", "100%", "2", "a"]}
    stage.script = [(200, listed), (200, 1), (404, b""), (200, b"{")]
    found: list[Any] = []
    with pytest.raises(SessionListingError) as caught:
        async for item in storage.iter_items():
            found.append(item)
    assert found == [("1", 1)]
    assert set(caught.value.keys) == {"", "100%", "a"}


@on_stage
async def test_a_listing_ends_where_the_storage_fails(
    stage: Stage, storage: FreeSessionStorage
) -> None:
    stage.script = [(200, ["1"]), (403, {"error": "no more"})]
    with pytest.raises(SessionError, match="no more"):
        [item async for item in storage.iter_items()]


# Trouble


def test_no_server_at_all_is_an_error() -> None:
    async def main() -> None:
        root_url = f"http://127.0.0.1:{free_port()}/api"
        async with FreeSessionStorage(TOKEN, root_url=root_url) as storage:
            storage._sleep = Stage().sleep
            with pytest.raises(SessionError, match=r"cannot be reached.*Nothing was written"):
                await storage.write("1", 1)

    asyncio.run(main())


@on_stage
async def test_a_server_that_goes_away_has_written_nothing(
    stage: Stage, storage: FreeSessionStorage
) -> None:
    await storage.read("1")
    storage._client()._root = f"http://127.0.0.1:{free_port()}/api"
    with pytest.raises(SessionError, match="cannot be reached") as caught:
        await storage.write("1", 1)
    assert type(caught.value) is SessionError


@on_stage
async def test_a_silent_server_is_an_error_within_the_deadline(
    stage: Stage, storage: FreeSessionStorage
) -> None:
    sessions = session(initial=zero, storage=storage, lock_timeout=30)
    await sessions.get(1)
    client = storage._client()
    patience, client._deadline = client._deadline, 0.3
    stage.gate.clear()
    with pytest.raises(SessionError, match=r"no answer within 0\.3 seconds"):
        await sessions.get(1)
    with pytest.raises(SessionWriteError, match="may have been written"):
        await storage.write("1", 1)
    stage.gate.set()
    client._deadline = patience
    async with sessions.open(1) as opened:  # the lock is free
        opened.data["n"] = 2


@on_stage
async def test_a_silent_server_lets_nobody_log_in(
    stage: Stage, storage: FreeSessionStorage
) -> None:
    stage.gate.clear()
    async with stage.open(deadline=0.3) as impatient:
        with pytest.raises(SessionError, match=r"no answer within 0\.3 seconds"):
            await impatient.write("1", 1)
    stage.gate.set()


@on_stage
async def test_closing_waits_for_what_is_under_way(
    stage: Stage, storage: FreeSessionStorage
) -> None:
    await storage.read("1")
    stage.gate.clear()
    number = len(stage.asked)
    writing = [asyncio.create_task(storage.write(key, 1)) for key in "12"]
    while len(stage.asked) < number + 2:
        await asyncio.sleep(0.001)
    client = storage._client()
    closing = asyncio.create_task(storage.close())
    await asyncio.sleep(0)
    assert not closing.done()
    stage.gate.set()
    await closing
    assert [task.done() and task.result() for task in writing] == [None, None]
    late = client.call(Request("GET", "/session/1"))  # it had begun before
    for use in (storage.read("1"), storage.write("1", 1), late):
        with pytest.raises(SessionClosedError):
            await use


def test_each_event_loop_has_connections_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with staged() as (stage, storage):
            for _ in range(2):  # in loops that come and go
                assert await asyncio.to_thread(asyncio.run, storage.read("1")) == {"n": 1}
            loop = asyncio.new_event_loop()  # and in one that stays
            running = asyncio.create_task(asyncio.to_thread(loop.run_forever))
            elsewhere = asyncio.run_coroutine_threadsafe(storage.read("1"), loop)
            assert await asyncio.wrap_future(elsewhere) == {"n": 1}
            await storage.read("1")
            await storage.close()
            loop.call_soon_threadsafe(loop.call_later, 0.1, loop.stop)
            await running
            loop.close()
            assert stage.number_of_logins == 4

    asyncio.run(main())
    assert "Unclosed" not in caplog.text


def test_the_view_for_threads_is_closed_with_the_storage() -> None:
    async def main() -> None:
        async with staged() as (_, storage):
            view = storage.sync
            assert isinstance(view, BlockingView)
            assert view is storage.sync
            assert await asyncio.to_thread(view.read, "1") == {"n": 1}
        with pytest.raises(SessionClosedError):
            view.read("1")

    asyncio.run(main())
