"""Worlds of one and of two workers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.web.worlds import World


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    """One worker that owns everything."""
    async with World() as one:
        yield one


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[World]:
    """Two workers that own every other partition."""
    async with World(workers=2) as two:
        yield two
