"""Everything that a request can be answered with instead of what it asked for (RFC 9457).

Law: every error is `application/problem+json` with `type`, `title`, `status`, `code`, `detail` and
`request_id`; codes are stable and listed here, and a 422 has the code of its first error. It is separate
so that no other module knows a status number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from msgspec import Struct

from rebate_app.domain.faults import Fault

from .api import REQUEST_ID_HEADER, Answer

PROBLEM_TYPE = "application/problem+json"
UNPROCESSABLE = 422


class Kind(Struct, frozen=True):
    """A problem as the documentation lists it."""

    status: int
    title: str


PROBLEMS = {
    "invalid-path": Kind(400, "The path is not percent-encoded UTF-8"),
    "invalid-user_id": Kind(400, "The user id is not well-formed"),
    "invalid-attribution_id": Kind(400, "The attribution id is not well-formed"),
    "invalid-at": Kind(400, "The moment is not RFC 3339 with an offset"),
    "invalid-limit": Kind(400, "The limit is not an integer from 1 to 200"),
    "invalid-cursor": Kind(400, "The cursor is none that this list gave"),
    "invalid-unbound": Kind(400, "Only unbound=true can be listed"),
    "invalid-wait_ms": Kind(400, "The time to wait is not an integer from 0 to 2000"),
    "invalid-json": Kind(400, "The body is not JSON"),
    "invalid-id": Kind(400, "The id is not topic/partition/offset"),
    "invalid-filter": Kind(400, "A filter of the list is not one that there is"),
    "invalid-wish": Kind(400, "The body does not say by whom, or why"),
    "not-found": Kind(404, "There is no such resource"),
    "unknown-dead-letter": Kind(404, "No record that failed there is among the dead letters"),
    "unknown-line": Kind(404, "No fact of this order line was ever seen"),
    "method-not-allowed": Kind(405, "The resource has no such method"),
    "too-large": Kind(413, "The body is too large"),
    "unsupported-media-type": Kind(415, "The body has to be application/json"),
    "internal-error": Kind(500, "This is our fault, and it was logged"),
    "not-ready": Kind(503, "Nobody who may answer can, for now"),
    "dlq-limit": Kind(503, "Too many records fail: the worker stops until somebody looks"),
    "parked-limit": Kind(503, "Too much is parked: the worker stops until somebody looks"),
    "broker-away": Kind(503, "The broker did not take the facts, for now"),
}
FACT_REFUSED = Kind(UNPROCESSABLE, "The facts cannot be used, and none of them was sent")


class ProblemError(Exception):
    """A request cannot be answered as asked; `code` is a key of PROBLEMS, or a reason code with a `kind`."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        kind: Kind | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.kind = PROBLEMS[code] if kind is None else kind
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members


def not_ready(reason: str, retry_after_s: int = 1) -> ProblemError:
    """Return the 503 that says when to come again."""
    return ProblemError("not-ready", reason, headers={"Retry-After": str(retry_after_s)})


def refused(errors: Sequence[tuple[str, Fault]]) -> ProblemError:
    """Return the 422 that names each bad member: (JSON pointer of the fact, fault), at least one."""
    listed = [
        {"pointer": pointer + _pointer(fault.member), "code": fault.code, "detail": fault.detail}
        for pointer, fault in errors
    ]
    first = errors[0][1]
    return ProblemError(first.code, first.detail, kind=FACT_REFUSED, errors=listed)


def _pointer(member: str) -> str:
    return "/" + member.replace(".", "/") if member else ""


def problem_answer(problem: ProblemError, request_id: str) -> Answer:
    """Return the problem as it is sent."""
    kind = problem.kind
    body = {
        "type": f"urn:rebate:problem:{problem.code}",
        "title": kind.title,
        "status": kind.status,
        "code": problem.code,
        "detail": problem.detail,
        "request_id": request_id,
    }
    headers = {"Content-Type": PROBLEM_TYPE, "Cache-Control": "no-store", REQUEST_ID_HEADER: request_id}
    return Answer(kind.status, orjson.dumps(body | problem.members), headers | problem.headers)
