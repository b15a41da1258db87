"""What must be refused about strict sessions."""

from dataclasses import dataclass

from sessionkit import Session, SessionFlavor, Sessions, session


@dataclass
class Pizza:
    """A session's data."""

    count: int = 0


pizzas = session(Pizza)
wrong_initial = session(Pizza, initial=lambda: 5)  # expect: mypy
no_such_option = session(Pizza, lock_timout=5)  # expect: mypy,pyright
wrong_option = session(Pizza, prefix=5)  # expect: mypy,pyright
no_storage = session(Pizza, storage=5)  # expect: mypy,pyright
others: Sessions[int] = pizzas  # expect: mypy,pyright


class Context(SessionFlavor[Pizza]):
    """A context class of the project's own."""


class Other:
    """Another context class."""


async def on_text(ctx: Context) -> None:
    """Handle an update."""
    ctx.session = 5  # expect: mypy,pyright
    print(ctx.session.cuont)  # expect: mypy,pyright
    pizzas.of(ctx).data = "pizza"  # expect: mypy,pyright
    print(await ctx.session)  # expect: mypy,pyright


async def as_middleware(ctx: Other) -> None:
    """Handle an update of another kind."""
    await pizzas(ctx, on_text)  # expect: mypy,pyright


async def by_key() -> None:
    """Use sessions outside an update."""
    await pizzas.update(5, lambda pizza: pizza.count)  # expect: mypy,pyright
    await pizzas.open(5).begin().data  # expect: mypy,pyright
    async with pizzas.open(5) as pizza:
        pizza.save(True)  # expect: mypy,pyright


@pizzas.inject  # expect: mypy,pyright
async def no_session(ctx: Context) -> None:
    """Take no session."""


@pizzas.inject  # expect: mypy,pyright
async def of_another_type(ctx: Context, session: Session[int]) -> None:
    """Take another session."""
