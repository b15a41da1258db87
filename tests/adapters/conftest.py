"""Failing assertions of the scenarios say what was there."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.adapters.scenarios")
