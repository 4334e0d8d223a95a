"""URLs, hosts and ports: what is accepted of them, and what of a URL may be shown.

A URL of the settings is accepted only in the exact form that goes on the wire: RFC 3986, ASCII,
percent-encoded, its host in punycode. `fault_of` describes what is wrong without repeating the URL, whose
path or query may hold a token. An `Authority` is a host with an optional port, as in a URL, a `Host` header
and `REBATE_ALLOWED_HOSTS`; parsing one raises ValueError.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

Address = IPv4Address | IPv6Address

URL_CHARACTERS_MAX: Final = 2_048
HOST_CHARACTERS_MAX: Final = 253
PORT_MAX: Final = 65_535
HIDDEN: Final = "***"
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
SCHEMES: Final = frozenset(DEFAULT_PORTS)
LOCALHOST: Final = "localhost"

_UNSAFE = re.compile(r"[^A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_match_authority = re.compile(
    r"(?: \[ (?P<literal> [^\[\]]+ ) \] | (?P<name> [^:\[\]]+ ) ) (?P<after> : (?P<port> [0-9]{1,5} )? )?",
    re.ASCII | re.VERBOSE,
).fullmatch
_match_literal = re.compile(r"[0-9A-Fa-f:.]+").fullmatch
_match_name = re.compile(
    rf"(?= .{{1,{HOST_CHARACTERS_MAX}}} \Z) (?: [a-z0-9_-]{{1,63}} \. )* [a-z0-9_-]{{1,63}}",
    re.ASCII | re.VERBOSE,
).fullmatch
#: Stricter than a `Host` header: a label of a URL neither begins nor ends with a hyphen.
_match_label = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?").fullmatch


class Authority(Struct, frozen=True):
    """An address, or a name in lower case without a final dot, and the port if one is named."""

    host: str | Address
    port: int | None = None


def parse_authority(text: str) -> Authority:
    """Return `host`, `host:port`, `[address]` or `[address]:port` as an authority; ValueError."""
    match = _match_authority(text)
    if match is None:
        raise ValueError(f"{text!r} is no host with an optional port")
    port = int(match["port"]) if match["port"] else None
    if not _is_port(port):
        raise ValueError(f"{text!r}: a port is 1 to {PORT_MAX}")
    if match["literal"] is not None:
        return Authority(plain_address(IPv6Address(match["literal"])), port)
    name = match["name"].lower().removesuffix(".")
    try:
        return Authority(IPv4Address(name), port)
    except ValueError:
        pass
    if not _match_name(name):
        raise ValueError(f"{text!r} is no host name")
    return Authority(name, port)


def parse_authorities(text: str) -> tuple[Authority, ...]:
    """Return comma-separated authorities, none for an empty text; ValueError."""
    return tuple(parse_authority(part.strip()) for part in text.split(",")) if text.strip() else ()


def authority_of_url(url: str) -> Authority:
    """Return the authority of an http or https URL, user information left out; ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ValueError(f"{url!r} is no http or https URL")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Authority(parse_authority(host).host, parts.port)


def is_own_machine(url: str) -> bool:
    """Return whether a URL names the machine on which it is used: a loopback or unspecified address.

    ValueError for a URL that is none of http or https.
    """
    host = authority_of_url(url).host
    if isinstance(host, str):
        return host == LOCALHOST or host.endswith(f".{LOCALHOST}")
    return host.is_loopback or host.is_unspecified


def same_address(one: str, other: str) -> bool:
    """Return whether two http or https URLs are the same, all names of one's own machine being equal.

    Names are not resolved, and the scheme decides only the port where none is given. ValueError.
    """
    return _address(one) == _address(other)


def _address(url: str) -> tuple[str | Address, int, str]:
    parts, authority = urlsplit(url), authority_of_url(url)
    host = LOCALHOST if is_own_machine(url) else authority.host
    return host, authority.port or DEFAULT_PORTS[parts.scheme], parts.path.rstrip("/")


def plain_address(address: Address) -> Address:
    """Return an address without its zone, and as IPv4 where it is an IPv4-mapped one."""
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


def fault_of(url: str, *, query: bool) -> str:
    """Return what is wrong with an http or https URL, "" if nothing is; `query`: whether it may have one."""
    if len(url) > URL_CHARACTERS_MAX:
        return f"is longer than {URL_CHARACTERS_MAX} characters"
    unsafe = _UNSAFE.search(url)
    if unsafe is not None:
        return (
            f"has {_name_of(unsafe[0])} at character {unsafe.start() + 1}: "
            "percent-encode it, or write an international host name in punycode"
        )
    if _BROKEN_ESCAPE.search(url):
        return "has a % that two hexadecimal digits do not follow"
    try:
        parts = urlsplit(url)
    except ValueError:
        return "must be http://host… or https://host…: its host is malformed"
    if parts.scheme not in SCHEMES or not parts.netloc:
        return "must be http://host… or https://host…"
    if "@" in parts.netloc or "#" in url or ("?" in url and not query):
        return f"may have no user, password{'' if query else ', query'} or fragment"
    return _authority_fault(parts.netloc)


def origin(url: str) -> str:
    """Return scheme, host and port of a URL, which is all of it that may be shown; "" for none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return HIDDEN
    if not parts.netloc:
        return HIDDEN if url else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _authority_fault(text: str) -> str:
    """Return what is wrong with the authority of a URL, "" if nothing is."""
    match = _match_authority(text)
    if match is None or match["after"] == ":" or (match["literal"] and not _match_literal(match["literal"])):
        return "must be http://host… or https://host…: its host or port is malformed"
    if not _is_port(int(match["port"]) if match["port"] else None):
        return f"must have a port between 1 and {PORT_MAX}"
    if match["literal"] is not None:
        return "" if _is_ipv6(match["literal"]) else "has a malformed IPv6 address"
    labels = match["name"].removesuffix(".").split(".")
    if len(match["name"]) > HOST_CHARACTERS_MAX or not all(map(_match_label, labels)):
        return "must be http://host… or https://host…: its host is no host name"
    return ""


def _is_port(port: int | None) -> bool:
    return port is None or 0 < port <= PORT_MAX


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def _name_of(character: str) -> str:
    if character.isspace():
        return "white space"
    return "a control character" if not character.isprintable() else f"the character {character!r}"
