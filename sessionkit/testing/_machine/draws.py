"""Steps of histories, drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from sessionkit.protocols import ANY
from sessionkit.testing._checked import Value
from sessionkit.testing._machine.pools import prefixes_of
from sessionkit.testing._ops import Op, Seen
from sessionkit.testing._trial import Place, Step

T = TypeVar("T")

_AGES: Final = (0, 1, 2, 3)
_SPANS: Final = (100.0, 10.0, 1.0)


class Choose(Protocol):
    """Draws one of the options; the first one is the simplest."""

    def __call__(self, options: Sequence[T], /) -> T:
        """Return one of *options*."""
        ...


@dataclass(frozen=True)
class Pools:
    """What steps are drawn from.

    Attributes:
        keys: The keys of the history.
        values: The values that are written, and placeholders.
        places: Where steps are done.
        capabilities: What the storage offers.
    """

    keys: tuple[str, ...]
    values: tuple[Any, ...]
    places: tuple[Place, ...]
    capabilities: frozenset[str]

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Prefixes for listings."""
        return prefixes_of(self.keys)

    def offered(self, *methods: str) -> tuple[str, ...]:
        """Return those of *methods* that the storage has."""
        always = {"read", "write", "delete"}
        return tuple(name for name in methods if name in always or name in self.capabilities)


Draw: TypeAlias = Callable[[Choose, Pools], Step]
"""A kind of steps: returns one of them, at random."""


def read_by(method: str, key: str) -> Op:
    """Return a call of *method* that reads, or lists, what is under *key*."""
    return Op(method, ([key],) if method == "read_many" else (key,))


def read(choose: Choose, pools: Pools) -> Step:
    """Ask for a key."""
    method = choose(pools.offered("read", "has", "read_many", "read_with_revision"))
    place = choose(pools.places)
    return Step(read_by(method, choose(pools.keys)), place)


def read_several(choose: Choose, pools: Pools) -> Step:
    """Ask for keys in one go, for some of them twice."""
    keys = [choose(pools.keys) for _ in range(choose((0, 1, 2, 3)))]
    return Step(Op("read_many", (keys,)), choose(pools.places))


def listing(choose: Choose, pools: Pools) -> Step:
    """List keys, or keys and values, by a prefix."""
    method = choose(pools.offered("iter_keys", "iter_items"))
    place = choose(pools.places)
    return Step(Op(method, (choose(pools.prefixes),)), place)


def write(choose: Choose, pools: Pools) -> Step:
    """Write a value, whatever was there."""
    place, key, value = choose(pools.places), choose(pools.keys), choose(pools.values)
    method = choose(pools.offered("write", "write_many", "write_if"))
    ops = {
        "write": Op("write", (key, value)),
        "write_many": Op("write_many", ({key: value},)),
        "write_if": Op("write_if", (key, value, ANY)),
    }
    return Step(ops[method], place)


def write_several(choose: Choose, pools: Pools) -> Step:
    """Write values in one go."""
    keys = [choose(pools.keys) for _ in range(choose((1, 2, 3)))]
    place = choose(pools.places)
    return Step(Op("write_many", ({key: choose(pools.values) for key in keys},)), place)


def delete(choose: Choose, pools: Pools) -> Step:
    """Delete a key, whether it is there or not."""
    method = choose(pools.offered("delete", "write_if"))
    place, key = choose(pools.places), choose(pools.keys)
    return Step(Op(method, (key,) if method == "delete" else (key, None, ANY)), place)


def write_if(choose: Choose, pools: Pools) -> Step:
    """Write, or delete, on condition of a revision that was seen before."""
    place, key = choose(pools.places), choose(pools.keys)
    value = choose((*pools.values, Value.NONE))
    return Step(Op("write_if", (key, value, Seen(choose(_AGES)))), place)


def write_if_missing(choose: Choose, pools: Pools) -> Step:
    """Write on condition that nothing is stored."""
    place, key = choose(pools.places), choose(pools.keys)
    return Step(Op("write_if", (key, choose((*pools.values, Value.NONE)), None)), place)


def update(choose: Choose, pools: Pools) -> Step:
    """Read, and then write on condition of what was read."""
    place, key = choose(pools.places), choose(pools.keys)
    return Step(Op("update", (key, choose((*pools.values, Value.NONE)))), place)


def write_until(choose: Choose, pools: Pools) -> Step:
    """Write a value that is to expire."""
    place, key, value = choose(pools.places), choose(pools.keys), choose(pools.values)
    options = (("expires", choose(_SPANS)),)
    return Step(Op("write_if", (key, value, ANY), options), place)


def wait(choose: Choose, pools: Pools) -> Step:
    """Let time pass up to an instant at which something expires, or almost."""
    place = choose(pools.places)
    return Step(Op("wait_until", (choose((0, 1, 2)), choose((False, True)))), place)


def outlive(choose: Choose, pools: Pools) -> Step:
    """Let time pass until everything is gone."""
    return Step(Op("outlive"), choose(pools.places))


def touch(choose: Choose, pools: Pools) -> Step:
    """Restart the timeout of a key, if it is there."""
    place = choose(pools.places)
    return Step(Op("touch", (choose(pools.keys),)), place)


def purge(choose: Choose, pools: Pools) -> Step:
    """Remove for good what has expired."""
    return Step(Op("purge_expired"), choose(pools.places))


def reopen(choose: Choose, pools: Pools) -> Step:
    """Close the storage and open it again."""
    return Step(Op("reopen"), choose(pools.places))


def change_written(choose: Choose, pools: Pools) -> Step:
    """Write a value, and change the object afterwards."""
    return write(choose, pools)._replace(changes=True)


def change_read(choose: Choose, pools: Pools) -> Step:
    """Read a value, and change the object afterwards."""
    method = choose(pools.offered("read", "read_many", "read_with_revision", "iter_items"))
    place = choose(pools.places)
    return Step(read_by(method, choose(pools.keys)), place, changes=True)
