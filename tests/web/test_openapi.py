"""/openapi.json and /docs: fresh, valid, complete, true; and the check of the suite's answers bites."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from msgspec.structs import replace
from openapi_spec_validator import OpenAPIV31SpecValidator

from rebate_app.web.openapi import document as document_module
from rebate_app.web.openapi.document import (
    described,
    openapi_document,
    operation_id,
    page,
    problem_example,
    undescribed,
)
from rebate_app.web.openapi.reference_page import reference_page
from rebate_app.web.problems import PROBLEMS
from rebate_app.web.routes.route import Route
from rebate_app.web.routes.table import ROUTES
from tests.answer_check import check_answer
from tests.web.facts import BUYER
from tests.web.worlds import World

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
HOW_TO = "docs/how-to/add-a-resource.md"
JSON_HEADERS = {"Content-Type": "application/json", "X-Request-Id": "x", "ETag": '"x"'}
METHODS = [pytest.param(*each, id=operation_id(each[0], each[1])) for each in described()]


class TestDocument:
    """The document itself."""

    def test_it_is_fresh(self) -> None:
        """The committed file is that of the table of routes."""
        assert COMMITTED.read_text(encoding="utf-8") == page(), "run: make docs"

    def test_it_is_valid(self) -> None:
        """openapi-spec-validator finds nothing."""
        assert list(OpenAPIV31SpecValidator(openapi_document()).iter_errors()) == []

    def test_every_method_for_clients_is_there(self) -> None:
        """A method of the table of routes that does not say what it answers is named, with what to do."""
        assert undescribed() == []
        listed = {
            (path, name.upper()) for path, methods in openapi_document()["paths"].items() for name in methods
        }
        assert listed == {
            (route.path, name)
            for route in ROUTES
            if not route.path.startswith("/internal/")
            for name in route.methods
        }

    def test_a_method_that_does_not_say_what_it_answers_is_named(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The message names the method and the page that tells how."""
        route = ROUTES[0]
        silent = {name: replace(method, operation=None) for name, method in route.methods.items()}
        table = (Route("new", "/v1/new", "new", silent),)
        monkeypatch.setattr(document_module, "ROUTES", table)
        assert list(described()) == []
        (sentence,) = undescribed()
        assert re.match(rf"GET /v1/new does not say what it answers: .*{HOW_TO}", sentence)

    @pytest.mark.parametrize(("route", "name", "method", "operation"), METHODS)
    def test_every_parameter_is_explained_and_has_an_example(
        self, route: Route, name: str, method: Any, operation: Any
    ) -> None:
        """A parameter's example is within its schema; only a cursor has none, since it is opaque."""
        listed = openapi_document()["paths"][route.path][name.lower()]["parameters"]
        for parameter in (each for each in listed if "$ref" not in each):
            assert parameter["description"], (
                f"{parameter['name']} in {parameter['in']} is not explained: see {HOW_TO}"
            )
            if parameter["name"] != "cursor":
                example = parameter["example"]
                assert jsonschema_rs.is_valid(parameter["schema"], example), parameter["name"]

    @pytest.mark.parametrize(("route", "name", "method", "operation"), METHODS)
    def test_every_answer_and_body_has_an_example_that_is_one(
        self, route: Route, name: str, method: Any, operation: Any
    ) -> None:
        """Examples of answers pass the check of answers, those of bodies their schema."""
        described_as = openapi_document()["paths"][route.path][name.lower()]
        where = f"web/openapi/examples/{operation_id(route, name)}"
        for media_type, content in (
            described_as["responses"][str(operation.status)].get("content", {}).items()
        ):
            if route.path in ("/openapi.json", "/docs"):
                continue
            assert "example" in content, f"{where}.json (or .txt) is missing"
            headers = {**JSON_HEADERS, "Content-Type": media_type, "Location": "/v1/x"}
            body = json.dumps(content["example"]).encode()
            check_answer(name, route.path, operation.status, headers, body)
        for content in described_as.get("requestBody", {"content": {}})["content"].values():
            assert "example" in content, f"{where}.body.json is missing"
            schema = content["schema"] | {"components": openapi_document()["components"]}
            assert jsonschema_rs.is_valid(schema, content["example"]), f"{where}.body.json"

    def test_every_code_is_somewhere(self) -> None:
        """Every problem of the table may be answered by some operation, or by no resource at all."""
        text = COMMITTED.read_text(encoding="utf-8")
        unlisted = {code for code in PROBLEMS if f'"{code}"' not in text}
        assert unlisted == {"method-not-allowed"}  # of paths, not of operations

    def test_examples_of_problems_are_problems(self) -> None:
        """For each status."""
        body = json.dumps(problem_example(404, "unknown-line")).encode()
        headers = {**JSON_HEADERS, "Content-Type": "application/problem+json"}
        check_answer("GET", "/v1/order-lines/taobao/1", 404, headers, body)


class TestCheck:
    """The check that every answer of the suite passes."""

    @pytest.mark.parametrize(
        ("target", "status", "body"),
        [
            ("/v1/me", 202, {}),
            ("/v1/users", 200, {"items": []}),
            ("/v1/users", 200, {"items": [], "next_cursor": None, "more": 1}),
            ("/v1/users", 200, {"items": [{"user_id": "a b"}], "next_cursor": None}),
            ("/v1/users", 200, {"items": [{"user_id": "a", "level": "vip"}], "next_cursor": None}),
            ("/v1/users", 200, {"items": [{"user_id": None}], "next_cursor": None}),
            ("/v1/users", 400, {**problem_example(400, "invalid-limit")}),
            ("/v1/unknown", 200, {}),
            ("/v1/unknown", 404, {**problem_example(404, "unknown-line")}),
        ],
    )
    def test_what_is_not_described_fails(self, target: str, status: int, body: Any) -> None:
        """Another status, a member missing, too many, of another type, another media type, another code."""
        with pytest.raises(AssertionError):
            check_answer("GET", target, status, JSON_HEADERS, json.dumps(body).encode())

    def test_codes_and_headers_are_those_of_the_operation(self) -> None:
        """A code that an operation cannot have fails, and a 503 without Retry-After."""
        headers = {**JSON_HEADERS, "Content-Type": "application/problem+json"}
        good = json.dumps(problem_example(400, "invalid-limit")).encode()
        check_answer("GET", "/v1/users?limit=x", 400, headers, good)
        foreign = json.dumps(problem_example(400, "invalid-at")).encode()
        with pytest.raises(AssertionError, match="code"):
            check_answer("GET", "/v1/users", 400, headers, foreign)
        away = json.dumps(problem_example(503, "not-ready")).encode()
        with pytest.raises(AssertionError, match="Retry-After"):
            check_answer("GET", "/v1/users", 503, headers, away)


@pytest.mark.asyncio
class TestServed:
    """What a worker serves, without credentials."""

    async def test_the_document(self, world: World) -> None:
        """It is the committed one."""
        reply = await world.get("/openapi.json")
        assert reply.json == json.loads(COMMITTED.read_text(encoding="utf-8"))

    async def test_the_page_needs_nothing_from_elsewhere(self, world: World) -> None:
        """No script, no address of another host; its policy admits its own style only."""
        reply = await world.get("/docs")
        html = reply.body.decode()
        assert html == reference_page()
        assert "<script" not in html
        assert re.findall(r'(?:src|href)="(?!#|/openapi\.json")', html) == []
        policy = reply.headers["Content-Security-Policy"]
        assert re.fullmatch(
            r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]+'; frame-ancestors 'none'", policy
        )

    async def test_the_page_names_every_operation_and_schema(self, world: World) -> None:
        """Each has a place to link to, and every link leads somewhere."""
        html = reference_page()
        anchors = set(re.findall(r'id="([^"]+)"', html))
        assert {operation_id(route, name) for route, name, _, _ in described()} <= anchors
        assert {f"schema-{name}" for name in openapi_document()["components"]["schemas"]} <= anchors
        assert set(re.findall(r'href="#([^"]+)"', html)) <= anchors
        assert BUYER in html
