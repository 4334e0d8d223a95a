"""Where a user confirms a payout: which addresses of a payment service are kept, and in which form.

Apart from the channels, since an address is opened by whoever shows it: only schemes that lead to a page or
to a wallet pass, and nothing passes that a reader takes for another host. What is written in other characters
is written in those of a URL, which leads to the same place.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from yarl import URL

from rebate_app.http_urls import SCHEMES, URL_CHARACTERS_MAX, fault_of

#: They open a wallet on the user's phone, and name no host.
WALLET_SCHEMES: Final = frozenset({"weixin", "alipays"})
#: All that a URL may consist of, so that quoting changes nothing else; `%` is looked at apart.
KEPT: Final = "-._~:/?#[]@!$&'()*+,;=%"

_match_url = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]+)(.*)", re.ASCII | re.DOTALL).fullmatch
_find_control = re.compile(r"[\x00-\x1f\x7f-\x9f]").search
_match_host = re.compile(r"[A-Za-z0-9._-]+", re.ASCII).fullmatch
_escape_percent = re.compile(r"%(?![0-9A-Fa-f]{2})").sub


def bounded_url(text: object) -> str | None:
    """Return a confirmation's address as a URL of at most URL_CHARACTERS_MAX characters, else None.

    Schemes: http, https, and those of wallets. Host names are put in punycode, other characters that a URL
    lacks are percent-encoded. A user or password before the host is refused: it is taken for the host.
    """
    if not isinstance(text, str) or len(text) > URL_CHARACTERS_MAX or _find_control(text):
        return None
    match = _match_url(text.strip())
    if match is None:
        return None
    scheme, authority, rest = match.groups()
    try:
        rest = _quoted(rest)
        if scheme.lower() in WALLET_SCHEMES:
            url = f"{scheme}://{_quoted(authority)}{rest}"
            return url if len(url) <= URL_CHARACTERS_MAX else None
        url = f"{scheme}://{_in_punycode(authority)}{rest}"
    except ValueError:  # a lone surrogate, or no host name
        return None
    is_sound = scheme.lower() in SCHEMES and not fault_of(url.partition("#")[0], query=True)
    return url if is_sound and len(url) <= URL_CHARACTERS_MAX else None


def _quoted(text: str) -> str:
    """Return the text with all percent-encoded that a URL cannot contain; ValueError for surrogates."""
    return quote(_escape_percent("%25", text), safe=KEPT)


def _in_punycode(authority: str) -> str:
    """Return a host with an optional port in ASCII; ValueError where its name has none."""
    if authority.isascii():
        return authority
    name, colon, port = authority.partition(":")
    host = URL.build(scheme="https", host=name).raw_host or ""
    if not _match_host(host):
        raise ValueError("the host is no name")
    return f"{host}{colon}{port}"
