"""The files of the page: open, cached by tag, and under a policy that allows nothing from elsewhere."""

from __future__ import annotations

import gzip
import re
from importlib import resources
from pathlib import Path

import pytest
import pytest_asyncio

from rebate_app.web.page_files import CONTENT_TYPES, POLICY, page_files
from rebate_app.web.routes.table import ROUTES
from tests.web.secured import secured
from tests.web.worlds import World, problem

CHECKOUT = Path(__file__).parents[2]
FOLDER = CHECKOUT / "rebate_app" / "web" / "page"
NAMES = sorted(each.name for each in FOLDER.iterdir())
FIRST_VIEW = (
    "index.html",
    "page.css",
    "icon.svg",
    "app.js",
    "api.js",
    "dom.js",
    "format.js",
    "parts.js",
    "words.js",
)
OVERVIEW = ("overview.js", "charts.js", "maturing.js", "sentences.js")
FIRST_VIEW_BYTES_MAX = 150_000


@pytest_asyncio.fixture
async def world() -> World:
    """One worker with authentication on."""
    return World(security=secured)


@pytest.mark.asyncio
class TestServed:
    """What a browser gets."""

    async def test_every_file_is_open_under_the_policy(self, world: World) -> None:
        """Without credentials, with its type, its tag, and nothing allowed from another host."""
        async with world:
            for name in [*NAMES, "paths.json"]:
                target = "/" if name == "index.html" else f"/page/{name}"
                reply = await world.get(target)
                assert reply.status == 200, target
                assert reply.headers["Content-Type"] == CONTENT_TYPES[Path(name).suffix]
                assert reply.headers["Content-Security-Policy"] == POLICY
                assert reply.headers["X-Content-Type-Options"] == "nosniff"
                assert reply.headers["Referrer-Policy"] == "no-referrer"
                assert reply.headers["Cache-Control"] == "no-cache"
                if name in NAMES:
                    body = gzip.decompress(reply.body) if "Content-Encoding" in reply.headers else reply.body
                    assert body == (FOLDER / name).read_bytes()

    async def test_a_known_tag_is_304(self, world: World) -> None:
        """Each coding has a tag of its own."""
        async with world:
            for coding, coded in (("gzip", "gzip"), ("identity", None)):
                reply = await world.get("/page/words.js", Accept_Encoding=coding)
                assert reply.headers.get("Content-Encoding") == coded
                tag = reply.headers["ETag"]
                again = await world.get("/page/words.js", Accept_Encoding=coding, If_None_Match=tag)
                assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
                other = "identity" if coded else "gzip"
                assert (
                    await world.get("/page/words.js", Accept_Encoding=other, If_None_Match=tag)
                ).status == 200
            assert (await world.ask("HEAD", "/")).status == 200

    async def test_nothing_else_is_there(self, world: World) -> None:
        """No listing, no way out of the folder, no writing."""
        async with world:
            for target in (
                "/page/",
                "/page/none.js",
                "/page/../routes.py",
                "/page/%2e%2e/routes.py",
                "/index.html",
            ):
                problem(await world.get(target), 404, "not-found")
            problem(await world.ask("POST", "/"), 405, "method-not-allowed")

    async def test_the_paths_are_those_of_the_api(self, world: World) -> None:
        """A view whose resource is missing says so."""
        async with world:
            paths = (await world.get("/page/paths.json", Accept_Encoding="identity")).json
        assert "/v1/users/{user_id}/balance" in paths
        assert set(paths) == {route.path for route in ROUTES if not route.path.startswith("/internal/")}


class TestFiles:
    """What is in the package."""

    def test_the_first_view_is_small(self) -> None:
        """At most 150 KB as it is, and a third of that compressed."""
        files = page_files([])
        sizes = [len(files[name].body) for name in (*FIRST_VIEW, *OVERVIEW)]
        assert sum(sizes) <= FIRST_VIEW_BYTES_MAX
        assert (
            sum(len(files[name].compressed) for name in (*FIRST_VIEW, *OVERVIEW)) <= FIRST_VIEW_BYTES_MAX / 2
        )

    def test_nothing_is_from_another_host(self) -> None:
        """No address in any file but the name space of SVG."""
        for name in NAMES:
            text = (FOLDER / name).read_text(encoding="utf-8")
            assert set(re.findall(r"https?://[^\s\"'`)]+", text)) <= {"http://www.w3.org/2000/svg"}, name

    def test_no_script_can_make_markup_of_text(self) -> None:
        """Elements are made one by one; no inline handlers, no eval."""
        for name in NAMES:
            text = (FOLDER / name).read_text(encoding="utf-8")
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
            )
            assert not re.search(r"<script(?! type=\"module\" src=)|\son\w+=|<style|\sstyle=", text), name

    def test_amounts_are_never_divided(self) -> None:
        """No script makes a float of an amount: digits are cut (`yuan` in format.js)."""
        for name in NAMES:
            text = (FOLDER / name).read_text(encoding="utf-8")
            assert not re.search(r"parseFloat|toFixed\(2\)|/ 100\b", text), name

    def test_they_are_in_the_package(self) -> None:
        """An installed package finds them where the code looks."""
        found = {each.name for each in resources.files("rebate_app.web").joinpath("page").iterdir()}
        assert found == set(NAMES)
        assert "web/page/*" in (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
