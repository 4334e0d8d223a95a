"""docs/how-to/add-a-metric.md, followed: its toy metric is counted, scraped and documented."""

from __future__ import annotations

from pathlib import Path

from tests.docs.how_to import follow, run

SCRIPT = """
import asyncio
from rebate_app.metrics.page import page
from tests.web.worlds import World

async def main():
    async with World() as world:
        etag = (await world.get("/v1/users/u1/balance")).headers["ETag"]
        for _ in range(2):
            assert (await world.get("/v1/users/u1/balance", If_None_Match=etag)).status == 304
        scraped = (await world.get("/metrics")).body.decode()
        assert "rebate_http_not_modified_total 2.0" in scraped

asyncio.run(main())
assert "| `rebate_http_not_modified_total` | counter |  | requests |" in page()
"""


def test_the_page_leads_to_a_metric(tmp_path: Path) -> None:
    """The catalogue and the place that counts are enough."""
    assert follow("add-a-metric.md", tmp_path) == {
        "rebate_app/metrics/catalogue.py",
        "rebate_app/web/resources/balances.py",
    }
    run(SCRIPT, tmp_path)
