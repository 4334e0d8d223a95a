"""Hold answers of workers against /openapi.json, stricter than a client may: no member that it lacks.

`World.ask` and `tests.rig.system.ask` pass every answer that they get; an answer that the document does not
describe fails the test that got it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.message import Message
from functools import cache
from typing import Any, TypeAlias

import jsonschema_rs
import orjson

from rebate_app.web.openapi.document import openapi_document
from rebate_app.web.routes.table import ROUTES

#: Between workers, and the page's files.
NOT_API = ("/internal/", "/page/")
PROBLEM_TYPE = "application/problem+json"
#: Names in any case, as both clients have them.
Headers: TypeAlias = "Mapping[str, str] | Message[str, str]"
#: Of paths and methods that are not in the document.
UNROUTED = {404: "not-found", 405: "method-not-allowed"}


def check_answer(method: str, target: str, status: int, headers: Headers, body: bytes) -> None:
    """Assert that an answer is one that the document describes for the request."""
    path = target.partition("?")[0]
    if path == "/" or path.startswith(NOT_API) or method == "OPTIONS":
        return
    described = _operation(method, path)
    where = f"{method} {path} → {status}"
    if described is None or (status == 405 and method == "HEAD"):
        if path not in _undescribed_paths():
            _check_unrouted(where, status, body)
        return
    operation, described_as = described, described["responses"].get(str(status))
    assert described_as is not None, f"{where} is not in /openapi.json: {body[:300]!r}"
    response = _resolved(described_as)
    for name, reference in response["headers"].items():
        header = _resolved(reference)
        assert name in headers or not header.get("required"), f"{where} has no header {name}"
    content = response.get("content")
    if content is None or method == "HEAD":
        assert not body, f"{where} has a body"
        return
    media_type = str(headers.get("Content-Type", "")).partition(";")[0]
    assert media_type in content, f"{where} is {media_type}, not one of {list(content)}"
    if media_type.endswith("json"):
        _check_body(where, (operation["operationId"], str(status), media_type), body)


class _UndescribedPaths:
    """Paths of routes that are not in the document, which tests/web/test_openapi.py names."""

    def __init__(self) -> None:
        missing = {route.path for route in ROUTES} - openapi_document()["paths"].keys()
        self._patterns = [_pattern_of(path) for path in missing]

    def __contains__(self, path: str) -> bool:
        return any(pattern.fullmatch(path) for pattern in self._patterns)


@cache
def _undescribed_paths() -> _UndescribedPaths:
    return _UndescribedPaths()


def _check_unrouted(where: str, status: int, body: bytes) -> None:
    if "HEAD" not in where.partition(" ")[0]:
        code = check_problem(where, status, body)
        assert code == UNROUTED.get(status, code), where


def check_problem(where: str, status: int, body: bytes) -> str:
    """Assert that an answer is a complete problem of that status; return its code."""
    problem = orjson.loads(body)
    errors = list(_validator(("", "", "")).iter_errors(problem))
    assert not errors, f"{where} is no problem: {errors[0]}"
    assert problem["status"] == status, where
    code: str = problem["code"]
    return code


def _check_body(where: str, place: tuple[str, str, str], body: bytes) -> None:
    value = orjson.loads(body)
    validator = _validator(place)
    if not validator.is_valid(value):
        error = next(iter(validator.iter_errors(value)))
        at = "/".join(str(part) for part in error.instance_path)
        raise AssertionError(f"{where} is not as /openapi.json says: at /{at}: {error.message[:1000]}")


@cache
def _paths() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    found = []
    for path, methods in openapi_document()["paths"].items():
        found.append((_pattern_of(path), methods))
    return sorted(found, key=lambda item: "[^/]+" in item[0].pattern)  # a whole path before a pattern


def _pattern_of(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(path)))


def _operation(method: str, path: str) -> dict[str, Any] | None:
    for pattern, methods in _paths():
        if pattern.fullmatch(path):
            operation: dict[str, Any] | None = methods.get({"HEAD": "get"}.get(method, method.lower()))
            if operation is not None:
                return operation
    return None


def _resolved(value: dict[str, Any]) -> dict[str, Any]:
    reference = value.get("$ref")
    if reference is None:
        return value
    part: Any = openapi_document()
    for name in reference.removeprefix("#/").split("/"):
        part = part[name]
    resolved: dict[str, Any] = part
    return resolved


@cache
def _strict_components() -> dict[str, Any]:
    strict = {
        name: {"additionalProperties": False, **schema} if "properties" in schema else schema
        for name, schema in openapi_document()["components"]["schemas"].items()
    }
    return {"schemas": strict}


@cache
def _validator(place: tuple[str, str, str]) -> Any:
    """Return the validator of bodies by operation, status and media type; of any problem for three ""."""
    name, status, media_type = place
    schema: dict[str, Any] = {"$ref": "#/components/schemas/Problem"}
    for _, methods in _paths():
        for operation in methods.values():
            if operation["operationId"] == name:
                schema = _resolved(operation["responses"][status])["content"][media_type]["schema"]
    return jsonschema_rs.Draft202012Validator(schema | {"components": _strict_components()})
