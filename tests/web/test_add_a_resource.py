"""docs/how-to/add-a-resource.md, followed: its toy resource is served, checked and documented."""

from __future__ import annotations

from pathlib import Path

from tests.docs.how_to import follow, run

SCRIPT = """
import asyncio
from rebate_app.web.http_page import tables
from rebate_app.web.openapi.document import openapi_document
from tests.web.worlds import World, problem

async def main():
    async with World() as world:
        levels = await world.read("/v1/levels")
        assert {"level": "vip"} in levels["items"], levels
        assert len((await world.read("/v1/levels?limit=1"))["items"]) == 1
        assert (await world.ask("HEAD", "/v1/levels")).status == 200
        problem(await world.get("/v1/levels?at=x"), 400, "unknown-parameter")
        problem(await world.send("POST", "/v1/levels", {}), 405, "method-not-allowed")

asyncio.run(main())
levels = openapi_document()["paths"]["/v1/levels"]["get"]
assert list(levels["responses"]) == "200 400 408 414 415 417 421 431 500 501 503".split(), levels
assert "| `GET` | `/v1/levels` | `limit` | everybody | levels of the loaded rules |" in tables()
"""


def test_the_page_leads_to_a_resource(tmp_path: Path) -> None:
    """Three files are enough; 405, HEAD, parameters, pages and /openapi.json follow from the row."""
    assert follow("add-a-resource.md", tmp_path) == {
        "rebate_app/web/openapi/examples/levels.get.json",
        "rebate_app/web/resources/levels.py",
        "rebate_app/web/routes/operations.py",
    }
    run(SCRIPT, tmp_path)
