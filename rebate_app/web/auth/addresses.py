"""The address of a client, through the proxies that an operator trusts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return addresses and networks that are separated by commas; ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def client_address(peer: str, forwarded_for: Iterable[str], trusted: Sequence[Network]) -> str:
    """Return the address that a request comes from.

    That is the connection's; behind a trusted proxy, the last one of `X-Forwarded-For` that no trusted proxy
    added. What is no address ends the list: whoever wrote it is not believed.
    """
    address = peer
    hops = [part.strip() for value in forwarded_for for part in value.split(",")]
    while hops and _is_trusted(address, trusted):
        last = hops.pop()
        if not _is_address(last):
            break
        address = last
    return address


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    if not trusted or not _is_address(address):
        return False
    parsed = ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any(each in network for network in trusted for each in (parsed, mapped) if each is not None)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
