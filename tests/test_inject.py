"""``sessions.inject`` hands the open session to a function as its second argument."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest

from sessionkit import LazySession, MemorySessionStorage, Session, SyncSession
from sessionkit.types import SyncLazySession
from tests.contexts import Ctx, assert_nothing_left, lazy, run, strict


@pytest.fixture
def sessions() -> Any:
    made = strict(storage=MemorySessionStorage())
    made.storage.write("1", {"n": 1})
    return made


async def count(ctx: Ctx, session: Any, by: int = 1, *, twice: bool = False) -> int:
    """Count."""
    session.data["n"] += by * (2 if twice else 1)
    return int(session.data["n"])


def count_in_a_thread(ctx: Ctx, session: Any, by: int = 1) -> int:
    session.data["n"] += by
    return int(session.data["n"])


def test_an_async_function_gets_an_open_session(sessions: Any) -> None:
    counted = sessions.inject(count)

    assert run(counted(Ctx())) == 2
    assert run(counted(Ctx(), 5)) == 7
    assert run(counted(Ctx(), by=1, twice=True)) == 9
    assert sessions.storage.read("1") == {"n": 9}
    assert_nothing_left(sessions)


def test_a_function_gets_one_for_threads(sessions: Any) -> None:
    counted = sessions.inject(count_in_a_thread)

    assert counted(Ctx()) == 2
    assert counted(Ctx(), by=5) == 7
    assert sessions.storage.read("1") == {"n": 7}
    assert_nothing_left(sessions)


@pytest.mark.parametrize(
    ("make", "kinds"), [(strict, (Session, SyncSession)), (lazy, (LazySession, SyncLazySession))]
)
def test_each_gets_its_kind_of_session(make: Any, kinds: Any) -> None:
    sessions = make()

    async def for_loops(ctx: Any, session: Any) -> None:
        assert isinstance(session, kinds[0])

    def for_threads(ctx: Any, session: Any) -> None:
        assert isinstance(session, kinds[1])

    run(sessions.inject(for_loops)(Ctx()))
    sessions.inject(for_threads)(Ctx())


def test_a_key_does_for_a_context(sessions: Any) -> None:
    assert run(sessions.inject(count)("1")) == 2
    assert run(sessions.inject(count)(1)) == 3


def test_an_error_writes_nothing(sessions: Any) -> None:
    async def fail(ctx: Any, session: Any) -> None:
        session.data["n"] = 2
        raise RuntimeError

    def fail_in_a_thread(ctx: Any, session: Any) -> None:
        session.data["n"] = 2
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run(sessions.inject(fail)(Ctx()))
    with pytest.raises(RuntimeError):
        sessions.inject(fail_in_a_thread)(Ctx())
    assert sessions.storage.read("1") == {"n": 1}
    assert_nothing_left(sessions)


@pytest.mark.parametrize("function", [count, count_in_a_thread])
def test_the_parameter_does_not_show(sessions: Any, function: Any) -> None:
    injected = sessions.inject(function)

    assert "session" not in inspect.signature(injected).parameters
    assert inspect.getfullargspec(injected).args == ["ctx", "by"]
    assert not hasattr(injected, "__wrapped__")
    assert injected.__name__ == function.__name__
    assert injected.__doc__ == function.__doc__
    assert inspect.iscoroutinefunction(injected) == inspect.iscoroutinefunction(function)


def test_bound_methods_and_partials_do(sessions: Any) -> None:
    class Bot:
        async def on_text(self, ctx: Any, session: Any) -> int:
            return await count(ctx, session)

    assert run(sessions.inject(Bot().on_text)(Ctx())) == 2
    assert run(sessions.inject(functools.partial(count, by=10))(Ctx())) == 12


def test_methods_that_are_not_bound_are_refused(sessions: Any) -> None:
    class Bot:
        async def on_text(self, ctx: Any, session: Any) -> None: ...

    with pytest.raises(TypeError) as caught:
        sessions.inject(Bot.on_text)
    assert str(caught.value).endswith(
        "Bot.on_text() is a method: inject where it is bound, sessions.inject(object.method)"
    )


def no_parameters() -> None: ...


def one_parameter(ctx: Any) -> None: ...


def by_name(ctx: Any, *, session: Any) -> None: ...


def any_number(*args: Any) -> None: ...


def keywords(ctx: Any, **session: Any) -> None: ...


@pytest.mark.parametrize("function", [no_parameters, one_parameter, by_name, any_number, keywords])
def test_a_function_that_cannot_take_both_is_refused(sessions: Any, function: Any) -> None:
    with pytest.raises(TypeError) as caught:
        sessions.inject(function)
    assert str(caught.value) == (
        f"{function.__name__}() must take a context and a session, in this order"
    )


def test_a_function_for_threads_is_refused_where_a_loop_runs(sessions: Any) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="use 'async with'"):
            sessions.inject(count_in_a_thread)(Ctx())

    run(main())
