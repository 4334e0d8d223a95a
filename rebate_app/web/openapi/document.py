"""/openapi.json (OpenAPI 3.1), made of the table of routes, the types of bodies and the table of problems.

`python -m rebate_app.web.openapi.document docs/openapi.json` writes it; tests prove it fresh and valid, and
hold every answer that the suite gets against it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from ..answers.common import Problem
from ..auth.access import Access
from ..operation import WITHOUT_BODY, Operation
from ..problems import FACT_REFUSED, PROBLEM_TYPE, PROBLEMS, UNPROCESSABLE
from ..request_params import TEXT, Parameter
from ..routes.route import Method, Route
from ..routes.table import ROUTES
from .examples import read_example, read_text_example
from .problem_codes import ALWAYS, codes_of
from .schemas import Schema, SchemaRegistry
from .shared_parts import (
    HEADERS,
    IF_NONE_MATCH_PARAMETER,
    PATH_PARAMETERS,
    PROBLEM_HEADERS,
    REQUEST_ID_PARAMETER,
    SECURITY_SCHEMES,
)

#: What workers ask each other is nobody else's business.
INTERNAL: Final = "/internal/"
NOT_MODIFIED: Final = 304
#: That of the paths; what is within it is added to and not changed.
API_VERSION: Final = "1"
_path_names = re.compile(r"\{([a-z_]+)\}").findall

DESCRIPTION: Final = """\
Rebates (CPS cashback): order facts in, every user's balance out. Money is an integer in fen, currency CNY.
Moments are RFC 3339, in +08:00 in answers; days are days in Asia/Shanghai. Path parts are
percent-encoded.

HEAD works wherever GET does. Errors are `application/problem+json` with a stable `code`; a known path without
the method is 405 `method-not-allowed` with `Allow`, an unknown path 404 `not-found`. Members may be added to
answers: ignore those that you do not know. `x-unforeseen` of an operation lists problems that a request
within this description may get all the same, each with its reason.
"""


def described() -> Iterator[tuple[Route, str, Method, Operation]]:
    """Yield every method for clients that says what it takes and answers."""
    for route in ROUTES:
        if not route.path.startswith(INTERNAL):
            for name, method in route.methods.items():
                if method.operation is not None:
                    yield route, name, method, method.operation


def undescribed() -> list[str]:
    """Return what is missing: one sentence for each method for clients that does not say what it answers."""
    return [
        f"{name} {route.path} does not say what it answers: give its Method in web/routes/ an "
        "operation=Operation(…), as docs/how-to/add-a-resource.md says"
        for route in ROUTES
        if not route.path.startswith(INTERNAL)
        for name, method in route.methods.items()
        if method.operation is None
    ]


def operation_id(route: Route, name: str) -> str:
    """Return the name of a method of a route, such as `profile.put`."""
    return f"{route.name}.{name.lower()}"


@cache
def openapi_document() -> dict[str, Any]:
    """Return the document."""
    return DocumentBuilder().document()


class DocumentBuilder:
    """Builds the document from the table of routes."""

    def __init__(self) -> None:
        self._methods = list(described())
        types: list[Any] = [Problem]
        for _, _, _, operation in self._methods:
            types += [operation.answer] if operation.answer is not None else []
            types += [operation.body.type] if operation.body is not None else []
        self._schemas = SchemaRegistry(types)

    def document(self) -> dict[str, Any]:
        """Return the document."""
        paths: dict[str, Any] = {}
        for route, name, method, operation in self._methods:
            paths.setdefault(route.path, {})[name.lower()] = self._operation(route, name, method, operation)
        responses = {f"Problem{status}": response for status, response in self._shared().items()}
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Taoke rebates",
                "version": API_VERSION,
                "description": DESCRIPTION,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/", "description": "any worker; each answers for all users"}],
            "paths": paths,
            "components": {
                "schemas": self._schemas.components,
                "responses": responses,
                "parameters": {"RequestId": REQUEST_ID_PARAMETER},
                "headers": {_component_name(name): header for name, header in HEADERS.items()},
                "securitySchemes": SECURITY_SCHEMES,
            },
        }

    def _operation(self, route: Route, name: str, method: Method, operation: Operation) -> dict[str, Any]:
        described_as: dict[str, Any] = {
            "operationId": operation_id(route, name),
            "summary": route.purpose,
            "security": _security(method.access),
            "parameters": _parameters(route, method, operation),
        }
        if operation.body is not None:
            example = read_example(f"{operation_id(route, name)}.body")
            described_as["requestBody"] = {
                "required": operation.body.required,
                "content": {
                    "application/json": {
                        "schema": self._schemas.reference(operation.body.type),
                        **({} if example is None else {"example": example}),
                    }
                },
            }
        described_as["responses"] = self._responses(route, name, method, operation)
        unforeseen = {p.invalid: p.unforeseen for p in method.parameters or () if p.unforeseen}
        if unforeseen | dict(operation.unforeseen):
            described_as["x-unforeseen"] = unforeseen | dict(operation.unforeseen)
        return described_as

    def _responses(self, route: Route, name: str, method: Method, operation: Operation) -> dict[str, Any]:
        responses = {str(operation.status): self._success(operation_id(route, name), operation)}
        for status, about in operation.also.items():
            answered = {"description": about, "headers": _headers(operation.headers)}
            if status not in WITHOUT_BODY and operation.answer is not None:
                answered["content"] = {
                    operation.media_type: {"schema": self._schemas.reference(operation.answer)}
                }
            responses[str(status)] = answered
        shared = self._shared()
        for status, codes in codes_of(route, name, method).items():
            if status in shared and codes == _shared_codes(status):
                responses[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
            else:
                names_members = operation.body is None or operation.body.names_members
                responses[str(status)] = self._problem(status, codes, names_members=names_members)
        return dict(sorted(responses.items()))

    def _success(self, name: str, operation: Operation) -> dict[str, Any]:
        media: dict[str, Any] = {}
        described_as = {
            "description": HTTPStatus(operation.status).phrase,
            "headers": _headers(operation.headers),
        }
        if operation.status in WITHOUT_BODY:
            return described_as
        if operation.answer is None:
            media["schema"] = {"type": "string"}
            example: Any = read_text_example(name)
        else:
            media["schema"] = self._schemas.reference(operation.answer)
            example = read_example(name)
        if example is not None:
            media["example"] = example
        return described_as | {"content": {operation.media_type: media}}

    def _problem(self, status: int, codes: list[str], *, names_members: bool = True) -> dict[str, Any]:
        kinds = {code: FACT_REFUSED if status == UNPROCESSABLE else PROBLEMS[code] for code in codes}
        narrowed: Schema = {
            **self._schemas.reference(Problem),
            "properties": {"status": {"const": status}, "code": {"enum": codes}},
        }
        if status == UNPROCESSABLE and names_members:
            narrowed["required"] = ["errors"]
        return {
            "description": "; ".join(dict.fromkeys(kind.title for kind in kinds.values())),
            "headers": _headers(PROBLEM_HEADERS.get(status, ())),
            "content": {
                PROBLEM_TYPE: {"schema": narrowed, "example": problem_example(status, codes[0])},
            },
        }

    def _shared(self) -> dict[int, dict[str, Any]]:
        """Return the problems that most operations have alike."""
        return {status: self._problem(status, _shared_codes(status)) for status in SHARED}


#: Statuses whose problems are the same in most operations.
SHARED: Final = (401, 403, 408, 413, 414, 415, 417, 421, 429, 431, 500, 501)
_SHARED_CODES: Final = (
    *ALWAYS,
    "unauthenticated",
    "invalid-token",
    "expired-token",
    "too-many-requests",
    "forbidden",
    "too-large",
)


def _shared_codes(status: int) -> list[str]:
    return [code for code in _SHARED_CODES if PROBLEMS[code].status == status]


def problem_example(status: int, code: str) -> dict[str, Any]:
    """Return a problem as an answer has it."""
    kind = FACT_REFUSED if status == UNPROCESSABLE else PROBLEMS[code]
    problem: dict[str, Any] = {
        "type": f"urn:rebate:problem:{code}",
        "title": kind.title,
        "status": status,
        "code": code,
        "detail": "what is wrong, in a sentence",
        "request_id": "7f3a5c0e9b1d2468",
    }
    if status == UNPROCESSABLE:
        problem["errors"] = [{"pointer": "/events/3/status", "code": code, "detail": problem["detail"]}]
    return problem


def _parameters(route: Route, method: Method, operation: Operation) -> list[dict[str, Any]]:
    listed = [_path_parameter(name) for name in _path_names(route.path)]
    listed += [_query_parameter(parameter) for parameter in method.parameters or ()]
    if NOT_MODIFIED in operation.also:
        listed.append(IF_NONE_MATCH_PARAMETER)
    return [*listed, {"$ref": "#/components/parameters/RequestId"}]


def _path_parameter(name: str) -> dict[str, Any]:
    about, schema, example = PATH_PARAMETERS.get(name, ("", dict(TEXT), "1"))
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": about,
        "schema": schema,
        "example": example,
    }


def _query_parameter(parameter: Parameter) -> dict[str, Any]:
    described_as: dict[str, Any] = {"name": parameter.name, "in": "query", "description": parameter.about}
    if parameter.required:
        described_as["required"] = True
    described_as["schema"] = parameter.schema or TEXT
    if parameter.repeatable:
        described_as |= {"style": "form", "explode": True}
    if parameter.example is not None:
        described_as["example"] = parameter.example
    return described_as


def _security(access: Access | None) -> list[dict[str, list[str]]]:
    if access is None or access.is_open:
        return []
    scopes = [scope for scope in (access.scope, access.or_scope) if scope]
    callers: list[dict[str, list[str]]] = [
        {scheme: [scope] if scope else []} for scope in scopes or ("",) for scheme in ("apiKey", "session")
    ]
    if access.user or not access.scope:
        callers.append({"userToken": []})
    return callers


def _headers(names: tuple[str, ...]) -> dict[str, Any]:
    return {
        name.removesuffix("?"): {"$ref": f"#/components/headers/{_component_name(name)}"}
        for name in ("X-Request-Id", *names)
    }


def _component_name(header: str) -> str:
    return header.replace("?", "-Optional")


def page() -> str:
    """Return the document as it is committed."""
    return json.dumps(openapi_document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
