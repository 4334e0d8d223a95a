"""What an HTTP handler works with: the worker's ports, one request and one response.

It knows neither Faust nor aiohttp, so that a handler is a function from `HttpRequest` to `HttpResponse` that
tests, fuzzers and benchmarks call without a server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from rebate_app.dead_letters.service import DeadLetterService
from rebate_app.domain.order.attribution import parse_user_id_fields
from rebate_app.domain.pricing.catalogue import RuleCatalogue
from rebate_app.http_urls import Authority
from rebate_app.metrics.minute_samples import MinuteSamples
from rebate_app.metrics.registry import MetricsRegistry
from rebate_app.secret_ring import SecretRing
from rebate_app.sources.cursors import AccountDecision
from rebate_app.webhooks.state import WebhookState
from rebate_app.wire.audit_trail import Requester
from rebate_app.wire.rules.published import PublishedVersion
from rebate_app.wire.topics import Topics

from .auth.access import ANYBODY, Caller
from .auth.addresses import client_address
from .auth.authenticator import Authenticator, Credentials
from .response import JSON_HEADERS, REQUEST_ID_HEADER, HttpResponse, json_response
from .routing.peer_client import PeerClient, PeerSecurity
from .routing.ports import (
    AuditTrail,
    Clock,
    DryRunFold,
    FactSender,
    NoPayees,
    Payees,
    PayoutRoom,
    Placement,
)
from .server.limits import LIMITS, Limits
from .server.wait_slots import WaitSlots
from .trail import RequestTrail

__all__ = [
    "JSON_HEADERS",
    "REQUEST_ID_HEADER",
    "Handler",
    "HttpRequest",
    "HttpResponse",
    "RequestContext",
    "WebPorts",
    "json_response",
]


class WebPorts(Struct, frozen=True):
    """The ports, bundled by the composition root. `own_url` is how other workers reach this one.

    `rules`: the published versions, as this worker has read them; `published`: their files, by version.
    `instance`: the random id of this process, by which others recognise it.
    `body_secrets`: with which the audit trail digests bodies.
    """

    placement: Placement
    sender: FactSender
    trail: AuditTrail
    clock: Clock
    topics: Topics
    rules: RuleCatalogue
    user_id_fields: str
    own_url: str
    instance: str = ""
    metrics: MetricsRegistry = field(default_factory=MetricsRegistry)
    samples: MinuteSamples | None = None
    dead_letters: DeadLetterService | None = None
    dry_run: DryRunFold | None = None
    limits: Limits = LIMITS
    allowed_hosts: tuple[Authority, ...] = ()
    webhooks: Callable[[], WebhookState] = WebhookState
    sources: Callable[[set[str] | None], list[dict[str, Any]]] = lambda _seen: []
    source_decision: Callable[[str], AccountDecision | None] = lambda _account: None
    published: Mapping[str, PublishedVersion] = {}
    credentials: Credentials = Credentials()
    peer_security: PeerSecurity | None = None
    cors_origins: frozenset[str] = frozenset()
    body_secrets: SecretRing | None = None
    payees: Payees = NoPayees()
    payouts: PayoutRoom | None = None


class RequestContext:
    """The ports, the HTTP client to the other workers and the slots of waiting writes."""

    def __init__(self, api: WebPorts, peers: PeerClient) -> None:
        self.placement = api.placement
        self.sender = api.sender
        self.trail = api.trail
        self.body_secrets = api.body_secrets
        self.payees = api.payees
        self.payouts = api.payouts
        self.clock = api.clock
        self.topics = api.topics
        self.rules = api.rules
        self.published = api.published
        self.user_id_fields = parse_user_id_fields(api.user_id_fields)
        self.own_url = api.own_url.rstrip("/")
        self.instance = api.instance
        self.metrics = api.metrics
        self.samples = api.samples
        self.dead_letters = api.dead_letters
        self.dry_run = api.dry_run
        self.webhooks = api.webhooks
        self.sources = api.sources
        self.source_decision = api.source_decision
        self.peers = peers
        self.authenticator = Authenticator(api.credentials, self.own_url, api.clock, api.metrics)
        self.cors_origins = api.cors_origins
        self._trusted_proxies = api.credentials.trusted_proxies
        self.wait_slots = WaitSlots(api.limits.waits_max, api.metrics)

    def address_of(self, peer: str, forwarded_for: Iterable[str]) -> str:
        """Return the address of a client, through trusted proxies."""
        return client_address(peer, forwarded_for, self._trusted_proxies)


class HttpRequest(Struct, frozen=True):
    """One request: decoded path parameters, decoded query, and `target`, the path and query as they came.

    `caller`: who sent it, to whichever worker. `forwarded`: another worker of ours passes it on.
    `address`: the client's. `trail`: of a request that changes something.
    """

    method: str
    target: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    request_id: str
    read_body: Callable[[], Awaitable[bytes]]
    caller: Caller = ANYBODY
    forwarded: bool = False
    address: str = ""
    trail: RequestTrail | None = None

    @property
    def requester(self) -> Requester:
        """Return who sends facts with this request."""
        return Requester(self.caller.actor, self.request_id)


Handler = Callable[[RequestContext, HttpRequest], Awaitable[HttpResponse]]
