"""What bots get when they log in, and show with each request."""

from __future__ import annotations

import secrets
import time
from typing import Any, Final

import jwt

_jwt: Final[Any] = jwt  # which is typed in part only
_ALGORITHM: Final = "HS512"
_DAY: Final = 86400.0


class Tokens:
    """Signs and checks tokens, by a secret that ends with the process.

    After a restart, or when a token has expired, a bot logs in again: so a bot that is
    removed from the list, or whose token was revoked, has no access for long.

    Args:
        lifetime: How long a token is valid, in seconds.
    """

    def __init__(self, lifetime: float = _DAY) -> None:
        self._secret = secrets.token_bytes(64)
        self._lifetime = lifetime

    def token_for(self, bot: int) -> str:
        """Return a token for the bot with this id."""
        claims = {"id": bot, "exp": time.time() + self._lifetime}
        token: str = _jwt.encode(claims, self._secret, _ALGORITHM)
        return token

    def bot_of(self, token: str) -> int | None:
        """Return the id of the bot that *token* was made for; None if it is not valid."""
        try:
            claims: dict[str, Any] = _jwt.decode(
                token, self._secret, [_ALGORITHM], options={"require": ["id", "exp"]}
            )
        except jwt.InvalidTokenError:
            return None
        bot: int = claims["id"]
        return bot
