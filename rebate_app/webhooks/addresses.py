"""Restrict webhooks to public addresses, checked on every connection after name resolution.

Unless private addresses are allowed, no socket is opened to a special one (`special_addresses`). So neither a
URL nor a name that later resolves elsewhere (DNS rebinding) reaches hosts that only this network can reach.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from .special_addresses import is_special

#: Threads for name resolution alone, so that a name server that hangs delays nothing else.
RESOLVING_AT_ONCE_MAX = 2


class AddressRefusedError(OSError):
    """The name or URL resolves to an address to which webhooks may not go."""


def require_allowed(text: str) -> None:
    """Raise AddressRefusedError for a special address."""
    if is_special(text):
        raise AddressRefusedError(f"{text} is private or special: REBATE_WEBHOOK_ALLOW_PRIVATE=1 allows it")


class CheckedResolver(AbstractResolver):
    """Resolves names; a name with any special address is refused."""

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
        """Close without waiting: a thread that hangs ends with its look-up."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def checked_connector(*, allow_private: bool, connections_max: int) -> TCPConnector:
    """Return a connector that opens sockets to allowed addresses only.

    aiohttp does not resolve an address in the URL itself, so it is checked where sockets are opened.
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
