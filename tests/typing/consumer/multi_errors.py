"""What must be refused about multi sessions."""

from dataclasses import dataclass

from sessionkit import MultiSession, lazy_session, multi_session, session


@dataclass
class Cart:
    """What a user wants."""

    items: int = 0


class Shop(MultiSession):
    """All of it."""

    cart = session(Cart)
    log = lazy_session(Cart)


async def forgot_return() -> None:
    """Forget to return the data."""


def use(shop: Shop) -> None:
    """Misuse fragments."""
    shop.cart = 5  # expect: mypy,pyright
    shop.log = forgot_return()  # expect: mypy,pyright
    print(shop.cart.itmes)  # expect: mypy,pyright


multi_session(dict)  # expect: mypy,pyright
multi_session(cart=5)  # expect: mypy,pyright
