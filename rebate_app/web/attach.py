"""Put the resources on the Faust app's web server: views, one place for errors, and the peers' connections.

Law: whatever is asked, the answer is ours: unknown paths, wrong methods and our own bugs are problems
too, every answer has a request id, and no traceback leaves the worker. It is separate so that only this
module knows Faust and aiohttp's server.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Final
from urllib.parse import unquote_to_bytes

import faust
from aiohttp import ClientError, web
from faust.web import View
from faust.web.base import BlueprintManager

from rebate_app.lane.store import StoreClosedError, StoreDamagedError
from rebate_app.metrics.figures import Figures

from .api import REQUEST_ID_HEADER, Answer, Api, Call, Desk, Handler
from .metrics import NO_ROUTE, count_request
from .peers import Peers
from .problems import ProblemError, not_ready, problem_answer
from .routes import ROUTES, Route
from .writes import BODY_BYTES_MAX

__all__ = ["Api", "attach"]

log = logging.getLogger(__name__)

NO_QUERY: Final[Mapping[str, str]] = {}

_match_request_id = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII).fullmatch
_random_bits = random.Random().getrandbits  # an id to find a request by is no secret
_PART = re.compile(r"\{([a-z_]+)\}")
_REQUEST_ID = web.RequestKey("request_id", str)
_ROUTE = web.RequestKey("route", str)
_FIGURES = web.AppKey("figures", Figures)


def attach(app: faust.App, api: Api) -> Desk:
    """Register every resource on the app's web server; the peers' connections close with it."""
    desk = Desk(api, Peers())
    # None of Faust's own pages: some show data without authentication, and its "/" is always well.
    app.web.blueprints = BlueprintManager()
    for route in ROUTES:
        app.web.add_view(_view_of(route, desk))
    web_app: web.Application = app.web.web_app
    web_app[_FIGURES] = api.figures
    web_app.middlewares.append(_always_ours)

    async def close(_: web.Application) -> None:
        await desk.peers.close()
        if desk.office is not None:
            await desk.office.close()

    web_app.on_cleanup.append(close)
    return desk


class Resource(View):
    """A Faust view of one route: each method is a handler from `Call` to `Answer`."""

    desk: ClassVar[Desk]
    route: ClassVar[Route]
    parts: ClassVar[tuple[tuple[int, str], ...]]  # (segment of the path, name)

    def __post_init__(self) -> None:
        """Replace Faust's methods by the route's, HEAD being GET without a body."""
        handlers = dict(self.route.handlers)
        if "GET" in handlers:
            handlers["HEAD"] = handlers["GET"]
        self.methods = {method.lower(): self._method(handler) for method, handler in handlers.items()}

    async def dispatch(self, request: Any) -> web.Response:
        """Answer; Faust's own has its monitor count the request too, which our metrics have already."""
        served: web.Response = await self.methods[request.method.lower()](request)
        return served

    def get_methods(self) -> set[str]:
        """Return the methods that there are."""
        return {method.upper() for method in self.methods}

    def _method(self, handler: Handler) -> Callable[..., Awaitable[web.Response]]:
        async def serve(request: web.Request, **_: str) -> web.Response:
            request[_ROUTE] = self.route.name
            try:
                answer = await handler(self.desk, self._call(request))
            except ProblemError as problem:
                answer = problem_answer(problem, request[_REQUEST_ID])
            except (StoreClosedError, StoreDamagedError):
                gone = not_ready("the records were given up, or are being restored here")
                answer = problem_answer(gone, request[_REQUEST_ID])
            return _response(answer)

        return serve

    def _call(self, request: web.Request) -> Call:
        url = request.rel_url
        return Call(
            method=request.method,
            target=url.raw_path_qs,
            params=self._params(url.raw_path) if self.parts else NO_QUERY,
            query=request.query if url.raw_query_string else NO_QUERY,
            headers=request.headers,
            request_id=request[_REQUEST_ID],
            read_body=lambda: _read_body(request),
        )

    def _params(self, raw_path: str) -> dict[str, str]:
        """Return the path's parts, each decoded once, by its own segment: `%2F` is part of an id."""
        segments = raw_path.split("/")
        try:
            return {name: unquote_to_bytes(segments[place]).decode() for place, name in self.parts}
        except UnicodeError:
            raise ProblemError("invalid-path", "path parts are percent-encoded UTF-8") from None


def _view_of(route: Route, desk: Desk) -> type[Resource]:
    parts = tuple(
        (place, match[1])
        for place, segment in enumerate(route.path.split("/"))
        if (match := _PART.fullmatch(segment))
    )
    members: dict[str, Any] = {
        "__doc__": route.about,
        "view_name": route.name,
        "view_path": _PART.sub(r"{\1:[^/]+}", route.path),
        "desk": desk,
        "route": route,
        "parts": parts,
    }
    return type(route.name, (Resource,), members)


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
    except (web.RequestPayloadError, ClientError, ConnectionError) as error:
        raise ProblemError("invalid-json", "the body broke off or cannot be decoded") from error
    return bytes(body)


@web.middleware
async def _always_ours(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Give every request an id, and every failure our form."""
    given = request.headers.get(REQUEST_ID_HEADER)
    request_id = given if given and _match_request_id(given) else f"{_random_bits(64):016x}"
    request[_REQUEST_ID] = request_id
    began = time.perf_counter()
    try:
        response = await handler(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
        response = _response(problem_answer(_problem_of(error), request_id))
    except Exception:
        log.exception("request %s: %s %s failed", request_id, request.method, request.path)
        problem = ProblemError("internal-error", "ask whoever runs this, with the request_id")
        response = _response(problem_answer(problem, request_id))
    if REQUEST_ID_HEADER not in response.headers:
        response.headers[REQUEST_ID_HEADER] = request_id
    route, took = request.get(_ROUTE, NO_ROUTE), time.perf_counter() - began
    count_request(request.app[_FIGURES], route, request.method, response.status, took)
    return response


def _problem_of(error: web.HTTPNotFound | web.HTTPMethodNotAllowed) -> ProblemError:
    """Return our problem for what the router refuses."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return ProblemError("method-not-allowed", f"allowed: {allowed}", headers={"Allow": allowed})
    return ProblemError("not-found", "nothing is served under this path")


def _response(answer: Answer) -> web.Response:
    return web.Response(body=answer.body, status=answer.status, headers=answer.headers)
