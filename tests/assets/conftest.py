"""Fixtures of the room's tests."""

from __future__ import annotations

import pytest

from assets.head_model import HeadModel
from tests.assets.heads_under_test import HEAD_NAMES, load


@pytest.fixture(scope="session", params=HEAD_NAMES)
def head(request: pytest.FixtureRequest) -> HeadModel:
    """Each head model in turn."""
    return load(request.param)
