"""What histories of many steps must show: one promise for each kind of mistake."""

from __future__ import annotations

from typing import Final

from sessionkit.testing._machine import pools as pool
from sessionkit.testing._machine.explore import explore
from sessionkit.testing._machine.steps.changing import ChangeRead, ChangeWritten
from sessionkit.testing._machine.steps.conditions import Update, WriteIf, WriteIfMissing
from sessionkit.testing._machine.steps.passing import Touch
from sessionkit.testing._machine.steps.writing import Write, WriteSeveral
from sessionkit.testing._machine.theme import bare_plan, plan
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject

_HYPOTHESIS: Final = ("hypothesis",)


@promise(
    "Keys that look alike stay different, whatever is done with them in whatever order.",
    hint="the storage folds, trims, cuts or escapes keys on the way to a file name, a column or "
    "a pattern, so that two become one. Encode keys so that no two come out equal, compare them "
    "byte by byte, and take the prefix of a listing literally.",
    layer="machine",
    modules=_HYPOTHESIS,
    timeout=None,
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
    modules=_HYPOTHESIS,
    timeout=None,
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
    modules=_HYPOTHESIS,
    timeout=None,
)
async def histories_keep_copies(subject: Subject) -> None:
    histories = (await bare_plan(subject)).add(ChangeRead, ChangeWritten, ChangeRead)
    theme = histories.theme(values=pool.DEEP)
    await explore(subject, "copies", [theme] * 3)


@promise(
    "A conditional write goes through just if the value of its revision is still what is stored.",
    hint="a revision comes again with another value: it is a count that begins anew after a "
    "delete, a time, a length, or some method writes without changing it. Take it from a count "
    "that never goes back, at random, or from the whole content.",
    layer="machine",
    needs=("read_with_revision", "write_if"),
    modules=_HYPOTHESIS,
    timeout=None,
)
async def histories_keep_revisions(subject: Subject) -> None:
    histories = (await bare_plan(subject)).shared().reopened()
    histories = histories.add(WriteIf, WriteIf, WriteIf, WriteIfMissing, Update, Write, Write)
    if "write_many" in histories.capabilities:
        histories = histories.add(WriteSeveral)
    if "touch" in histories.capabilities:
        histories = histories.add(Touch)
    theme = histories.outlived().theme(keys=pool.ORDINARY[:2], values=pool.REPEATED)
    await explore(subject, "revisions", [theme] * 16)


@promise(
    "A value is there up to the instant at which it expires, and missing from then on.",
    hint="one of the methods does not look at the time, or asks 'now > expires' where a value is "
    "gone from the very instant on: 'now >= expires'. Or a write keeps an earlier expiry.",
    layer="machine",
    needs=("clock",),
    modules=_HYPOTHESIS,
    timeout=None,
)
async def histories_keep_time(subject: Subject) -> None:
    histories = await bare_plan(subject)
    if not histories.expire:
        msg = "no timeout is declared by Limits(ttl=...), nor supports_expiry = True"
        raise LeftOut(msg)
    histories = histories.timed().shared().reopened().add(Write, Write, Write)
    if "write_if" in histories.capabilities:
        histories = histories.add(WriteIfMissing, WriteIf, Update)
    theme = histories.theme(keys=pool.ORDINARY[:2])
    await explore(subject, "time", [theme] * 16)


@promise(
    "All openings of a namespace see the same data, before and after closing, and no others do.",
    hint="an opening keeps values for itself (a cache), writes them only when it is closed, or "
    "namespaces share their data. A storage in memory that is meant so says "
    "Limits(shared=False, durable=False).",
    layer="machine",
    modules=_HYPOTHESIS,
    timeout=None,
)
async def histories_keep_openings(subject: Subject) -> None:
    if subject.limits.eventually_consistent:
        msg = "declared by Limits(eventually_consistent=...): each step would have to wait"
        raise LeftOut(msg)
    histories = (await plan(subject)).shared().reopened().at("elsewhere")
    if "sync" in histories.capabilities:
        histories = histories.at("sync")
    await explore(subject, "openings", [histories.theme(values=pool.REPEATED)] * 5)
