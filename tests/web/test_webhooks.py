"""`GET /v1/webhooks`: what each worker delivers (docs/webhooks.md)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rebate_app.webhooks.state import WebhookState
from tests.web.test_workers import share
from tests.web.worlds import World

pytestmark = pytest.mark.asyncio


def given(state: WebhookState) -> Callable[[], WebhookState]:
    """Return what a worker has in place of its service."""
    return lambda: state


class TestWebhooks:
    """Every worker's own deliveries, from any of them."""

    async def test_any_worker_answers_for_all(self, pair: World) -> None:
        """With where it delivers to and what holds it back, by the worker's URL."""
        urls = [worker.url for worker in pair.workers]
        share(pair, *urls)
        states = [
            WebhookState("https://hook.example", False, True, (0, 2), 5, 61.5),
            WebhookState("https://other.example", True),
        ]
        for worker, state in zip(pair.workers, states, strict=True):
            worker.context.webhooks = given(state)
        for number in (0, 1):
            answer = await pair.read("/v1/webhooks", worker=number)
            found = {item["worker"]: item for item in answer["items"]}
            assert list(found) == sorted(urls)
            assert found[urls[0]] == {
                "worker": urls[0],
                "alive": True,
                "target": "https://hook.example",
                "paused": False,
                "is_down": True,
                "partitions": [0, 2],
                "waiting": 5,
                "oldest_undelivered_seconds": 61.5,
            }
            assert (found[urls[1]]["target"], found[urls[1]]["paused"]) == ("https://other.example", True)

    async def test_one_that_does_not_answer_is_listed(self, pair: World) -> None:
        """Its partitions' events wait for another owner."""
        share(pair, pair.workers[0].url, "http://127.0.0.1:1")
        answer = await pair.read("/v1/webhooks")
        alive = {item["worker"]: item["alive"] for item in answer["items"]}
        assert alive == {pair.workers[0].url: True, "http://127.0.0.1:1": False}

    async def test_without_a_url_events_are_skipped(self, world: World) -> None:
        """No target, nothing waits."""
        (item,) = (await world.read("/v1/webhooks"))["items"]
        assert (item["target"], item["waiting"], item["paused"]) == (None, 0, False)
