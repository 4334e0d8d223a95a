"""The HTTP server of a worker: aiohttp's, with our limits and a gate before its router."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from rebate_app.metrics.catalogue import HTTP_REFUSED
from rebate_app.metrics.registry import MetricsRegistry

from ..context import REQUEST_ID_HEADER, HttpResponse
from ..problems import ProblemError, internal_error, problem_response
from ..request_ids import request_id_of
from ..request_metrics import NO_ROUTE, count_request
from ..routing.peer_rpc import INTERNAL_PATH
from .connection import Connection
from .connections import Closed, Connections
from .hosts import AllowedHosts
from .limits import (
    FIELD_LINE_OVERHEAD_BYTES,
    HEADER_BYTES_MAX,
    HEADER_COUNT_MAX,
    HEADERS_BYTES_MAX,
    TARGET_BYTES_MAX,
    Limits,
)

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS: Final = 1
#: For machines that know an address only: any `Host` will do.
ANY_HOST_PATHS: Final = frozenset({"/livez", "/readyz", "/metrics"})
#: The codes of what is refused before it reaches a resource.
REFUSALS: Final = (
    "invalid-request",
    "request-timeout",
    "target-too-long",
    "unsupported-content-encoding",
    "expectation-failed",
    "misdirected-request",
    "headers-too-large",
    "unsupported-transfer-encoding",
    "too-many-connections",
)

#: What stands before and after the authority in a target, which is that alone with CONNECT.
_authority = re.compile(r"\A[^/?#]*://|[/?#].*", re.DOTALL)

Handle = Callable[[Any], Awaitable[StreamResponse]]


class RequestGate:
    """Refuses requests that no resource may see, whatever their path and method, and routes the others."""

    def __init__(self, handle: Handle, hosts: AllowedHosts, metrics: MetricsRegistry) -> None:
        self._handle = handle
        self._hosts = hosts
        self._metrics = metrics

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        """Answer a request: the route's response, a problem for an unknown path or method, or a refusal."""
        started = time.perf_counter()
        problem = self._refusal_of(request)
        if problem is None:
            try:
                return await self._handle(request)
            except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
                return self._unrouted(request, error, started)
            except web.HTTPExpectationFailed:
                problem = ProblemError("expectation-failed", "the only expectation known is 100-continue")
            except Exception:
                log.exception("%s %s failed", request.method, request.path)
                problem = internal_error()
        return self.refuse(problem, request.method, request.headers.get(REQUEST_ID_HEADER))

    def _unrouted(
        self, request: BaseRequest, error: web.HTTPNotFound | web.HTTPMethodNotAllowed, started: float
    ) -> web.Response:
        """Return the response to a request that the router refuses, and count it.

        What workers ask each other is hidden from everybody else, also with a method that it does not have.
        """
        if isinstance(error, web.HTTPMethodNotAllowed) and not request.path.startswith(INTERNAL_PATH):
            allowed = ", ".join(sorted(error.allowed_methods))
            problem = ProblemError("method-not-allowed", f"allowed: {allowed}", headers={"Allow": allowed})
        else:
            problem = ProblemError("not-found", "nothing is served under this path")
        request_id = request_id_of(request.headers.get(REQUEST_ID_HEADER))
        answer = problem_response(problem, request_id)
        seconds = time.perf_counter() - started
        count_request(self._metrics, NO_ROUTE, request.method, answer.status, seconds)
        return web.Response(body=answer.body, status=answer.status, headers=answer.headers)

    def refuse(
        self, problem: ProblemError, method: str = "", given_request_id: str | None = None
    ) -> web.Response:
        """Return the response to a request that reaches no resource, and count it."""
        answer = self.refusal(problem, method, given_request_id)
        return web.Response(body=answer.body, status=answer.status, headers=answer.headers)

    def refusal(
        self, problem: ProblemError, method: str = "", given_request_id: str | None = None
    ) -> HttpResponse:
        """Return the same response, before aiohttp's form of it."""
        self._metrics.add(HTTP_REFUSED, (problem.code,))
        count_request(self._metrics, NO_ROUTE, method, problem.kind.status, 0.0)
        return problem_response(problem, request_id_of(given_request_id))

    def _refusal_of(self, request: BaseRequest) -> ProblemError | None:
        sizes = [len(name) + len(value) for name, value in request.raw_headers]
        if max(sizes, default=0) > HEADER_BYTES_MAX:  # the parser does not always count the name
            return ProblemError("headers-too-large", f"a header field is at most {HEADER_BYTES_MAX} bytes")
        if sum(sizes) + FIELD_LINE_OVERHEAD_BYTES * len(sizes) > HEADERS_BYTES_MAX:
            return ProblemError("headers-too-large", f"header fields are at most {HEADERS_BYTES_MAX} bytes")
        if request.rel_url.raw_path not in ANY_HOST_PATHS and not self._is_addressed(request):
            detail = "Host has to name this worker: REBATE_ADVERTISED_URL or one of REBATE_ALLOWED_HOSTS"
            return ProblemError("misdirected-request", detail)
        headers = request.headers
        if "Content-Encoding" in headers and (
            request.body_exists or set(_tokens(request, "Content-Encoding")) - {"identity"}
        ):
            return ProblemError("unsupported-content-encoding", "send the body without a Content-Encoding")
        if "Transfer-Encoding" in headers and _tokens(request, "Transfer-Encoding") != ["chunked"]:
            return ProblemError("unsupported-transfer-encoding", "send the body as it is, or in chunks")
        return None

    def _is_addressed(self, request: BaseRequest) -> bool:
        transport = request.transport
        name = None if transport is None else transport.get_extra_info("sockname")
        local = name[0] if isinstance(name, tuple) else ""
        named = [request.headers.get("Host", "")]
        target = request.raw_path
        if not target.startswith("/") and target != "*":  # it names a host too, which has precedence
            named.append(_authority.sub("", target))
        return all(self._hosts.allows(text, local) for text in named)


def _tokens(request: BaseRequest, name: str) -> list[str]:
    """Return the members of a list in all fields of that name, in lower case."""
    members = ",".join(request.headers.getall(name)).split(",")
    return [member.strip().lower() for member in members if member.strip()]


class HttpServer(web.Server):
    """Makes the connections, and turns away those beyond the limit."""

    def __init__(
        self, app_server: web.Server, limits: Limits, hosts: AllowedHosts, metrics: MetricsRegistry
    ) -> None:
        gate = RequestGate(app_server.request_handler, hosts, metrics)
        super().__init__(gate, request_factory=app_server.request_factory, loop=app_server._loop)  # noqa: SLF001
        self._gate = gate
        self._limits = limits
        self._clients: Connections[Connection] = Connections(limits.connections_max, metrics)
        self._turned_away: set[Connection] = set()

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(
            self,
            self._clients,
            self._gate.refuse,
            self._turn_away,
            self._limits,
            loop=self._loop,
            keepalive_timeout=self._limits.idle_timeout_seconds,
            access_log=None,
            max_line_size=TARGET_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
            max_headers=HEADER_COUNT_MAX,
            lingering_time=0,  # `Connection` does it
            auto_decompress=False,
        )

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        self._turned_away.discard(cast("Connection", handler))
        super().connection_lost(handler, exc)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's name
        """End all connections."""
        for connection in set(self._turned_away):
            connection.abort()
        await super().shutdown(timeout)

    def _turn_away(self, connection: Connection) -> None:
        self._clients.count_closed(Closed.TOO_MANY_CONNECTIONS)
        detail = "every connection is in use; try another worker, or later"
        retry = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        answer = self._gate.refusal(ProblemError("too-many-connections", detail, headers=retry))
        if len(self._turned_away) < self._limits.turned_away_max:
            self._turned_away.add(connection)
            connection.turn_away(_encode(answer), self._limits.linger_timeout_seconds)
        else:
            connection.abort()


def _encode(answer: HttpResponse) -> bytes:
    """Return a response as bytes, for a client whose request is not read."""
    fields = {**answer.headers, "Content-Length": str(len(answer.body)), "Connection": "close"}
    head = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    head += [f"{name}: {text}" for name, text in fields.items()]
    return "\r\n".join([*head, "", ""]).encode("ascii") + answer.body


class HttpRunner(web.AppRunner):
    """Serves an application by an `HttpServer`."""

    def __init__(
        self, app: web.Application, limits: Limits, hosts: AllowedHosts, metrics: MetricsRegistry
    ) -> None:
        super().__init__(app, shutdown_timeout=limits.shutdown_timeout_seconds)
        self._limits = limits
        self._hosts = hosts
        self._metrics = metrics

    async def _make_server(self) -> HttpServer:
        # Faust's CORS library looks at each response and finds none of its own: ours are `auth.cors`.
        self.app.on_response_prepare.clear()
        return HttpServer(await super()._make_server(), self._limits, self._hosts, self._metrics)
