"""Sessions whose data is declared with attrs, msgspec or pydantic."""

from typing import Any, assert_type

import attrs
import msgspec
import pydantic

from sessionkit import Sessions, lazy_session, session
from sessionkit.converters import Converter, RecordField, RecordType
from sessionkit_msgspec import MsgspecConverter
from sessionkit_pydantic import PydanticConverter


@attrs.define
class Line:
    """A session's data as an attrs class."""

    name: str = ""


class Pizza(msgspec.Struct):
    """A session's data as a Struct."""

    count: int = 0


class Cart(pydantic.BaseModel):
    """A session's data as a model."""

    total: float = 0


lines = session(Line)
pizzas = session(Pizza)
carts = lazy_session(Cart)
coerced = session(Cart, converter=PydanticConverter(Cart, coerce=True))
numbers = session(initial=list[int], converter=MsgspecConverter(list[int]))
converter: Converter[Cart] = PydanticConverter(Cart)
assert_type(lines, Sessions[Line])
assert_type(numbers, Sessions[list[int]])


async def handle(ctx: object) -> None:
    """Use them."""
    async with lines.open(ctx) as line, pizzas.open(ctx) as pizza, carts.open(ctx) as cart:
        assert_type(line.data.name, str)
        assert_type(pizza.data.count, int)
        assert_type((await cart.data).total, float)


def record_for(kind: Any) -> RecordType:
    """Describe a class of another library."""
    return RecordType(kind=kind, fields=(RecordField(name="n", required=True),))
