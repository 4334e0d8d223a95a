"""The signatures of the networks: the signed set is exactly the sent set (docs/spec/sources.md#signing).

Parameters are sorted by key in ASCII order and joined as key and value without separators, values as UTF-8
that is not URL-encoded. Parameters whose key or value is empty are left out.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

MD5, HMAC_MD5, HMAC_SHA256 = "md5", "hmac", "hmac-sha256"
SIGN_METHODS = (MD5, HMAC_MD5, HMAC_SHA256)
SIGN = "sign"


def signature(parameters: Mapping[str, str], secret: str, method: str = MD5) -> str:
    """Return the signature of parameters in upper-case hexadecimal digits; `sign` itself is not signed."""
    pairs = sorted((key, value) for key, value in parameters.items() if key != SIGN and key and value)
    text = "".join(key + value for key, value in pairs)
    key = secret.encode()
    if method == HMAC_MD5:
        return hmac.new(key, text.encode(), "md5").hexdigest().upper()
    if method == HMAC_SHA256:
        return hmac.new(key, text.encode(), "sha256").hexdigest().upper()
    # the networks' dialect, and no password: usedforsecurity=False lets it run where MD5 is barred
    return hashlib.md5(key + text.encode() + key, usedforsecurity=False).hexdigest().upper()


def signed(parameters: Mapping[str, str], secret: str, method: str = MD5) -> dict[str, str]:
    """Return parameters with their signature, as they are sent: without empty ones."""
    sent = {key: value for key, value in parameters.items() if key and value}
    return {**sent, SIGN: signature(sent, secret, method)}
