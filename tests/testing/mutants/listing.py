"""Mistakes of listing, batches, has and the view for threads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from sessionkit.errors import SessionListingError
from tests.testing import broken_sets
from tests.testing.mutants.registry import mutant, with_fresh
from tests.testing.reference import Reference

of_sets = partial(mutant, "listing")

of_sets("The prefix is a pattern of glob(), or of SCAN MATCH.", "prefix_is_literal")(
    broken_sets.PrefixAsPattern
)
of_sets("The prefix is looked for anywhere in the key.", "prefix_selects")(
    broken_sets.PrefixAnywhere
)
of_sets("The range ends at prefix + '\\uffff'.", "prefix_may_be_followed_by_anything")(
    broken_sets.PrefixAsRange
)
of_sets("Only the first page is listed.", "long_listings_are_complete")(broken_sets.OnePage)
of_sets("A key is listed twice, as SCAN may do.", "every_key_is_listed_once")(
    broken_sets.ListsTwice
)
of_sets("Listing walks over the dict that is being changed.", "listing_survives_changes")(
    broken_sets.ListsLive
)
of_sets("Pages are found by position: a delete makes a gap.", "listing_survives_changes")(
    broken_sets.ListsWithGap
)
of_sets("A key stays in the index when it is deleted.", "deleted_is_not_listed")(
    broken_sets.Indexed
)
of_sets(
    "All namespaces are listed.",
    "only_its_own_keys_are_listed",
    subject=with_fresh(broken_sets.ListsAll, everything=dict),
)(broken_sets.ListsAll)
of_sets("Items are left out by 'if value'.", "items_are_what_is_read")(broken_sets.ItemsTruth)
of_sets("Keys are listed by the names of their files.", "listed_keys_are_as_written")(
    broken_sets.ListsPlaces
)
of_sets("A listing holds the lock until its end.", "listing_can_be_given_up")(
    broken_sets.LocksWhileListing
)
of_sets("The storage's own record is listed.", "empty_storage_lists_nothing")(
    broken_sets.ListsItself
)
of_sets("has() is bool(read(key)).", "has_knows_falsy_values")(broken_sets.HasTruth)
of_sets("has() lists by prefix.", "has_takes_keys_literally")(broken_sets.HasPrefix)
of_sets("read_many() gives None for missing keys.", "read_many_leaves_out_missing")(
    broken_sets.GivesNones
)
of_sets("read_many() asks for no keys by 'IN ()'.", "read_many_takes_any_keys")(
    broken_sets.NeedsKeys
)
of_sets("write_many() leaves out falsy values.", "write_many_stores_falsy_values")(
    broken_sets.WritesTruth
)
of_sets("A statement takes 999 parameters.", "batches_may_be_large")(broken_sets.FewParameters)
of_sets("The sync view is another storage.", "sync_view_has_the_same_data")(broken_sets.OtherSync)
of_sets("The sync view answers with awaitables.", "sync_view_blocks")(broken_sets.AsyncSync)
of_sets("The sync view has three methods only.", "sync_view_has_the_same_capabilities")(
    broken_sets.PoorSync
)


def _like(pattern: str, key: str) -> bool:
    parts = {"%": ".*", "_": "."}
    spelled = "".join(parts.get(char) or re.escape(char) for char in pattern)
    return re.fullmatch(spelled, key, re.DOTALL | re.IGNORECASE) is not None


@of_sets("The prefix goes into LIKE.", "prefix_is_literal", "prefix_is_case_sensitive")
class PrefixInLike(Reference):
    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        return (key for key in super().iter_keys() if _like(f"{prefix}%", key))


@of_sets("The first key of each further page is dropped.", "long_listings_are_complete")
class DropsBetweenPages(Reference):
    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        for number, key in enumerate(super().iter_keys(prefix)):
            if number == 0 or number % 100:
                yield key


of_sets("A listing ends at the first value that cannot be decoded.", "listing_goes_past_damage")(
    broken_sets.ListsUpToDamage
)


@of_sets("What cannot be decoded is left out of listings silently.", "listing_goes_past_damage")
class ListsWithoutDamage(Reference):
    def iter_items(self, prefix: str = "") -> Iterator[Any]:
        with suppress(SessionListingError):
            yield from super().iter_items(prefix)


@of_sets("Names that begin with a dot are taken for hidden files.", "listed_keys_are_as_written")
class HidesDots(Reference):
    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        return (key for key in super().iter_keys(prefix) if not key.startswith("."))


@of_sets("What looks like the end of a file name is cut off.", "listed_keys_are_as_written")
class CutsEndings(Reference):
    def key_at(self, place: str) -> str:
        return place.removesuffix(".json")


@of_sets("Listed keys come without the prefix.", "prefix_selects")
class ListsRest(Reference):
    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        return (key.removeprefix(prefix) for key in super().iter_keys(prefix))


@of_sets("Answers are matched to the keys by their position.", "read_many_leaves_out_missing")
class MatchesByPosition(Reference):
    def read_many(self, keys: Sequence[str]) -> Any:
        found = [self.read(key) for key in keys if self.has(key)]
        return dict(zip(keys, found, strict=False))


@of_sets(
    "Rows come in the order of the table, and are given in the order of the keys.",
    "read_many_takes_any_keys",
)
class MatchesByOrder(Reference):
    def read_many(self, keys: Sequence[str]) -> Any:
        stored = [key for key in self.iter_keys() if key in keys]
        wanted = [key for key in dict.fromkeys(keys) if self.has(key)]
        return {key: self.read(row) for key, row in zip(wanted, stored, strict=True)}


@of_sets("write_many() keeps what is there: INSERT without ON CONFLICT.", "write_many_stores_all")
class BatchInsertsOnly(Reference):
    def write_many(self, values: Mapping[str, Any]) -> None:
        super().write_many({key: value for key, value in values.items() if not self.has(key)})


@of_sets("The last, incomplete piece of a batch is forgotten.", "write_many_stores_all")
class ForgetsRestOfBatch(Reference):
    def write_many(self, values: Mapping[str, Any]) -> None:
        for number in range(0, len(values) - len(values) % 100, 100):
            super().write_many(dict(list(values.items())[number : number + 100]))
