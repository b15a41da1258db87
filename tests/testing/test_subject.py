"""Opening storages again and again, and letting time pass."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit.testing import FakeClock, Limits
from sessionkit.testing._factory import FactoryError
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._subject import Subject
from tests.clocks import FakeTimeLoop
from tests.testing.reference import Disk, Reference, subject_of
from tests.testing.variants import Bare

if TYPE_CHECKING:
    from pathlib import Path


class Closing(Bare):
    def __init__(self, log: list[str]) -> None:
        super().__init__(Disk(), FakeClock())
        self.log = log

    def close(self) -> None:
        self.log.append("close")


class Entered(Bare):
    def __init__(self, log: list[str]) -> None:
        super().__init__(Disk(), FakeClock())
        self.log = log

    async def __aenter__(self) -> Entered:
        self.log.append("enter")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.log.append("exit")


def run(course: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(course)


def run_at_once(course: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
        return runner.run(course)


def opening(make: Callable[[], Any]) -> Callable[[str], Any]:
    def open_storage(namespace: str) -> Any:
        return make()

    return open_storage


def factories(log: list[str]) -> list[Callable[..., Any]]:
    """All shapes that a factory may have."""

    def plain(namespace: str) -> Any:
        return Closing(log)

    async def awaited(namespace: str) -> Any:
        return Closing(log)

    def entered(namespace: str) -> Any:
        return Entered(log)

    @contextlib.contextmanager
    def managed(namespace: str) -> Generator[Any, None, None]:
        log.append("enter")
        yield Bare(Disk(), FakeClock())
        log.append("exit")

    @contextlib.asynccontextmanager
    async def async_managed(namespace: str) -> AsyncGenerator[Any, None]:
        log.append("enter")
        yield Bare(Disk(), FakeClock())
        log.append("exit")

    return [plain, awaited, entered, managed, async_managed]


@pytest.mark.parametrize("number", range(5))
def test_a_factory_may_have_many_shapes(number: int) -> None:
    log: list[str] = []

    async def main() -> None:
        with Subject(factories(log)[number]) as subject:
            async with subject.client() as storage:
                await storage.write("1", 1)
                await storage.expect_read("1", 1)

    run(main())
    assert log in (["close"], ["enter", "exit"])


class Opened(Bare):
    def __init__(self, *given: Any) -> None:
        super().__init__(Disk(), FakeClock())
        self.given = given


def of_any_names(namespace: str, folder: Path, time: Any) -> Any:
    return Opened(folder, time)


def with_a_default(namespace: str, kind: Any = "mine") -> Any:
    return Opened(kind)


def with_a_default_before(namespace: str, kind: Any = "mine", clock: Any = None) -> Any:
    return Opened(kind, clock)


def by_position(namespace: str, folder: Any = None, /) -> Any:
    return Opened(folder)


def by_name(namespace: str, *, clock: Any) -> Any:
    return Opened(clock)


def of_anything(*arguments: Any, **named: Any) -> Any:
    return Opened(*arguments[1:], *named)


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        (of_any_names, ["folder", "clock"]),
        (with_a_default, ["mine"]),
        (with_a_default_before, ["mine", "clock"]),
        (by_position, ["folder"]),
        (by_name, ["clock"]),
        (functools.partial(with_a_default_before, clock="mine"), ["mine", "mine"]),
        (of_anything, []),
    ],
)
def test_a_factory_gets_what_it_asks_for(factory: Callable[..., Any], expected: list[str]) -> None:
    async def main(subject: Subject) -> list[Any]:
        async with subject.client() as storage:
            return list(storage.storage.given)

    with Subject(factory) as subject:
        assert subject.uses_clock == ("clock" in expected)
        named = {"folder": subject.folder, "clock": subject.clock}
        assert run(main(subject)) == [named.get(each, each) for each in expected]


def test_a_folder_is_removed_at_the_end() -> None:
    with Subject(opening(lambda: None)) as subject:
        folder = subject.folder
        assert folder.is_dir()
        assert subject.folder == folder
        assert not subject.uses_clock

    assert not folder.exists()


def no_parameter() -> Any:
    raise AssertionError


def keyword_required(namespace: str, *, where: str) -> Any:
    raise AssertionError


def too_many(namespace: str, clock: Any, place: Any) -> Any:
    raise AssertionError


@pytest.mark.parametrize("factory", [None, "module:open", no_parameter, keyword_required, too_many])
def test_what_cannot_be_called_so_is_not_a_factory(factory: Any) -> None:
    with pytest.raises(FactoryError, match="a factory is open\\(namespace\\)"):
        Subject(factory)


@pytest.mark.parametrize("made", [None, 1, "sqlite://", Bare, object()])
def test_what_opens_no_storage_is_not_a_factory(made: Any) -> None:
    with pytest.raises(FactoryError, match="gave no storage"):
        run(Subject(opening(lambda: made)).capabilities())


def test_a_factory_that_fails_says_so() -> None:
    def failing(namespace: str) -> Any:
        raise OSError("no such host")

    with pytest.raises(FactoryError, match="raised OSError: no such host") as caught:
        run(Subject(failing).capabilities())

    assert isinstance(caught.value.__cause__, OSError)


def test_a_storage_that_cannot_be_closed_still_tells_what_it_offers() -> None:
    class Unclosable(Bare):
        def close(self) -> None:
            raise OSError("busy")

    subject = Subject(opening(lambda: Unclosable(Disk(), FakeClock())))

    assert run(subject.capabilities()) == {"close"}
    assert run(subject.capabilities()) == {"close"}


def test_the_first_error_counts_and_not_that_of_closing() -> None:
    class Unclosable(Bare):
        def close(self) -> None:
            raise OSError("busy")

    async def main() -> None:
        subject = Subject(opening(lambda: Unclosable(Disk(), FakeClock())))
        with pytest.raises(KeyError):
            async with subject.client():
                raise KeyError("1")
        with pytest.raises(OSError, match="busy"):
            async with subject.client():
                pass

    run(main())


def test_openings_have_names_and_histories_of_their_own() -> None:
    async def main() -> None:
        with subject_of(Reference) as subject:
            namespace = subject.namespace()
            for _ in range(2):
                async with subject.client(namespace) as storage, subject.client() as second:
                    assert (storage.name, second.name) == ("storage", "second")
            assert (
                subject.history.lines
                == 2
                * (
                    "storage = open('n1')",
                    "second = open('n2')",
                    "# second is closed",
                    "# storage is closed",
                )
                or subject.history.lines[5] == "second = open('n3')"
            )
            async with contextlib.AsyncExitStack() as stack:
                names = [(await stack.enter_async_context(subject.client())).name for _ in range(6)]
            assert names[-2:] == ["storage5", "storage6"]

    run(main())


def test_a_failing_opening_is_shown() -> None:
    def failing(namespace: str) -> Any:
        raise OSError("no such host")

    async def main() -> None:
        subject = Subject(failing)
        with pytest.raises(OSError, match="no such host"):
            async with subject.client():
                raise AssertionError
        assert subject.history.lines == ("storage = open('n1')  # raised OSError('no such host')",)

    run(main())


def test_the_same_seed_gives_the_same_numbers() -> None:
    one, other = Subject(of_anything, seed=1), Subject(of_anything, seed=2)

    assert one.random().random() == one.random().random()
    assert one.random().random() != other.random().random()


def test_an_unknown_profile_is_refused() -> None:
    profile: Any = "quick"
    with pytest.raises(ValueError, match="default, thorough, not 'quick'"):
        Subject(of_anything, profile=profile)


# Needs


@pytest.mark.parametrize(
    ("need", "reason"),
    [
        ("has", "the storage has no has()"),
        ("isolated", "the storage does not declare isolated = True"),
        ("sync", "the storage has no sync"),
        ("shared", "declared by Limits(shared=False)"),
        ("durable", "declared by Limits(durable=False)"),
        ("ttl", "no timeout is declared by Limits(ttl=...)"),
        ("clock", "open() does not use the clock of the kit"),
        ("time", "open() does not use the clock of the kit, so time cannot be skipped, "),
    ],
)
def test_what_a_storage_does_not_offer_is_left_out(need: str, reason: str) -> None:
    subject = Subject(of_anything, limits=Limits(shared=False, durable=False))

    with pytest.raises(LeftOut) as caught:
        run(subject.begin([need]))

    assert str(caught.value).startswith(reason)


def test_what_a_storage_offers_is_not_left_out() -> None:
    needs = ("has", "isolated", "sync", "shared", "durable", "ttl", "clock", "time")

    run(subject_of(Reference, Limits(ttl=5)).begin(needs))


def test_only_a_thorough_run_waits_and_not_for_long() -> None:
    short = Subject(of_anything, profile="thorough", limits=Limits(ttl=1))
    run(short.begin(["time", "ttl"]))

    long = Subject(of_anything, profile="thorough", limits=Limits(ttl=3600))
    with pytest.raises(LeftOut, match="a timeout of 3600 seconds would have to be waited for"):
        run(long.begin(["time"]))


def test_damage_is_left_out_unless_somebody_says_how() -> None:
    async def main(subject: Subject) -> None:
        await subject.damage("n1", "1")

    with pytest.raises(LeftOut, match="no damage"):
        run(main(Subject(of_anything)))


def test_losing_all_is_left_out_unless_somebody_says_how() -> None:
    lost: list[str] = []

    with pytest.raises(LeftOut, match=r"no lose\(namespace\) is given, which takes away"):
        run(Subject(of_anything).lose("n1"))
    run(Subject(of_anything, lose=lost.append).lose("n1"))
    assert lost == ["n1"]


def test_damage_that_fails_is_not_a_fault_of_the_storage() -> None:
    def damage(namespace: str, key: str) -> None:
        raise OSError("no such file")

    def left_out(namespace: str, key: str) -> None:
        raise LeftOut("not here")

    with pytest.raises(FactoryError, match="damage\\('n1', '1'\\) raised OSError: no such file"):
        run(Subject(of_anything, damage=damage).damage("n1", "1"))
    with pytest.raises(LeftOut, match="not here"):
        run(Subject(of_anything, damage=left_out).damage("n1", "1"))


# Time


def test_time_is_skipped_for_storages_that_take_the_clock() -> None:
    subject = subject_of(Reference)
    begun = subject.now()

    run(subject.pass_time(3600))

    assert subject.now() == begun + 3600
    assert subject.lifetime == 100
    assert subject.history.lines == ("clock.advance(3600)",)


def test_time_is_waited_for_otherwise() -> None:
    subject = Subject(of_anything)

    run_at_once(subject.pass_time(3600))

    assert abs(subject.now() - time.time()) < 60
    assert subject.lifetime == 2
    assert subject.history.lines == ("time.sleep(3600)",)


def test_a_second_opening_waits_until_it_must_have_caught_up() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        disk = Disk()
        limits = Limits(eventually_consistent=30)
        subject = Subject(opening(lambda: Reference(disk, time.time)), limits=limits)
        async with subject.client("n1") as storage, subject.client("n1") as second:
            await storage.write("1", 1)
            await storage.expect_read("1", 1)
            assert loop.time() == 0
            await second.expect_read("1", 1)
            assert 29 < loop.time() <= 30
            await second.write("1", 2)
            waited = loop.time()
            await storage.expect_read("1", 2)
            assert loop.time() > waited + 29

    run_at_once(main())


def test_a_storage_that_is_opened_again_is_another_opening() -> None:
    class Slow(Reference):
        async def read(self, key: str) -> Any:
            return super().read(key)

        async def write(self, key: str, value: Any) -> None:
            await asyncio.sleep(10)
            super().write(key, value)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        limits = Limits(eventually_consistent=30)
        disks = {"n1": Disk(), "n2": Disk()}

        def open_it(namespace: str) -> Slow:
            return Slow(disks[namespace], time.time)

        subject = Subject(open_it, limits=limits)
        async with subject.client("n1") as storage:
            await storage.write("1", 1)
            await storage.expect_read("1", 1)
            assert loop.time() == 10
        async with subject.client("n1") as storage:
            async with subject.client("n2") as elsewhere:
                await elsewhere.expect_read("1", None)
                await elsewhere.write("1", 2)
                assert loop.time() == 20
            await storage.expect_read("1", 1)
            assert 39 < loop.time() <= 40
            await subject.lag.catch_up()
            assert 69 < loop.time() <= 70

    run_at_once(main())
