"""Routes about the service itself: the caller, metrics, the description of the API, probes, other workers."""

from __future__ import annotations

from rebate_app.auth.scopes import METRICS_READ

from ..answers import accounts, operations, session
from ..auth.access import AUTHENTICATED, INTERNAL, OPEN, Access
from ..resources.api_description import read_docs, read_openapi
from ..resources.me import read_me
from ..resources.metrics import read_metrics
from ..resources.probes import read_live, read_ready
from ..resources.reach import REACH_PATH, read_identity, read_own_reach
from ..resources.session import delete_session, post_session, read_session
from ..routing.identity import IDENTITY_PATH
from ..routing.peer_rpc import INTERNAL_PATH
from .peer_rpcs import serve_peer_rpc
from .route import Method, Route

CALLER_ROUTES = (
    Route(
        "me",
        "/v1/me",
        "who the caller is, and what he may do",
        {"GET": Method(read_me, (), AUTHENTICATED, operation=accounts.ME)},
    ),
    Route(
        "session",
        "/v1/session",
        "who is signed in with this browser; sign in with an API key; sign out",
        {
            "GET": Method(read_session, (), OPEN, operation=session.SESSION),
            "POST": Method(post_session, (), OPEN, operation=session.SIGN_IN),
            "DELETE": Method(delete_session, (), OPEN, operation=session.SIGN_OUT),
        },
    ),
)

SERVICE_ROUTES = (
    Route(
        "metrics",
        "/metrics",
        "metrics for Prometheus (metrics.md)",
        {"GET": Method(read_metrics, None, Access(METRICS_READ), operation=operations.METRICS)},
    ),
    Route(
        "openapi",
        "/openapi.json",
        "this API, described for machines (OpenAPI 3.1)",
        {"GET": Method(read_openapi, None, OPEN, operation=operations.OPENAPI)},
    ),
    Route(
        "docs",
        "/docs",
        "this API, described for people",
        {"GET": Method(read_docs, None, OPEN, operation=operations.DOCS)},
    ),
    Route(
        "livez",
        "/livez",
        "whether the event loop runs",
        {"GET": Method(read_live, None, OPEN, operation=operations.LIVE)},
    ),
    Route(
        "readyz",
        "/readyz",
        "whether the worker is ready",
        {"GET": Method(read_ready, None, OPEN, operation=operations.READY)},
    ),
    Route("identity", IDENTITY_PATH, "which worker this is", {"GET": Method(read_identity, None, OPEN)}),
    Route(
        "own-reach", REACH_PATH, "whom this worker reaches", {"GET": Method(read_own_reach, None, INTERNAL)}
    ),
    Route(
        "internal",
        INTERNAL_PATH + "{rpc}",
        "requests between workers",
        {"POST": Method(serve_peer_rpc, None, INTERNAL)},
    ),
)
