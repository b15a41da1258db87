"""A bot without a network, in grammY's manner, so that the examples show sessions only.

Each middleware gets the context and the handler of whatever comes after it, as
``await sessions(ctx, handler)`` does.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Generic, TypeAlias, TypeVar


class Context:
    """One update: a text, the chat and the user that it came from, the replies to it."""

    def __init__(self, text: str, chat_id: int | None, user_id: int | None) -> None:
        self.text = text
        self.chat_id = chat_id
        self.user_id = user_id
        self.replies: list[str] = []

    async def reply(self, text: str) -> None:
        self.replies.append(text)
        print(f"{'':8}    bot: {text}")


C = TypeVar("C", bound=Context)
Handler: TypeAlias = Callable[[C], Awaitable[object]]
Middleware: TypeAlias = Callable[[C, Handler[C]], Awaitable[object]]


class Bot(Generic[C]):
    """Hands each update through the middleware to the first handler whose pattern is found."""

    def __init__(self, context: type[C]) -> None:
        self.context = context
        self.middleware: list[Middleware[C]] = []
        self.handlers: list[tuple[str, Handler[C]]] = []

    def use(self, middleware: Middleware[C]) -> None:
        self.middleware.append(middleware)

    def hears(self, pattern: str) -> Callable[[Handler[C]], Handler[C]]:
        def add(handler: Handler[C]) -> Handler[C]:
            self.handlers.append((pattern, handler))
            return handler

        return add

    def command(self, name: str) -> Callable[[Handler[C]], Handler[C]]:
        return self.hears(rf"^/{name}\b")

    def on_message(self, handler: Handler[C]) -> Handler[C]:
        return self.hears("")(handler)

    async def receive(
        self, text: str, chat: int | None = 424242, user: int | None = 3
    ) -> list[str]:
        """Handle an update as if it had just arrived; return what the bot replied."""
        print(f"{chat or '':>8} user {user or '?'}: {text}")
        ctx = self.context(text, chat, user)
        await self._pass_on(ctx, self.middleware)
        return ctx.replies

    async def _pass_on(self, ctx: C, steps: list[Middleware[C]]) -> None:
        if steps:
            await steps[0](ctx, lambda ctx: self._pass_on(ctx, steps[1:]))
        else:
            await self._handle(ctx)

    async def _handle(self, ctx: C) -> None:
        for pattern, handler in self.handlers:
            if re.search(pattern, ctx.text):
                await handler(ctx)
                return
