"""Prove a storage right, and test a bot: see docs/storages.md and docs/testing.md."""

from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._check import check_storage
from sessionkit.testing._limits import Limits
from sessionkit.testing._linearizable.operation import Operation, OperationLog
from sessionkit.testing._linearizable.search import HistoryTooLargeError
from sessionkit.testing._linearizable.verdict import Linearization, Violation, linearizable
from sessionkit.testing._promises import Promise
from sessionkit.testing._report import Outcome, Report
from sessionkit.testing.clock import FakeClock
from sessionkit.testing.codecs import CodecSuite
from sessionkit.testing.context import FakeContext
from sessionkit.testing.faulty import FaultyStorage
from sessionkit.testing.recording import RecordingStorage
from sessionkit.testing.session_suite import SessionSuite
from sessionkit.testing.suite import StorageSuite
from sessionkit.testing.wrappers import WrapperSuite

__all__ = [
    "BrokenPromise",
    "CodecSuite",
    "FakeClock",
    "FakeContext",
    "FaultyStorage",
    "HistoryTooLargeError",
    "Limits",
    "Linearization",
    "Operation",
    "OperationLog",
    "Outcome",
    "Promise",
    "RecordingStorage",
    "Report",
    "SessionSuite",
    "StorageSuite",
    "Violation",
    "WrapperSuite",
    "check_storage",
    "linearizable",
]
