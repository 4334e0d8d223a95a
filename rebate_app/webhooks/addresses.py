"""Which addresses a webhook may go to, looked at on every connection, after the name was resolved.

Law: unless private ones are allowed, the socket is never made for an address inside somebody's network: so a
URL, or a name that is made to point elsewhere later, cannot reach what only we can reach. It is separate so
that the rule stands in one place: `is_special`.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

#: Names are looked up in threads of their own: a name server that hangs must not hold up anybody else's.
RESOLVING_AT_ONCE_MAX = 2
NAT64 = IPv6Network("64:ff9b::/96")
NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")


class AddressRefusedError(OSError):
    """The name or URL leads to an address that webhooks may not go to."""


def is_special(text: str) -> bool:
    """Whether an address is private, loopback, link-local, multicast, unspecified or reserved.

    An IPv6 address that stands for an IPv4 one (mapped, NAT64, 6to4) is what that one is. ValueError for
    what is no address.
    """
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address in NAT64_LOCAL or address.is_site_local or address.teredo is not None:
            return True
        within = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            within = IPv4Address(int(address) & 0xFFFFFFFF)
        address = within or address
    return not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified


def require_allowed(text: str) -> None:
    """Raise AddressRefusedError for a special address."""
    if is_special(text):
        raise AddressRefusedError(f"{text} is private or special: REBATE_WEBHOOK_ALLOW_PRIVATE=1 allows it")


class CheckedResolver(AbstractResolver):
    """Resolves names; one of whose addresses is special is refused whole."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._threads = ThreadPoolExecutor(RESOLVING_AT_ONCE_MAX, thread_name_prefix="webhook-names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name."""

        def look_up() -> list[Any]:
            return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)

        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        results = []
        for kind, _, proto, _, where in found:
            address = str(where[0])
            if not self._allow_private:
                require_allowed(address)
            flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
            results.append(
                ResolveResult(hostname=host, host=address, port=port, family=kind, proto=proto, flags=flags)
            )
        return results

    async def close(self) -> None:
        """Wait for nobody: a thread that hangs in a look-up ends with it."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def checked_connector(*, allow_private: bool, connections_max: int) -> TCPConnector:
    """Return a connector whose sockets are made for allowed addresses only.

    aiohttp asks no resolver about an address in the URL itself, so the last look is where sockets are made.
    """

    def new_socket(info: tuple[Any, ...]) -> socket.socket:
        family, kind, proto, _, where = info
        if not allow_private:
            require_allowed(str(where[0]))
        return socket.socket(family=family, type=kind, proto=proto)

    return TCPConnector(
        resolver=CheckedResolver(allow_private=allow_private),
        use_dns_cache=False,
        limit=connections_max,
        socket_factory=new_socket,
        happy_eyeballs_delay=None,
    )
