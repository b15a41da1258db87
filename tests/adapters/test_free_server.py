"""What ``sessionkit serve-free`` answers, to whom, and how it ends."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import jwt
import pytest
from aiohttp import web
from yarl import URL

from sessionkit import (
    FileSessionStorage,
    InvalidSessionKeyError,
    MemorySessionStorage,
    SessionDecodeError,
    SessionListingError,
    SQLiteSessionStorage,
    session,
)
from sessionkit.__main__ import main
from sessionkit_free import FreeSessionStorage
from sessionkit_free._bots import BotAPI, Bots, UnavailableError
from sessionkit_free._service import Answer, Asked, Service
from sessionkit_free._tokens import Tokens
from sessionkit_free.serving import open_server
from tests.adapters import free_servers
from tests.adapters.loads import increments, through_a_crash, total, zero

if TYPE_CHECKING:
    from pathlib import Path

TOKEN: Final = "42:never-shown"
OTHER: Final = "4:never-shown"
TOKENS: Final = Tokens()
UNTYPED: Final[Any] = jwt


def service(storage: Any, **options: Any) -> Service:
    return Service(storage, Bots([TOKEN, OTHER], None), TOKENS, **options)


def ask(
    service: Service, method: str, path: str, body: bytes = b"", bot: int | None = 42
) -> Answer:
    authorization = None if bot is None else f"Bearer {TOKENS.token_for(bot)}"
    return asyncio.run(service.answer(Asked(method, path, authorization, body)))


def error_in(answer: Answer) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["error"]


# The protocol


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("GET", "/", b"", 404, "not found"),
        ("GET", "/api", b"", 404, "not found"),
        ("GET", "/api/other", b"", 404, "not found"),
        ("GET", "/other/session/1", b"", 404, "not found"),
        ("POST", "/api/login", b"", 400, "invalid or missing json body"),
        ("POST", "/api/login", b"[]", 400, "invalid or missing json body"),
        ("POST", "/api/login", b"[" * 9000, 400, "invalid or missing json body"),
        ("POST", "/api/login", b'{"token": 5}', 400, "expected token string in request body"),
        ("POST", "/api/login", b'{"token": "42:x"}', 401, "invalid bot token"),
        ("POST", "/api/login", b'{"token": "x"}', 401, "invalid bot token"),
        ("PUT", "/api/session/1", b"1", 405, "method not allowed"),
        ("POST", "/api/sessions", b"1", 405, "method not allowed"),
        ("POST", "/api/session/1", b"", 400, "missing body"),
        ("POST", "/api/session/1", b"{", 400, "data is not JSON"),
        ("POST", "/api/session/1", b"\xff", 400, "data is not JSON"),
        ("POST", "/api/session/1", b"[1e999]", 400, "data is not JSON"),
        ("POST", "/api/session/1", b"[" * 9000, 400, "data is not JSON"),
        ("POST", "/api/session/1", b"null", 400, "data is null: to remove a session, DELETE it"),
        ("POST", "/api/session/1", b" " * 16_384, 400, "data exceeds 16384 bytes"),
        ("POST", f"/api/session/{'k' * 64}", b"1", 400, "key lengths exceeds 64"),
    ],
)
def test_what_is_wrong_is_said(method: str, path: str, body: bytes, status: int, text: str) -> None:
    storage = MemorySessionStorage()
    code, said = error_in(ask(service(storage), method, path, body))
    assert (code, said.partition(": ")[0]) == (status, text.partition(": ")[0])
    assert storage.sync.read("bot42/1") is None


@pytest.mark.parametrize("path", ["/api/session/1", "/api/sessions"])
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer ",
        "Bearer nonsense",
        TOKENS.token_for(42),
        f"Basic {TOKENS.token_for(42)}",
        f"Bearer {Tokens().token_for(42)}",
        f"Bearer {UNTYPED.encode({'id': 42, 'exp': 1e10}, '', 'none')}",
    ],
)
def test_without_a_login_there_is_nothing(path: str, authorization: str | None) -> None:
    asked = Asked("GET", path, authorization, b"")
    answer = asyncio.run(service(MemorySessionStorage()).answer(asked))
    assert error_in(answer) == (401, "unauthorized")


def test_a_login_lasts_for_its_time() -> None:
    assert Tokens().bot_of(Tokens().token_for(42)) is None
    brief = Tokens(lifetime=-1)
    assert brief.bot_of(brief.token_for(42)) is None
    assert TOKENS.bot_of(TOKENS.token_for(42)) == 42


@pytest.mark.parametrize("path", ["1", "-100/t12", "a%20b", "..", "%FF..", "a//b/", "", "%41?x"])
def test_a_session_is_written_read_listed_and_removed(path: str) -> None:
    served = service(MemorySessionStorage())
    assert ask(served, "GET", f"/api/session/{path}") == Answer(404)
    assert ask(served, "POST", f"/api/session/{path}", b'{"n": 1.0}') == Answer(204)
    assert ask(served, "GET", f"/api/session/{path}") == Answer(200, b'{"n":1.0}')
    listed = ask(served, "GET", "/api/sessions")
    assert json.loads(listed.body) == {"keys": [path.partition("?")[0]]}
    assert ask(served, "DELETE", f"/api/session/{path}") == Answer(204)
    assert ask(served, "DELETE", f"/api/session/{path}") == Answer(204)
    assert ask(served, "GET", f"/api/session/{path}") == Answer(404)


def test_each_bot_has_data_of_its_own() -> None:
    storage = MemorySessionStorage()
    storage.sync.write("other", 1)
    served = service(storage)
    paths = ["1", "../bot4/1", "/../../bot4/1", "2/1"]
    for path in paths:
        assert ask(served, "POST", f"/api/session/{path}", b"42") == Answer(204)
    assert ask(served, "POST", "/api/session/1", b"4", bot=4) == Answer(204)
    assert ask(served, "GET", "/api/session/1") == Answer(200, b"42")
    assert json.loads(ask(served, "GET", "/api/sessions").body)["keys"] == paths
    assert json.loads(ask(served, "GET", "/api/sessions", bot=4).body)["keys"] == ["1"]
    assert ask(served, "DELETE", "/api/session/1", bot=4) == Answer(204)
    assert ask(served, "GET", "/api/session/1") == Answer(200, b"42")


class Blocking:
    """A storage that blocks, and does no more than it has to."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}

    def read(self, key: str) -> Any:
        if self.rows.get(key) == "damaged":
            raise SessionDecodeError("it is at never/shown", key=key)
        if self.rows.get(key) == "failing":
            raise OSError("never shown")
        return self.rows.get(key)

    def write(self, key: str, value: Any) -> None:
        self.rows[key] = value

    def delete(self, key: str) -> None:
        self.rows.pop(key, None)

    def iter_keys(self, prefix: str = "") -> Iterator[str]:
        damaged = tuple(key for key, value in self.rows.items() if value == "damaged")
        yield from (key for key in self.rows if key.startswith(prefix) and key not in damaged)
        if damaged:
            raise SessionListingError("some are damaged", keys=damaged)


def test_trouble_in_the_storage_is_reported_here_and_not_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage = Blocking()
    served = service(storage)
    assert ask(served, "POST", "/api/session/1", b"1") == Answer(204)
    storage.rows |= {"bot42/2": "damaged", "bot42/3": "failing"}
    assert json.loads(ask(served, "GET", "/api/sessions").body)["keys"] == ["1", "3", "2"]
    for path, status in (("2", 422), ("3", 500)):
        code, said = error_in(ask(served, "GET", f"/api/session/{path}"))
        assert (code, "never" in said) == (status, False)
    assert "it is at never/shown" in caplog.text
    assert "never shown" in caplog.text
    assert ask(served, "DELETE", "/api/session/2") == Answer(204)


def test_what_the_storage_does_not_take_is_refused() -> None:
    class Narrow(Blocking):
        def write(self, key: str, value: Any) -> None:
            if value == 5:
                raise OSError("the disk is full")
            raise InvalidSessionKeyError("not such a key")

    served = service(Narrow())
    assert error_in(ask(served, "POST", "/api/session/1", b"1")) == (400, "not such a key")
    assert error_in(ask(served, "POST", "/api/session/1", b"5")) == (500, "the storage failed")


def test_a_bot_may_have_so_many_sessions() -> None:
    now = [0.0]
    storage = MemorySessionStorage(ttl=30, clock=lambda: now[0])
    storage.sync.write("bot42/0", 0)
    served = service(storage, most=2, clock=lambda: now[0])
    full = (409, "max session count reached")
    assert ask(served, "POST", "/api/session/1", b"1") == Answer(204)
    assert error_in(ask(served, "POST", "/api/session/2", b"2")) == full
    assert ask(served, "POST", "/api/session/1", b"2") == Answer(204)
    assert ask(served, "POST", "/api/session/2", b"2", bot=4) == Answer(204)
    assert ask(served, "DELETE", "/api/session/1") == Answer(204)
    assert ask(served, "POST", "/api/session/2", b"2") == Answer(204)
    now[0] = 31.0  # all have expired, and that is looked at once in a minute
    assert error_in(ask(served, "POST", "/api/session/3", b"3")) == full
    now[0] = 60.0
    assert ask(served, "POST", "/api/session/3", b"3") == Answer(204)


# Who may log in


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (None, "--bots FILE, --telegram-api URL"),
        ([], "the list of bots is empty"),
        (["", "# none yet"], "the list of bots is empty"),
        ([TOKEN, "never shown"], "line 2 is neither the token of a bot nor its SHA-256"),
        (["42"], "an id alone needs --telegram-api"),
    ],
)
def test_a_list_that_cannot_be_is_refused(lines: list[str] | None, text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        open_server(MemorySessionStorage(), bots=lines)
    assert "never" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"storage": object(), "bots": [TOKEN]}, TypeError, "cannot list its keys"),
        ({"telegram_api": "api.telegram.org"}, ValueError, "is not the address of a Bot API"),
        ({"bots": [TOKEN], "max_sessions": 0}, ValueError, "at least 1, not 0"),
    ],
)
def test_what_cannot_be_served_is_refused(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        open_server(options.pop("storage", MemorySessionStorage()), **options)


def test_a_list_has_tokens_or_what_they_hash_to() -> None:
    async def main() -> None:
        digest = hashlib.sha256(TOKEN.encode()).hexdigest().upper()
        for lines in ([TOKEN], [f" {digest} ", "# mine"]):
            bots = Bots(lines, None)
            assert str(bots) == "one bot"
            assert await bots.bot_of(TOKEN) == 42
            assert await bots.bot_of("42:guessed") is None
            assert await bots.bot_of(digest) is None
        assert str(Bots([TOKEN, OTHER], None)) == "2 bots"

    asyncio.run(main())


@asynccontextmanager
async def telegram(*answers: tuple[int, Any]) -> AsyncGenerator[tuple[BotAPI, list[str]]]:
    """A Bot API that gives these answers, one after the other."""
    left = list(answers)
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.path)
        status, content = left.pop(0)
        return web.json_response(content, status=status)

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield BotAPI(f"http://127.0.0.1:{runner.addresses[0][1]}/"), asked
    finally:
        await runner.cleanup()


def me(bot: int) -> tuple[int, Any]:
    return 200, {"ok": True, "result": {"id": bot, "is_bot": True}}


def test_the_bot_api_tells_whose_token_it_is() -> None:
    async def main() -> None:
        refused = 401, {"ok": False, "error_code": 401, "description": "Unauthorized"}
        async with telegram(me(42), refused, (404, {})) as (api, asked):
            bots = Bots(None, api)
            assert str(bots) == "every bot that the Bot API knows"
            assert await bots.bot_of(TOKEN) == 42
            assert await bots.bot_of("43:revoked") is None
            assert await bots.bot_of("44:revoked") is None
            for path in ("42:x/../../botX", "x", "42:", "42:a\n"):
                assert await bots.bot_of(path) is None
            assert asked == [f"/bot{each}/getMe" for each in (TOKEN, "43:revoked", "44:revoked")]

    asyncio.run(main())


def test_a_list_of_ids_and_the_bot_api_go_together() -> None:
    async def main() -> None:
        async with telegram(me(4)) as (api, asked):
            bots = Bots([TOKEN, "4"], api)
            assert await bots.bot_of(TOKEN) == 42  # without a question
            assert await bots.bot_of(OTHER) == 4
            assert await bots.bot_of("5:stranger") is None
            assert len(asked) == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    "said", [(200, {"ok": False}), (200, []), me(43), (500, {}), (429, {}), (301, {})]
)
def test_a_bot_api_that_does_not_say_lets_nobody_in(said: tuple[int, Any]) -> None:
    async def main() -> None:
        async with telegram(said) as (api, _):
            with pytest.raises(UnavailableError):
                await Bots(None, api).bot_of(TOKEN)

    asyncio.run(main())


def test_a_bot_api_that_cannot_be_reached_refuses_nobody_for_good(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> Answer:
        async with telegram() as (api, _):
            pass
        served = Service(MemorySessionStorage(), Bots(None, api), TOKENS)
        body = json.dumps({"token": TOKEN}).encode()
        return await served.answer(Asked("POST", "/api/login", None, body))

    with caplog.at_level(logging.DEBUG):
        answer = asyncio.run(main())
    assert error_in(answer) == (503, "the Bot API cannot be asked: ClientConnectorError")
    assert answer.retry_after is not None
    assert "never" not in caplog.text


# Over HTTP


def test_it_is_served_over_http() -> None:
    async def main() -> None:
        server = open_server(MemorySessionStorage(), bots=[TOKEN])
        async with (
            server.running("127.0.0.1", 0) as url,
            FreeSessionStorage(TOKEN, root_url=url) as storage,
            aiohttp.ClientSession() as http,
        ):
            await storage.write("1", {"n": 1})
            assert [item async for item in storage.iter_items()] == [("1", {"n": 1})]
            client = storage._client()
            headers = {"Authorization": f"Bearer {client._pass}"}
            for size in (16_383, 16_384, 900_000):
                async with http.post(f"{url}/session/2", data=b"5" * size, headers=headers) as said:
                    assert said.status == 400, size  # Python reads integers of 4,300 digits
            assert await storage.read("2") is None
            async with http.get(f"{url}/session/2", headers=headers) as said:
                assert (said.status, await said.read()) == (404, b"")
            async with http.get(f"{url}/sessions") as said:
                assert said.headers["Content-Type"] == "application/json"
                assert (said.status, await said.json()) == (401, {"error": "unauthorized"})

    asyncio.run(main())


def test_a_login_that_has_to_wait_says_for_how_long() -> None:
    async def main() -> None:
        server = open_server(MemorySessionStorage(), telegram_api="http://127.0.0.1:1")
        async with (
            server.running("localhost", 0) as url,
            aiohttp.ClientSession() as http,
            http.post(f"{url}/login", json={"token": TOKEN}) as said,
        ):
            assert (said.status, said.headers["Retry-After"]) == (503, "2")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        (b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nSECRET", b""),
        (b"POST /api/login HTTP/1.1\r\nAuthorization: SECRET\0\r\n\r\n", b"HTTP/1.0 400"),
        (b"POST /api/login HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nSECRET", b"HTTP/1.0 400"),
    ],
)
def test_what_broken_requests_say_is_not_logged(
    sent: bytes, received: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with open_server(MemorySessionStorage(), bots=[TOKEN]).running("127.0.0.1", 0) as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
            writer.write(sent)
            await writer.drain()
            if received:
                assert (await reader.readline()).startswith(received)
            writer.close()
            await writer.wait_closed()
            async with FreeSessionStorage(TOKEN, root_url=url) as storage:  # it goes on
                assert await storage.read("1") is None

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    assert "SECRET" not in caplog.text
    assert ("Error handling request" in caplog.text) == bool(received)


def test_an_address_of_ipv6_is_written_as_in_urls() -> None:
    async def main() -> None:
        try:
            async with open_server(MemorySessionStorage(), bots=[TOKEN]).running("::1", 0) as url:
                assert url.startswith("http://[::1]:")
        except OSError:
            pytest.skip("this machine has no IPv6")

    asyncio.run(main())


def test_at_its_end_what_is_under_way_is_finished() -> None:
    class Slow(MemorySessionStorage):
        def __init__(self) -> None:
            super().__init__()
            self.reached = asyncio.Event()
            self.gate = asyncio.Event()

        async def write(self, key: str, value: Any, /) -> None:  # type: ignore[override]
            self.reached.set()
            await self.gate.wait()
            super().write(key, value)

    async def main() -> None:
        slow = Slow()
        server = open_server(slow, bots=[TOKEN])
        ends = asyncio.Event()
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def serve() -> None:
            async with server.running("127.0.0.1", 0) as url:
                address.set_result(url)
                await ends.wait()

        serving = asyncio.create_task(serve())
        async with FreeSessionStorage(TOKEN, root_url=await address) as storage:
            writing = asyncio.create_task(storage.write("1", {"n": 1}))
            await slow.reached.wait()
            ends.set()
            await asyncio.sleep(0)
            slow.gate.set()
            await writing
            await serving
        assert slow.read("bot42/1") == {"n": 1}

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["memory", "file", "sqlite"])
def test_envelopes_of_grammy_come_back_from_any_storage(kind: str, tmp_path: Any) -> None:
    storages: dict[str, Any] = {
        "memory": MemorySessionStorage,
        "file": lambda: FileSessionStorage(tmp_path / "sessions"),
        "sqlite": lambda: SQLiteSessionStorage(tmp_path / "bot.db"),
    }

    async def main() -> None:
        kept = storages[kind]()
        async with (
            open_server(kept, bots=[TOKEN]).running("127.0.0.1", 0) as url,
            FreeSessionStorage(TOKEN, root_url=url) as storage,
        ):
            for value in ({"__d": {"n": 1}, "e": 5}, {"v": 3, "__d": 1}, {"__d": {"__d": 1}}, 0):
                await storage.write("1", value)
                assert await storage.read("1") == value
            assert [key async for key in storage.iter_keys()] == ["1"]
        await asyncio.to_thread(kept.sync.close)

    asyncio.run(main())


# The command


@pytest.fixture(scope="module")
def server() -> Generator[free_servers.Server]:
    with free_servers.server() as started:
        yield started


def storage_on(server: free_servers.Server, name: str, **options: Any) -> FreeSessionStorage:
    return FreeSessionStorage(free_servers.token_of(name), root_url=server.url, **options)


@pytest.mark.parametrize(
    ("in_flight", "chats"),
    [
        (64, 8),
        *(pytest.param(n, 1000, marks=pytest.mark.thorough) for n in (256, 1000)),
    ],
)
def test_no_update_is_lost(server: free_servers.Server, in_flight: int, chats: int) -> None:
    async def main() -> None:
        async with storage_on(server, f"counts{in_flight}", deadline=120) as storage:
            sessions = session(initial=zero, storage=storage)
            assert await increments(sessions, 1000, chats, in_flight) == {"ok": 1000}
            assert await total(storage) == 1000

    asyncio.run(main())


def test_no_update_is_lost_in_threads(server: free_servers.Server) -> None:
    sessions = session(initial=zero, storage=(storage := storage_on(server, "threads")))

    def count() -> None:
        for _ in range(20):
            with sessions.open(1) as opened:
                opened.data["n"] += 1

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sessions.sync.get(1) == {"n": 160}
    storage.sync.close()


def test_a_restart_in_a_load_loses_nothing(server: free_servers.Server) -> None:
    async def main() -> None:
        async with storage_on(server, "restart", deadline=60) as storage:
            sessions = session(initial=zero, storage=storage)
            load = asyncio.create_task(increments(sessions, 1000, 50))
            while await total(storage) < 200:
                await asyncio.sleep(0.01)
            assert await asyncio.to_thread(server.stop) == 0
            await asyncio.to_thread(server.start)
            ended = await load
            stored = await total(storage)
        assert sum(ended.values()) == 1000
        assert set(ended) <= {"ok", "SessionError", "SessionWriteError"}
        assert ended["ok"] <= stored <= ended["ok"] + ended["SessionWriteError"]

    asyncio.run(main())
    assert "finishing what is under way" in server.log
    assert "TEST-" not in server.log


def test_sessions_move_in_and_out_by_a_command(
    server: free_servers.Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entries = {f"user {number}/é": {"n": number} for number in range(200)}
    with SQLiteSessionStorage(tmp_path / "old.db") as old:
        old.sync.write_many(entries)
    monkeypatch.setenv("BOT_TOKEN", free_servers.token_of("moves"))
    monkeypatch.chdir(tmp_path)
    assert main(["copy", "sqlite:///old.db", f"free:{server.url}"]) == 0
    assert main(["copy", f"free:{server.url}", "sqlite:///new.db"]) == 0
    with SQLiteSessionStorage(tmp_path / "new.db") as new:
        assert dict(new.sync.iter_items()) == entries


@pytest.mark.thorough
def test_a_server_that_is_killed_in_a_load_loses_nothing_acknowledged() -> None:
    async def main(mortal: free_servers.Server) -> None:
        async with storage_on(mortal, "crash", deadline=60) as storage:
            sessions = session(initial=zero, storage=storage)
            await through_a_crash(mortal, sessions, storage)

    with free_servers.server() as mortal:
        asyncio.run(main(mortal))


def test_the_port_of_another_program_is_an_error(server: free_servers.Server) -> None:
    server.folder.joinpath("bots").write_text(TOKEN)
    command = [sys.executable, "-m", "sessionkit", "serve-free", "sqlite:///other.db"]
    command += ["--bots", "bots", "--port", str(server.port)]
    run = subprocess.run(
        command, cwd=server.folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert f"cannot listen at 127.0.0.1 port {server.port}" in run.stderr
