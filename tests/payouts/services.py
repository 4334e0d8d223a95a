"""Simulated payment services of each kind, with a channel that is configured for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from yarl import URL

from examples.simulators.payouts.__main__ import channel_entry, service_of
from examples.simulators.payouts.book import Book
from examples.simulators.payouts.server import Service
from rebate_app.payouts.channels.channel_file import ChannelSpec, parse_channels
from rebate_app.payouts.channels.port import PaymentChannel, PayoutOrder

AUTOMATIC = ("http", "alipay", "wechat")
ORDER = PayoutOrder("a" * 32, 995, "payee@example.com", "张三丰", "u1", "w1", "rebate")


@dataclass
class Remote:
    """A service that runs, and the channel to it."""

    kind: str
    service: Service
    url: URL
    spec: ChannelSpec

    @property
    def book(self) -> Book:
        """Return the service's ledger."""
        return self.service.book

    @property
    def channel(self) -> PaymentChannel:
        """Return the channel."""
        return self.spec.channel


@asynccontextmanager
async def remote(kind: str, keys: Path, more: str = "") -> AsyncIterator[Remote]:
    """Run a service of that kind on a free port; `more`: further lines of its channel."""
    service = service_of(kind, keys, Book())
    runner = web.AppRunner(service.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = URL(str(site.name)).with_host("127.0.0.1").with_port(runner.addresses[0][1])
    entry = channel_entry(kind, str(url).rstrip("/"), keys) + more
    spec = parse_channels(entry.encode(), keys)[kind]
    try:
        yield Remote(kind, service, url, spec)
    finally:
        await spec.channel.close()
        await runner.cleanup()
