"""A system of its own for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.rig.system import System

RULES = """
schema = "rebate-rules/1"
version = "2026-01"
effective_from = 2026-01-01T00:00:00+08:00
[[level]]
id = "basic"
share_bps = { default = 6500 }
[inviter]
max_levels = 1
[[inviter.level]]
depth = 1
bps = { basic = 1000 }
"""

NewSystem = Callable[..., System]


@pytest.fixture
def new_system(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[NewSystem]:
    """Return a maker of systems whose processes end with the test."""
    with ExitStack() as stack:

        def make(rules: list[str] | None = None, **environment: str) -> System:
            system = System(kafka, topic_prefix, tmp_path, rules or [RULES], **environment)
            return stack.enter_context(system)

        yield make
