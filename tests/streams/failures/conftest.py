"""A system of its own for each test on Kafka."""

from __future__ import annotations

from tests.e2e.conftest import new_system

__all__ = ["new_system"]
