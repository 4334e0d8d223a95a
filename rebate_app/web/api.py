"""What a view works with: the ports, one request as we read it, and one answer as we give it.

It is separate from Faust and aiohttp, so that everything a client can ask is a function from `Call` to
`Answer` that tests, fuzzers and measurements call without a server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from msgspec import Struct, field

from rebate_app.dead_letters.office import Office
from rebate_app.domain.attribution import parse_user_id_fields
from rebate_app.domain.rules import RuleBook
from rebate_app.metrics.figures import Figures
from rebate_app.wire.topics import Topics

from .peers import Peers
from .ports import Clock, Placement, Rehearse, Sender

#: A request that one worker sent to another: it is answered or refused, never sent on.
GUARD_HEADER = "Rebate-Forwarded"
REQUEST_ID_HEADER = "X-Request-Id"

JSON_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-cache"}


class Api(Struct, frozen=True):
    """The ports, bundled by the composition root. `own_url` is how other workers reach this one."""

    placement: Placement
    sender: Sender
    clock: Clock
    topics: Topics
    rules: RuleBook
    user_id_fields: str
    own_url: str
    figures: Figures = field(default_factory=Figures)
    office: Office | None = None
    rehearse: Rehearse | None = None


class Desk:
    """The ports and the line to the other workers: what every handler is given."""

    def __init__(self, api: Api, peers: Peers) -> None:
        self.placement = api.placement
        self.sender = api.sender
        self.clock = api.clock
        self.topics = api.topics
        self.rules = api.rules
        self.user_id_fields = parse_user_id_fields(api.user_id_fields)
        self.own_url = api.own_url.rstrip("/")
        self.figures = api.figures
        self.office = api.office
        self.rehearse = api.rehearse
        self.peers = peers


class Call(Struct, frozen=True):
    """One request: decoded path parts, decoded query, and `target`, the path and query as they came."""

    method: str
    target: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    request_id: str
    read_body: Callable[[], Awaitable[bytes]]

    @property
    def forwarded(self) -> bool:
        """Whether another worker of ours sent this."""
        return GUARD_HEADER in self.headers


class Answer(Struct, frozen=True):
    """One response; `headers` hold the content type."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: JSON_HEADERS)


Handler = Callable[[Desk, Call], Awaitable[Answer]]


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] = JSON_HEADERS) -> Answer:
    """Return a value as a JSON answer."""
    return Answer(status, orjson.dumps(value), headers)
