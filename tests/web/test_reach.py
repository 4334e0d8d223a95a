"""`GET /v1/workers/reach` and `/internal/identity`: which worker answers at which URL."""

from __future__ import annotations

import pytest

from rebate_app.web.routing.identity import identify
from rebate_app.web.routing.peer_client import PeerClient
from tests.web.worlds import World, hung_server, problem

pytestmark = pytest.mark.asyncio
NOBODY = "http://127.0.0.1:1"


def share(world: World, *others: str) -> list[str]:
    """Tell every worker of a group of all workers and others; return the URLs of the workers."""
    urls = [worker.url for worker in world.workers]
    for worker in world.workers:
        worker.placement.members = {url: {} for url in (*urls, *others)}
        worker.placement.instances = {url: f"instance-of-{url}" for url in (*urls, *others)}
        worker.context.peers.rpc_timeout_seconds = 1.0
    return urls


class TestReach:
    """Every pair of workers, as the one finds the other."""

    async def test_workers_that_reach_each_other(self, pair: World) -> None:
        """One item for each ordered pair, also of workers that are not ready."""
        one, two = share(pair)
        pair.workers[1].placement.ready = (False, "restoring")
        items = (await pair.read("/v1/workers/reach"))["items"]
        assert {(item["from"], item["to"], item["answered"]) for item in items} == {
            (one, two, "itself"),
            (two, one, "itself"),
        }

    async def test_what_else_answers_is_named(self, pair: World) -> None:
        """Nobody, a program that hangs, and whom neither can be asked for."""
        async with hung_server() as hung:
            one, two = share(pair, NOBODY, hung)
            items = (await pair.read("/v1/workers/reach"))["items"]
        found = {(item["from"], item["to"]): item["answered"] for item in items}
        assert len(items) == len(found) == 12
        for url, other in ((one, two), (two, one)):
            assert found[url, other] == "itself"
            assert (found[url, NOBODY], found[url, hung]) == ("unreachable", "silent")
            assert (found[NOBODY, url], found[hung, url]) == ("unknown", "unknown")

    async def test_another_worker_at_the_url(self, pair: World) -> None:
        """The id is not the announced one; such a member is not alive either."""
        one, two = share(pair)
        for worker in pair.workers:
            worker.placement.instances[two] = "somebody"
        items = (await pair.read("/v1/workers/reach"))["items"]
        assert {(item["to"], item["answered"]) for item in items} == {(two, "another"), (one, "itself")}
        alive = {item["url"]: item["alive"] for item in (await pair.read("/v1/workers"))["items"]}
        assert alive == {one: True, two: False}

    async def test_identity_in_every_state(self, world: World) -> None:
        """The id is answered also while a worker is not ready; what it reaches is for workers only."""
        worker = world.workers[0]
        problem(await world.get("/internal/reach"), 404, "not-found")
        worker.placement.ready = (False, "restoring")
        peers = PeerClient("http://test")
        try:
            found = await identify(peers, worker.url, {})
            stranger = await identify(peers, f"{worker.url}/elsewhere", {})
        finally:
            await peers.close()
        assert (found.outcome, found.ready, found.instance) == ("itself", False, f"instance-of-{worker.url}")
        assert stranger.outcome == "stranger"
