"""`GET /v1/workers` and `GET /metrics`: this worker and the others."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rebate_app.metrics.catalogue import EVENT_AGE, HTTP_SECONDS, RECORDS
from rebate_app.web.routing.ports import Restoring
from tests.web.worlds import World, hung_server

pytestmark = pytest.mark.asyncio


def share(world: World, *urls: str) -> None:
    """Tell every worker of an assignment in which each URL owns the partition of its number."""
    members = {url: {"order_topic": [n], "rebate-user-log": [n]} for n, url in enumerate(urls)}
    for worker in world.workers:
        worker.placement.members = dict(members)


class TestWorkers:
    """Who owns which partition, and who answers."""

    async def test_every_worker_tells_the_same_and_knows_itself(self, pair: World) -> None:
        """All members with their partitions, by URL; `self` is the one that answers."""
        urls = [worker.url for worker in pair.workers]
        share(pair, *urls)
        for number, own in enumerate(urls):
            answer = await pair.read("/v1/workers", worker=number)
            assert answer["generation"] == 1
            assert [item["url"] for item in answer["items"]] == sorted(urls)
            for item in answer["items"]:
                place = urls.index(item["url"])
                assert item["partitions"] == {"order_topic": [place], "rebate-user-log": [place]}
                assert (item["self"], item["alive"], item["ready"]) == (item["url"] == own, True, True)

    async def test_one_that_is_not_ready_is_alive(self, pair: World) -> None:
        """Restoring is not being dead; the progress of one's own partitions is shown."""
        share(pair, *(worker.url for worker in pair.workers))
        pair.workers[1].placement.ready = (False, "restoring accounts/1")
        pair.workers[1].placement.restoring = [Restoring("rebate-user-log", 1, 40, 100)]
        for number in (0, 1):
            answer = await pair.read("/v1/workers", worker=number)
            states = {item["url"]: (item["alive"], item["ready"]) for item in answer["items"]}
            assert states == {pair.workers[0].url: (True, True), pair.workers[1].url: (True, False)}
        assert answer["restoring"] == [
            {"topic": "rebate-user-log", "partition": 1, "position": 40, "end": 100}
        ]

    async def test_one_that_is_dead_or_hangs_is_listed(self, pair: World) -> None:
        """A worker that does not answer in time is listed as not alive, and nobody waits long for it."""
        for worker in pair.workers:
            worker.context.peers.rpc_timeout_seconds = 1.0
        async with hung_server() as hung:
            share(pair, pair.workers[0].url, hung, "http://127.0.0.1:1")
            answer = await pair.read("/v1/workers")
        alive = {item["url"]: item["alive"] for item in answer["items"]}
        assert alive == {pair.workers[0].url: True, hung: False, "http://127.0.0.1:1": False}

    async def test_before_it_has_joined_there_is_nobody(self, world: World) -> None:
        """The question is answered from the first moment on."""
        assert (await world.read("/v1/workers"))["items"] == []


class TestSamples:
    """One sample a minute, of every worker."""

    async def test_a_sample_is_what_its_minute_brought(self, pair: World) -> None:
        """Whoever is asked; counters are read, so a minute without anything has zeros and nulls."""
        share(pair, pair.workers[0].url, pair.workers[1].url, "http://127.0.0.1:1")
        first = pair.workers[0]
        first.metrics.add(RECORDS, ("order-lines",), 7)
        first.metrics.add(RECORDS, ("accounts",), 9)
        for age in (1.0, 2.0):
            first.metrics.histogram(EVENT_AGE, ("accounts",)).observe(age)
        for seconds in [0.001] * 98 + [0.2, 0.3]:
            first.metrics.histogram(HTTP_SECONDS, ("balance", "GET", "200")).observe(seconds)
        first.samples.take()
        pair.clock.now += 60_000_000
        first.samples.take()
        for worker in (0, 1):
            items = {item["url"]: item for item in (await pair.read("/v1/workers", worker))["items"]}
            assert items[first.url]["samples"][:2] == [
                {
                    "at": "2026-02-01T00:00:00+08:00",
                    "facts": 7,
                    "messages": 9,
                    "event_age_seconds": 1.5,
                    "requests": 100,
                    "p99_seconds": 0.25,
                },
                {
                    "at": "2026-02-01T00:01:00+08:00",
                    "facts": 0,
                    "messages": 0,
                    "event_age_seconds": None,
                    "requests": 0,
                    "p99_seconds": None,
                },
            ]
            assert items[pair.workers[1].url]["samples"] == []
            assert items["http://127.0.0.1:1"]["samples"] is None

    async def test_an_hour_is_kept(self, world: World) -> None:
        """Of 61 samples the oldest is gone."""
        share(world, world.workers[0].url)
        for number in range(61):
            world.workers[0].metrics.add(RECORDS, ("order-lines",), number)
            world.workers[0].samples.take()
        (item,) = (await world.read("/v1/workers"))["items"]
        assert [sample["facts"] for sample in item["samples"]] == list(range(1, 61))


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
