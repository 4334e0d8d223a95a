"""`GET /v1/workers` and `GET /metrics`: what the worker says about itself and the others."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rebate_app.web.ports import Restoring

from .worlds import World, hung_server

pytestmark = pytest.mark.asyncio


def share(world: World, *urls: str) -> None:
    """Tell every worker of an assignment in which each URL owns the partition of its number."""
    members = {url: {"order_topic": [n], "rebate-user-log": [n]} for n, url in enumerate(urls)}
    for worker in world.workers:
        worker.placement.members = dict(members)


class TestWorkers:
    """Who owns which partition, and who answers."""

    async def test_every_worker_tells_the_same_and_knows_itself(self, pair: World) -> None:
        """All members with their partitions, by URL; `self` is the one that was asked."""
        urls = [worker.url for worker in pair.workers]
        share(pair, *urls)
        for number, own in enumerate(urls):
            told = await pair.read("/v1/workers", worker=number)
            assert told["generation"] == 1
            assert [item["url"] for item in told["items"]] == sorted(urls)
            for item in told["items"]:
                place = urls.index(item["url"])
                assert item["partitions"] == {"order_topic": [place], "rebate-user-log": [place]}
                assert (item["self"], item["alive"], item["ready"]) == (item["url"] == own, True, True)

    async def test_one_that_is_not_ready_is_alive(self, pair: World) -> None:
        """Restoring is not being dead; the progress of one's own partitions is shown."""
        share(pair, *(worker.url for worker in pair.workers))
        pair.workers[1].placement.ready = (False, "restoring accounts/1")
        pair.workers[1].placement.restoring = [Restoring("rebate-user-log", 1, 40, 100)]
        for number in (0, 1):
            told = await pair.read("/v1/workers", worker=number)
            states = {item["url"]: (item["alive"], item["ready"]) for item in told["items"]}
            assert states == {pair.workers[0].url: (True, True), pair.workers[1].url: (True, False)}
        assert told["restoring"] == [{"topic": "rebate-user-log", "partition": 1, "position": 40, "end": 100}]

    async def test_one_that_is_dead_or_hangs_is_listed(self, pair: World) -> None:
        """A worker that does not answer in time is listed as not alive, and nobody waits long for it."""
        for worker in pair.workers:
            worker.desk.peers.ask_timeout_s = 0.3
        async with hung_server() as hung:
            share(pair, pair.workers[0].url, hung, "http://127.0.0.1:1")
            told = await pair.read("/v1/workers")
        alive = {item["url"]: item["alive"] for item in told["items"]}
        assert alive == {pair.workers[0].url: True, hung: False, "http://127.0.0.1:1": False}

    async def test_before_it_has_joined_there_is_nobody(self, world: World) -> None:
        """The question is answered from the first moment on."""
        assert (await world.read("/v1/workers"))["items"] == []


class TestMetrics:
    """Requests are counted by resource, method and status."""

    async def test_each_answer_counts_once_under_its_resource(self, world: World) -> None:
        """What nobody serves is `none`, a strange method `other`: no label comes from outside."""
        await world.get("/v1/users/u1/balance")
        await world.get("/v1/users/u2/balance")
        await world.get("/v1/users/no%20id/balance")
        await world.get("/nowhere/u3")
        await world.ask("PROPFIND", "/readyz")
        reply = await world.get("/metrics")
        assert reply.status == 200
        assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        counts = {
            (sample.labels["route"], sample.labels["method"], sample.labels["status"]): sample.value
            for family in text_string_to_metric_families(reply.body.decode())
            for sample in family.samples
            if sample.name == "rebate_http_request_seconds_count"
        }
        assert counts == {
            ("balance", "GET", "200"): 2,
            ("balance", "GET", "400"): 1,
            ("none", "GET", "404"): 1,
            ("none", "other", "405"): 1,
        }
        assert b"u1" not in reply.body
