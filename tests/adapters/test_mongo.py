"""What sessionkit_mongo stores and refuses, and what it does when the server lets it down."""

from __future__ import annotations

import gc
import json
import math
import subprocess
import sys
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pymongo.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo import AsyncMongoClient, MongoClient

from sessionkit import (
    SessionDecodeError,
    SessionError,
    SessionWriteError,
)
from sessionkit.codecs import PickleCodec
from sessionkit_mongo import BlockingMongoSessionStorage, MongoSessionStorage
from sessionkit_mongo._documents import expiry, is_plain
from tests.adapters import mongo_servers
from tests.adapters.served import MONGO, Running

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Generator[None]:
    yield
    gc.collect()  # PyMongo leaves sockets open of connections that were given up


@pytest.fixture(scope="module")
def server(running: Running) -> Any:
    return running(MONGO)


# Set-up


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: MongoSessionStorage("mongodb://h:1"), ValueError, "of h:1 names no database"),
        (lambda: MongoSessionStorage("mongodb://u:never@shown@h"), ValueError, "%40"),
        (lambda: MongoSessionStorage("mongodb://"), ValueError, "cannot be read"),
        (lambda: MongoSessionStorage(1), TypeError, "AsyncMongoClient, not int"),  # type: ignore[arg-type]
        (
            lambda: BlockingMongoSessionStorage(AsyncMongoClient[Any]()),  # type: ignore[arg-type]
            TypeError,
            "PyMongo's MongoClient, not AsyncMongoClient",
        ),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    make: Callable[[], object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text) as caught:
        make()
    assert "never" not in str(caught.value)


def test_without_pymongo_the_extra_is_named() -> None:
    code = "import sys; sys.modules['pymongo'] = None; import sessionkit_mongo"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'python -m pip install "<checkout>[mongo]"' in run.stderr


def test_a_client_that_was_handed_in_stays_open(server: mongo_servers.Server) -> None:
    client: MongoClient[Any] = MongoClient(server.url)
    with BlockingMongoSessionStorage(client, database="mine", collection="its own") as storage:
        storage.write("1", {"n": 1})
    document = client["mine"]["its own"].find_one()
    assert document is not None
    assert document["value"] == {"n": 1}
    client.close()


# Documents

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_what_is_plain_comes_back_equal_from_a_document(value: Any) -> None:
    if is_plain(value):
        untyped: Any = bson
        back = untyped.decode(bson.encode({"value": value}))["value"]
        assert json.dumps(back) == json.dumps(value)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"n": [1, 2.0, None, True]}, "value"),
        ({"$inc": 1}, "text"),
        ({"a.b": 1}, "text"),
        ([{"": 1, "\0": 2}], "text"),
        (2**63, "text"),
        (["\ud800"], "text"),
        ({"\ud800": 1}, "text"),
        (json.loads("[" * 120 + "]" * 120), "text"),
        ({"__session_type__": 1}, "value"),
    ],
)
def test_a_value_is_a_plain_document_where_that_loses_nothing(
    server: mongo_servers.Server, value: Any, field: str
) -> None:
    with (
        BlockingMongoSessionStorage(server.url, collection="plain") as storage,
        mongo_servers.connect(server.url) as client,
    ):
        storage.write("1", value)
        assert storage.read("1") == value
        document = client.get_default_database()["plain"].find_one({"_id": "1"})
        assert field in document


def test_another_codec_is_stored_as_bytes(server: mongo_servers.Server) -> None:
    options: Any = {"collection": "pickled", "codec": PickleCodec()}
    with BlockingMongoSessionStorage(server.url, **options) as storage:
        storage.write("1", {1, 2})
        assert storage.read("1") == {1, 2}


def test_a_strangers_document_cannot_be_read_and_stays(server: mongo_servers.Server) -> None:
    with (
        BlockingMongoSessionStorage(server.url, collection="strange") as storage,
        mongo_servers.connect(server.url) as client,
    ):
        theirs = client.get_default_database()["strange"]
        theirs.insert_many([{"_id": "1", "other": 1}, {"_id": 5}, {"_id": "2", "value": b"x"}])
        with pytest.raises(SessionDecodeError):
            storage.read("1")
        assert storage.read("2") == repr(b"x")
        assert sorted(storage.iter_keys()) == ["1", "2"]
        assert theirs.count_documents({}) == 3


def test_more_than_a_page_is_listed_and_purged(server: mongo_servers.Server) -> None:
    now = [0.0]
    options: Any = {"collection": "pages", "ttl": 60, "clock": lambda: now[0]}
    with BlockingMongoSessionStorage(server.url, **options) as storage:
        keys = [f"key {n}" for n in range(600)]
        storage.write_many(dict.fromkeys([*keys, "other", "key \ud800"], 1))
        assert sorted(storage.iter_keys("key ")) == sorted([*keys, "key \ud800"])
        now[0] = 60.0
        assert storage.purge_expired() == 602


def test_a_storage_without_a_timeout_leaves_those_of_others(server: mongo_servers.Server) -> None:
    with BlockingMongoSessionStorage(server.url, collection="touched") as storage:
        storage.write("1", 1)
        assert storage.touch("1")
        assert not storage.touch("2")


def test_mongodb_removes_by_its_own_time_an_hour_later() -> None:
    assert expiry(None, 0.0) == expiry(math.inf, 0.0) == {"expires": None}
    assert expiry(1e300, 0.0) == {"expires": 1e300}
    fields = expiry(100.0, 40.0)
    assert fields["expires"] == 100.0
    left = fields["removed"] - datetime.now(UTC)
    assert timedelta(seconds=3600) < left <= timedelta(seconds=3660)


# Trouble


def test_what_may_have_happened_is_unknown(server: mongo_servers.Server) -> None:
    with BlockingMongoSessionStorage(server.url) as storage:
        engine: Any = storage._do.engine
        collection = Refusing(engine._collection)
        engine._collection = collection
        collection.error = pymongo.errors.WTimeoutError("wtimeout", 64)
        with pytest.raises(SessionWriteError, match="may have been written, or not: there was no"):
            storage.write("unknown", 1)
        collection.error = pymongo.errors.OperationFailure("not authorized")
        with pytest.raises(SessionError, match=r"failed: not authorized.*\. Nothing was written"):
            storage.write("refused", 1)
        refused = {"index": 1, "code": 2, "errmsg": "not this one"}
        collection.error = pymongo.errors.BulkWriteError(
            {"writeErrors": [refused], "writeConcernErrors": [{"errmsg": "no majority"}]}
        )
        with pytest.raises(SessionWriteError) as caught:
            storage.write_many({"unsure": 1, "wrong": 1})
        assert caught.value.failed == ("unsure", "wrong")
        assert "there was no reply: [{'errmsg': 'no majority'}]" in str(caught.value)


class Refusing:
    """A collection that raises an error for each command that writes."""

    error: Exception

    def __init__(self, collection: Any) -> None:
        self._collection = collection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def bulk_write(self, *_: Any, **__: Any) -> Any:
        raise self.error


def test_one_of_many_that_is_too_large_is_refused_alone(server: mongo_servers.Server) -> None:
    with BlockingMongoSessionStorage(server.url, collection="many") as storage:
        with pytest.raises(SessionWriteError, match="more than a document may have") as caught:
            storage.write_many({"1": 1, "2": "x" * 17_000_000, "3": 3})
        assert caught.value.failed == ("2",)
        assert dict(storage.iter_items()) == {"1": 1, "3": 3}
