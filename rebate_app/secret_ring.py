"""Rings of secrets: `id:secret`, a comma between; the first one signs, all verify.

A secret is changed without a stop: add the new one at the end everywhere, then move it to the front
everywhere, then take the old one away everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

SECRET_CHARACTERS_MIN: Final = 32

_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


class SecretRing(Struct, frozen=True):
    """Secrets by id; `first` is the id of the one that signs."""

    first: str
    secrets: Mapping[str, bytes]


def parse_secret_ring(text: str) -> SecretRing:
    """Return the ring; ValueError without a secret in it."""
    secrets: dict[str, bytes] = {}
    for number, part in enumerate(text.split(","), start=1):
        name, colon, secret = part.strip().partition(":")
        if not colon or _ID.fullmatch(name) is None:
            raise ValueError(f"secret {number} has to be written as id:secret, the id 1-32 of A-Za-z0-9_-")
        if len(secret) < SECRET_CHARACTERS_MIN:
            raise ValueError(f"secret {number} has to have at least {SECRET_CHARACTERS_MIN} characters")
        if name in secrets:
            raise ValueError(f"the id {name} occurs twice")
        secrets[name] = secret.encode()
    return SecretRing(next(iter(secrets)), secrets)
