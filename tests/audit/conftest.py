"""The world that every planted fault begins with."""

from __future__ import annotations

import pytest

from tests.audit.worlds import processed
from tests.domain.world import World


@pytest.fixture
def world() -> World:
    """Return a world at rest in which nothing is wrong yet."""
    return processed(7)
