"""`GET /v1/rules` and the versions in `GET /v1/workers`."""

from __future__ import annotations

import pytest

from tests.web.facts import paid, profile
from tests.web.worlds import World

pytestmark = pytest.mark.asyncio


class TestRules:
    """What a worker has read, and where it is known."""

    async def test_versions_and_the_partitions_that_know_them(self) -> None:
        """A partition knows a version once its owner has noted it."""
        async with World(partitions=2) as world:
            world.users(profile("u1"))
            world.orders(paid())
            body = await world.read("/v1/rules")
            (item,) = body["items"]
            (version,) = world.stream.catalogue.versions
            assert (item["version"], item["content_hash"]) == (version.version, version.content_hash)
            assert item["in_force"] is True
            assert item["activated"] == {str(world.stream.partition_of("u1")): -1}
