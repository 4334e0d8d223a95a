"""Which problems a method may answer: those of every request, and those that follow from its route."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ..problems import PROBLEMS, UNPROCESSABLE
from ..routes.route import API_PATH, Method, Route
from ..server.runner import ANY_HOST_PATHS
from ..trail import SAFE_METHODS

#: Of every request, before it reaches a resource, and our own failure.
ALWAYS: Final = (
    "invalid-request",
    "request-timeout",
    "target-too-long",
    "unsupported-content-encoding",
    "expectation-failed",
    "misdirected-request",
    "headers-too-large",
    "internal-error",
    "unsupported-transfer-encoding",
    "too-many-connections",
)
CREDENTIALS: Final = ("unauthenticated", "invalid-token", "expired-token", "too-many-requests")
BODY: Final = ("invalid-json", "too-large", "unsupported-media-type")


def codes_of(route: Route, name: str, method: Method) -> Mapping[int, list[str]]:
    """Return the problem codes of a method by status; those of bad members of its body are its 422."""
    codes = [code for code in ALWAYS if code != "misdirected-request" or route.path not in ANY_HOST_PATHS]
    codes += _from_path_and_query(route, method)
    access, operation = method.access, method.operation
    if access is not None and not access.is_open:
        codes += CREDENTIALS
        codes += ("forbidden",) if access.scope or access.user else ()
    if name not in SAFE_METHODS and access is not None and not access.is_open:
        codes.append("broker-away")
    by_status: dict[int, list[str]] = {}
    if operation is not None:
        codes += operation.codes
        if operation.body is not None:
            codes += BODY
            if operation.body.reasons:
                by_status[UNPROCESSABLE] = list(dict.fromkeys(operation.body.reasons))
    for code in dict.fromkeys(codes):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    return dict(sorted(by_status.items()))


def _from_path_and_query(route: Route, method: Method) -> Iterable[str]:
    if "{" in route.path:
        yield "invalid-path"
        yield "not-found"  # an empty part of the path
        if "{user_id}" in route.path:
            yield "invalid-user_id"
        if "{attribution_id}" in route.path:
            yield "invalid-attribution_id"
    if route.path.startswith(API_PATH):
        yield "unknown-parameter"
    for parameter in method.parameters or ():
        yield parameter.invalid
