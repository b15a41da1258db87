"""One update on both sides, for tests that say what each of them does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from sessionkit import enhance_storage
from tests.grammy.bridge import Options
from tests.grammy.changes import functions
from tests.grammy.doubles import Recorded
from tests.grammy.handler import Run
from tests.grammy.mirror import Mirror
from tests.grammy.process import JSError
from tests.grammy.wire import JSON, UNDEFINED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.grammy.bridge import Grammy, Key
    from tests.grammy.changes import Change
    from tests.grammy.mirror import Kind, Place
    from tests.grammy.outcome import Op
    from tests.grammy.steps import Step

E = TypeVar("E")


@dataclass(frozen=True)
class Side(Generic[E]):
    """What one side did.

    Attributes:
        ops: The calls of the storage in short, as in ``Outcome``.
        stored: What is stored afterwards.
    """

    saw: list[JSON]
    caught: list[E]
    error: E | None
    ops: str
    stored: dict[str, JSON]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A bot with one storage, and what is in it.

    With *ttl_ms* or *table* the storage is enhanced; *now* is the time of the update.
    The version in *table* is what grammY gets as a property name.
    """

    kind: Kind = "strict"
    stored: Mapping[str, JSON] = field(default_factory=dict[str, JSON])
    initial: JSON = UNDEFINED
    prefix: str | None = None
    key: Key = "chat"
    missing: Literal["absent", "None"] = "absent"
    place: Place = "flavor"
    fail: tuple[Op, ...] = ()
    ttl_ms: int | None = None
    table: Mapping[str, Sequence[Change]] | None = None
    now: int = 0

    @property
    def is_enhanced(self) -> bool:
        """Whether the storage is enhanced."""
        return self.ttl_ms is not None or self.table is not None

    def grammy(self, grammy: Grammy, *programs: Sequence[Step], **origin: Any) -> Side[JSError]:
        """What grammY does in updates with *programs*; the outcome is that of the last."""
        grammy.set_clock(self.now)
        inner = grammy.memory(self.stored)
        inner.fail(*self.fail)
        storage = (
            grammy.enhanced(inner, ttl_ms=self.ttl_ms, migrations=self.table)
            if self.is_enhanced
            else inner
        )
        options = Options(self.initial, self.prefix, self.key, storage)
        if self.kind == "multi":
            bot = grammy.multi_bot({"a": options})
        else:
            bot = grammy.bot(self.kind, **vars(options))
        *_, last = [bot.update(program, **origin) for program in programs]
        assert not last.hang
        return Side(last.saw, last.caught, last.error, last.ops, inner.dump())

    def ours(self, *programs: Sequence[Step], **origin: Any) -> Side[BaseException]:
        """What sessionkit does in the same."""
        inner = Recorded(self.stored)
        inner.fail(*self.fail)
        storage = self.enhanced(inner) if self.is_enhanced else inner
        name = "a" if self.kind == "multi" else ""
        options = {name: Options(self.initial, self.prefix, self.key)}
        mirror = Mirror(self.kind, options, {name: storage}, self.missing)
        run = Run()
        for program in programs:
            inner.recorded()
            run = asyncio.run(mirror.update(program, place=self.place, **origin))
        return Side(
            run.saw, run.caught, run.error, "".join(call.op for call in inner.calls), inner.stored
        )

    def enhanced(self, inner: Any) -> Any:
        """Our enhancer around *inner*, with the same options."""
        return enhance_storage(
            inner,
            ttl=None if self.ttl_ms is None else self.ttl_ms / 1000,
            migrations=None if self.table is None else functions(self.table),
            clock=lambda: self.now / 1000,
        )

    def both(
        self,
        grammy: Grammy,
        *programs: Sequence[Step],
        chat: int | None = 1,
        user: int | None = None,
    ) -> tuple[Side[JSError], Side[BaseException]]:
        """What grammY does, and what sessionkit does."""
        theirs = self.grammy(grammy, *programs, chat=chat, user=user)
        return theirs, self.ours(*programs, chat=chat, user=user)
