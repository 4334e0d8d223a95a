"""Which addresses are special: each row of IANA's registries, metadata addresses, and what embeds them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

import pytest

from rebate_app.webhooks.addresses import AddressRefusedError, require_allowed
from rebate_app.webhooks.special_addresses import is_special

#: Networks of the registries, and multicast; all of each is special.
IPV4_NETWORKS = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
)
IPV6_NETWORKS = (
    "::/128",
    "::1/128",
    "::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/32",
    "2001::/23",
    "2001:2::/48",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:30::/28",
    "2001:db8::/32",
    "2620:4f:8000::/48",
    "3ffe::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
)
METADATA = (
    "169.254.169.254",  # AWS, Azure, GCP and others
    "169.254.170.2",  # AWS ECS
    "169.254.0.23",  # Tencent
    "100.100.100.200",  # Alibaba
    "192.0.0.192",  # Oracle
    "168.63.129.16",  # Azure's host
    "fd00:ec2::254",  # AWS
    "fd20:ce::254",  # GCP
)
PUBLIC = (
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.0.3.0",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2400:3200::1",
    "2606:4700::1111",
    "3fff:1000::",
)


def embedded(address: str) -> list[str]:
    """Return the IPv6 addresses that stand for an IPv4 one: mapped, NAT64, 6to4, ISATAP."""
    number = int(IPv4Address(address))
    return [
        str(IPv6Address(base + (number << shift)))
        for base, shift in (
            (int(IPv6Address("::ffff:0:0")), 0),
            (int(IPv6Address("64:ff9b::")), 0),
            (int(IPv6Address("2002::")), 80),
            (int(IPv6Address("2400:3200::5efe:0:0")), 0),
            (int(IPv6Address("2400:3200::200:5efe:0:0")), 0),
        )
    ]


@pytest.mark.parametrize("network", IPV4_NETWORKS + IPV6_NETWORKS)
def test_first_middle_and_last_of_each_network_are_special(network: str) -> None:
    """The whole of each network is refused."""
    whole = ip_network(network)
    for at in {0, whole.num_addresses // 2, whole.num_addresses - 1}:
        assert is_special(str(whole[at])), whole[at]


@pytest.mark.parametrize("address", METADATA)
def test_metadata_of_clouds_is_special(address: str) -> None:
    """Nobody can have the worker read its machine's credentials."""
    with pytest.raises(AddressRefusedError):
        require_allowed(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_not(address: str) -> None:
    """Everybody else's addresses are allowed, the neighbours of special networks too."""
    assert not is_special(address)
    require_allowed(address)


@pytest.mark.parametrize("network", IPV4_NETWORKS)
def test_an_address_that_embeds_a_special_one_is_special(network: str) -> None:
    """Mapped, NAT64, 6to4 and ISATAP forms lead to the IPv4 address in them."""
    for address in embedded(str(ip_network(network)[-1])):
        assert is_special(address), address


@pytest.mark.parametrize("address", [each for each in PUBLIC if ":" not in each])
def test_an_address_that_embeds_a_public_one_is_not(address: str) -> None:
    """A receiver behind NAT64 or 6to4 is reached."""
    assert [each for each in embedded(address) if is_special(each)] == []


def test_all_of_ipv6_outside_global_unicast_is_special() -> None:
    """What IANA has not allocated is nobody's receiver."""
    for top in range(0x1_0000):
        address = IPv6Address(top << 112 | 0x8000 << 96 | 1)
        if address not in IPv6Network("2000::/3"):
            assert is_special(str(address)), address


@pytest.mark.parametrize("address", ["fe80::1%eth0", "::127.0.0.1", "::ffff:0:127.0.0.1"])
def test_other_ways_of_writing_it(address: str) -> None:
    """With a zone, compatible and translated addresses are special."""
    assert is_special(address)


@pytest.mark.parametrize("text", ["", "a.example", "127.1", "0x7f000001", "1.2.3.4.5"])
def test_what_is_no_address_is_an_error(text: str) -> None:
    """Names and short forms are resolved first; here they are a ValueError."""
    with pytest.raises(ValueError, match="does not appear to be"):
        is_special(text)
