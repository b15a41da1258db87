"""What must be refused about lazy sessions."""

from dataclasses import dataclass

from sessionkit import LazySessionFlavor, Session, Sessions, lazy_session


@dataclass
class Pizza:
    """A session's data."""

    count: int = 0


pizzas = lazy_session(Pizza)
strict: Sessions[Pizza] = pizzas  # expect: mypy,pyright


class Context(LazySessionFlavor[Pizza]):
    """A context class of the project's own."""


async def reset(ctx: Context) -> None:
    """Forget to return the data."""
    (await ctx.session).count = 0


async def on_text(ctx: Context) -> None:
    """Handle an update."""
    ctx.session = reset(ctx)  # expect: mypy,pyright
    ctx.session = 5  # expect: mypy,pyright
    pizzas.of(ctx).data = reset(ctx)  # expect: mypy,pyright
    (await ctx.session).cuont = 1  # expect: mypy,pyright
    pizzas.of(ctx).data.count += 1  # expect: mypy,pyright


@pizzas.inject  # expect: mypy,pyright
async def of_another_kind(ctx: Context, session: Session[Pizza]) -> None:
    """Take a strict session."""
