"""A context for handlers under test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    S = TypeVar("S", default=Any)
    # A test hands it to a handler that expects the context of a framework
    _Anything = Any
else:
    from typing import TypeVar

    S = TypeVar("S")
    _Anything = object

_NOT_GIVEN: Final[Any] = object()


class FakeContext(Generic[S], _Anything):  # type: ignore[misc]  # as a mock: fits every parameter
    """A plain context object: for a handler that a test calls through its sessions.

    All functions of ``sessionkit.keys`` understand it.  To type checkers it fits
    any parameter, as mocks do, so that handlers keep the annotations they have.

    Args:
        chat_id: Where the update came from; None for an update without a chat.
        user_id: Who sent it; None for an update without a user.
        thread_id: The topic within the chat; None outside of topics.
        session: Data that the handler finds as ``ctx.session`` if the test calls it
            directly, without sessions.  Sessions show their own data meanwhile.
        **attributes: What else the handler uses: ``text="hello"``,
            ``reply=AsyncMock()``, ``business_connection_id="b1"``.

    Example:
        ctx = FakeContext(chat_id=1, text="pizza")
        await sessions(ctx, handler)
        assert (await sessions.get(1)).count == 1
    """

    session: S
    """What sessions show for the handler's time, or what the test gave."""

    def __init__(
        self,
        *,
        chat_id: int | str | None = None,
        user_id: int | str | None = None,
        thread_id: int | str | None = None,
        session: S = _NOT_GIVEN,
        **attributes: Any,
    ) -> None:
        self.chat_id = chat_id
        self.user_id = user_id
        self.thread_id = thread_id
        if session is not _NOT_GIVEN:
            self.session = session
        self.__dict__.update(attributes)

    def __repr__(self) -> str:
        given = (f"{name}={value!r}" for name, value in vars(self).items() if value is not None)
        return f"FakeContext({', '.join(given)})"

    def __getattr__(self, name: str) -> Any:
        msg = f"this FakeContext has no {name!r}: give it one, FakeContext({name}=...)"
        if name == "session":
            msg = (
                "no session is open on this FakeContext: it shows while a handler runs, in "
                "await sessions(ctx, handler). After that look with await sessions.get(ctx)"
            )
        raise AttributeError(msg, name=name, obj=self)
