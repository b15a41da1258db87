"""Errors of the storage inside come through, and leave nothing wrong behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from sessionkit._storage.sync_or_async import resolve
from sessionkit.protocols import ANY
from sessionkit.testing._client import Client
from sessionkit.testing._show import show
from sessionkit.testing._suites import Collection
from sessionkit.testing._wrappers.inside import offered_by
from sessionkit.testing._wrappers.subject import WrapperSubject

errors: Final[Collection[WrapperSubject]] = Collection()

_INSIDE_READS: Final = (
    "read",
    "has",
    "read_many",
    "read_with_revision",
    "read_tracked",
    "iter_keys",
    "iter_items",
)
_INSIDE_WRITES: Final = ("write", "delete", "write_many", "write_if")

_Use: TypeAlias = Callable[[Client], Awaitable[Any]]


async def _read_tracked(storage: Client) -> Any:
    storage.history.note("await storage.read_tracked('1')")
    return await resolve(storage.storage.read_tracked("1"))


_READING: Final[dict[str, _Use]] = {
    "read": lambda storage: storage.read("1"),
    "has": lambda storage: storage.has("1"),
    "read_many": lambda storage: storage.read_many(["1", "2"]),
    "read_with_revision": lambda storage: storage.read_with_revision("1"),
    "read_tracked": _read_tracked,
    "iter_keys": lambda storage: storage.keys(),
    "iter_items": lambda storage: storage.items(),
}
_WRITING: Final[dict[str, _Use]] = {
    "write": lambda storage: storage.write("1", {"n": 2}),
    "write_many": lambda storage: storage.write_many({"1": {"n": 2}}),
    "write_if": lambda storage: storage.write_if("1", {"n": 2}, ANY),
}
_DELETING: Final[dict[str, _Use]] = {
    "delete": lambda storage: storage.delete("1"),
    "write_if": lambda storage: storage.write_if("1", None, ANY),
}


class _InsideError(OSError):
    """What the storage inside raises."""

    def __repr__(self) -> str:
        return "OSError('the disk is full')"


@errors.promise(
    "An error of the storage inside comes through as it is: it is never taken for missing.",
    hint="the wrapper catches it and gives None, an empty dict or a value that it remembers. The "
    "session would start again and overwrite what is stored.",
)
async def read_errors_come_through(subject: WrapperSubject) -> None:
    for name, use in _READING.items():
        await _expect_error(subject, name, use, _INSIDE_READS)


@errors.promise(
    "An error of the storage inside comes through as it is if something was to be written.",
    hint="the wrapper catches it, or writes later in the background: the session would take the "
    "data for stored.",
)
async def write_errors_come_through(subject: WrapperSubject) -> None:
    for name, use in {**_WRITING, "delete": _DELETING["delete"]}.items():
        await _expect_error(subject, name, use, _INSIDE_WRITES)


@errors.promise(
    "If the storage inside fails to write, the old value stays, and is what is read.",
    hint="the wrapper puts the new value into its cache before the storage inside has it, or "
    "deletes the old value first.",
)
async def failed_write_keeps_the_old_value(subject: WrapperSubject) -> None:
    for name, use in _WRITING.items():
        await _expect_kept(subject, name, use, ("write", "write_if", "write_many"))


@errors.promise(
    "If the storage inside fails to delete, the value stays, and is what is read.",
    hint="the wrapper forgets the value, or marks it as missing, before the storage inside has "
    "deleted it.",
)
async def failed_delete_keeps_the_value(subject: WrapperSubject) -> None:
    for name, use in _DELETING.items():
        await _expect_kept(subject, name, use, ("delete", "write_if"))


@errors.promise(
    "A read that failed is not remembered: the next one asks the storage inside again.",
    hint="the wrapper caches 'missing' before the storage inside has answered.",
)
async def failed_read_is_not_remembered(subject: WrapperSubject) -> None:
    namespace = await _stored(subject)
    async with subject.client(namespace) as storage:
        async with subject.failing(namespace, _InsideError(), *_INSIDE_READS):
            await _error_of(storage, _READING["read"])
        await storage.expect_read("1", {"n": 1})


async def _stored(subject: WrapperSubject) -> str:
    """Return a new namespace in which two values are stored."""
    subject.start_history()
    namespace = subject.namespace()
    async with subject.client(namespace) as storage:
        await storage.write("1", {"n": 1})
        await storage.write("2", {"n": 2})
    return namespace


async def _expect_error(
    subject: WrapperSubject, name: str, use: _Use, failing: tuple[str, ...]
) -> None:
    namespace = await _stored(subject)
    async with subject.client(namespace) as storage:
        if not _offers(storage, name):
            return
        error = _InsideError("the disk is full")
        async with subject.failing(namespace, error, *failing):
            got = await _error_of(storage, use)
            if got is not error:
                _fail(storage, error, got)


async def _expect_kept(
    subject: WrapperSubject, name: str, use: _Use, failing: tuple[str, ...]
) -> None:
    namespace = await _stored(subject)
    async with subject.client(namespace) as storage:
        if not _offers(storage, name):
            return
        await storage.read("1")
        async with subject.failing(namespace, _InsideError("the disk is full"), *failing):
            await _error_of(storage, use)
        await storage.expect_read("1", {"n": 1})
        async with subject.client(namespace) as second:
            await second.expect_read("1", {"n": 1})


async def _error_of(storage: Client, use: _Use) -> BaseException | None:
    try:
        await use(storage)
    except Exception as error:  # noqa: BLE001 (whatever comes through)
        return error
    return None


def _fail(storage: Client, error: BaseException, got: BaseException | None) -> None:
    storage.fail(
        expected=f"{show(error)}, the very error of the storage inside",
        got="no error" if got is None else show(got),
    )


def _offers(storage: Client, name: str) -> bool:
    return name in ("read", "write", "delete") or name in offered_by(storage.storage)
