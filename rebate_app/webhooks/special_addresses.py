"""The table of special addresses, which no webhook receiver on the public Internet has.

The ranges are those of the IANA special-purpose registries for IPv4 and IPv6, multicast, and the addresses at
which clouds serve metadata to their machines. They are listed here and not taken from `ipaddress`, whose
answers differ between releases of Python. For IPv6 only 2000::/3 is allocated for global unicast: everything
outside it is special.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

IPV4_SPECIAL = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private use
            "100.64.0.0/10",  # shared address space (CGNAT); Alibaba Cloud metadata is 100.100.100.200
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # Azure's host, reachable from its machines only
            "169.254.0.0/16",  # link-local; metadata of AWS, Azure, GCP, Tencent and others
            "172.16.0.0/12",  # private use
            "192.0.0.0/24",  # IETF protocol assignments; Oracle Cloud metadata is 192.0.0.192
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # 6to4 relay anycast, deprecated
            "192.168.0.0/16",  # private use
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and limited broadcast
        ),
    )
)
IPV6_GLOBAL_UNICAST = IPv6Network("2000::/3")
IPV6_SPECIAL = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # IETF protocol assignments: Teredo, benchmarking, AMT, AS112, ORCHID, DRIP
            "2001:db8::/32",  # documentation
            "2620:4f:8000::/48",  # AS112
            "3ffe::/16",  # 6bone, returned
            "3fff::/20",  # documentation
        ),
    )
)
IPV4_MAPPED = IPv6Network("::ffff:0:0/96")
NAT64 = IPv6Network("64:ff9b::/96")
SIX_TO_FOUR = IPv6Network("2002::/16")
SIX_TO_FOUR_SHIFT = 80
IPV4_MASK = 0xFFFF_FFFF
#: The interface identifiers of ISATAP, RFC 5214: these 32 bits, then an IPv4 address.
ISATAP = (0x0000_5EFE, 0x0200_5EFE)


def is_special(text: str) -> bool:
    """Return whether an address is private, local, multicast, reserved or metadata; ValueError for none.

    An IPv6 address that embeds an IPv4 one (mapped, NAT64, 6to4, ISATAP) is special if that one is.
    """
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv4Address):
        return _in_any(address, IPV4_SPECIAL)
    embedded = _embedded(address)
    if embedded is not None and _in_any(embedded, IPV4_SPECIAL):
        return True
    if address in IPV4_MAPPED or address in NAT64:
        return False
    return address not in IPV6_GLOBAL_UNICAST or any(address in network for network in IPV6_SPECIAL)


def _in_any(address: IPv4Address, networks: tuple[IPv4Network, ...]) -> bool:
    return any(address in network for network in networks)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address embeds, None without one."""
    number = int(address)
    if address in SIX_TO_FOUR:
        return IPv4Address(number >> SIX_TO_FOUR_SHIFT & IPV4_MASK)
    if address in IPV4_MAPPED or address in NAT64 or (number >> 32 & IPV4_MASK) in ISATAP:
        return IPv4Address(number & IPV4_MASK)
    return None
