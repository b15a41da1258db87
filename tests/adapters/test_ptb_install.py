"""What ``install`` checks and keeps of a builder, and which keys the updates have."""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import Any

import pytest
from telegram import Update
from telegram.ext import Application, CallbackContext, ContextTypes, ExtBot, TypeHandler

from sessionkit import (
    LazySessionFlavor,
    MemorySessionStorage,
    SessionFlavor,
    keys,
    lazy_session,
    multi_session,
    session,
)
from sessionkit_ptb import SessionApplicationMixin, SessionContext, SessionContextMixin
from sessionkit_ptb import install as typed_install
from tests.adapters.driver import message
from tests.adapters.ptb_bot import bare, feed, update_of
from tests.core import Data, counters, run, zero
from tests.test_keys import CASES, Case

Plain = dict[Any, Any]

install: Any = typed_install  # what users see of its types is checked in tests/typing


def counts(**options: Any) -> Any:
    return counters(get_session_key=keys.chat, **options)


async def count(update: object, context: Any) -> None:
    context.session["n"] += 1


def counting(builder: Any) -> Any:
    app = builder.build()
    app.add_handler(TypeHandler(object, count))
    return app


async def count_once(app: Any) -> None:
    async with app:
        await feed(app, message())


# --- what is refused ----------------------------------------------------------------------


@pytest.mark.parametrize("target", [None, "42:TEST", Application])
def test_what_is_not_a_builder_is_refused(target: Any) -> None:
    with pytest.raises(TypeError, match=r"takes an ApplicationBuilder, not \w+: install\(Appl"):
        install(target, counts())


def test_a_built_application_comes_too_late() -> None:
    app: Any = bare().build()

    with pytest.raises(TypeError, match=r"not Application: .*build"):
        install(app, counts())


def test_a_builder_gets_its_sessions_once() -> None:
    builder = install(bare(), cart=counts())

    with pytest.raises(ValueError, match="has sessions already: install several at once"):
        install(builder, prefs=counts())


@pytest.mark.parametrize("name", ["args", "bot_data", "error", "update", "refresh_data"])
def test_names_that_mean_something_to_contexts_are_refused(name: str) -> None:
    builder = bare()

    with pytest.raises(ValueError, match=f"context.{name} has a meaning in CallbackContext"):
        install(builder, counts(), name=name)

    install(builder, counts())  # what was refused left nothing behind


def test_the_arguments_are_those_of_every_adapter() -> None:
    with pytest.raises(TypeError, match="several by name"):
        install(bare())
    with pytest.raises(TypeError, match="migrate_chats must be"):
        install(bare(), counts(), migrate_chats=5)


def test_context_types_set_after_install_are_noticed_by_build() -> None:
    builder = install(bare(), counts())
    builder.context_types(ContextTypes())

    with pytest.raises(TypeError, match=r"context.session is missing in CallbackContext: .*before"):
        builder.build()


def test_an_application_class_set_after_install_is_noticed_by_build() -> None:
    builder = install(bare(), counts())
    builder.application_class(Application)

    with pytest.raises(TypeError, match=r"application_class\(\) was called after install\(\)"):
        builder.build()


def test_context_types_lost_after_build_are_noticed_by_initialize() -> None:
    app: Any = install(bare(), counts()).build()
    app.context_types = ContextTypes()

    with pytest.raises(TypeError, match=r"context\.session is missing"):
        run(app.initialize())


# --- what is kept -------------------------------------------------------------------------


def test_install_returns_the_builder_it_was_given() -> None:
    builder = bare()

    assert install(builder, counts()) is builder
    assert isinstance(builder.build(), SessionApplicationMixin)


def test_a_builder_without_sessions_stays_as_it_is() -> None:
    install(bare(), counts())

    assert not isinstance(bare().build(), SessionApplicationMixin)


class Bot_(dict[str, int]):
    """Bot data of a user's own."""


class Context(SessionFlavor[Data], CallbackContext[ExtBot[None], Plain, Plain, Bot_]):
    """A context of a user's own, which knows nothing of sessionkit_ptb."""

    @property
    def n(self) -> int:
        return int(self.session["n"])


class Kept(Application[Any, Any, Any, Any, Any, Any]):
    """An application of a user's own."""

    def __init__(self, colour: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.colour = colour


class Slotted(SessionApplicationMixin[Any, Any, Any, Any, Any, Any]):
    """One with slots, which leave no room for more attributes on Python 3.13."""

    __slots__ = ()


def test_context_and_application_classes_of_the_users_own_are_built_upon() -> None:
    seen: list[int] = []
    builder = bare().context_types(ContextTypes(Context, bot_data=Bot_))
    app = counting(install(builder.application_class(Kept, {"colour": "blue"}), counts()))

    async def look(update: object, context: Context) -> None:
        seen.append(context.n)

    app.add_handler(TypeHandler(object, look), 1)
    run(count_once(app))

    assert seen == [1]
    assert isinstance(app, Kept)
    assert app.colour == "blue"
    assert isinstance(app.bot_data, Bot_)
    assert issubclass(app.context_types.context, Context)
    assert app.context_types.context.__name__ == "Context"


@pytest.mark.parametrize("context", [SessionContext, SessionContextMixin])
def test_classes_that_have_the_mixins_are_built_upon_as_well(context: Any) -> None:
    sessions = counts()
    builder = bare().context_types(ContextTypes(context)).application_class(Slotted)
    run(count_once(counting(install(builder, sessions))))

    assert run(sessions.get(11)) == {"n": 1}


def test_the_name_can_be_another() -> None:
    memory = counts()
    app = install(bare(), memory, name="memory").build()

    async def remember(update: object, context: Any) -> None:
        context.memory["n"] += 1
        assert not hasattr(context, "session")

    app.add_handler(TypeHandler(object, remember))
    run(count_once(app))

    assert run(memory.get(11)) == {"n": 1}


# --- several, lazy, multi -----------------------------------------------------------------


def test_several_sessions_by_name() -> None:
    cart, prefs = counts(prefix="cart:"), counts(prefix="prefs:")
    app = install(bare(), cart=cart, prefs=prefs).build()

    async def shop(update: Any, context: Any) -> None:
        context.cart = {"n": 5}
        context.prefs["n"] += 1
        assert cart.of(context) is cart.of(update)
        assert prefs.of(context) is prefs.of(update)

    app.add_handler(TypeHandler(object, shop))
    run(count_once(app))

    assert run(cart.get(11)) == {"n": 5}
    assert run(prefs.get(11)) == {"n": 1}


def test_a_multi_session_shows_as_a_whole() -> None:
    cart, prefs = counts(prefix="cart:"), counts(prefix="prefs:")
    shop = multi_session(cart=cart, prefs=prefs)
    app = install(bare(), shop).build()

    async def buy(update: Any, context: Any) -> None:
        context.session.cart["n"] += 1
        context.session.prefs = {"n": 3}
        assert shop.of(context) is shop.of(update) is context.session
        assert cart.of(context) is cart.of(update)

    app.add_handler(TypeHandler(object, buy))
    run(count_once(app))

    assert run(cart.get(11)) == {"n": 1}
    assert run(prefs.get(11)) == {"n": 3}
    assert not shop._registry.open_on


class LazyContext(LazySessionFlavor[Data], CallbackContext[ExtBot[None], Plain, Plain, Plain]):
    """A context with a lazy session."""


def test_a_lazy_session_is_awaited() -> None:
    sessions = lazy_session(initial=zero)
    app = install(bare().context_types(ContextTypes(LazyContext)), sessions).build()

    async def remember(update: object, context: LazyContext) -> None:
        (await context.session)["n"] += 1

    app.add_handler(TypeHandler(object, remember))
    run(count_once(app))

    assert run(sessions.get(11)) == {"n": 1}


# --- the library --------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["telegram", "telegram.ext"])
def test_without_the_library_the_error_names_the_extra(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "sessionkit_ptb"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(ImportError, match=r"extra 'ptb': .*\"<checkout>\[ptb\]\"") as caught:
        importlib.import_module("sessionkit_ptb")
    assert caught.value.name == missing


def test_another_library_that_is_missing_is_another_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("sessionkit_ptb", "telegram"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "httpx", None)

    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("sessionkit_ptb")
    assert caught.value.name == "httpx"


# --- every kind of update, and its key ----------------------------------------------------


KNOWN = [pytest.param(each, id=each.name) for each in CASES if hasattr(Update, each.kind)]
"""Kinds that are younger than the library are objects without an event to it."""


@pytest.mark.parametrize("case", KNOWN)
def test_an_update_of_every_kind_has_the_key_that_it_has_everywhere(case: Case) -> None:
    found: dict[str, Any] = {}
    by = {"chat": keys.chat, "user": keys.user, "user_in_topic": keys.user_in_topic}
    named = {
        name: session(initial=zero, get_session_key=key, storage=MemorySessionStorage())
        for name, key in by.items()
    }
    app = install(bare(), None, **named).build()

    async def handler(update: Any, context: Any) -> None:
        found.update({name: each.of(context).key for name, each in named.items()})

    app.add_handler(TypeHandler(object, handler))

    async def main() -> None:
        async with app:
            await app.process_update(update_of({"update_id": 1, case.kind: case.event}, app))

    asyncio.run(main())

    assert found == {name: getattr(case, name) for name in by}
