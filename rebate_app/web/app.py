"""Serve the table of routes on the Faust app's web server.

A request passes `server.connection` (HTTP, time-outs), `server.runner` (limits, `Host`, unknown paths),
aiohttp's router, the `Endpoint` of its route and method, and the route's handler. Every answer has a request
id; a failure of our own is a problem and logged, and no traceback leaves the worker.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

import faust
from aiohttp import ClientError, web
from faust.web.base import BlueprintManager

from rebate_app.streams.state.store import StoreClosedError, StoreDamagedError
from rebate_app.wire.audit_trail import Requester

from .auth.access import ANYBODY, INTERNAL, Caller
from .auth.authenticator import Incoming
from .auth.cors import SECURITY_HEADERS, cors_headers, preflight_headers
from .context import REQUEST_ID_HEADER, HttpRequest, HttpResponse, RequestContext, WebPorts
from .page_files import add_page
from .problems import ProblemError, internal_error, not_ready, problem_response
from .request_ids import request_id_of
from .request_metrics import count_request
from .request_params import check_query
from .resources.payees import HeldPayees
from .resources.writes import BODY_BYTES_MAX
from .routes.route import Method, Route
from .routes.table import ROUTES
from .routing.peer_client import PeerClient
from .routing.peer_rpc import INTERNAL_PATH
from .server.connection import BodyTimeoutError
from .server.hosts import AllowedHosts
from .server.runner import HttpRunner
from .trail import SAFE_METHODS, RequestTrail, subject_of

__all__ = ["WebPorts", "attach"]

log = logging.getLogger(__name__)

TOO_MANY_REQUESTS: Final = 429
#: A client over its rate that does not wait gets ten answers a second on each of its connections, so that
#: refusing it takes no time from the others.
TOO_MANY_PAUSE_SECONDS: Final = 0.1

NO_PARAMETERS: Final[Mapping[str, str]] = {}

_PATH_PARAMETER = re.compile(r"\{([a-z_]+)\}")


def attach(app: faust.App, api: WebPorts) -> RequestContext:
    """Serve every route on the app's web server; connections to other workers close with it."""
    context = RequestContext(api, PeerClient(api.own_url.rstrip("/"), api.peer_security))
    if api.payouts is not None:
        context.payees = HeldPayees(context)
    # None of Faust's own pages: some show data without authentication, and its "/" is always well.
    app.web.blueprints = BlueprintManager()
    web_app: web.Application = app.web.web_app
    for route in ROUTES:
        _add_route(web_app.router, route, context)
    public = (route.path for route in ROUTES if not route.path.startswith(INTERNAL_PATH))
    add_page(web_app.router, context.metrics, public)
    hosts = AllowedHosts(api.own_url, api.allowed_hosts)
    app.web._runner = HttpRunner(web_app, api.limits, hosts, api.metrics)  # noqa: SLF001 - Faust has no hook

    async def close(_: web.Application) -> None:
        await context.peers.close()
        if context.dead_letters is not None:
            await context.dead_letters.close()
        await context.trail.close()

    web_app.on_cleanup.append(close)
    return context


def _add_route(router: web.UrlDispatcher, route: Route, context: RequestContext) -> None:
    """Register each method of a route; HEAD is GET, whose body aiohttp leaves out."""
    path = _PATH_PARAMETER.sub(r"{\1:[^/]+}", route.path)
    for name, method in route.methods.items():
        endpoint = Endpoint(context, route, name, method)
        router.add_route(name, path, endpoint.serve)
        if name == "GET":
            router.add_route("HEAD", path, endpoint.serve)
    if context.cors_origins and not route.path.startswith(INTERNAL_PATH):
        router.add_route("OPTIONS", path, _preflight(context, route))


def _preflight(context: RequestContext, route: Route) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return the handler of a browser's question before a request from another origin."""
    methods = ", ".join(route.methods)

    async def answer(request: web.Request) -> web.Response:
        headers = cors_headers(request.headers.get("Origin"), context.cors_origins)
        if "Access-Control-Allow-Origin" in headers:
            headers |= preflight_headers(methods)
        return web.Response(status=204, headers={**SECURITY_HEADERS, **headers, "Allow": methods})

    return answer


class Endpoint:
    """One method of one route: reads an `HttpRequest`, calls the handler and sends its `HttpResponse`."""

    def __init__(self, context: RequestContext, route: Route, name: str, method: Method) -> None:
        self._context = context
        self._route_name = route.name
        self._handler = method.handler
        self._parameters = method.parameters
        self._access = method.access or INTERNAL  # the table has refused a method without one
        self._action = method.action or f"{route.name}.{name.lower()}"
        self._recorded = name not in SAFE_METHODS and not self._access.internal
        self._path_parameters = tuple(
            (index, match[1])
            for index, segment in enumerate(route.path.split("/"))
            if (match := _PATH_PARAMETER.fullmatch(segment))
        )

    async def serve(self, request: web.Request) -> web.Response:
        """Answer a request: what the handler returns, or a problem; count it."""
        started = time.perf_counter()
        request_id = request_id_of(request.headers.get(REQUEST_ID_HEADER))
        try:
            answer = await self._answer(request, request_id)
        except ProblemError as problem:
            answer = problem_response(problem, request_id)
        except (StoreClosedError, StoreDamagedError):
            answer = problem_response(not_ready("the records are closed or being restored here"), request_id)
        except Exception:
            log.exception("request %s: %s %s failed", request_id, request.method, request.path)
            answer = problem_response(internal_error(), request_id)
        response = web.Response(body=answer.body, status=answer.status, headers=answer.headers)
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.update(cors_headers(request.headers.get("Origin"), self._context.cors_origins))
        if REQUEST_ID_HEADER not in response.headers:
            response.headers[REQUEST_ID_HEADER] = request_id
        seconds = time.perf_counter() - started
        count_request(self._context.metrics, self._route_name, request.method, answer.status, seconds)
        if answer.status == TOO_MANY_REQUESTS:
            await asyncio.sleep(TOO_MANY_PAUSE_SECONDS)
        return response

    async def _answer(self, request: web.Request, request_id: str) -> HttpResponse:
        """Call the handler; ProblemError for a caller who may not, a bad path or a bad query."""
        url = request.rel_url
        read_body = _BodyReader(request)
        address = self._context.address_of(
            request.remote or "", request.headers.getall("X-Forwarded-For", ())
        )
        incoming = Incoming(request.method, url.raw_path_qs, request.headers, address, read_body)
        caller, forwarded = await self._identify(incoming)
        path_parameters = self._decode_path(url.raw_path) if self._path_parameters else NO_PARAMETERS
        trail = None
        if self._recorded:
            requester = Requester(caller.actor, request_id)
            trail = self._trail(requester, path_parameters, address, read_body)
        described = HttpRequest(
            method=request.method,
            target=url.raw_path_qs,
            params=path_parameters,
            query=request.query if url.raw_query_string else NO_PARAMETERS,
            headers=request.headers,
            request_id=request_id,
            read_body=read_body,
            caller=caller,
            forwarded=forwarded,
            address=address,
            trail=trail,
        )
        return await (self._handle(described) if trail is None else self._handle_recorded(described, trail))

    async def _handle(self, request: HttpRequest) -> HttpResponse:
        """Call the handler for a caller who may."""
        self._authorize(request.caller, request.params, forwarded=request.forwarded)
        if request.query and self._parameters is not None:
            check_query(self._parameters, request.query.items())  # repeated ones too
        return await self._handler(self._context, request)

    async def _handle_recorded(self, request: HttpRequest, trail: RequestTrail) -> HttpResponse:
        """Call the handler of a method that changes something; its trail is written before the answer."""
        try:
            answer = await self._handle(request)
        except ProblemError as problem:
            await trail.refuse(problem)
            raise
        await trail.complete(answer.status)
        return answer

    def _trail(
        self, requester: Requester, params: Mapping[str, str], address: str, read_body: _BodyReader
    ) -> RequestTrail:
        context = self._context
        return RequestTrail(
            context.trail,
            context.clock,
            context.body_secrets,
            self._action,
            subject_of(params),
            requester,
            address,
            lambda: read_body.body,
        )

    async def _identify(self, incoming: Incoming) -> tuple[Caller, bool]:
        """Return (caller, whether another worker passes the request on); ProblemError 401 or 429."""
        authenticator = self._context.authenticator
        caller = await authenticator.forwarded_caller(incoming)
        if caller is not None:
            return caller, True
        if self._access.is_open or self._access.internal:
            return ANYBODY, False
        return authenticator.caller(incoming), False

    def _authorize(self, caller: Caller, params: Mapping[str, str], *, forwarded: bool) -> None:
        if self._access.internal:
            if not forwarded:
                raise ProblemError("not-found", "nothing is served under this path")
            return
        try:
            self._access.authorize(caller, params)
        except ProblemError as problem:
            self._context.authenticator.count_refusal(problem)
            raise

    def _decode_path(self, raw_path: str) -> dict[str, str]:
        """Return the path parameters, each decoded once from its own segment: `%2F` is part of an id."""
        segments = raw_path.split("/")
        try:
            return {name: unquote_to_bytes(segments[index]).decode() for index, name in self._path_parameters}
        except UnicodeError:
            raise ProblemError("invalid-path", "path parts are percent-encoded UTF-8") from None


class _BodyReader:
    """Reads a request's body once; further calls return the same bytes."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.body: bytes | None = None  # None until it was read

    async def __call__(self) -> bytes:
        if self.body is None:
            self.body = await _read_body(self._request)
        return self.body


async def _read_body(request: web.Request) -> bytes:
    """Return the body; ProblemError `too-large` beyond 1 MiB, without having read the rest of it."""
    too_large = ProblemError("too-large", f"a body is at most {BODY_BYTES_MAX} bytes")
    if (request.content_length or 0) > BODY_BYTES_MAX:
        raise too_large
    body = bytearray()
    try:
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > BODY_BYTES_MAX:
                raise too_large
    except BodyTimeoutError as error:
        raise ProblemError("request-timeout", "the body did not arrive in time") from error
    except (web.RequestPayloadError, ClientError, ConnectionError) as error:
        raise ProblemError("invalid-request", "the body broke off or is not well-formed") from error
    return bytes(body)
