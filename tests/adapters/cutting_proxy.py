"""A proxy that delivers what clients send, and loses replies, or everything."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Proxy:
    """Sits between clients and a server.

    Attributes:
        cut: How likely a connection is cut instead of passing a reply on.
        silent: Whether nothing is passed on any more.
    """

    def __init__(self, port: int, seed: int = 0) -> None:
        self.cut = 0.0
        self.silent = False
        self.cuts = 0
        self._port = port
        self._random = random.Random(seed)
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what one client and the server say."""
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, ours}
        with suppress(OSError):
            await asyncio.gather(self._up(reader, ours), self._down(theirs, writer))
        for end in (writer, ours):
            end.close()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self.silent:
                writer.write(data)
        writer.close()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self._random.random() < self.cut:
                self.cuts += 1
                break
            if not self.silent:
                writer.write(data)
        writer.close()

    def end(self) -> None:
        """Close what is still open."""
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def proxy(url: str, seed: int = 0) -> AsyncGenerator[tuple[str, Proxy]]:
    """A proxy before the server at *url*, and the URL that leads to it."""
    port = urlsplit(url).port
    assert port is not None
    made = Proxy(port, seed)
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    try:
        ours = listening.sockets[0].getsockname()[1]
        yield url.replace(f":{port}", f":{ours}"), made
    finally:
        listening.close()
        made.end()
        await asyncio.sleep(0.01)
