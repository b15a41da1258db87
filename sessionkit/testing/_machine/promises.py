"""What histories of many steps must show: one promise for each kind of mistake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sessionkit.testing._machine import draws
from sessionkit.testing._machine import pools as pool
from sessionkit.testing._machine.theme import Theme, bare_plan, plan
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject

_THOROUGH: Final = 28
"""How many searches there are for one: so many that all layers together take 20 times longer,
for a race cannot be stopped at more lines than there are."""


async def explore(subject: Subject, name: str, themes: Sequence[Theme]) -> None:
    """Search each of *themes* for a history that breaks the promise, and raise the first one.

    Args:
        subject: The storage under test.
        name: What the seeds of these searches have in common.
        themes: What the histories are made of: one search each, more if the run is thorough.

    Raises:
        Exception: What the check under way is to raise; ``subject.history`` shows how it came.
        FactoryError: No storage could be opened.
    """
    from sessionkit.testing._machine.search import Search  # noqa: PLC0415 (imports hypothesis)

    for number, theme in enumerate([*themes] * (_THOROUGH if subject.thorough else 1)):
        seed = f"{subject.seed} {name} {number}"
        failure = await Search(subject, theme, seed=seed).run()
        if failure is not None:
            subject.history = failure.history
            raise failure.error


@promise(
    "Keys that look alike stay different, whatever is done with them in whatever order.",
    hint="the storage folds, trims, cuts or escapes keys on the way to a file name, a column or "
    "a pattern, so that two become one. Encode keys so that no two come out equal, compare them "
    "byte by byte, and take the prefix of a listing literally.",
    layer="machine",
)
async def histories_keep_keys_apart(subject: Subject) -> None:
    groups = pool.key_groups(subject.limits) or [pool.ORDINARY]
    themes = [(await plan(subject)).theme(keys=keys) for keys in groups]
    await explore(subject, "keys", themes)


@promise(
    "A value is read as it was written, whatever it is and in whatever way it is asked for.",
    hint="a falsy value is taken for missing, or values change on the way: 1, 1.0 "
    "and True differ, and so do two texts that only look alike.",
    layer="machine",
)
async def histories_keep_values(subject: Subject) -> None:
    histories = (await plan(subject)).reopened()
    theme = histories.theme(values=pool.values(subject.limits))
    await explore(subject, "values", [theme] * 6)


@promise(
    "With isolated = True, objects that were written or read may be changed: what is stored stays.",
    hint="the storage keeps the very object that it was given, gives out the very object that it "
    "keeps, or copies only the outermost level: copy.deepcopy, or JSON text, in both directions.",
    layer="machine",
    needs=("isolated",),
)
async def histories_keep_copies(subject: Subject) -> None:
    histories = (await bare_plan(subject)).add(
        draws.change_read, draws.change_written, draws.change_read
    )
    theme = histories.theme(values=pool.DEEP)
    await explore(subject, "copies", [theme] * 3)


@promise(
    "A conditional write goes through only if the value of its revision is still what is stored.",
    hint="a revision comes again with another value: it is a count that starts again after a "
    "delete, a time, a length, or some method writes without changing it. Take it from a count "
    "that never goes back, at random, or from the whole content.",
    layer="machine",
    needs=("read_with_revision", "write_if"),
)
async def histories_keep_revisions(subject: Subject) -> None:
    histories = (await bare_plan(subject)).shared().reopened()
    histories = histories.add(
        draws.write_if,
        draws.write_if,
        draws.write_if,
        draws.write_if_missing,
        draws.update,
        draws.write,
        draws.write,
    )
    if "write_many" in histories.capabilities:
        histories = histories.add(draws.write_several)
    if "touch" in histories.capabilities:
        histories = histories.add(draws.touch)
    theme = histories.outlived().theme(keys=pool.ORDINARY[:2], values=pool.REPEATED)
    await explore(subject, "revisions", [theme] * 16)


@promise(
    "A value is there up to the instant at which it expires, and missing from then on.",
    hint="one of the methods does not look at the time, or asks 'now > expires' where a value is "
    "gone from the very instant on: 'now >= expires'. Or a write keeps an earlier expiry.",
    layer="machine",
    needs=("clock",),
)
async def histories_keep_time(subject: Subject) -> None:
    histories = await bare_plan(subject)
    if not histories.expire:
        msg = "no timeout is declared by Limits(ttl=...), nor supports_expiry = True"
        raise LeftOut(msg)
    histories = histories.timed().shared().reopened().add(draws.write, draws.write, draws.write)
    if "write_if" in histories.capabilities:
        histories = histories.add(draws.write_if_missing, draws.write_if, draws.update)
    theme = histories.theme(keys=pool.ORDINARY[:2])
    await explore(subject, "time", [theme] * 16)


@promise(
    "All openings of a namespace see the same data, before and after closing, and no others do.",
    hint="an opening keeps values for itself (a cache), writes them only when it is closed, or "
    "namespaces share their data. A storage in memory that is meant so says "
    "Limits(shared=False, durable=False).",
    layer="machine",
)
async def histories_keep_openings(subject: Subject) -> None:
    if subject.limits.eventually_consistent:
        msg = "declared by Limits(eventually_consistent=...): each step would have to wait"
        raise LeftOut(msg)
    histories = (await plan(subject)).shared().reopened().at("elsewhere")
    if "sync" in histories.capabilities:
        histories = histories.at("sync")
    await explore(subject, "openings", [histories.theme(values=pool.REPEATED)] * 5)
