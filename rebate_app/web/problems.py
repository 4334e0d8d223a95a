"""Problems: the table of all error responses, and how one is written (RFC 9457).

Every error is `application/problem+json` with `type`, `title`, `status`, `code`, `detail` and `request_id`.
Codes are stable and listed here with their status; a 422 has the code of its first error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from msgspec import Struct

from rebate_app.domain.faults import UNKNOWN_MEMBER, Fault
from rebate_app.wire.facts.unknown_members import escaped

from .response import REQUEST_ID_HEADER, HttpResponse

PROBLEM_TYPE = "application/problem+json"
UNPROCESSABLE = 422
BROKER_RETRY_SECONDS = 2
BUILDING_RETRY_SECONDS = 5


class ProblemKind(Struct, frozen=True):
    """A problem as the documentation lists it."""

    status: int
    title: str


PROBLEMS = {
    "invalid-path": ProblemKind(400, "The path is not percent-encoded UTF-8"),
    "invalid-user_id": ProblemKind(400, "The user id is not well-formed"),
    "invalid-attribution_id": ProblemKind(400, "The attribution id is not well-formed"),
    "unknown-parameter": ProblemKind(400, "The resource has no such query parameter"),
    "invalid-at": ProblemKind(400, "The moment is not RFC 3339 with an offset"),
    "invalid-limit": ProblemKind(400, "The limit is not an integer from 1 to 200"),
    "invalid-cursor": ProblemKind(400, "The cursor is none that this list gave"),
    "invalid-status": ProblemKind(400, "The status is none that an order line has"),
    "invalid-platform": ProblemKind(400, "The platform is not well-formed"),
    "invalid-role": ProblemKind(400, "The role is neither buyer nor inviter"),
    "invalid-paid_from": ProblemKind(400, "The moment is not RFC 3339 with an offset"),
    "invalid-paid_to": ProblemKind(400, "The moment is not RFC 3339 with an offset"),
    "invalid-order_id": ProblemKind(400, "The order number is not well-formed"),
    "invalid-state": ProblemKind(400, "The state is none that there is"),
    "invalid-channel": ProblemKind(400, "The name of the channel is not well-formed"),
    "invalid-older_than": ProblemKind(400, "The age is no number of seconds"),
    "invalid-batch": ProblemKind(400, "The name of the batch is not well-formed"),
    "invalid-unbound": ProblemKind(400, "Only unbound=true can be listed"),
    "invalid-wait_ms": ProblemKind(400, "The time to wait is not an integer from 0 to 2000"),
    "invalid-json": ProblemKind(400, "The body is not JSON"),
    "invalid-id": ProblemKind(400, "The id is not topic/partition/offset"),
    "invalid-filter": ProblemKind(400, "A filter of the list is not one that there is"),
    "invalid-wish": ProblemKind(400, "The body does not say by whom, or why"),
    "invalid-request": ProblemKind(400, "The request is not well-formed HTTP"),
    "unauthenticated": ProblemKind(401, "The request needs credentials"),
    "invalid-signature": ProblemKind(403, "The payment service has not signed this"),
    "invalid-token": ProblemKind(401, "The credentials are wrong"),
    "expired-token": ProblemKind(401, "The credentials have expired"),
    "forbidden": ProblemKind(403, "The caller may not do this"),
    "not-found": ProblemKind(404, "There is no such resource"),
    "unknown-dead-letter": ProblemKind(404, "No record that failed there is among the dead letters"),
    "unknown-line": ProblemKind(404, "No fact of this order line was ever seen"),
    "unknown-withdrawal": ProblemKind(404, "The user has no such withdrawal"),
    "unknown-adjustment": ProblemKind(404, "The user has no such adjustment"),
    "unknown-opening": ProblemKind(404, "The user has no such opening"),
    "unknown-channel": ProblemKind(404, "No such channel of payouts is configured"),
    "unknown-source": ProblemKind(404, "No account of this name is among the sources"),
    "unknown-parked-key": ProblemKind(404, "No record of this key was ever parked"),
    "unknown-rule-version": ProblemKind(404, "No rule version of this name is published"),
    "method-not-allowed": ProblemKind(405, "The resource has no such method"),
    "request-timeout": ProblemKind(408, "The request did not arrive in time"),
    "id-reused": ProblemKind(409, "The id is known with another content"),
    "payee-in-use": ProblemKind(409, "An open withdrawal names the payee"),
    "too-many-payees": ProblemKind(409, "The user has as many payees as there may be"),
    "wrong-state": ProblemKind(409, "The state does not allow that"),
    "same-actor": ProblemKind(409, "Another person has to do this"),
    "under-review": ProblemKind(409, "The account is under review"),
    "too-large": ProblemKind(413, "The body is too large"),
    "target-too-long": ProblemKind(414, "The request target is too long"),
    "unsupported-media-type": ProblemKind(415, "The body has to be application/json"),
    "unsupported-content-encoding": ProblemKind(415, "Request bodies are not compressed"),
    "expectation-failed": ProblemKind(417, "The only expectation known is 100-continue"),
    "misdirected-request": ProblemKind(421, "The host named is not one of this worker's"),
    "unknown-payee": ProblemKind(422, "The user has no such payee of that channel"),
    "too-many-requests": ProblemKind(429, "The caller asks too often"),
    "headers-too-large": ProblemKind(431, "The header fields are too large"),
    "internal-error": ProblemKind(500, "This is our fault, and it was logged"),
    "unsupported-transfer-encoding": ProblemKind(501, "The only transfer coding known is chunked"),
    "too-many-connections": ProblemKind(503, "The worker has as many connections as it can take"),
    "not-ready": ProblemKind(503, "Nobody who may answer can, for now"),
    "building": ProblemKind(503, "Records that the answer needs are being built after an update"),
    "broker-away": ProblemKind(503, "The broker did not take the facts, for now"),
}
FACT_REFUSED = ProblemKind(UNPROCESSABLE, "The facts cannot be used, and none of them was sent")


class ProblemError(Exception):
    """A request cannot be fulfilled; `code` is a key of PROBLEMS, or a reason code with a `kind`."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        kind: ProblemKind | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.kind = PROBLEMS[code] if kind is None else kind
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members


def not_ready(reason: str, retry_after_seconds: int = 1) -> ProblemError:
    """Return the 503 with the time after which to try again."""
    return ProblemError("not-ready", reason, headers={"Retry-After": str(retry_after_seconds)})


def building(kind: str, partition: int, visited: int) -> ProblemError:
    """Return the 503 while a kind of record is built: what, where, and how many parts were visited so far."""
    return ProblemError(
        "building",
        f"{kind} of partition {partition} are being built after an update: {visited} records read so far",
        headers={"Retry-After": str(BUILDING_RETRY_SECONDS)},
        progress={"kind": kind, "partition": partition, "visited": visited},
    )


def broker_away(detail: str) -> ProblemError:
    """Return the 503 for a broker that cannot be reached for now."""
    return ProblemError("broker-away", detail, headers={"Retry-After": str(BROKER_RETRY_SECONDS)})


def internal_error() -> ProblemError:
    """Return the 500 for a failure of our own code, which is logged under the request id."""
    return ProblemError("internal-error", "ask whoever runs this, with the request_id")


def refused(errors: Sequence[tuple[str, Fault]]) -> ProblemError:
    """Return the 422 that names each bad member: (JSON pointer of the fact, fault), at least one."""
    listed = [
        {"pointer": pointer + _pointer(fault), "code": fault.code, "detail": fault.detail}
        for pointer, fault in errors
    ]
    first = errors[0][1]
    return ProblemError(first.code, first.detail, kind=FACT_REFUSED, errors=listed)


def _pointer(fault: Fault) -> str:
    if fault.code == UNKNOWN_MEMBER:
        return "/" + escaped(fault.member)
    return "/" + fault.member.replace(".", "/") if fault.member else ""


def problem_response(problem: ProblemError, request_id: str) -> HttpResponse:
    """Return the response that describes a problem."""
    kind = problem.kind
    body = {
        "type": f"urn:rebate:problem:{problem.code}",
        "title": kind.title,
        "status": kind.status,
        "code": problem.code,
        "detail": problem.detail,
        "request_id": request_id,
    }
    headers = {
        "Content-Type": PROBLEM_TYPE,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        REQUEST_ID_HEADER: request_id,
    }
    return HttpResponse(kind.status, orjson.dumps(body | problem.members), headers | problem.headers)
