"""A worker's own URL: that nobody else has it, and that it leads to this worker.

In the order of a start: the address to bind is free, no live member of the group announces a URL beside which
this one cannot be used, and, once the web server runs, the advertised URL leads to this very process. Only
then does the worker join its group, so that no request is ever routed to a URL that leads elsewhere
(docs/spec/running.md#addresses).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from faust.app.base import BootStrategy
from mode import Service

from rebate_app.http_transport import client_tls
from rebate_app.settings import ConfigurationError, Settings
from rebate_app.streams.kafka.admin import admin_client
from rebate_app.streams.kafka.announcements import Announcement, conflict_with, describe_group
from rebate_app.web.routing.identity import identify
from rebate_app.web.routing.peer_client import PeerClient, PeerSecurity

CONNECT_SECONDS_MAX = 1.0
POLL_SECONDS = 0.5
#: The broker notices a dead member one session time-out after its last heartbeat, at the latest.
GONE_GRACE_SECONDS = 3.0

log = logging.getLogger(__name__)


def refuse_taken(url: str) -> None:
    """ConfigurationError if another process already listens at the address to bind."""
    parts = urlsplit(url)
    try:
        connection = socket.create_connection(
            (parts.hostname or "127.0.0.1", parts.port or 80), CONNECT_SECONDS_MAX
        )
    except OSError:
        return
    connection.close()
    raise ConfigurationError(
        f"somebody answers at {url} already: give every worker its own REBATE_WEB_PORT, "
        "REBATE_ADVERTISED_URL and REBATE_DATADIR"
    )


async def refuse_announced(settings: Settings, own: Announcement) -> None:
    """ConfigurationError if a live member of the group announces a URL beside which ours cannot be used.

    A member whose process is dead stays in the group for a session time-out; it is waited for, as a join
    would. A group that rebalances shows no announcements: then the assignment decides.
    """
    deadline = time.monotonic() + settings.session_timeout + GONE_GRACE_SECONDS
    async with admin_client(settings) as admin, _peers(settings) as peers:
        while True:
            group = await describe_group(admin, settings.scope)
            reasons = {other: conflict_with(own, other) for other in group.announced}
            reasons = {other: reason for other, reason in reasons.items() if reason}
            if not reasons:
                return
            for other, reason in reasons.items():
                found = await identify(peers, other.url, {}, other.instance)
                if found.outcome == "itself" or time.monotonic() > deadline:
                    raise ConfigurationError(reason)
            log.info("waiting whether the other member is alive: %s", next(iter(reasons.values())))
            await asyncio.sleep(POLL_SECONDS)


class UrlProof(Service):
    """Starts once the advertised URL leads to this process; later services join the group.

    `missing`: why it is not proven, for `/readyz`; "" once it is. ConfigurationError after
    REBATE_ADVERTISED_URL_DEADLINE, until which a network may come up.
    """

    def __init__(self, app: Any, **kwargs: Any) -> None:
        self.app = app
        self.missing = "starting"
        super().__init__(**kwargs)

    async def on_start(self) -> None:
        """Ask the URL who it is until it is this process."""
        url = self.app.assignor.own().url
        seconds_max = self.app.settings.advertised_url_deadline
        deadline = time.monotonic() + seconds_max
        async with _peers(self.app.settings) as peers:
            while not self.app.should_stop:
                found = await identify(peers, url, {}, self.app.instance)
                if found.outcome == "itself":
                    self.missing = ""
                    return
                self._note(f"{url}, under which others reach this worker, leads elsewhere: {found.detail}")
                if time.monotonic() > deadline:
                    raise ConfigurationError(
                        f"{self.missing}, for {seconds_max:g} s: correct REBATE_ADVERTISED_URL"
                    )
                await asyncio.sleep(POLL_SECONDS)

    def _note(self, missing: str) -> None:
        if missing != self.missing:
            log.warning("%s", missing)
        self.missing = missing


class ProvenUrlBoot(BootStrategy):
    """Starts the services of a worker in Faust's order, the proof of its URL before the consumer."""

    def kafka_consumer(self) -> Iterable[Any]:
        """Return the consumer, behind the proof."""
        return [self.app.url_proof, *super().kafka_consumer()]


@asynccontextmanager
async def _peers(settings: Settings) -> AsyncIterator[PeerClient]:
    peers = PeerClient("", PeerSecurity(None, lambda: time.time_ns() // 1_000, client_tls(settings.web_ca)))
    try:
        yield peers
    finally:
        await peers.close()
