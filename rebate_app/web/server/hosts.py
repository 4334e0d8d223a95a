"""Which values of `Host` a worker answers (docs/spec/api-security.md#limits).

A page of another site can point a name of its own at this worker's address (DNS rebinding) and then read
whatever the browser can reach. Such a request carries that name in `Host`, so only the names and addresses
that are known to mean this worker are answered.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address

from rebate_app.http_urls import (
    LOCALHOST,
    Address,
    Authority,
    authority_of_url,
    parse_authority,
    plain_address,
)

KNOWN_MAX = 256  # pairs of text and address that were allowed before


class AllowedHosts:
    """The hosts under which one worker is reached: that of its own URL, and the configured ones."""

    def __init__(self, own_url: str, allowed: Iterable[Authority] = ()) -> None:
        self._allowed: set[tuple[str | Address, int | None]] = {(item.host, item.port) for item in allowed}
        self._known: set[tuple[str, str]] = set()
        with suppress(ValueError):  # a worker may bind "", which is no host
            self._allowed.add((authority_of_url(own_url).host, None))

    def allows(self, text: str, local_address: str) -> bool:
        """Return whether an authority names this worker, for a connection to `local_address`.

        The port is compared only with configured hosts that name one: where a port is forwarded, the
        client knows another one than the worker.
        """
        if (text, local_address) in self._known:
            return True
        allowed = self._is_this_worker(text, local_address)
        if allowed and len(self._known) < KNOWN_MAX:
            self._known.add((text, local_address))
        return allowed

    def _is_this_worker(self, text: str, local_address: str) -> bool:
        try:
            named = parse_authority(text)
        except ValueError:
            return False
        if (named.host, None) in self._allowed or (named.host, named.port) in self._allowed:
            return True
        try:
            local = plain_address(ip_address(local_address))
        except ValueError:
            return False
        return named.host == local or (local.is_loopback and _is_loopback(named.host))


def _is_loopback(host: str | Address) -> bool:
    return host == LOCALHOST if isinstance(host, str) else host.is_loopback
